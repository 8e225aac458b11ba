/* test_build_scan.c -- building scans: what becomes of a body, and every wrong
 * use with its sentence.
 */
#include <krs/ops.h>
#include <krs/scan.h>

#include "graph/ir/ir.h"
#include "graph/opt/opt.h"
#include "suite.h"

#include <stdlib.h>
#include <string.h>

#define S(...) KRS_SHAPE(__VA_ARGS__)

static krs_graph *g;
static krs_scan scan;
static krs_node xs, h0, h, x;

/* a scan of three iterations, open, with a carry [2] and an x [2] */
static void
begin(void)
{
    g = krs_graph_new();
    xs = krs_input(g, "xs", KRS_F32, S(3, 2));
    h0 = krs_input(g, "h0", KRS_F32, S(2));
    scan = krs_scan_begin(g, 3, KRS_SCAN_FORWARD);
    h = krs_scan_carry(scan, h0);
    x = krs_scan_x(scan, xs);
}

static char *
text_of(krs_node y)
{
    char *text;
    krs_error err;
    ck_assert_msg(krs_graph_print(g, &y, 1, NULL, &text, &err) == KRS_OK, "%s",
                  err.text);
    return text;
}

START_TEST(a_body_holds_what_depends_on_it_and_nothing_else)
{
    begin();
    krs_node w = krs_input(g, "w", KRS_F32, S(2, 1));
    krs_node flat = krs_reshape(w, S(2)); /* a view: goes inside */
    krs_node outside = krs_exp(h0);       /* computed once */
    krs_node unused = krs_scan_x(scan, krs_input(g, "us", KRS_F32, S(3, 4)));
    krs_exp(unused);
    krs_node scaled = krs_mul(h, flat), moved = krs_add(x, outside);
    krs_scan_next(scan, h, krs_add(scaled, moved));
    ck_assert_int_eq(krs_scan_end(scan), KRS_OK);
    char *text = text_of(krs_scan_last(scan, h));
    ck_assert_str_eq(
        text,
        "%1 = input f32[3,2] name=\"xs\"\n"
        "%2 = input f32[2] name=\"h0\"\n"
        "%3 = input f32[2,1] name=\"w\"\n"
        "%4 = exp f32[2] %2\n"
        "%5 = scan bool[0] %3 %4 %2 %1 length=3 reverse=false constants=2 "
        "carries=1 body={\n"
        "  %1 = param f32[2] kind=carry index=0 scan=0\n"
        "  %2 = param f32[2] kind=x index=0 scan=0\n"
        "  %3 = param f32[2,1] kind=constant index=0 scan=0\n"
        "  %4 = reshape f32[2] %3\n"
        "  %5 = mul f32[2] %1 %4\n"
        "  %6 = param f32[2] kind=constant index=1 scan=0\n"
        "  %7 = add f32[2] %2 %6\n"
        "  %8 = add f32[2] %5 %7\n"
        "  return %8\n"
        "}\n"
        "%6 = result f32[2] %5 index=0\n"
        "return %6\n");
    free(text);
    krs_graph_free(g);
}
END_TEST

START_TEST(copies_of_a_graph_share_its_bodies_and_equal_scans_are_one)
{
    krs_node last[2];
    krs_graph *copy;
    krs_error err;
    for (int i = 0; i < 2; i++) {
        if (i == 0) {
            begin();
        } else {
            scan = krs_scan_begin(g, 3, KRS_SCAN_FORWARD);
            h = krs_scan_carry(scan, h0);
            x = krs_scan_x(scan, xs);
        }
        krs_scan_next(scan, h, krs_silu(krs_add(h, x)));
        krs_scan_end(scan);
        last[i] = krs_scan_last(scan, h);
    }
    ck_assert_uint_eq(last[0].id, last[1].id);
    ck_assert_uint_eq(g->bodies, 1);
    uint32_t root = last[0].id;
    ck_assert_int_eq(krsi_copy(g, &root, 1, &copy, &root, &err), KRS_OK);
    ck_assert_ptr_eq(copy->body[0], g->body[0]);
    krs_graph_free(g); /* the copy still has its body */
    ck_assert_int_eq(krsi_verify(copy, &err), KRS_OK);
    krs_graph *expanded;
    ck_assert_int_eq(krsi_expand(copy, &root, 1, &expanded, &root, &err),
                     KRS_OK);
    const krs_graph *body = expanded->body[0]->graph;
    for (size_t id = 1; id <= body->nodes; id++)
        ck_assert(!krsi_ops[body->node[id]->op].composite);
    krs_graph_free(expanded);
    krs_graph_free(copy);
}
END_TEST

