/* node.c -- the one way to make a node: check it by its row, then find an
 * equal one or add it (hash-consing: common subexpressions are one node).
 */
#include "ir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

const char *
krsi_shape_text(char text[KRSI_TYPE_TEXT], krs_dtype dtype, krs_shape shape)
{
    int used = snprintf(text, KRSI_TYPE_TEXT, "%s[", krs_dtype_name(dtype));
    for (int a = 0; a < shape.rank; a++)
        used += snprintf(text + used, (size_t)(KRSI_TYPE_TEXT - used), "%s%lld",
                         a ? "," : "", (long long)shape.dim[a]);
    snprintf(text + used, (size_t)(KRSI_TYPE_TEXT - used), "]");
    return text;
}

const char *
krsi_type_text(char text[KRSI_TYPE_TEXT], const krsi_node *n)
{
    int used = snprintf(text, KRSI_TYPE_TEXT, "%s[",
                        krs_dtype_name((krs_dtype)n->dtype));
    for (int a = 0; a < n->rank; a++)
        used +=
            snprintf(text + used, (size_t)(KRSI_TYPE_TEXT - used), "%s%s%lld",
                     a ? "," : "", n->live_axes >> a & 1 ? "<=" : "",
                     (long long)n->dim[a]);
    snprintf(text + used, (size_t)(KRSI_TYPE_TEXT - used), "]");
    return text;
}

/* ---- types ---- */

static bool
type_accepted(krsi_types types, krs_dtype dtype)
{
    switch (types) {
    case KRSI_TYPES_FLOAT: return dtype == KRS_F32;
    case KRSI_TYPES_NUMBER: return dtype == KRS_F32 || krs_dtype_is_int(dtype);
    case KRSI_TYPES_COMPARE:
        return dtype == KRS_F32 || dtype == KRS_BOOL || krs_dtype_is_int(dtype);
    case KRSI_TYPES_BITS: return dtype == KRS_BOOL || krs_dtype_is_int(dtype);
    case KRSI_TYPES_INT: return krs_dtype_is_int(dtype);
    case KRSI_TYPES_ANY: return true;
    }
    return false;
}

static bool
check_types(const krsi_make *m)
{
    static const char *const wanted[] = {
        "a float",    "a number", "a number or bool", "bool or an integer",
        "an integer", "anything"};
    const krsi_op_info *info = &krsi_ops[m->op];
    if (info->types == KRSI_TYPES_ANY)
        return true;
    char a[KRSI_TYPE_TEXT], b[KRSI_TYPE_TEXT];
    for (int i = 0; i < m->count; i++) {
        if (m->in[i]->dtype != m->in[0]->dtype)
            return krsi_refuse_make(
                m, KRS_E_DTYPE, "types are never promoted; use krs_cast",
                "element types differ: %s and %s", krsi_type_text(a, m->in[0]),
                krsi_type_text(b, m->in[i]));
        if (!type_accepted(info->types, (krs_dtype)m->in[i]->dtype))
            return krsi_refuse_make(
                m, KRS_E_DTYPE, NULL, "operand %d is %s where %s is needed", i,
                krsi_type_text(a, m->in[i]), wanted[info->types]);
    }
    return true;
}

/* ---- live lengths ---- */

static bool
check_live(krsi_make *m)
{
    const krsi_op_info *info = &krsi_ops[m->op];
    char text[KRSI_TYPE_TEXT];
    if (info->live == KRSI_LIVE_rule)
        return true;
    for (int i = 0; i < m->count; i++) {
        const krsi_node *n = m->in[i];
        if (info->live == KRSI_LIVE_none && n->live_axes)
            return krsi_refuse_make(
                m, KRS_E_UNSUPPORTED, NULL,
                "operand %d %s has a live length, for which "
                "this operation has no rule",
                i, krsi_type_text(text, n));
        if (info->live != KRSI_LIVE_same)
            continue;
        bool equal = n->live_axes == m->in[0]->live_axes;
        for (int a = 0; equal && a < n->rank; a++)
            equal = !(n->live_axes >> a & 1) ||
                    krs_index_equal(n->live[a], m->in[0]->live[a]);
        if (!equal)
            return krsi_refuse_make(
                m, KRS_E_SHAPE, NULL,
                "operands 0 and %d have different live lengths", i);
    }
    if (info->live == KRSI_LIVE_same && m->in[0]->live_axes) {
        m->live_axes = m->in[0]->live_axes;
        for (int a = 0; a < m->in[0]->rank; a++)
            m->live[a] = m->in[0]->live[a];
    }
    return true;
}

