/* tile_contract.c -- a cut of the family contract to one kernel: which
 * template, which tile, which part of C an item computes.
 *
 * In: the cut (batch axes, then m, n, k; load 0 is A, load 1 is B) and the
 * facts of the device. Out: the kernel, its arguments, bindings and grid. The
 * choices see the maximal sizes of the cut and decide speed alone: tile.h
 * states the order of every sum, and each template keeps it.
 *
 * The split: an item is a rectangle of C, all of k. Its columns of B, packed,
 * fit half of the second-level cache; among the rectangles that do, the one
 * is taken for which the busiest worker has least to do, packing counted.
 */
#include "tile.h"

#include <stdio.h>

enum {
    NARROW = 8, /* N up to this is exchanged for M */
    DIRECT_ROWS = 16,
    DIRECT_BYTES = 64 << 10, /* B that needs no packing */
    STREAM_COLUMNS = 64,     /* fewer: a tile reads B as well */
    STRIP = 2048,            /* columns of an item of stream, at most */
    BLOCK_STRIP = 1 << 18,   /* words of B that chunks pass again, at most */
    BLOCK_SUMS = 8,          /* vectors of sums while blocks are multiplied */
    PACK_COST = 12,     /* rows of a product that cost as much as packing B */
    A_COST = 6,         /* columns that cost as much as reading A */
    LATE = 4,           /* percent of an item that the last worker is late */
    ITEM_COST = 40000,  /* products in the time that an item takes to begin */
    MEET_COST = 600000, /* products in the time that workers take to meet */
    SLAB_ROWS = 48, /* three lines of a row of A^T: whole tiles of 4, 6, 8 */
    MAX_PARTS = 64,
    MAX_PANELS = 64,
    SUMS = 1 << 20, /* of an item in scratch, at most */
    FULL = 4,       /* single items for each that runs, at least */
    BATCH_AXES = KRSI_CUT_AXES
};

/* The cut with batch axes folded and roles settled. */
typedef struct product {
    int batches, a, b;  /* a, b: loads of the cut */
    int a_axis, b_axis; /* of the cut: m, n unless exchanged */
    int a_side;         /* operand of the product expression that A is */
    krs_index extent[BATCH_AXES], m, n, k;
    int64_t batch_a[BATCH_AXES], batch_b[BATCH_AXES], batch_c[BATCH_AXES];
    int64_t batch_max[BATCH_AXES], max_m, max_n, max_k;
    int64_t a_m, a_k, b_n, b_k, c_m, c_n; /* strides */
    bool counts;                          /* one grid axis counts all batches */
} product;

typedef struct split {
    int64_t rows, columns; /* of an item */
} split;

/* ---- the product ---- */

static bool
is_constant(krs_index i)
{
    return i.terms == 0;
}

/* The innermost batch axis continues m if B is the same along it and all else
 * steps on as it does from row to row. */
static bool
continues_rows(const krsi_cut *cut, const product *p)
{
    int last = p->batches - 1, m = cut->rank - 3;
    bool continues = last >= 0 && is_constant(p->m) &&
                     is_constant(p->extent[last]) && p->batch_b[last] == 0;
    for (int i = 0; continues && i < cut->loads; i++)
        continues = cut->load[i].view.stride[last] ==
                    cut->load[i].view.stride[m] * p->m.base;
    for (int i = 0; continues && i < cut->outs; i++)
        continues = cut->out[i].view.stride[last] ==
                    cut->out[i].view.stride[m] * p->m.base;
    return continues;
}

static void
exchange(int64_t *a, int64_t *b)
{
    int64_t old = *a;
    *a = *b;
    *b = old;
}

/* C^T = B^T A^T */
static void
exchange_roles(product *p)
{
    krs_index m = p->m;
    int a = p->a;
    p->m = p->n;
    p->n = m;
    p->a = p->b;
    p->b = a;
    int axis = p->a_axis;
    p->a_axis = p->b_axis;
    p->b_axis = axis;
    p->a_side = 1 - p->a_side;
    exchange(&p->max_m, &p->max_n);
    exchange(&p->a_m, &p->b_n);
    exchange(&p->a_k, &p->b_k);
    exchange(&p->c_m, &p->c_n);
    for (int i = 0; i < p->batches; i++)
        exchange(&p->batch_a[i], &p->batch_b[i]);
}

static int
product_of(const krsi_cut *cut)
{
    int e = 0;
    while (e < cut->exprs - 1 && cut->expr[e].kind != KRSI_X_PRODUCT)
        e++;
    return e;
}

/* The load among those of an expression that templates read: one that is not
 * moved by an index, of a type that they take, and if possible contiguous
 * along k, else along the other axis. */
