/* pack.c -- operands of products turned by a launch of their own.
 *
 * In: cuts, merged, in the order of their waves. Out: the same, and before some
 * products a map that copies an operand as the product reads it best: of B,
 * [..., k, n] row-major, of A, [..., m, k]. Products that read the same
 * elements share one copy. No bit changes.
 *
 * For devices whose items are lanes of a processor. An item there reads rows of
 * B^T side by side, or columns of A; if these are a multiple of ALIAS_BYTES
 * apart, all fall into the same few places of the caches, and each line is
 * fetched again for every word (Lam, Rothberg and Wolf 1991, "The cache
 * performance and optimizations of blocked algorithms", section 4). At other
 * distances the product reads as fast as from a copy, so there is none.
 * backends/README.md has the figures.
 *
 * An operand is left where it lies if it is not read as it is (what is fused
 * into it would be computed here), is used elsewhere in the kernel, has a live
 * length, or would grow.
 */
#include "cut_make.h"

#include <stdlib.h>

enum {
    ALIAS_BYTES = 4096, /* lines so far apart take each other's place */
    LEAST_COLUMNS = 64, /* of B: fewer lines fit the first-level cache */
    LEAST_WORDS = 512,  /* of k, of A: fewer fit the second-level cache */
    LEAST_USES = 256,   /* of an element, for which a copy pays */
    SIDES = 2           /* A and B */
};

/* A copy: its map, and where in the order of the cuts it comes. */
typedef struct copy {
    krsi_cut *map;
    krsi_view from;
    uint32_t value;
    size_t before; /* number of the first cut of its first reader's wave */
    size_t next;   /* another copy of the same value + 1, or 0 */
} copy;

typedef struct packer {
    krsi_sched *s;
    copy *copies;
    size_t count, capacity;
    size_t *of; /* by value: its last copy + 1, or 0 */
} packer;

/* ---- which operands ---- */

/* Is the operand a load, and is this its only use? */
static bool
is_plain(const krsi_cut *cut, int product, int side)
{
    int x = cut->expr[product].in[side], uses = 0;
    const krsi_expr *load = &cut->expr[x];
    if (load->kind != KRSI_X_LOAD || load->dtype != KRS_F32 ||
        cut->load[load->load].indirect >= 0)
        return false;
    for (int i = 0; i < cut->exprs; i++) {
        const krsi_expr *e = &cut->expr[i];
        for (int k = 0; k < krsi_expr_operands(e); k++)
            uses += e->in[k] == x;
        uses += i != x && e->kind == KRSI_X_LOAD && e->load == load->load;
    }
    for (int i = 0; i < cut->loads; i++)
        uses += cut->load[i].indirect == x;
    for (int i = 0; i < cut->outs; i++)
        uses += cut->out[i].root == x || cut->out[i].indirect == x;
    return uses == 1;
}

/* What a copy would be: the operand, its axes in their order there, but for
 * the one that becomes contiguous; and how the product reads it. */
typedef struct turning {
    krsi_view from, to;
    size_t bytes;
} turning;

static bool
find_turning(const krsi_sched *s, const krsi_cut *cut, const krsi_view *v,
             int side, turning *out)
{
    int k = cut->rank - 1, mine = k - 2 + side, other = k - 1 - side;
    int along = side ? k : mine, across = side ? mine : k;
    int64_t uses = cut->max[other], elements = 1;
    int axis[KRSI_CUT_AXES], rank = 0;
    *out = (turning){
        .from = {.value = v->value, .offset = v->offset},
          .to = *v
    };
    if (v->stride[along] != 1 || v->stride[across] == 0 ||
        v->stride[across] % (ALIAS_BYTES / (int64_t)sizeof(float)) != 0 ||
        v->max[across] < (side ? LEAST_COLUMNS : LEAST_WORDS))
        return false;
    for (int a = 0; a < k - 2; a++)
        if (v->stride[a] != 0)
            axis[rank++] = a;
        else if (__builtin_mul_overflow(uses, cut->max[a], &uses))
            return false;
    axis[rank++] = along;
    axis[rank++] = across;
    for (int i = rank - 1; i >= 0; i--) {
        int a = axis[i];
        out->from.stride[i] = v->stride[a];
        out->from.extent[i] = v->extent[a];
        out->from.max[i] = v->max[a];
        out->to.stride[a] = elements;
        if (v->extent[a].terms ||
            __builtin_mul_overflow(elements, v->max[a], &elements))
            return false;
    }
    out->from.rank = rank;
    out->to.offset = KRS_INDEX(0);
    return elements > 0 && uses >= LEAST_USES &&
           krs_dtype_bytes(KRS_F32, elements, &out->bytes) &&
           out->bytes <= s->values[v->value].bytes;
}

/* ---- copies ---- */

static bool
is_same(const krsi_view *a, const krsi_view *b)
{
    bool same = a->rank == b->rank && krs_index_equal(a->offset, b->offset);
    for (int i = 0; same && i < a->rank; i++)
        same = a->stride[i] == b->stride[i] && a->max[i] == b->max[i];
    return same;
}

/* The value that holds the copy already, or KRSI_NO_VALUE. */
static uint32_t
find_copy(const packer *p, const krsi_view *from)
{
    for (size_t i = p->of[from->value]; i; i = p->copies[i - 1].next)
        if (is_same(&p->copies[i - 1].from, from))
            return p->copies[i - 1].value;
    return KRSI_NO_VALUE;
}