/* A live length stays within its axis whatever the variables are. */
static bool
check_live_bounds(const krsi_make *m)
{
    char text[KRSI_INDEX_TEXT];
    for (int a = 0; a < m->shape.rank; a++) {
        int64_t low = 0, high = 0;
        if (m->live_axes >> a & 1 &&
            (!krsi_index_bounds(m->graph, m->live[a], &low, &high) || low < 0 ||
             high > m->shape.dim[a]))
            return krsi_refuse_make(
                m, KRS_E_RANGE, NULL,
                "live length %s reaches [%lld, %lld], axis %d "
                "has size %lld",
                krsi_index_text(text, m->graph, m->live[a]), (long long)low,
                (long long)high, a, (long long)m->shape.dim[a]);
    }
    return true;
}

/* ---- hash-consing ---- */

static uint64_t
hash_of(enum krsi_op op, const uint32_t *in, int count, const int64_t *word,
        int words)
{
    uint64_t operands =
        XXH3_64bits_withSeed(in, (size_t)count * sizeof *in, (uint64_t)op);
    return XXH3_64bits_withSeed(word, (size_t)words * sizeof *word, operands);
}

uint64_t
krsi_node_hash(const krsi_node *n)
{
    return hash_of((enum krsi_op)n->op, n->in, (int)n->count, n->word,
                   n->words);
}

static bool
grow_table(krs_graph *g)
{
    size_t capacity = g->table_capacity ? g->table_capacity * 2 : 256;
    uint32_t *table = calloc(capacity, sizeof *table);
    if (!table)
        return false;
    for (size_t id = 1; id <= g->nodes; id++) {
        size_t at = g->node[id]->hash;
        while (table[at &= capacity - 1])
            at++;
        table[at] = (uint32_t)id;
    }
    free(g->table);
    g->table = table;
    g->table_capacity = capacity;
    return true;
}

static bool
equal_node(const krsi_node *n, enum krsi_op op, const uint32_t *in, int count,
           const int64_t *word, int words)
{
    return n->op == op && n->count == (uint32_t)count && n->words == words &&
           (!count || !memcmp(n->in, in, (size_t)count * sizeof *in)) &&
           (!words || !memcmp(n->word, word, (size_t)words * sizeof *word));
}

/* ---- places ---- */

enum { PLACES_KEPT = 4 };

static uint32_t
file_string(krs_graph *g, krs_place at)
{
    const char *slash = at.file ? strrchr(at.file, '/') : NULL;
    uint32_t id = krsi_intern(g, slash ? slash + 1 : at.file ? at.file : "");
    return id == UINT32_MAX ? 0 : id;
}

/* A further place for a node that exists; dropped quietly when there are
 * enough of them or memory is out. */
static void
add_place(krs_graph *g, krsi_node *n, krs_place at)
{
    uint32_t file = file_string(g, at), line = (uint32_t)at.line;
    if (n->file == file && n->line == line)
        return;
    int kept = 1;
    for (uint32_t p = n->more_places; p; p = g->place[p].next, kept++)
        if (g->place[p].file == file && g->place[p].line == line)
            return;
    if (kept >= PLACES_KEPT || !krsi_reserve(&g->place, &g->place_capacity,
                                             g->places + 1, sizeof *g->place))
        return;
    g->place[g->places] = (krsi_place_entry){file, line, n->more_places};
    n->more_places = (uint32_t)g->places++;
}