static int
main_load(const krsi_cut *cut, int root, int axis)
{
    bool needed[KRSI_CUT_EXPRS];
    int best = -1, best_score = -1, k = cut->rank - 1;
    krsi_lower_needed(cut, &root, 1, needed);
    for (int i = 0; i < cut->exprs; i++) {
        const krsi_expr *e = &cut->expr[i];
        if (!needed[i] || e->kind != KRSI_X_LOAD ||
            cut->load[e->load].indirect >= 0)
            continue;
        const int64_t *stride = cut->load[e->load].view.stride;
        int score = krs_dtype_is_float(krsi_lower_type(e->dtype)) *
                    (1 + 2 * (stride[k] != 0 && stride[axis] != 0) +
                     (stride[k] == 1 || stride[axis] == 1));
        if (score > best_score) {
            best = e->load;
            best_score = score;
        }
    }
    return best;
}

static product
read_cut(const krsi_cut *cut)
{
    int m = cut->rank - 3, n = cut->rank - 2, k = cut->rank - 1;
    const krsi_expr *e = &cut->expr[product_of(cut)];
    int la = main_load(cut, e->in[0], m), lb = main_load(cut, e->in[1], n);
    const int64_t *a = cut->load[la].view.stride;
    const int64_t *b = cut->load[lb].view.stride;
    const int64_t *c = cut->out[0].view.stride;
    product p = {.batches = m,
                 .a = la,
                 .b = lb,
                 .a_axis = m,
                 .b_axis = n,
                 .m = cut->extent[m],
                 .n = cut->extent[n],
                 .k = cut->extent[k],
                 .max_m = cut->max[m],
                 .max_n = cut->max[n],
                 .max_k = cut->max[k],
                 .a_m = a[m],
                 .a_k = a[k],
                 .b_n = b[n],
                 .b_k = b[k],
                 .c_m = c[m],
                 .c_n = c[n]};
    for (int i = 0; i < p.batches; i++) {
        p.extent[i] = cut->extent[i];
        p.batch_max[i] = cut->max[i];
        p.batch_a[i] = a[i];
        p.batch_b[i] = b[i];
        p.batch_c[i] = c[i];
    }
    while (continues_rows(cut, &p)) {
        int last = --p.batches;
        p.m.base *= p.extent[last].base;
        p.max_m = p.m.base;
    }
    bool narrow = p.max_n <= NARROW && p.max_m > p.max_n;
    if (narrow || (p.c_n != 1 && p.c_m == 1 && p.max_m > NARROW))
        exchange_roles(&p);
    return p;
}

/* ---- the choice ---- */

void
krsi_tile_choose(krsi_tile *t, const krsi_facts *facts, int64_t columns)
{
    static const struct row {
        uint32_t lanes, registers;
        int rows, vectors;
    } table[] = {
#define TILE(lanes, registers, rows, vectors) {lanes, registers, rows, vectors},
#define GROUP(side, rows, vectors)
#include "schedule.def"
#undef TILE
#undef GROUP
    };
    const struct row *r = table;
    while (r->lanes > 1 &&
           (facts->lanes < r->lanes || facts->registers < r->registers))
        r++;
    const struct row *best = r;
    for (const struct row *other = r + 1;
         columns > 0 && other < table + sizeof table / sizeof *table &&
         other->lanes == r->lanes && other->registers == r->registers;
         other++)
        if (columns % ((int64_t)other->vectors * (int64_t)r->lanes) == 0 &&
            columns % ((int64_t)best->vectors * (int64_t)r->lanes) != 0)
            best = other;
    t->lanes = (int)best->lanes;
    t->rows = best->rows;
    t->vectors = best->vectors;
}

static bool
is_plain(const krsi_tile_operand *x)
{
    return x->root == x->element;
}

void
krsi_tile_choose_reading(krsi_tile *t)
{
    bool as_it_is =
        t->pairs ? t->even : t->a.dtype == KRS_F32 && is_plain(&t->a);
    t->reading = !t->a.along_inner ? KRSI_TILE_COLUMNS_PACKED
                 : as_it_is        ? KRSI_TILE_IN_PLACE
                                   : KRSI_TILE_ROWS_PACKED;
}

