/* test_bad_rows.c -- every row of ops.def refuses wrong operands and attributes,
 * by a loop over its samples: an operand of another type, of rank 0 or 8, with
 * another size; an axis outside or named twice; sizes that are negative or
 * immense. Nothing is known about a row here but its line in the table, so a
 * new one is covered when it has a sample.
 *
 * What is refused says so in one sentence with the operation, the types and sizes
 * of all operands, and the line that asked. What is not leaves a sound graph.
 */
#include "graph/ir/ir.h"
#include "samples.h"
#include "suite.h"

#include <krs/array.h>
#include <krs/conv.h>

#include <stdio.h>
#include <string.h>

enum { OPERANDS = 16, WORDS = 256 };

static const krs_place place = {"model.c", 7};

/* What became of the wrong uses of a row. */
static struct {
    int tried, refused;
} type_tries[KRSI_OP_COUNT], size_tries[KRSI_OP_COUNT],
    axis_tries[KRSI_OP_COUNT];

/* Rows that take any type and any sizes; and those with operands of any one
 * type, which a single operand cannot be wrong in. */
static bool
takes_anything(enum krsi_op op)
{
    switch ((int)op) {
    case KRSI_STOP_GRADIENT:
    case KRSI_RECOMPUTE:
    case KRSI_CAST:       /* any to any */
    case KRSI_CHECKPOINT: /* y, and what it is made of */
    case KRSI_SCAN:       /* whatever its body has */
    case KRSI_RESULT: /* of a scan, as build_scan.c makes it */ return true;
    default: return false;
    }
}

/* the text has every operand's type with its sizes */
static void
expect_operands(const krs_graph *g, enum krsi_op op, const uint32_t *in,
                uint32_t count, const char *what, const char *text)
{
    enum { SAID = 8 }; /* of more, the first */
    char type[KRSI_TYPE_TEXT];
    for (uint32_t i = 0; i < count && i < SAID; i++)
        ck_assert_msg(strstr(text, krsi_type_text(type, g->node[in[i]])),
                      "%s, %s: no operand %u, %s, in: %s", krsi_ops[op].name,
                      what, i, type, text);
}

/* add the row with these operands and words; is it refused? */
static bool
is_refused(const sample *s, enum krsi_op op, const uint32_t *in, uint32_t count,
           const int64_t *word, int words, const char *what)
{
    krs_graph *g = s->graph;
    krs_error err = {KRS_OK, ""};
    memset(&g->error, 0, sizeof g->error);
    krs_node y = krsi_add(g, place, op, in, (int)count, word, words);
    const krs_error *e = krs_graph_error(g);
    ck_assert_msg(!krs_node_is_valid(y) == (e != NULL), "%s, %s: %s",
                  krsi_ops[op].name, what, e ? e->text : "no reason");
    if (e) {
        char name[40];
        snprintf(name, sizeof name, "%s: ", krsi_ops[op].name);
        ck_assert_msg(strstr(e->text, name), "%s, %s: %s", krsi_ops[op].name,
                      what, e->text);
        ck_assert_msg(strstr(e->text, "(model.c:7)"), "%s, %s: %s",
                      krsi_ops[op].name, what, e->text);
        expect_operands(g, op, in, count, what, e->text);
        ck_assert_int_ne(e->status, KRS_E_INTERNAL);
        ck_assert_int_ne(e->status, KRS_E_MEMORY);
    }
    memset(&g->error, 0, sizeof g->error);
    ck_assert_msg(krsi_verify(g, &err) == KRS_OK, "%s, %s: %s",
                  krsi_ops[op].name, what, err.text);
    return e != NULL;
}

static krs_node
leaf(const sample *s, const char *kind, uint32_t k, krs_dtype dtype,
     krs_shape shape)
{
    char name[64];
    snprintf(name, sizeof name, "bad.%s.%u.%d.%lld", kind, k, (int)dtype,
             (long long)(shape.rank ? shape.dim[shape.rank - 1] : 0));
    memset(&s->graph->error, 0, sizeof s->graph->error);
    krs_node x = krs_input(s->graph, name, dtype, shape);
    ck_assert(krs_node_is_valid(x));
    return x;
}