bool
krsi_node_is_from(krs_graph *g, uint32_t id, const char *scope, krs_place at)
{
    krsi_node *n = g->node[id];
    uint32_t path = krsi_intern(g, scope), file = krsi_intern(g, at.file);
    if (path == UINT32_MAX || file == UINT32_MAX)
        return false;
    n->scope = path;
    n->file = file;
    n->line = (uint32_t)at.line;
    return true;
}

bool
krsi_node_place(const krs_graph *g, uint32_t id, int i, krs_place *out)
{
    const krsi_node *n = krsi_get(krsi_handle(g, id));
    if (!n)
        return false;
    if (i == 0) {
        *out = (krs_place){g->string[n->file], (int)n->line};
        return true;
    }
    for (uint32_t p = n->more_places; p; p = g->place[p].next)
        if (--i == 0) {
            *out =
                (krs_place){g->string[g->place[p].file], (int)g->place[p].line};
            return true;
        }
    return false;
}

/* ---- krsi_add ---- */

/* Sizes of 0 count as 1 in the bound on their product, so that every product
 * of some axes of a node fits in 63 bits, also in bytes of 8 an element. */
static bool
check_result(const krsi_make *m)
{
    char text[KRSI_TYPE_TEXT];
    int64_t elements, largest = 1;
    size_t bytes;
    bool fits = true;
    if (m->shape.rank < 0 || m->shape.rank > KRS_MAX_RANK)
        return krsi_refuse_make(m, KRS_E_SHAPE, NULL,
                                "rank %d is outside 0..%d", (int)m->shape.rank,
                                KRS_MAX_RANK);
    for (int a = 0; a < m->shape.rank; a++)
        if (m->shape.dim[a] < 0)
            return krsi_refuse_make(m, KRS_E_SHAPE, NULL,
                                    "axis %d has size %lld", a,
                                    (long long)m->shape.dim[a]);
    for (int a = 0; a < m->shape.rank; a++)
        fits &= !m->shape.dim[a] ||
                !__builtin_mul_overflow(largest, m->shape.dim[a], &largest);
    if (!fits || largest > INT64_MAX / 8)
        return krsi_refuse_make(
            m, KRS_E_SHAPE, NULL,
            "the product of the sizes of %s does not fit in 60 bits",
            krsi_shape_text(text, m->dtype, m->shape));
    krs_shape_elements(m->shape, &elements);
    if (!krs_dtype_bytes(m->dtype, elements, &bytes))
        return krsi_refuse_make(
            m, KRS_E_SHAPE, NULL, "%s: %lld elements are not whole blocks",
            krsi_shape_text(text, m->dtype, m->shape), (long long)elements);
    return true;
}

bool
krsi_infer(krsi_make *m)
{
    const krsi_op_info *info = &krsi_ops[m->op];
    if (m->count < info->min_count ||
        (info->max_count != 255 && m->count > info->max_count))
        return krsi_refuse_make(m, KRS_E_ARGUMENT, NULL,
                                "%d operands where %d are needed", m->count,
                                info->min_count);
    return check_types(m) && info->shape(m) && check_result(m) &&
           check_live(m) && check_live_bounds(m);
}

static krsi_node *
new_node(krs_graph *g, const krsi_make *m, const uint32_t *in, int words)
{
    size_t rank = (size_t)m->shape.rank;
    krsi_node *n = krsi_arena_alloc(&g->arena, sizeof *n);
    uint32_t *ids = krsi_arena_array(&g->arena, (size_t)m->count, sizeof *ids);
    int64_t *word = krsi_arena_array(&g->arena, (size_t)words, sizeof *word);
    int64_t *dim = krsi_arena_array(&g->arena, rank, sizeof *dim);
    krs_index *live =
        m->live_axes ? krsi_arena_array(&g->arena, rank, sizeof *live) : NULL;
    if (!n || !ids || !word || !dim || (m->live_axes && !live))
        return NULL;
    if (m->count)
        memcpy(ids, in, (size_t)m->count * sizeof *ids);
    if (words)
        memcpy(word, m->word, (size_t)words * sizeof *word);
    for (size_t a = 0; a < rank; a++)
        dim[a] = m->shape.dim[a];
    for (size_t a = 0; live && a < rank; a++)
        if (m->live_axes >> a & 1)
            live[a] = m->live[a];
    n->op = (uint16_t)m->op;
    n->dtype = (uint8_t)m->dtype;
    n->rank = (uint8_t)rank;
    n->live_axes = m->live_axes;
    n->words = (uint16_t)words;
    n->count = (uint32_t)m->count;
    n->in = ids;
    n->word = word;
    n->dim = dim;
    n->live = live;
    n->scope = krsi_scope_now(g);
    n->file = file_string(g, m->at);
    n->line = (uint32_t)m->at.line;
    return n;
}