static krsi_tile_template
choose_template(const krsi_tile *t, const product *p)
{
    bool rows_of_b = t->b.along_outer && !t->b.along_inner;
    bool plain = rows_of_b && t->b.dtype == KRS_F32 && is_plain(&t->b);
    bool thin = p->max_m <= KRSI_TILE_THIN && p->max_n >= STREAM_COLUMNS;
    if (thin && t->whole_blocks)
        return KRSI_TILE_DIRECT;
    if (thin && rows_of_b)
        return KRSI_TILE_STREAM;
    if (thin && t->b.along_inner && t->lanes > 1 && t->even &&
        t->reading == KRSI_TILE_IN_PLACE)
        return KRSI_TILE_TURNED;
    if (plain && (p->max_m <= DIRECT_ROWS ||
                  (!t->small && p->max_k * p->max_n <= DIRECT_BYTES / 4)))
        return KRSI_TILE_DIRECT;
    return KRSI_TILE_BLOCKED;
}

static int64_t
least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Can one grid axis count the batches, which may be as many as a runtime
 * integer says along one of their axes? */
static bool
are_numbers(const product *p)
{
    int unknown = 0;
    for (int i = 0; i < p->batches; i++)
        unknown += !is_constant(p->extent[i]);
    return unknown <= 1;
}

/* Batch axes that are loops of an item. */
static int
batch_loops(const product *p)
{
    return p->batches > 2 && !p->counts ? p->batches - 2 : 0;
}

static int64_t
batch_items(const product *p)
{
    int64_t items = 1;
    for (int i = batch_loops(p); i < p->batches; i++)
        if (__builtin_mul_overflow(items, krsi_tile_most(p->batch_max[i], 1),
                                   &items))
            return INT32_MAX;
    return least(items, INT32_MAX);
}

/* The largest tile that leaves work for all: a power of two of rows, whole
 * vectors of columns if there are such. */
static void
fit_single(krsi_tile *t, const product *p, const krsi_facts *facts)
{
    int64_t wanted = FULL * krsi_tile_most(facts->workers, 1);
    int64_t m = krsi_tile_most(p->max_m, 1), n = krsi_tile_most(p->max_n, 1);
    int64_t batches = batch_items(p);
    t->lanes = 4;
    t->rows = KRSI_TILE_ROWS;
    t->vectors = KRSI_TILE_VECTORS;
    while (t->rows > 1 && t->rows / 2 >= m)
        t->rows /= 2;
    while (t->vectors > 1 && (n % ((int64_t)t->vectors * t->lanes) != 0 ||
                              n <= (int64_t)t->vectors / 2 * t->lanes))
        t->vectors /= 2;
    while (t->rows > 1 &&
           batches * krsi_tile_parts(m, t->rows) *
                   krsi_tile_parts(n, (int64_t)t->vectors * t->lanes) <
               wanted)
        t->rows /= 2;
    t->wide = t->rows;
    t->whole_rows = is_constant(p->m) && m % t->rows == 0;
    t->whole_columns =
        is_constant(p->n) && n % ((int64_t)t->vectors * t->lanes) == 0;
    t->whole_words = !t->pairs && is_constant(p->k) && p->k.base % 4 == 0;
    t->all_rows = p->batches >= 2 && !p->counts;
    t->apart = t->lanes;
}

/* Groups, where the device has them: the tile of the table. Few rows or columns
 * are too little for one, batches that take two axes of the grid leave it none
 * for rows; and the items of a group would race for the place of a fault. */
static bool
fit_group(krsi_tile *t, const product *p, const krsi_cut *cut,
          const krsi_facts *facts)
{
    static const struct row {
        int side, rows, vectors;
    } table[] = {
#define TILE(lanes, registers, rows, vectors)
#define GROUP(side, rows, vectors) {side, rows, vectors},
#include "schedule.def"
#undef TILE
#undef GROUP
    };
    enum { FOURS = 4 };
    const struct row *best = NULL;
    bool is_enough = false;
    if (p->max_m <= KRSI_TILE_THIN || p->max_n <= KRSI_TILE_THIN ||
        (p->batches >= 2 && !p->counts) || krsi_cut_may_fault(cut))
        return false;
    for (const struct row *r = table;
         r < table + sizeof table / sizeof *table && !is_enough; r++) {
        int rows = r->side * r->rows, columns = r->side * r->vectors * FOURS;
        if ((uint32_t)(r->side * r->side) > facts->group_items ||
            (uint64_t)krsi_tile_group_bytes(r->side, rows, columns) >
                facts->shared_bytes)
            continue;
        best = r;
        is_enough = 2 * p->max_m > rows && 2 * p->max_n > columns &&
                    batch_items(p) * krsi_tile_parts(p->max_m, rows) *
                            krsi_tile_parts(p->max_n, columns) >=
                        facts->workers;
    }
    if (!best)
        return false;
    t->template = KRSI_TILE_GROUP;
    t->lanes = FOURS;
    t->side = best->side;
    t->rows = best->rows;
    t->vectors = best->vectors;
    t->wide = t->rows;
    t->apart = t->side * t->lanes;
    t->whole_rows = is_constant(p->m) && p->m.base % (t->side * t->rows) == 0;
    t->whole_columns =
        is_constant(p->n) && p->n.base % (t->apart * t->vectors) == 0;
    t->whole_words =
        is_constant(p->k) && p->k.base % (t->side * (int64_t)t->unit) == 0;
    return true;
}