static void
try_operands(const sample *s, enum krsi_op op, const krsi_node *n)
{
    static const krs_dtype types[] = {KRS_F32, KRS_BF16, KRS_I64,
                                      KRS_I8,  KRS_BOOL, KRS_Q8_0};
    uint32_t in[OPERANDS];
    for (uint32_t k = 0; k < n->count && k < OPERANDS; k++) {
        const krsi_node *x = s->graph->node[n->in[k]];
        krs_shape shape = krs_node_shape(krsi_handle(s->graph, n->in[k]));
        memcpy(in, n->in, n->count * sizeof *in);
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            krs_shape blocks = KRS_SHAPE(4, 32);
            bool is_block = types[t] == KRS_Q8_0;
            if (types[t] == (krs_dtype)x->dtype)
                continue;
            in[k] = leaf(s, "type", k, types[t], is_block ? blocks : shape).id;
            type_tries[op].tried++;
            type_tries[op].refused += is_refused(s, op, in, n->count, n->word,
                                                 n->words, "another type");
        }
        krs_shape other[4] = {KRS_SCALAR, KRS_SHAPE(2, 1, 1, 1, 1, 1, 1, 3),
                              shape, shape};
        if (shape.rank > 0) {
            other[2].dim[shape.rank - 1] += 3;
            other[3].dim[0] = 0;
        }
        for (int i = 0; i < (shape.rank ? 4 : 2); i++) {
            char kind[16];
            snprintf(kind, sizeof kind, "size%d", i);
            if (krs_dtype_class_of((krs_dtype)x->dtype) == KRS_CLASS_BLOCK)
                continue;
            in[k] = leaf(s, kind, k, (krs_dtype)x->dtype, other[i]).id;
            size_tries[op].tried++;
            size_tries[op].refused += is_refused(s, op, in, n->count, n->word,
                                                 n->words, "other sizes");
        }
    }
    /* too few and too many of them */
    memcpy(in, n->in, n->count * sizeof *in);
    if (n->count < OPERANDS && krsi_ops[op].max_count == n->count) {
        in[n->count] =
            n->count ? n->in[0] : leaf(s, "more", 0, KRS_F32, KRS_SHAPE(1)).id;
        ck_assert(is_refused(s, op, in, n->count + 1, n->word, n->words,
                             "an operand too many"));
    }
    if (n->count > 0 && krsi_ops[op].min_count == n->count)
        ck_assert(is_refused(s, op, in, n->count - 1, n->word, n->words,
                             "an operand too few"));
}

static void
try_attributes(const sample *s, enum krsi_op op, const krsi_node *n)
{
    static const int64_t wrong[] = {-1, -5, 8, 1LL << 40, INT64_MAX, INT64_MIN};
    krsi_attr attr;
    const char *spec = krsi_ops[op].attributes;
    int64_t word[WORDS];
    ck_assert_int_lt(n->words, WORDS);
    for (int k = 0; (spec = krsi_attr_next(spec, &attr)); k++) {
        int words = 0;
        const int64_t *at = krsi_attr_words(n, k, &words);
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(attr.name, ":"),
                 attr.name);
        bool is_axis = !strcmp(name, "axis") || !strcmp(name, "axes");
        if (attr.kind != 'i' && attr.kind != 'I')
            continue;
        int first = attr.kind == 'I'; /* a count comes before a list */
        for (int i = first; i < words; i++)
            for (size_t w = 0; w < sizeof wrong / sizeof *wrong; w++) {
                memcpy(word, n->word, n->words * sizeof *word);
                word[at - n->word + i] = wrong[w];
                bool refused =
                    is_refused(s, op, n->in, n->count, word, n->words, name);
                if (!is_axis)
                    continue;
                axis_tries[op].tried++;
                axis_tries[op].refused += refused;
            }
        if (is_axis && attr.kind == 'I' && words > 2) { /* twice the same */
            memcpy(word, n->word, n->words * sizeof *word);
            word[at - n->word + 2] = word[at - n->word + 1];
            ck_assert_msg(
                is_refused(s, op, n->in, n->count, word, n->words, name),
                "%s takes an axis twice", krsi_ops[op].name);
        }
    }
}