START_TEST(the_gradient_of_a_scan_is_one_scan)
{
    krs_error err;
    krs_graph *made;
    begin();
    krs_node w = krs_input(g, "w", KRS_F32, S(2)), y;
    krs_node next = krs_tanh(krs_add(krs_mul(h, w), x));
    krs_scan_next(scan, h, next);
    krs_scan_keep(scan, next);
    krs_scan_end(scan);
    krs_node last = krs_scan_last(scan, h), all = krs_scan_kept(scan, next);
    const krs_node wrt[] = {w, h0, xs};
    krs_node grads[3];
    y = krs_add(krs_sum(last, KRS_ALL_AXES), krs_sum(all, KRS_ALL_AXES));
    ck_assert_int_eq(krs_grad(y, wrt, 3, grads), KRS_OK);
    uint32_t roots[] = {y.id, grads[0].id, grads[1].id, grads[2].id};
    ck_assert_int_eq(krsi_copy(g, roots, 4, &made, roots, &err), KRS_OK);
    int scans = 0;
    for (size_t id = 1; id <= made->nodes; id++)
        scans += made->node[id]->op == KRSI_SCAN;
    ck_assert_int_eq(scans, 2);
    krs_graph_free(made);
    krs_graph_free(g);
}
END_TEST

/* ---- wrong uses ---- */

typedef void wrong_use(void);

static void
negative(void)
{
    krs_scan_begin(g, -1, KRS_SCAN_FORWARD);
}
static void
five_deep(void)
{
    for (int i = 0; i < 4; i++)
        krs_scan_begin(g, 3, KRS_SCAN_FORWARD);
}
static void
other_length(void)
{
    krs_scan_x(scan, krs_input(g, "y", KRS_F32, S(4, 2)));
}
static void
scalar_xs(void)
{
    krs_scan_x(scan, krs_input(g, "y", KRS_F32, KRS_SCALAR));
}
static void
live_carry(void)
{
    krs_node y = krs_input(g, "y", KRS_F32, S(4));
    krs_scan_carry(scan, krs_live(y, 0, krs_var(g, "pos", 0, 4)));
}
static void
no_carry(void)
{
    krs_scan_carry(scan, KRS_NONE);
}
static void
foreign_carry(void)
{
    krs_graph *other = krs_graph_new();
    krs_scan_carry(scan, krs_input(other, "y", KRS_F32, S(4)));
    krs_graph_free(other);
}
static void
blocks(void)
{
    krs_scan_carry(scan, krs_input(g, "y", KRS_Q8_0, S(2, 32)));
}
static void
block_xs(void)
{
    krs_scan_x(scan, krs_input(g, "y", KRS_Q8_0, S(3, 32)));
}
static void
no_such_carry(void)
{
    krs_scan_next(scan, h0, x);
}
static void
twice(void)
{
    krs_scan_next(scan, h, x);
    krs_scan_next(scan, h, h);
}
static void
other_type(void)
{
    krs_scan_next(scan, h, krs_cast(x, KRS_I32));
}
static void
other_shape(void)
{
    krs_scan_next(scan, h, krs_unsqueeze(x, 0));
}
static void
high_rank(void)
{
    krs_scan_keep(scan, krs_input(g, "y", KRS_F32, S(1, 1, 1, 1, 1, 1, 1, 1)));
}
static void
no_next(void)
{
    krs_scan_end(scan);
}
static void
no_result(void)
{
    krs_scan_end(krs_scan_begin(g, 2, KRS_SCAN_FORWARD));
}
static void
inner_open(void)
{
    krs_scan_begin(g, 2, KRS_SCAN_FORWARD);
    krs_scan_end(scan);
}
static void
end_twice(void)
{
    krs_scan_next(scan, h, x);
    krs_scan_end(scan);
    krs_scan_end(scan);
}
static void
never_begun(void)
{
    krs_scan_end((krs_scan){g, 7});
}
static void
too_early(void)
{
    krs_scan_next(scan, h, x);
    krs_scan_last(scan, h);
}
static void
not_kept(void)
{
    krs_scan_next(scan, h, x);
    krs_scan_end(scan);
    krs_scan_kept(scan, x);
}
static void
update_inside(void)
{
    krs_node total = krs_state(g, "total", KRS_F32, S(2));
    krs_scan_next(scan, h, krs_update(total, krs_add(h, x)));
    krs_scan_end(scan);
}
static void
escaped(void)
{
    krs_scan_next(scan, h, x);
    krs_scan_end(scan);
    krs_scan other = krs_scan_begin(g, 3, KRS_SCAN_FORWARD);
    krs_scan_keep(other, krs_mul(krs_scan_x(other, xs), h));
    krs_scan_end(other);
}