/* What an item has, or a group of them. */
static split
split_registers(const krsi_tile *t)
{
    int64_t rows = t->rows, columns = (int64_t)t->vectors * t->apart;
    return t->template == KRSI_TILE_GROUP ? (split){rows * t->side, columns}
                                          : (split){rows, columns};
}

/* Sums of chunks stay in registers, nothing is in scratch. */
static bool
has_registers_only(const krsi_tile *t)
{
    return t->template == KRSI_TILE_SINGLE || t->template == KRSI_TILE_GROUP;
}

static bool
is_thin(const krsi_tile *t)
{
    return t->template == KRSI_TILE_STREAM || t->template == KRSI_TILE_TURNED;
}

static bool
reads_blocks(const krsi_tile *t)
{
    return t->template == KRSI_TILE_DIRECT && t->whole_blocks;
}

/* Fewer rows for less than a tile; thin templates hold all of them. Of blocks
 * several vectors are made at once, so that no sum waits for the one before. */
static void
fit_tile(krsi_tile *t, const product *p)
{
    for (int rows = 1; rows < t->rows; rows *= 2)
        if (p->max_m <= rows)
            t->rows = rows;
    if (is_thin(t) || reads_blocks(t)) {
        t->rows = 1;
        while (t->rows < p->max_m)
            t->rows *= 2;
        t->vectors = reads_blocks(t)
                         ? (int)least(KRSI_TILE_VECTORS, BLOCK_SUMS / t->rows)
                     : t->template == KRSI_TILE_TURNED ? 1
                     : t->rows == 1                    ? 4
                                                       : 2;
    }
    for (t->wide = 1; t->wide < t->rows;)
        t->wide *= 2;
    if (t->reading == KRSI_TILE_COLUMNS_PACKED && !is_thin(t) &&
        p->max_m > t->rows)
        t->slab = SLAB_ROWS / t->rows * t->rows;
    t->small &= t->template == KRSI_TILE_BLOCKED;
    t->whole_columns = t->small && is_constant(p->n) &&
                       p->n.base % ((int64_t)t->vectors * t->lanes) == 0;
}

static split
split_thin(const krsi_tile *t, const product *p, int64_t workers)
{
    int64_t unit = (int64_t)t->vectors * t->lanes;
    int64_t fewest = reads_blocks(t) ? unit : 4 * unit; /* columns of a strip */
    int64_t most =
        reads_blocks(t)
            ? krsi_tile_most(BLOCK_STRIP / krsi_tile_most(p->max_k, 1), fewest)
            : STRIP;
    int64_t strips =
        krsi_tile_most(krsi_tile_parts(p->max_n, most),
                       least(4 * workers, krsi_tile_parts(p->max_n, fewest)));
    int64_t columns =
        krsi_tile_parts(krsi_tile_most(p->max_n, 1), krsi_tile_most(strips, 1));
    return (split){t->rows, krsi_tile_parts(columns, unit) * unit};
}

/* Columns of B that an item may hold packed, in panels. */
static int64_t
most_panels(const krsi_tile *t, const product *p, const krsi_facts *facts)
{
    int64_t cache = facts->cache_bytes[1] ? (int64_t)facts->cache_bytes[1]
                                          : INT64_C(1) << 20;
    int64_t depth = krsi_tile_most(least(p->max_k, KRSI_TILE_CHUNK), 1);
    int64_t bytes = (int64_t)t->vectors * t->lanes * depth * 4;
    return least(krsi_tile_most(cache / 2 / bytes, 1), MAX_PANELS);
}

/* What the busiest worker does if `down` by `across` items for each of the
 * batch are handed out as workers get free: products for each k. */
static double
cost_of(const krsi_tile *t, const product *p, double workers, int64_t down,
        int64_t across)
{
    double rows = (double)p->max_m, columns = (double)p->max_n;
    bool packs = t->template == KRSI_TILE_BLOCKED;
    double work = rows * columns + (double)across * rows * A_COST +
                  packs * (double)down * columns * PACK_COST;
    double each = (double)down * (double)across;
    double items = each * (double)batch_items(p);
    double turns = (double)(int64_t)(items / workers);
    turns += turns < items / workers;
    double depth = (double)krsi_tile_most(p->max_k, 1);
    double meet = items > 1 ? MEET_COST / depth : 0;
    double late = workers > 1 ? LATE / 100.0 : 0;
    return (work / each + ITEM_COST / depth) * (turns + late) + meet;
}