START_TEST(every_row_refuses_wrong_operands_and_attributes)
{
    static sample s;
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++) {
        int samples = 0;
        for (int which = 0; sample_build((enum krsi_op)op, which, &s);
             which++) {
            ck_assert_msg(!krs_graph_error(s.graph), "%s",
                          krs_graph_error(s.graph)->text);
            const krsi_node *n = NULL;
            for (uint32_t id = 1; id <= krs_graph_size(s.graph); id++)
                if (s.graph->node[id]->op == op)
                    n = s.graph->node[id];
            if (n && op != KRSI_PARAM) {
                samples++;
                try_operands(&s, (enum krsi_op)op, n);
                if (op != KRSI_SCAN)
                    try_attributes(&s, (enum krsi_op)op, n);
            }
            sample_free(&s);
        }
        ck_assert_msg(samples > 0 || op == KRSI_PARAM, "%s has no sample",
                      krsi_ops[op].name);
        if (type_tries[op].tried == 0 || takes_anything((enum krsi_op)op))
            continue;
        /* any row that asks for something of its operands */
        ck_assert_msg(type_tries[op].refused + size_tries[op].refused > 0,
                      "%s refuses no operand", krsi_ops[op].name);
        if (krsi_ops[op].types != KRSI_TYPES_ANY)
            ck_assert_msg(type_tries[op].refused > 0, "%s refuses no type",
                          krsi_ops[op].name);
        if (krsi_ops[op].min_count > 1)
            ck_assert_msg(size_tries[op].refused > 0, "%s refuses no sizes",
                          krsi_ops[op].name);
        ck_assert_msg(axis_tries[op].refused == axis_tries[op].tried,
                      "%s takes %d of %d axes that are outside",
                      krsi_ops[op].name,
                      axis_tries[op].tried - axis_tries[op].refused,
                      axis_tries[op].tried);
    }
}
END_TEST

/* ---- results of too many elements ---- */

/* Operands that can be counted, of results that cannot. */
typedef struct huge {
    krs_graph *g;
    krs_node column, row, square, ids,
        seed; /* [MANY,1] [1,MANY] [MANY,2^19] [MANY] [] */
} huge;
#define MANY (INT64_C(1) << 40)
#define AT   place

static krs_node
huge_input(huge *h)
{
    return krs_input_at(AT, h->g, "i", KRS_F32, KRS_SHAPE(MANY, MANY));
}

static krs_node
huge_state(huge *h)
{
    return krs_state_at(AT, h->g, "s", KRS_F32, KRS_SHAPE(MANY, MANY));
}

static krs_node
huge_iota(huge *h)
{
    return krs_iota_at(AT, h->g, KRS_I64, KRS_SHAPE(MANY, MANY), 0);
}

static krs_node
huge_random_uniform(huge *h)
{
    return krs_random_uniform_at(AT, h->seed, h->seed, KRS_SHAPE(MANY, MANY),
                                 1);
}

static krs_node
huge_expand(huge *h)
{
    return krs_expand_at(AT, h->column, KRS_SHAPE(MANY, MANY));
}

static krs_node
huge_broadcast(huge *h)
{
    return krs_add_at(AT, h->column, h->row);
}

static krs_node
huge_pad(huge *h)
{
    const int64_t before[] = {0, MANY}, after[] = {0, 0};
    return krs_pad_at(AT, h->square, before, after, 0);
}

static krs_node
huge_concat(huge *h)
{
    const krs_node parts[] = {h->square, h->square, h->square};
    return krs_concat_at(AT, parts, 3, 1);
}

static krs_node
huge_matmul(huge *h)
{
    return krs_matmul_at(AT, h->column, h->row);
}

static krs_node
huge_take(huge *h)
{
    return krs_take_at(AT, h->column, h->ids, 1);
}

static krs_node
huge_embedding(huge *h)
{
    return krs_embedding_at(AT, h->row, h->ids, -1);
}

static krs_node
huge_one_hot(huge *h)
{
    return krs_one_hot_at(AT, h->ids, MANY, KRS_F32);
}

static krs_node
huge_windows(huge *h)
{
    return krs_windows_at(AT, h->square, 1, 1 << 18, 1, 1);
}

static krs_node
huge_conv(huge *h)
{
    const krs_shape shape = KRS_SHAPE(MANY, 1, 1);
    krs_node x = krs_reshape_at(AT, h->column, shape);
    return krs_conv1d_at(AT, x, x, KRS_NONE, NULL);
}