START_TEST(wrong_uses_are_refused_with_a_sentence)
{
    static const struct {
        wrong_use *use;
        krs_status status;
        const char *says;
    } cases[] = {
        {negative,      KRS_E_RANGE,       "scan: -1 iterations; there may be 0 or more"},
        {five_deep,     KRS_E_UNSUPPORTED,
         "scan: it stands inside 4 others, the most there may be"                       },
        {other_length,  KRS_E_SHAPE,
         "scan: xs is f32[4,2] where [3, ...] is needed"                                },
        {scalar_xs,     KRS_E_SHAPE,       "scan: xs is f32[] where [3, ...] is needed" },
        {live_carry,    KRS_E_UNSUPPORTED,
         "scan: f32[<=4] has a live length, which cannot pass into or out"              },
        {no_carry,      KRS_E_GRAPH,       "scan: an operand is KRS_NONE"               },
        {foreign_carry, KRS_E_GRAPH,
         "scan: an operand belongs to another graph"                                    },
        {blocks,        KRS_E_UNSUPPORTED, "scan: a carry of type q8_0 cannot change"   },
        {block_xs,      KRS_E_UNSUPPORTED, "scan: blocks of q8_0 have no slices"        },
        {no_such_carry, KRS_E_GRAPH,
         "scan: the node is not a carry of this scan; krs_scan_carry gives"             },
        {twice,         KRS_E_ARGUMENT,    "scan: carry 0 has its next value already"   },
        {other_type,    KRS_E_DTYPE,
         "scan: carry 0 is f32[2], its next value i32[2]"                               },
        {other_shape,   KRS_E_SHAPE,
         "scan: carry 0 is f32[2], its next value f32[1,2]"                             },
        {high_rank,     KRS_E_SHAPE,
         "scan: a value of rank 8 and type f32 has no place in a tensor"                },
        {no_next,       KRS_E_ARGUMENT,    "scan: carry 0 has no next value"            },
        {no_result,     KRS_E_ARGUMENT,    "scan: it has no result"                     },
        {inner_open,    KRS_E_GRAPH,       "scan: the scan begun inside it (test_build" },
        {end_twice,     KRS_E_GRAPH,       "scan: it has ended; krs_scan_last and"      },
        {never_begun,   KRS_E_GRAPH,
         "scan: it was never begun in this graph (test_build_scan.c:"                   },
        {too_early,     KRS_E_GRAPH,       "scan: it has no results yet"                },
        {not_kept,      KRS_E_GRAPH,       "scan: the node is not kept by this scan"    },
        {update_inside, KRS_E_UNSUPPORTED, "scan: its body has an update (tes"          },
        {escaped,       KRS_E_GRAPH,
         "scan: it uses a value of the body of a scan that has ended"                   },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin();
        cases[i].use();
        const krs_error *error = krs_graph_error(g);
        ck_assert_msg(error, "case %zu: no error: %s", i, cases[i].says);
        ck_assert_msg(
            error->status == cases[i].status &&
                strncmp(error->text, cases[i].says, strlen(cases[i].says)) == 0,
            "case %zu: %s", i, error->text);
        ck_assert_ptr_nonnull(strstr(error->text, "(test_build_scan.c:"));
        krs_graph_free(g);
    }
}
END_TEST

START_TEST(a_value_of_a_body_is_no_output)
{
    krs_error err;
    krs_graph *made;
    begin();
    krs_node y = krs_add(h, x);
    krs_scan_next(scan, h, y);
    krs_scan_end(scan);
    uint32_t root = y.id;
    ck_assert_int_eq(krsi_compile(g, &root, 1, NULL, KRSI_KEEP_PRIMITIVES,
                                  &made, &root, &err),
                     KRS_E_GRAPH);
    ck_assert_ptr_nonnull(strstr(err.text, "scan: a value of its body is used "
                                           "outside of it (test_build_scan"));
    krs_graph_free(g);
}
END_TEST

START_TEST(a_refused_scan_gives_poison_and_keeps_the_first_error)
{
    begin();
    krs_scan_next(scan, h, krs_cast(x, KRS_I32));
    ck_assert_int_eq(krs_scan_end(scan), KRS_E_DTYPE);
    ck_assert(!krs_node_is_valid(krs_scan_last(scan, h)));
    ck_assert(!krs_node_is_valid(krs_scan_carry(scan, h0)));
    ck_assert_uint_eq(krs_scan_begin(g, 3, KRS_SCAN_FORWARD).number, 0);
    ck_assert_int_eq(krs_graph_error(g)->status, KRS_E_DTYPE);
    krs_graph_free(g);
}
END_TEST

SUITE(a_body_holds_what_depends_on_it_and_nothing_else,
      copies_of_a_graph_share_its_bodies_and_equal_scans_are_one,
      the_gradient_of_a_scan_is_one_scan,
      wrong_uses_are_refused_with_a_sentence, a_value_of_a_body_is_no_output,
      a_refused_scan_gives_poison_and_keeps_the_first_error)