static split
split_tiles(const krsi_tile *t, const product *p, const krsi_facts *facts)
{
    int64_t width = (int64_t)t->vectors * t->lanes;
    int64_t max_m = krsi_tile_most(p->max_m, 1),
            max_n = krsi_tile_most(p->max_n, 1);
    int64_t panels = krsi_tile_parts(max_n, width),
            tiles = krsi_tile_parts(max_m, t->rows);
    int64_t most_down = p->batches >= 2 ? 1 : least(tiles, MAX_PARTS);
    int64_t least_across = krsi_tile_parts(panels, most_panels(t, p, facts));
    int64_t most_across = least(panels, least_across + MAX_PARTS);
    double best = 0;
    bool found_fits = false;
    split found = {0, 0};
    for (int64_t down = 1; down <= most_down; down++)
        for (int64_t across = least_across; across <= most_across; across++) {
            split s = {krsi_tile_parts(tiles, down) * t->rows,
                       krsi_tile_parts(panels, across) * width};
            double cost =
                cost_of(t, p, (double)krsi_tile_most(facts->workers, 1),
                        krsi_tile_parts(max_m, s.rows),
                        krsi_tile_parts(max_n, s.columns));
            bool fits = !t->has_sums || s.rows * s.columns <= SUMS;
            if (found.rows &&
                (fits < found_fits || (fits == found_fits && cost >= best)))
                continue;
            best = cost;
            found = s;
            found_fits = fits;
        }
    return found;
}

/* Are all places multiples of four elements, but for the last ones? */
static bool
is_in_fours(const krsi_view *view, const product *p, const int64_t *batch,
            int64_t stride)
{
    bool fours = is_constant(view->offset) && view->offset.base % 4 == 0 &&
                 stride % 4 == 0;
    for (int i = 0; i < p->batches; i++)
        fours &= batch[i] % 4 == 0;
    return fours;
}

/* Which of A, B and C are read and stored four f32 at a time. */
static void
find_fours(krsi_tile *t, const krsi_cut *cut, const product *p)
{
    t->a.aligned = t->a.dtype == KRS_F32 && (p->a_k == 1 || p->a_m == 1) &&
                   is_in_fours(&cut->load[p->a].view, p, p->batch_a,
                               p->a_k == 1 ? p->a_m : p->a_k) &&
                   (p->a_k == 1 || t->rows % 4 == 0);
    t->b.aligned = t->b.dtype == KRS_F32 && (p->b_k == 1 || p->b_n == 1) &&
                   is_in_fours(&cut->load[p->b].view, p, p->batch_b,
                               p->b_k == 1 ? p->b_n : p->b_k);
    t->out_aligned = t->out_dtype == KRS_F32 && !t->finishes && p->c_n == 1 &&
                     is_in_fours(&cut->out[0].view, p, p->batch_c, p->c_m);
}

/* ---- declarations ---- */

static krsi_kv
argument(krsi_lowering *l, krs_dtype dtype, krsi_arg value)
{
    char name[16];
    if (l->args == KRSI_MAX_ARGS) {
        krsi_kb_fail(l->kb, KRS_E_INTERNAL, "more than %d launch arguments",
                     KRSI_MAX_ARGS);
        return KRSI_KV_NONE;
    }
    snprintf(name, sizeof name, "p%d", l->args);
    l->arg[l->args++] = value;
    return krsi_kb_arg(l->kb, name, dtype);
}

krsi_kv
krsi_tile_integer(krsi_lowering *l, krs_index value)
{
    return argument(l, KRS_I64, (krsi_arg){.index = value});
}

krsi_kv
krsi_tile_float(krsi_lowering *l, double value)
{
    return argument(l, KRS_F32,
                    (krsi_arg){.is_float = true, .number = (float)value});
}

static krsi_kv
number(krsi_lowering *l, int64_t value)
{
    return krsi_tile_integer(l, KRS_INDEX(value));
}

/* A stride: 1 is part of the class where `unit` says so. */
static krsi_kv
stride(krsi_lowering *l, int64_t value, bool unit)
{
    return unit ? krsi_kb_i64(l->kb, 1) : number(l, value);
}

krs_dtype
krsi_tile_load_type(const krsi_cut *cut, int load)
{
    for (int i = 0; i < cut->exprs; i++)
        if (cut->expr[i].kind == KRSI_X_LOAD && cut->expr[i].load == load)
            return cut->expr[i].dtype;
    return KRS_F32;
}