static krs_node
huge_outer(huge *h)
{
    krs_node line = krs_reshape_at(AT, h->column, KRS_SHAPE(MANY));
    return krs_outer_at(AT, line, line);
}

static krs_node
huge_stack(huge *h)
{
    const krs_node parts[] = {h->square, h->square, h->square};
    return krs_stack_at(AT, parts, 3, 0);
}
#undef AT

START_TEST(results_of_too_many_elements_are_refused_with_their_shape)
{
    static const struct {
        const char *op; /* that says so: builders use others */
        krs_node (*build)(huge *h);
    } rows[] = {
        {"input",          huge_input         },
        {"state",          huge_state         },
        {"iota",           huge_iota          },
        {"random_uniform", huge_random_uniform},
        {"expand",         huge_expand        },
        {"expand",         huge_broadcast     },
        {"pad",            huge_pad           },
        {"concat",         huge_concat        },
        {"matmul",         huge_matmul        },
        {"take",           huge_take          },
        {"embedding",      huge_embedding     },
        {"one_hot",        huge_one_hot       },
        {"windows",        huge_windows       },
        {"conv",           huge_conv          },
        {"expand",         huge_outer         },
        {"concat",         huge_stack         },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        krs_graph *g = krs_graph_new();
        krs_place here = {"leaf.c", 1};
        huge h = {
            .g = g,
            .column = krs_input_at(here, g, "c", KRS_F32, KRS_SHAPE(MANY, 1)),
            .row = krs_input_at(here, g, "r", KRS_F32, KRS_SHAPE(1, MANY)),
            .square =
                krs_input_at(here, g, "q", KRS_F32, KRS_SHAPE(MANY, 1 << 19)),
            .ids = krs_input_at(here, g, "d", KRS_I64, KRS_SHAPE(MANY)),
            .seed = krs_input_at(here, g, "e", KRS_I64, KRS_SCALAR)};
        ck_assert(!krs_graph_error(g));
        char begin[64];
        snprintf(begin, sizeof begin, "%s: the product of the sizes of ",
                 rows[i].op);
        ck_assert(!krs_node_is_valid(rows[i].build(&h)));
        const krs_error *e = krs_graph_error(g);
        ck_assert_ptr_nonnull(e);
        ck_assert_msg(e->status == KRS_E_SHAPE &&
                          strncmp(e->text, begin, strlen(begin)) == 0 &&
                          strstr(e->text, "does not fit in 60 bits") &&
                          strstr(e->text, "(model.c:7)"),
                      "%zu: %s", i, e->text);
        /* the shape that was asked for, and those of the operands */
        ck_assert_msg(strstr(e->text, "[1099511627776,") ||
                          strstr(e->text, ",1099511627776"),
                      "%s", e->text);
        krs_graph_free(g);
    }
}
END_TEST

START_TEST(extrema_of_nothing_are_refused)
{
    krs_node (*const extrema[])(krs_place at, krs_node x, krs_axes axes) = {
        krs_amax_at, krs_amin_at, krs_amax_keep_at, krs_amin_keep_at};
    krs_node (*const places[])(krs_place at, krs_node x,
                               int axis) = {krs_argmax_at, krs_argmin_at};
    for (int i = 0; i < 6; i++) {
        krs_graph *g = krs_graph_new();
        krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(0, 3));
        krs_node y = i < 4 ? extrema[i](place, x, KRS_AXES(0))
                           : places[i - 4](place, x, 0);
        ck_assert(!krs_node_is_valid(y));
        ck_assert_msg(strstr(krs_graph_error(g)->text, "axis 0 has size 0") &&
                          strstr(krs_graph_error(g)->text, "(model.c:7)"),
                      "%s", krs_graph_error(g)->text);
        krs_graph_free(g);
        g = krs_graph_new(); /* along an axis that has elements it is fine */
        x = krs_input(g, "x", KRS_F32, KRS_SHAPE(0, 3));
        y = i < 4 ? extrema[i](place, x, KRS_AXES(1))
                  : places[i - 4](place, x, 1);
        ck_assert(krs_node_is_valid(y));
        krs_graph_free(g);
    }
}
END_TEST

SUITE(every_row_refuses_wrong_operands_and_attributes,
      results_of_too_many_elements_are_refused_with_their_shape,
      extrema_of_nothing_are_refused)