static krsi_cut *
make_map(krsi_sched *s, uint32_t node, const krsi_view *from, uint32_t value)
{
    krsi_arena *arena = &s->arena;
    krsi_cut *map = krsi_arena_alloc(arena, sizeof *map);
    if (!map || !(map->load = krsi_arena_array(arena, 1, sizeof *map->load)) ||
        !(map->expr = krsi_arena_array(arena, 1, sizeof *map->expr)) ||
        !(map->out = krsi_arena_array(arena, 1, sizeof *map->out)))
        return NULL;
    map->family = KRSI_CUT_MAP;
    map->packs = true;
    map->node = node;
    map->rank = from->rank;
    map->outs = 1;
    map->out[0] = (krsi_out){.view = *from, .indirect = -1, .fault = -1};
    map->out[0].view.value = value;
    map->out[0].view.offset = KRS_INDEX(0);
    int64_t stride = 1;
    for (int a = from->rank - 1; a >= 0; a--) {
        map->extent[a] = from->extent[a];
        map->max[a] = from->max[a];
        map->out[0].view.stride[a] = stride;
        stride *= from->max[a];
    }
    krsi_cut_load(map, from, KRS_F32);
    krsi_cut_simplify(map);
    return map;
}

/* A new copy, made before cut number `before`; KRSI_NO_VALUE without memory. */
static uint32_t
add_copy(packer *p, uint32_t node, const turning *t, size_t before)
{
    krsi_sched *s = p->s;
    uint32_t value = (uint32_t)s->value_count;
    if (!krsi_reserve(&s->values, &s->value_capacity, s->value_count + 1,
                      sizeof *s->values) ||
        !krsi_reserve(&p->copies, &p->capacity, p->count + 1,
                      sizeof *p->copies))
        return KRSI_NO_VALUE;
    krsi_cut *map = make_map(s, node, &t->from, value);
    if (!map)
        return KRSI_NO_VALUE;
    s->values[s->value_count++] = (krsi_storage){.kind = KRSI_STORAGE_TEMPORARY,
                                                 .dtype = KRS_F32,
                                                 .bytes = t->bytes,
                                                 .node = node,
                                                 .partner = KRSI_NO_VALUE};
    p->copies[p->count++] =
        (copy){map, t->from, value, before, p->of[t->from.value]};
    p->of[t->from.value] = p->count;
    return value;
}

static bool
pack_operands(packer *p, krsi_cut *cut, size_t before)
{
    int product = krsi_cut_product(cut);
    for (int side = 0; side < SIDES; side++) {
        turning t;
        if (!is_plain(cut, product, side))
            continue;
        krsi_view *v =
            &cut->load[cut->expr[cut->expr[product].in[side]].load].view;
        if (!find_turning(p->s, cut, v, side, &t))
            continue;
        uint32_t value = find_copy(p, &t.from);
        if (value == KRSI_NO_VALUE)
            value = add_copy(p, cut->node, &t, before);
        if (value == KRSI_NO_VALUE)
            return false;
        *v = t.to;
        v->value = value;
    }
    return true;
}

/* ---- the schedule ---- */

/* Does the product write rows, of which its columns are the contiguous axis?
 * Else A and B change their roles (../kernel/tile_contract.c). */
static bool
writes_rows(const krsi_cut *cut)
{
    return cut->out[0].view.stride[cut->rank - 2] == 1 &&
           cut->max[cut->rank - 2] >= LEAST_COLUMNS;
}

/* Copies get waves of their own, before those of their first readers. */
static bool
insert(packer *p)
{
    krsi_sched *s = p->s;
    krsi_cut **cuts = calloc(s->cut_count + p->count, sizeof(krsi_cut *));
    size_t to = 0, next = 0;
    int wave = -1, last = -1;
    if (!cuts)
        return false;
    for (size_t i = 0; i < s->cut_count; i++) {
        bool is_first = s->cuts[i]->wave != last;
        last = s->cuts[i]->wave;
        if (is_first && next < p->count && p->copies[next].before == i)
            wave++;
        for (; next < p->count && p->copies[next].before == i; next++) {
            cuts[to++] = p->copies[next].map;
            p->copies[next].map->wave = wave;
        }
        wave += is_first;
        s->cuts[i]->wave = wave;
        cuts[to++] = s->cuts[i];
    }
    free(s->cuts);
    s->cuts = cuts;
    s->cut_count = s->cut_capacity = to;
    s->waves = wave + 1;
    return true;
}

krs_status
krsi_sched_pack(krsi_sched *s, krs_error *err)
{
    packer p = {.s = s, .of = calloc(s->value_count + 1, sizeof *p.of)};
    bool fine = p.of != NULL;
    size_t first = 0;
    for (size_t i = 0; fine && i < s->cut_count; i++) {
        if (s->cuts[i]->wave != s->cuts[first]->wave)
            first = i;
        if (s->cuts[i]->family == KRSI_CUT_CONTRACT && writes_rows(s->cuts[i]))
            fine = pack_operands(&p, s->cuts[i], first);
    }
    if (fine && p.count)
        fine = insert(&p);
    free(p.of);
    free(p.copies);
    return fine ? KRS_OK
                : krs_fail(err, KRS_E_MEMORY,
                           "out of memory while packing operands of %zu cuts",
                           s->cut_count);
}