krsi_kbuf
krsi_tile_buffer(krsi_lowering *l, const char *name, uint32_t value,
                 krs_dtype dtype, int access)
{
    if (l->bindings == KRSI_MAX_BINDINGS) {
        krsi_kb_fail(l->kb, KRS_E_INTERNAL, "more than %d buffers",
                     KRSI_MAX_BINDINGS);
        return (krsi_kbuf){0};
    }
    l->binding[l->bindings++] = value;
    return krsi_kb_param(l->kb, name, krsi_lower_stored(dtype), access,
                         l->facts->items_are_lanes ? KRSI_TILE_ALIGNED : 0);
}

static void
declare_operand(krsi_lowering *l, krsi_tile_operand *x, const char *name,
                int load, int64_t outer, int64_t inner)
{
    const krsi_view *view = &l->cut->load[load].view;
    x->buffer = krsi_tile_buffer(l, name, view->value, x->dtype, KRS_K_READ);
    x->offset = krsi_tile_integer(l, view->offset);
    x->outer = stride(l, outer, x->along_outer);
    x->inner = stride(l, inner, x->along_inner);
}

/* The number of the batch along grid axis 2, taken apart. */
static void
count_batches(krsi_lowering *l, const product *p)
{
    krsi_kb *kb = l->kb;
    krsi_kv left = krsi_kb_axis(kb, 2);
    krs_index all = KRS_INDEX(1);
    for (int i = p->batches - 1; i >= 0; i--) {
        krsi_kv extent = krsi_tile_integer(l, p->extent[i]);
        all = is_constant(all) ? krs_index_times(p->extent[i], all.base)
                               : krs_index_times(all, p->extent[i].base);
        l->coord[i] = i ? krsi_kb_rem(kb, left, extent) : left;
        left = i ? krsi_kb_div(kb, left, extent) : left;
    }
    l->grid[2] = (krsi_grid){all, 1};
}

/* Two batch axes take two grid axes, more are loops. */
static void
spread_batches(krsi_lowering *l, const product *p)
{
    krsi_kb *kb = l->kb;
    krsi_kv zero = krsi_kb_i64(kb, 0), one = krsi_kb_i64(kb, 1);
    for (int i = 0; i < p->batches; i++) {
        krsi_kv extent = krsi_tile_integer(l, p->extent[i]);
        int axis = p->batches == 1 ? 2 : p->batches - i;
        if (i < batch_loops(p)) {
            l->coord[i] = krsi_kb_for(kb, zero, extent, one);
            continue;
        }
        l->coord[i] = krsi_kb_axis(kb, axis);
        l->grid[axis] = (krsi_grid){p->extent[i], 1};
    }
}

/* Which part of the grid, and of each matrix, the item has: all rows, unless
 * the grid has an axis for them. */
static void
place_item(krsi_lowering *l, krsi_tile *t, const product *p, split s)
{
    krsi_kb *kb = t->kb;
    krsi_kv columns = number(l, s.columns), rows = number(l, s.rows);
    if (p->counts)
        count_batches(l, p);
    else
        spread_batches(l, p);
    for (int i = 0; i < p->batches; i++) {
        krsi_kv *const offsets[] = {&t->a.offset, &t->b.offset, &t->out_offset};
        const int64_t strides[] = {p->batch_a[i], p->batch_b[i], p->batch_c[i]};
        for (int x = 0; x < (t->finishes ? 2 : 3); x++)
            *offsets[x] = krsi_kb_add(
                kb, *offsets[x],
                krsi_kb_mul(kb, l->coord[i], number(l, strides[x])));
    }
    t->n0 = krsi_kb_mul(kb, krsi_kb_axis(kb, 0), columns);
    t->n1 = krsi_kb_min(kb, krsi_kb_add(kb, t->n0, columns), t->n);
    l->grid[0] = (krsi_grid){p->n, s.columns};
    t->m0 = krsi_kb_i64(kb, 0);
    t->m1 = t->m;
    if (p->batches < 2 || p->counts) {
        t->m0 = krsi_kb_mul(kb, krsi_kb_axis(kb, 1), rows);
        t->m1 = krsi_kb_min(kb, krsi_kb_add(kb, t->m0, rows), t->m);
        l->grid[1] = (krsi_grid){p->m, s.rows};
    }
}

