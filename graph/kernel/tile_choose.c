/* tile_choose.c -- how a product is computed: which template, which tile, which
 * part of C an item is.
 *
 * In: the product (tile_product.h) with maximal sizes, and the facts of the
 * device. Out: the choice. It decides speed alone: tile.h states the order of
 * every sum, and each template keeps it.
 *
 * The split: an item is a rectangle of C, all of k. Its columns of B, packed,
 * fit half of the second-level cache; among the rectangles that do, the one
 * is taken for which the busiest worker has least to do, packing counted.
 */
#include "tile_product.h"

enum {
    DIRECT_ROWS = 16,
    DIRECT_BYTES = 64 << 10, /* B that needs no packing */
    STREAM_COLUMNS = 64,     /* fewer: a tile reads B as well */
    STRIP = 2048,            /* columns of an item of stream, at most */
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

void
krsi_tile_choose_reading(krsi_tile *t)
{
    bool as_it_is = t->pairs
                        ? t->even
                        : t->a.dtype == KRS_F32 && krsi_operand_is_plain(&t->a);
    t->reading = !t->a.along_inner ? KRSI_TILE_COLUMNS_PACKED
                 : as_it_is        ? KRSI_TILE_IN_PLACE
                                   : KRSI_TILE_ROWS_PACKED;
}

static krsi_tile_template
choose_template(const krsi_tile *t, const krsi_product *p)
{
    bool rows_of_b = t->b.along_outer && !t->b.along_inner;
    bool plain =
        rows_of_b && t->b.dtype == KRS_F32 && krsi_operand_is_plain(&t->b);
    bool thin = p->max_m <= KRSI_TILE_THIN && p->max_n >= STREAM_COLUMNS;
    if (thin && t->whole_blocks)
        return KRSI_TILE_QUANTISED;
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
are_numbers(const krsi_product *p)
{
    int unknown = 0;
    for (int i = 0; i < p->batches; i++)
        unknown += !krsi_is_constant(p->extent[i]);
    return unknown <= 1;
}

int
krsi_product_loops(const krsi_product *p)
{
    return p->batches > 2 && !p->counts ? p->batches - 2 : 0;
}

static int64_t
batch_items(const krsi_product *p)
{
    int64_t items = 1;
    for (int i = krsi_product_loops(p); i < p->batches; i++)
        if (__builtin_mul_overflow(items, krsi_tile_most(p->batch_max[i], 1),
                                   &items))
            return INT32_MAX;
    return least(items, INT32_MAX);
}

/* The largest tile that leaves work for all: a power of two of rows, whole
 * vectors of columns if there are such. */
static void
fit_single(krsi_tile *t, const krsi_product *p, const krsi_facts *facts)
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
    t->whole_rows = krsi_is_constant(p->m) && m % t->rows == 0;
    t->whole_columns =
        krsi_is_constant(p->n) && n % ((int64_t)t->vectors * t->lanes) == 0;
    t->whole_words = !t->pairs && krsi_is_constant(p->k) && p->k.base % 4 == 0;
    t->all_rows = p->batches >= 2 && !p->counts;
    t->apart = t->lanes;
}

/* Groups, where the device has them: the tile of the table. Few rows or columns
 * are too little for one, batches that take two axes of the grid leave it none
 * for rows; and the items of a group would race for the place of a fault. */
static bool
fit_group(krsi_tile *t, const krsi_product *p, const krsi_cut *cut,
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
    t->whole_rows =
        krsi_is_constant(p->m) && p->m.base % (t->side * t->rows) == 0;
    t->whole_columns =
        krsi_is_constant(p->n) && p->n.base % (t->apart * t->vectors) == 0;
    t->whole_words =
        krsi_is_constant(p->k) && p->k.base % (t->side * (int64_t)t->unit) == 0;
    return true;
}

/* What an item has, or a group of them. */
static krsi_tile_split
split_registers(const krsi_tile *t)
{
    int64_t rows = t->rows, columns = (int64_t)t->vectors * t->apart;
    return t->template == KRSI_TILE_GROUP
               ? (krsi_tile_split){rows * t->side, columns}
               : (krsi_tile_split){rows, columns};
}

/* Fewer rows for less than a tile; thin templates hold all of them. Of blocks
 * several vectors are made at once, so that no sum waits for the one before. */
static void
fit_tile(krsi_tile *t, const krsi_product *p)
{
    for (int rows = 1; rows < t->rows; rows *= 2)
        if (p->max_m <= rows)
            t->rows = rows;
    if (krsi_tile_is_thin(t)) {
        t->rows = 1;
        while (t->rows < p->max_m)
            t->rows *= 2;
        t->vectors = t->template == KRSI_TILE_QUANTISED
                         ? (int)least(KRSI_TILE_VECTORS, BLOCK_SUMS / t->rows)
                     : t->template == KRSI_TILE_TURNED ? 1
                     : t->rows == 1                    ? 4
                                                       : 2;
    }
    for (t->wide = 1; t->wide < t->rows;)
        t->wide *= 2;
    if (t->reading == KRSI_TILE_COLUMNS_PACKED && !krsi_tile_is_thin(t) &&
        p->max_m > t->rows)
        t->slab = SLAB_ROWS / t->rows * t->rows;
    t->small &= t->template == KRSI_TILE_BLOCKED;
    t->whole_columns = t->small && krsi_is_constant(p->n) &&
                       p->n.base % ((int64_t)t->vectors * t->lanes) == 0;
}

static krsi_tile_split
split_thin(const krsi_tile *t, const krsi_product *p, int64_t workers)
{
    int64_t unit = (int64_t)t->vectors * t->lanes;
    int64_t fewest = /* columns of a strip */
        t->template == KRSI_TILE_QUANTISED ? unit : 4 * unit;
    int64_t strips =
        krsi_tile_most(krsi_tile_parts(p->max_n, STRIP),
                       least(4 * workers, krsi_tile_parts(p->max_n, fewest)));
    int64_t columns =
        krsi_tile_parts(krsi_tile_most(p->max_n, 1), krsi_tile_most(strips, 1));
    return (krsi_tile_split){t->rows, krsi_tile_parts(columns, unit) * unit};
}

/* Columns of B that an item may hold packed, in panels. */
static int64_t
most_panels(const krsi_tile *t, const krsi_product *p, const krsi_facts *facts)
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
cost_of(const krsi_tile *t, const krsi_product *p, double workers, int64_t down,
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

static krsi_tile_split
split_tiles(const krsi_tile *t, const krsi_product *p, const krsi_facts *facts)
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
    krsi_tile_split found = {0, 0};
    for (int64_t down = 1; down <= most_down; down++)
        for (int64_t across = least_across; across <= most_across; across++) {
            krsi_tile_split s = {krsi_tile_parts(tiles, down) * t->rows,
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

bool
krsi_product_in_multiples(const krsi_product *p, const krsi_view *view,
                          const int64_t *batch, int64_t stride, int64_t of)
{
    bool all = krsi_index_is_multiple(view->offset, of) && stride % of == 0;
    for (int i = 0; i < p->batches; i++)
        all &= batch[i] % of == 0;
    return all;
}

/* Which of A, B and C are read and stored four f32 at a time. */
static void
find_fours(krsi_tile *t, const krsi_cut *cut, const krsi_product *p)
{
    t->a.aligned =
        t->a.dtype == KRS_F32 && (p->a_k == 1 || p->a_m == 1) &&
        krsi_product_in_multiples(p, &cut->load[p->a].view, p->batch_a,
                                  p->a_k == 1 ? p->a_m : p->a_k, 4) &&
        (p->a_k == 1 || t->rows % 4 == 0);
    t->b.aligned =
        t->b.dtype == KRS_F32 && (p->b_k == 1 || p->b_n == 1) &&
        krsi_product_in_multiples(p, &cut->load[p->b].view, p->batch_b,
                                  p->b_k == 1 ? p->b_n : p->b_k, 4);
    t->out_aligned =
        t->out_dtype == KRS_F32 && !t->finishes && p->c_n == 1 &&
        krsi_product_in_multiples(p, &cut->out[0].view, p->batch_c, p->c_m, 4);
}

krsi_tile_split
krsi_tile_decide(krsi_tile *t, krsi_product *p, const krsi_cut *cut,
                 const krsi_facts *facts)
{
    t->pairs = t->a.dtype == KRS_BF16 && t->b.dtype == KRS_BF16 &&
               krsi_operand_is_plain(&t->a) && krsi_operand_is_plain(&t->b);
    t->unit = t->pairs ? 2 : 1;
    t->chunk = KRSI_TILE_CHUNK / t->unit;
    t->whole_blocks = t->b.in_blocks && t->b.along_inner &&
                      krsi_operand_is_plain(&t->b) && krsi_is_constant(p->k) &&
                      p->k.base % KRSI_BLOCK == 0 && facts->lanes > 1 &&
                      !facts->code_is_dear;
    t->even = !t->pairs || (krsi_is_constant(p->k) && p->k.base % 2 == 0);
    if (facts->items_are_lanes) {
        p->counts = are_numbers(p);
        t->template = KRSI_TILE_SINGLE;
        t->reading = KRSI_TILE_IN_PLACE;
        if (!fit_group(t, p, cut, facts))
            fit_single(t, p, facts);
        find_fours(t, cut, p);
    } else {
        t->small = facts->code_is_dear;
        krsi_tile_choose(t, facts, t->small ? p->max_n : 0);
        krsi_tile_choose_reading(t);
        t->template = choose_template(t, p);
        fit_tile(t, p);
    }
    t->out_contiguous = p->c_n == 1;
    t->one_chunk = krsi_is_constant(p->k) && p->k.base <= KRSI_TILE_CHUNK;
    bool out_adds =
        t->out_contiguous && t->out_dtype == KRS_F32 && !t->finishes;
    t->has_sums = t->template == KRSI_TILE_STREAM ||
                  (!krsi_tile_is_registers(t) && !(t->one_chunk || out_adds));
    return krsi_tile_is_registers(t) ? split_registers(t)
           : krsi_tile_is_thin(t)
               ? split_thin(t, p, krsi_tile_most(facts->workers, 1))
               : split_tiles(t, p, facts);
}