/* the leaf `id`, whose name is that string */
static bool
add_leaf(krs_graph *g, size_t name, uint32_t id)
{
    if (!krsi_reserve(&g->leaf, &g->leaf_capacity, g->leaves + 1,
                      sizeof *g->leaf) ||
        !krsi_reserve(&g->leaf_by_name, &g->leaf_name_capacity, name + 1,
                      sizeof *g->leaf_by_name))
        return false;
    while (g->leaf_names <= name)
        g->leaf_by_name[g->leaf_names++] = 0;
    g->leaf_by_name[name] = id;
    g->leaf[g->leaves++] = id;
    return true;
}

/* id of an equal node, or 0; *out_slot is where it is, or where one belongs.
 * The table has a free place. */
static uint32_t
find_node(const krs_graph *g, uint64_t hash, enum krsi_op op,
          const uint32_t *in, int count, const int64_t *word, int words,
          size_t *out_slot)
{
    size_t slot = hash;
    for (; g->table[slot &= g->table_capacity - 1]; slot++) {
        const krsi_node *n = g->node[g->table[slot]];
        if (n->hash == hash && equal_node(n, op, in, count, word, words))
            break;
    }
    *out_slot = slot;
    return g->table[slot];
}

uint32_t
krsi_find(const krs_graph *g, enum krsi_op op, const uint32_t *in, int count,
          const int64_t *word, int words)
{
    size_t slot;
    return g->table_capacity == 0
               ? 0
               : find_node(g, hash_of(op, in, count, word, words), op, in,
                           count, word, words, &slot);
}

krs_node
krsi_add(krs_graph *g, krs_place at, enum krsi_op op, const uint32_t *in,
         int count, const int64_t *word, int words)
{
    uint64_t hash = hash_of(op, in, count, word, words);
    if ((g->nodes + 1) * 2 > g->table_capacity && !grow_table(g)) {
        krsi_refuse_memory(g);
        return krsi_poison(g);
    }
    size_t slot;
    uint32_t id = find_node(g, hash, op, in, count, word, words, &slot);
    if (id) {
        add_place(g, g->node[id], at);
        return krsi_handle(g, id);
    }

    const krsi_node *few[8];
    const krsi_node **operand = few;
    if (count > 8 && !(operand = malloc((size_t)count * sizeof(krsi_node *)))) {
        krsi_refuse_memory(g);
        return krsi_poison(g);
    }
    for (int i = 0; i < count; i++)
        operand[i] = g->node[in[i]];
    krsi_make make = {.graph = g,
                      .at = at,
                      .op = op,
                      .count = count,
                      .in = operand,
                      .word = word};
    krsi_node *n = NULL;
    if (krsi_infer(&make)) {
        n = new_node(g, &make, in, words);
        if (!n || g->nodes + 1 >= UINT32_MAX ||
            !krsi_reserve(&g->node, &g->node_capacity, g->nodes + 2,
                          sizeof *g->node)) {
            krsi_refuse_memory(g);
            n = NULL;
        }
    }
    if (operand != few)
        free(operand);
    if (!n)
        return krsi_poison(g);
    if ((op == KRSI_INPUT || op == KRSI_STATE) &&
        !add_leaf(g, (size_t)krsi_int(n, 0), (uint32_t)g->nodes + 1)) {
        krsi_refuse_memory(g);
        return krsi_poison(g);
    }
    n->hash = hash;
    g->node[++g->nodes] = n;
    g->table[slot] = (uint32_t)g->nodes;
    return krsi_handle(g, (uint32_t)g->nodes);
}