static void
declare_scratch(krsi_lowering *l, krsi_tile *t, split s)
{
    enum { ALIGN = 64 };
    krsi_kb *kb = t->kb;
    int64_t width = (int64_t)t->vectors * t->lanes;
    krsi_kv panels = number(l, s.columns / width);
    t->sum_stride = number(l, s.columns);
    krsi_tile_declare_a(t, "a_pack");
    if (t->template == KRSI_TILE_BLOCKED)
        t->b_pack = krsi_kb_scratch(kb, "b_pack", t->pairs ? KRS_BF16 : KRS_F32,
                                    width * t->chunk * t->unit, panels, ALIGN);
    if (t->small)
        krsi_tile_declare_square(t, "square");
    if (t->template == KRSI_TILE_STREAM)
        t->b_pack = krsi_kb_scratch(kb, "chunk_sums", KRS_F32, width * t->rows,
                                    panels, ALIGN);
    if (t->has_sums)
        t->sums = krsi_kb_scratch(kb, "sums", KRS_F32, 1,
                                  number(l, s.rows * s.columns), ALIGN);
}

/* Does every row along the contiguous axis begin with a block? */
static bool
is_in_blocks(const krsi_view *view, const product *p, const int64_t *batch,
             int64_t stride)
{
    bool blocks = is_constant(view->offset) &&
                  view->offset.base % KRSI_BLOCK == 0 &&
                  stride % KRSI_BLOCK == 0;
    for (int i = 0; i < p->batches; i++)
        blocks &= batch[i] % KRSI_BLOCK == 0;
    return blocks;
}

/* Roles, types and expressions of A and B. A cast of blocks is how they are
 * read; those that do not begin where rows do are read one by one. */
static void
set_operand(const krsi_cut *cut, const product *p, krsi_tile_operand *x,
            int load, int side, int axis, const int64_t *batch, int64_t outer,
            int64_t inner)
{
    x->dtype = krsi_lower_load_type(cut, load);
    x->in_blocks = krsi_lower_stored(x->dtype) != x->dtype;
    x->root = cut->expr[product_of(cut)].in[side];
    x->axis = axis;
    x->along_outer = outer == 1;
    x->along_inner = inner == 1;
    for (int i = 0; i < cut->exprs; i++)
        if (cut->expr[i].kind == KRSI_X_LOAD && cut->expr[i].load == load)
            x->element = i;
    const krsi_expr *root = &cut->expr[x->root];
    if (x->in_blocks && root->kind == KRSI_X_OP && root->op == KRSI_CAST &&
        root->in[0] == x->element)
        x->root = x->element;
    if (x->in_blocks && !is_in_blocks(&cut->load[load].view, p, batch,
                                      x->along_inner ? outer : inner))
        x->along_outer = x->along_inner = false;
}

/* C as it is, or the outs that are made of it. */
static void
declare_outs(krsi_lowering *l, krsi_tile *t, const product *p)
{
    const krsi_cut *cut = l->cut;
    if (t->finishes) {
        for (int i = 0; i < cut->outs; i++)
            krsi_lower_declare_out(l, i);
        return;
    }
    t->out = krsi_tile_buffer(
        l, "product", cut->out[0].view.value, t->out_dtype,
        t->has_sums || t->one_chunk || is_thin(t) || has_registers_only(t)
            ? KRS_K_WRITE
            : KRS_K_READ | KRS_K_WRITE);
    t->out_offset = krsi_tile_integer(l, cut->out[0].view.offset);
    t->out_row = number(l, p->c_m);
    t->out_column = stride(l, p->c_n, t->out_contiguous);
}

/* Is a load, main load of one operand, part of the other or of the outs? */
static bool
read_elsewhere(const krsi_tile *t, int load, int other)
{
    const krsi_cut *cut = t->lowering->cut;
    bool needed[KRSI_CUT_EXPRS] = {false};
    needed[other] = true;
    for (int i = 0; i < cut->outs; i++)
        needed[cut->out[i].root] = true;
    for (int i = cut->exprs - 1; i >= 0; i--) {
        const krsi_expr *e = &cut->expr[i];
        if (!needed[i] || e->kind == KRSI_X_PRODUCT)
            continue;
        for (int k = 0; k < krsi_expr_operands(e); k++)
            needed[e->in[k]] = true;
        if (e->kind == KRSI_X_LOAD && cut->load[e->load].indirect >= 0)
            needed[cut->load[e->load].indirect] = true;
        if (e->kind == KRSI_X_LOAD && e->load == load)
            return true;
    }
    return false;
}

/* What expressions around the product read, besides A and B. */
static void
declare_rest(krsi_lowering *l, const krsi_tile *t, const product *p)
{
    const krsi_cut *cut = l->cut;
    if (!t->finishes && is_plain(&t->a) && is_plain(&t->b))
        return;
    for (int i = 0; i < cut->loads; i++)
        if ((i != p->a || read_elsewhere(t, i, t->b.root)) &&
            (i != p->b || read_elsewhere(t, i, t->a.root)))
            krsi_lower_declare_load(l, i);
    krsi_lower_declare_rest(l);
    /* batch axes that continue the rows are part of them */
    for (int a = p->batches; a < cut->rank - 3; a++)
        l->coord[a] = krsi_kb_i64(l->kb, 0);
}

void
krsi_lower_contract(krsi_lowering *l)
{
    const krsi_cut *cut = l->cut;
    product p = read_cut(cut);
    krsi_tile t = {.kb = l->kb, .lowering = l, .product = product_of(cut)};
    t.finishes = cut->outs > 1 || cut->out[0].root != t.product;
    t.out_dtype = cut->expr[t.product].dtype;
    set_operand(cut, &p, &t.a, p.a, p.a_side, p.a_axis, p.batch_a, p.a_m,
                p.a_k);
    set_operand(cut, &p, &t.b, p.b, 1 - p.a_side, p.b_axis, p.batch_b, p.b_n,
                p.b_k);
    if (!krs_dtype_is_float(krsi_lower_type(t.a.dtype)) ||
        !krs_dtype_is_float(krsi_lower_type(t.b.dtype))) {
        krsi_kb_fail(l->kb, KRS_E_UNSUPPORTED,
                     "no product of %s and %s here; the device eval has it",
                     krs_dtype_name(t.a.dtype), krs_dtype_name(t.b.dtype));
        return;
    }
    t.pairs = t.a.dtype == KRS_BF16 && t.b.dtype == KRS_BF16 &&
              is_plain(&t.a) && is_plain(&t.b);
    t.unit = t.pairs ? 2 : 1;
    t.chunk = KRSI_TILE_CHUNK / t.unit;
    t.whole_blocks = t.b.in_blocks && t.b.along_inner && is_plain(&t.b) &&
                     is_constant(p.k) && p.k.base % KRSI_BLOCK == 0 &&
                     l->facts->lanes > 1 && !l->facts->code_is_dear;
    t.even = !t.pairs || (is_constant(p.k) && p.k.base % 2 == 0);
    if (l->facts->items_are_lanes) {
        p.counts = are_numbers(&p);
        t.template = KRSI_TILE_SINGLE;
        t.reading = KRSI_TILE_IN_PLACE;
        if (!fit_group(&t, &p, cut, l->facts))
            fit_single(&t, &p, l->facts);
        find_fours(&t, cut, &p);
    } else {
        t.small = l->facts->code_is_dear;
        krsi_tile_choose(&t, l->facts, t.small ? p.max_n : 0);
        krsi_tile_choose_reading(&t);
        t.template = choose_template(&t, &p);
        fit_tile(&t, &p);
    }
    t.out_contiguous = p.c_n == 1;
    t.one_chunk = is_constant(p.k) && p.k.base <= KRSI_TILE_CHUNK;
    bool out_adds = t.out_contiguous && t.out_dtype == KRS_F32 && !t.finishes;
    t.has_sums = t.template == KRSI_TILE_STREAM ||
                 (!has_registers_only(&t) && !(t.one_chunk || out_adds));
    split s = has_registers_only(&t) ? split_registers(&t)
              : is_thin(&t) || reads_blocks(&t)
                  ? split_thin(&t, &p, krsi_tile_most(l->facts->workers, 1))
                  : split_tiles(&t, &p, l->facts);

    declare_operand(l, &t.a, "left", p.a, p.a_m, p.a_k);
    declare_operand(l, &t.b, "right", p.b, p.b_n, p.b_k);
    declare_outs(l, &t, &p);
    declare_rest(l, &t, &p);
    t.m = krsi_tile_integer(l, p.m);
    t.n = krsi_tile_integer(l, p.n);
    t.k = krsi_tile_integer(l, p.k);
    t.words =
        t.pairs
            ? krsi_kb_shr(t.kb, krsi_kb_add(t.kb, t.k, krsi_kb_i64(t.kb, 1)),
                          krsi_kb_i64(t.kb, 1))
            : t.k;
    if (t.template == KRSI_TILE_GROUP)
        krsi_tile_declare_group(&t);
    else if (t.template != KRSI_TILE_SINGLE)
        declare_scratch(l, &t, s);
    place_item(l, &t, &p, s);
    switch (t.template) {
    case KRSI_TILE_BLOCKED:
    case KRSI_TILE_DIRECT: krsi_tile_blocked(&t); break;
    case KRSI_TILE_STREAM: krsi_tile_stream(&t); break;
    case KRSI_TILE_TURNED: krsi_tile_turned(&t); break;
    case KRSI_TILE_SINGLE: krsi_tile_single(&t); break;
    case KRSI_TILE_GROUP: krsi_tile_group(&t); break;
    }
    for (int i = 0; i < batch_loops(&p); i++)
        krsi_kb_end(t.kb);
}
