/* lower_attention.c -- the family attention, forward: out and the statistic of
 * each row, with scores that never leave the first-level cache.
 *
 * An item computes some queries of all heads that share a key head. For each
 * block of keys it packs k (turned) and v into panels, then goes through its
 * queries a strip of register-tile rows at a time: scores of the strip into
 * scratch, the online softmax on them, their product with v added to sums in
 * scratch that decay by the softmax's factor (lower_attention.h has the order
 * of every sum). Where there are few rows, as in decoding, k is turned in
 * registers and v read where it lies. Blocks, strips and panels that a causal limit or a window
 * leaves without keys are not visited.
 *
 * Source: Milakov and Gimelshein 2018; Dao et al. 2022, algorithm 1.
 */
#include "lower_attention.h"

#include <math.h>

enum {
    ALIGN = 64,
    FEW = 8, /* rows for which packing keys would cost more than it gives */
    ITEM_ROWS = 512, /* of an item, at most, where there is enough work */
    LEAST_ROWS = 64, /* packing a block costs as much as a few rows */
    ITEMS_A_WORKER = 4
};

/* ---- shorthands ---- */

static krsi_kv
plus(krsi_flash *f, krsi_kv a, int64_t b)
{
    return krsi_kb_add(f->kb, a, krsi_kb_i64(f->kb, b));
}

static krsi_kv
number(krsi_flash *f, int64_t value)
{
    return krsi_tile_integer(f->l, KRS_INDEX(value));
}

static int64_t
parts(int64_t whole, int64_t part)
{
    return whole / part + (whole % part != 0);
}

static int64_t
most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ---- what forward and gradient share ---- */

krsi_flash_tensor
krsi_flash_place(krsi_lowering *l, krsi_kbuf buffer, krs_dtype dtype,
                 const krsi_view *view)
{
    krsi_flash_tensor x = {.buffer = buffer, .dtype = dtype};
    x.offset = krsi_tile_integer(l, view->offset);
    for (int a = 0; a < view->rank && a < 4; a++) {
        x.unit[a] = view->stride[a] == 1;
        x.repeat[a] = view->stride[a] == 0;
        x.stride[a] = x.unit[a] || x.repeat[a]
                          ? krsi_kb_i64(l->kb, view->stride[a])
                          : krsi_tile_integer(l, KRS_INDEX(view->stride[a]));
    }
    return x;
}

krsi_flash_tensor
krsi_flash_declare(krsi_lowering *l, const char *name, const krsi_view *view,
                   krs_dtype dtype, int access)
{
    krsi_kbuf buffer = krsi_tile_buffer(l, name, view->value, dtype, access);
    return krsi_flash_place(l, buffer, dtype, view);
}

krsi_flash_tensor
krsi_flash_load(krsi_lowering *l, const char *name, int load)
{
    return krsi_flash_declare(l, name, &l->cut->load[load].view,
                              krsi_tile_load_type(l->cut, load), KRS_K_READ);
}

/* A view of queries [B,H,T,..] as [B,K,G,..], if there is one query: so the
 * heads of a group meet each key at once. */
static krsi_view
rows_of(const krsi_flash *f, const krsi_view *queries)
{
    krsi_view v = *queries;
    if (f->by_heads) {
        v.stride[2] = v.stride[1];
        v.stride[1] *= f->max_T;
    }
    return v;
}

void
krsi_flash_begin(krsi_flash *f, krsi_lowering *l)
{
    const krsi_attention *at = l->cut->attention;
    const krsi_view *q = &l->cut->load[at->q].view;
    const krsi_view *k = &l->cut->load[at->k].view;
    *f = (krsi_flash){.l = l,
                      .kb = l->kb,
                      .at = at,
                      .max_B = q->max[0],
                      .max_K = k->max[1],
                      .max_G = q->max[1] / k->max[1],
                      .max_T = q->max[2],
                      .max_S = k->max[2],
                      .max_D = q->max[3]};
    krs_index queries = q->extent[2];
    f->by_heads = at->cotangent < 0 && f->max_T == 1 && !queries.terms;
    if (f->by_heads) {
        f->max_T = f->max_G;
        f->max_G = 1;
        queries = KRS_INDEX(f->max_T);
    }
    f->G = number(f, f->max_G);
    f->T = krsi_tile_integer(l, queries);
    f->S = krsi_tile_integer(l, k->extent[2]);
    f->D = number(f, f->max_D);
    krsi_view rows = rows_of(f, q);
    f->q = krsi_flash_declare(l, "q", &rows, krsi_tile_load_type(l->cut, at->q),
                              KRS_K_READ);
    f->k = krsi_flash_load(l, "k", at->k);
    if (at->v >= 0) {
        f->max_E = l->cut->load[at->v].view.max[3];
        f->E = number(f, f->max_E);
        f->v = krsi_flash_load(l, "v", at->v);
    }
    if (at->mask >= 0) {
        rows = rows_of(f, &l->cut->load[at->mask].view);
        f->mask = krsi_flash_declare(l, "mask", &rows,
                                     krsi_tile_load_type(l->cut, at->mask),
                                     KRS_K_READ);
    }
    f->scale = krsi_tile_float(l, at->scale);
    if (at->causal)
        f->offset = krsi_tile_integer(l, at->offset);
    if (at->causal && at->window)
        f->window = number(f, at->window);
}

krsi_kv
krsi_flash_base(krsi_flash *f, const krsi_flash_tensor *x, krsi_kv head)
{
    krsi_kb *kb = f->kb;
    return krsi_kb_add(kb, x->offset,
                       krsi_kb_add(kb, krsi_kb_mul(kb, f->b, x->stride[0]),
                                   krsi_kb_mul(kb, head, x->stride[1])));
}

void
krsi_flash_tile(krsi_flash *f, krsi_tile *t, int64_t columns, int64_t rows,
                int64_t depth)
{
    enum { UNIT = 64 };
    *t = (krsi_tile){.kb = f->kb,
                     .template = KRSI_TILE_BLOCKED,
                     .unit = 1,
                     .chunk = (int)(parts(most(depth, 1), UNIT) * UNIT),
                     .out_dtype = KRS_F32,
                     .even = true};
    krsi_tile_choose(t, f->l->facts, columns);
    for (int fewer = 1; fewer < t->rows; fewer *= 2)
        if (rows <= fewer)
            t->rows = fewer;
    for (t->wide = 1; t->wide < t->rows;)
        t->wide *= 2;
    t->later = krsi_kb_bool(f->kb, true);
    t->out_column = krsi_kb_i64(f->kb, 1);
    t->out_contiguous = true;
}

krsi_tile_operand
krsi_flash_rows(const krsi_flash_tensor *x)
{
    return (krsi_tile_operand){.buffer = x->buffer,
                               .dtype = x->dtype,
                               .offset = x->offset,
                               .outer = x->stride[2],
                               .inner = x->stride[3],
                               .along_outer = x->unit[2],
                               .along_inner = x->unit[3]};
}

krsi_tile_operand
krsi_flash_across(const krsi_flash_tensor *x)
{
    return (krsi_tile_operand){.buffer = x->buffer,
                               .dtype = x->dtype,
                               .offset = x->offset,
                               .outer = x->stride[3],
                               .inner = x->stride[2],
                               .along_outer = x->unit[3],
                               .along_inner = x->unit[2] && !x->unit[3]};
}

void
krsi_flash_declare_b(krsi_flash *f, krsi_tile *t, const char *name,
                     int64_t columns)
{
    int64_t width = (int64_t)t->vectors * t->lanes;
    t->b_pack =
        krsi_kb_scratch(f->kb, name, KRS_F32, width * t->chunk,
                        number(f, parts(most(columns, 1), width)), ALIGN);
}

/* ---- scores ---- */

void
krsi_flash_score_tile(krsi_flash *f, krsi_tile *t, krsi_kbuf scores,
                      int columns)
{
    t->a = krsi_flash_rows(&f->q);
    t->b = krsi_flash_rows(&f->k);
    krsi_tile_choose_reading(t);
    krsi_tile_declare_a(t, "q_rows");
    t->one_chunk = true;
    t->factor = f->scale;
    t->out = scores;
    t->out_row = krsi_kb_i64(f->kb, columns);
    t->first = krsi_kb_i64(f->kb, 0);
    t->end = t->k = t->words = f->D;
}

void
krsi_flash_score_strip(krsi_tile *t, krsi_kv row, krsi_kv first, krsi_kv to)
{
    krsi_kb *kb = t->kb;
    t->out_offset = krsi_kb_sub(
        kb, to, krsi_kb_add(kb, krsi_kb_mul(kb, row, t->out_row), first));
    if (t->template == KRSI_TILE_TURNED) {
        t->m0 = row;
        krsi_tile_turned(t);
        return;
    }
    krsi_tile_ready_a(t, row);
    krsi_tile_strip(t, row);
}

/* of row i among the keys */
static krsi_kv
position(krsi_flash *f, krsi_kv i)
{
    return f->by_heads ? f->offset : krsi_kb_add(f->kb, i, f->offset);
}

krsi_kv
krsi_flash_last(krsi_flash *f, krsi_kv i, krsi_kv end)
{
    krsi_kb *kb = f->kb;
    if (!f->at->causal)
        return end;
    return krsi_kb_min(kb, end, plus(f, position(f, i), 1));
}

krsi_kv
krsi_flash_first(krsi_flash *f, krsi_kv i, krsi_kv first)
{
    krsi_kb *kb = f->kb;
    if (!f->window.ref)
        return first;
    krsi_kv from = krsi_kb_sub(kb, position(f, i), f->window);
    return krsi_kb_max(kb, first, plus(f, from, 1));
}

/* elements of the mask for query i and keys j, j + 1, ... below `last` */
static krsi_kv
mask_at(krsi_flash *f, krsi_kv i, krsi_kv j, krsi_kv below, int lanes)
{
    krsi_kb *kb = f->kb;
    const krsi_flash_tensor *x = &f->mask;
    krsi_kmem at = {.buffer = x->buffer};
    at.index = krsi_kb_add(kb, krsi_flash_base(f, x, f->head),
                           krsi_kb_mul(kb, i, x->stride[2]));
    if (!x->repeat[3]) {
        at.index = krsi_kb_add(kb, at.index, krsi_kb_mul(kb, j, x->stride[3]));
        at.lanes = lanes;
        at.mask = below;
        if (!x->unit[3] && lanes > 1)
            at.offsets = krsi_kb_mul(
                kb, krsi_kb_convert(kb, KRS_I64, krsi_kb_lanes(kb, lanes)),
                x->stride[3]);
    }
    krsi_kv v = krsi_kb_load(kb, at);
    return x->repeat[3] ? krsi_kb_broadcast(kb, lanes, v) : v;
}

krsi_kv
krsi_flash_masked(krsi_flash *f, krsi_kv v, krsi_kv i, krsi_kv j, krsi_kv first,
                  krsi_kv last, int lanes, krsi_kv *out_seen)
{
    krsi_kb *kb = f->kb;
    krsi_kv seen = krsi_kb_below(kb, j, last, lanes);
    krsi_kv inside = seen;
    if (f->window.ref)
        seen = krsi_kb_and(kb, seen,
                           krsi_kb_not(kb, krsi_kb_below(kb, j, first, lanes)));
    if (f->at->mask >= 0) {
        krsi_kv m = mask_at(f, i, j, inside, lanes);
        if (f->mask.dtype == KRS_BOOL)
            seen = krsi_kb_and(kb, seen, m);
        else
            v = krsi_kb_add(kb, v, m);
    }
    *out_seen = seen;
    return v;
}

/* ---- forward ---- */

typedef struct forward {
    krsi_flash f;
    krsi_tile s; /* q k^T */
    krsi_tile o; /* p v */
    krsi_flash_tensor out, lse;
    krsi_kbuf scores, most, sum, decay; /* scratch, f32 */
    bool few;                           /* rows: k and v stay where they are */
    krsi_kv rows;                       /* queries of an item */
    krsi_kv q0, q1;                     /* of the item */
} forward;

/* Queries of an item: few enough that all workers have items, many enough that
 * packing keys for them does not show. */
static int64_t
item_rows(const krsi_flash *f, int64_t strip)
{
    int64_t items = most(f->max_B, 1) * f->max_K;
    int64_t wanted =
        parts((int64_t)f->l->facts->workers * ITEMS_A_WORKER, most(items, 1));
    int64_t rows = parts(most(f->max_T, 1), wanted);
    rows = most(rows, parts(LEAST_ROWS, f->max_G));
    if (rows > parts(ITEM_ROWS, f->max_G))
        rows = parts(ITEM_ROWS, f->max_G);
    return parts(rows, strip) * strip;
}

static void
declare_forward(forward *w, krsi_lowering *l)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = l->kb;
    const krsi_attention *at = l->cut->attention;
    krsi_flash_begin(f, l);
    if (at->out >= 0) {
        krsi_view out = rows_of(f, &l->cut->out[at->out].view);
        w->out = krsi_flash_declare(
            l, "out", &out, krsi_tile_load_type(l->cut, at->q), KRS_K_WRITE);
    }
    if (at->out_lse >= 0) {
        krsi_view lse = rows_of(f, &l->cut->out[at->out_lse].view);
        w->lse = krsi_flash_declare(l, "lse", &lse, KRS_F32, KRS_K_WRITE);
    }
    krsi_flash_tile(f, &w->s, f->max_E, f->max_T, f->max_D);
    krsi_flash_tile(f, &w->o, f->max_E, f->max_T, KRSI_FLASH_KEYS);
    int strip = w->s.rows;
    int64_t width = (int64_t)w->o.vectors * w->o.lanes;
    int64_t rows = item_rows(f, strip);
    int64_t columns = parts(f->max_E, width) * width;
    w->rows = number(f, rows);
    krsi_kv all = number(f, rows * f->max_G + w->o.lanes);
    w->scores =
        krsi_kb_scratch(kb, "scores", KRS_F32, (int64_t)strip * KRSI_FLASH_KEYS,
                        KRSI_KV_NONE, ALIGN);
    w->most = krsi_kb_scratch(kb, "most", KRS_F32, 1, all, ALIGN);
    w->sum = krsi_kb_scratch(kb, "sum", KRS_F32, 1, all, ALIGN);
    w->decay =
        krsi_kb_scratch(kb, "decay", KRS_F32, strip, KRSI_KV_NONE, ALIGN);
    krsi_flash_score_tile(f, &w->s, w->scores, KRSI_FLASH_KEYS);
    w->few = f->max_T <= FEW && f->k.unit[3] && w->s.lanes > 1 &&
             (at->v < 0 || f->v.unit[3]);
    if (w->few)
        w->s.template = KRSI_TILE_TURNED;
    else
        krsi_flash_declare_b(f, &w->s, "k_pack", KRSI_FLASH_KEYS);
    if (at->out >= 0) {
        krsi_tile *o = &w->o;
        if (w->few)
            o->template = KRSI_TILE_DIRECT;
        else
            krsi_flash_declare_b(f, o, "v_pack", f->max_E);
        o->b = krsi_flash_across(&f->v);
        o->reading = KRSI_TILE_ROWS_PACKED;
        o->a_pack = w->scores;
        o->a_step = 1;
        o->has_sums = o->decays = true;
        o->decay = w->decay;
        o->sum_stride = number(f, columns);
        o->sums = krsi_kb_scratch(kb, "sums", KRS_F32, 1,
                                  number(f, most(rows * f->max_G * columns, 1)),
                                  ALIGN);
        o->n0 = krsi_kb_i64(kb, 0);
        o->n1 = f->E;
    }
    l->grid[0] = (krsi_grid){f->by_heads ? KRS_INDEX(f->max_T)
                                         : l->cut->load[at->q].view.extent[2],
                             rows};
    l->grid[1] = (krsi_grid){KRS_INDEX(f->max_K), 1};
    l->grid[2] = (krsi_grid){KRS_INDEX(f->max_B), 1};
}

/* value in all `count` elements, which scratch may go beyond by a vector */
static void
fill(forward *w, krsi_kbuf scratch, krsi_kv count, float value)
{
    krsi_kb *kb = w->f.kb;
    int lanes = w->o.lanes;
    krsi_kv i =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), count, krsi_kb_i64(kb, lanes));
    krsi_kb_store(kb, (krsi_kmem){.buffer = scratch, .index = i},
                  krsi_kb_broadcast(kb, lanes, krsi_kb_f32(kb, value)));
    krsi_kb_end(kb);
}

/* Scores r of the strip at the keys from `key` on, whose block begins at
 * `first`. */
static krsi_kmem
score(forward *w, krsi_kv r, krsi_kv first, krsi_kv key)
{
    krsi_kb *kb = w->f.kb;
    krsi_kv at = krsi_kb_mul(kb, r, krsi_kb_i64(kb, KRSI_FLASH_KEYS));
    return (krsi_kmem){.buffer = w->scores,
                       .lanes = w->o.lanes,
                       .index =
                           krsi_kb_add(kb, at, krsi_kb_sub(kb, key, first))};
}

/* a if a > b, else b: scores that are NaN are left out, and show in the sum */
static krsi_kv
larger(krsi_kb *kb, krsi_kv a, krsi_kv b)
{
    return krsi_kb_select(kb, krsi_kb_gt(kb, a, b), a, b);
}

/* The largest of row r's scores that count; the others, among the keys that
 * some row of the strip sees, become -inf. */
static krsi_kv
mask_row(forward *w, krsi_kv r, krsi_kv i, krsi_kv first, krsi_kv end)
{
    krsi_kb *kb = w->f.kb;
    int lanes = w->o.lanes, vectors = KRSI_ROW_LANES / lanes;
    krsi_kv part[KRSI_ROW_LANES], next[KRSI_ROW_LANES];
    krsi_kv from = krsi_flash_first(&w->f, i, first);
    krsi_kv last = krsi_flash_last(&w->f, i, end);
    krsi_kv none = krsi_kb_broadcast(kb, lanes, krsi_kb_f32(kb, -INFINITY));
    krsi_kv key = krsi_kb_for(kb, first, end, krsi_kb_i64(kb, KRSI_ROW_LANES));
    for (int p = 0; p < vectors; p++)
        part[p] = krsi_kb_carry(kb, none);
    for (int p = 0; p < vectors; p++) {
        krsi_kv j = plus(&w->f, key, (int64_t)p * lanes), seen;
        krsi_kmem at = score(w, r, first, j);
        krsi_kv v = krsi_flash_masked(&w->f, krsi_kb_load(kb, at), i, j, from,
                                      last, lanes, &seen);
        v = krsi_kb_select(kb, seen, v, none);
        krsi_kb_store(kb, at, v);
        next[p] = larger(kb, v, part[p]);
    }
    for (int p = 0; p < vectors; p++)
        krsi_kb_next(kb, part[p], next[p]);
    krsi_kb_end(kb);
    for (int p = 0; p < vectors; p++)
        part[p] = krsi_kb_result(kb, part[p]);
    return krsi_kb_row_tree(kb, KRS_KS_MAX, part, lanes);
}

/* scores to e^(score - m); their sum */
static krsi_kv
exp_row(forward *w, krsi_kv r, krsi_kv first, krsi_kv end, krsi_kv m)
{
    krsi_kb *kb = w->f.kb;
    int lanes = w->o.lanes, vectors = KRSI_ROW_LANES / lanes;
    krsi_kv part[KRSI_ROW_LANES], next[KRSI_ROW_LANES];
    krsi_kv zero = krsi_kb_broadcast(kb, lanes, krsi_kb_f32(kb, 0));
    krsi_kv key = krsi_kb_for(kb, first, end, krsi_kb_i64(kb, KRSI_ROW_LANES));
    for (int p = 0; p < vectors; p++)
        part[p] = krsi_kb_carry(kb, zero);
    for (int p = 0; p < vectors; p++) {
        krsi_kmem at = score(w, r, first, plus(&w->f, key, (int64_t)p * lanes));
        krsi_kv e =
            krsi_kmath_exp_fall(kb, krsi_kb_sub(kb, krsi_kb_load(kb, at), m));
        krsi_kb_store(kb, at, e);
        next[p] = krsi_kb_add(kb, part[p], e);
    }
    for (int p = 0; p < vectors; p++)
        krsi_kb_next(kb, part[p], next[p]);
    krsi_kb_end(kb);
    for (int p = 0; p < vectors; p++)
        part[p] = krsi_kb_result(kb, part[p]);
    return krsi_kb_row_tree(kb, KRS_KS_ADD, part, lanes);
}

/* Row r of the strip at `row`, its keys in [first, end): scores become p, the
 * row's statistics move on. */
static void
soften(forward *w, krsi_kv row, krsi_kv r, krsi_kv g, krsi_kv first,
       krsi_kv end)
{
    krsi_kb *kb = w->f.kb;
    krsi_kv i = krsi_kb_add(kb, row, r);
    krsi_kv none = krsi_kb_f32(kb, -INFINITY), zero = krsi_kb_f32(kb, 0);
    krsi_kv slot =
        krsi_kb_add(kb, krsi_kb_mul(kb, g, w->rows), krsi_kb_sub(kb, i, w->q0));
    krsi_kmem most_at = {.buffer = w->most, .index = slot};
    krsi_kmem sum_at = {.buffer = w->sum, .index = slot};
    krsi_kv before = krsi_kb_load(kb, most_at);
    krsi_kv m = larger(kb, mask_row(w, r, i, first, end), before);
    krsi_kv from = krsi_kb_select(kb, krsi_kb_eq(kb, m, none), zero, m);
    krsi_kv decay = krsi_kmath_exp_fall(kb, krsi_kb_sub(kb, before, from));
    krsi_kv sum = exp_row(w, r, first, end, from);
    krsi_kv old = krsi_kb_mul(kb, krsi_kb_load(kb, sum_at), decay);
    krsi_kb_store(kb, most_at, m);
    krsi_kb_store(kb, sum_at, krsi_kb_add(kb, old, sum));
    krsi_kb_store(kb, (krsi_kmem){.buffer = w->decay, .index = r}, decay);
}

/* The strip at `row` of head g of the group meets the keys [first, end). */
static void
meet(forward *w, krsi_kv row, krsi_kv g, krsi_kv first, krsi_kv end)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_tile *s = &w->s, *o = &w->o;
    krsi_kv rows =
        krsi_kb_min(kb, krsi_kb_sub(kb, w->q1, row), krsi_kb_i64(kb, s->rows));
    krsi_kv last_row = plus(f, krsi_kb_add(kb, row, rows), -1);
    krsi_kv limit = krsi_flash_last(f, last_row, end);
    krsi_kv begin = krsi_flash_first(f, row, first);
    krsi_tile_if_below(s, begin, limit);
    s->n1 = limit;
    s->a.offset = krsi_flash_base(f, &f->q, f->head);
    krsi_flash_score_strip(s, row, first, krsi_kb_i64(kb, 0));
    krsi_kv r = krsi_kb_for(kb, krsi_kb_i64(kb, 0), rows, krsi_kb_i64(kb, 1));
    soften(w, row, r, g, first, limit);
    krsi_kb_end(kb);
    if (f->at->out >= 0) {
        o->end = limit;
        o->decay_from = row;
        for (int i = 0; i < o->rows; i++)
            o->a_at[i] = krsi_kb_mul(
                kb, krsi_kb_min(kb, krsi_kb_i64(kb, i), plus(f, rows, -1)),
                krsi_kb_i64(kb, KRSI_FLASH_KEYS));
        krsi_tile_strip(o, row);
    }
    krsi_kb_end(kb);
}

static void
visit_keys(forward *w)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_tile *s = &w->s, *o = &w->o;
    krsi_kv block = krsi_kb_i64(kb, KRSI_FLASH_KEYS), zero = krsi_kb_i64(kb, 0);
    krsi_kv one = krsi_kb_i64(kb, 1);
    krsi_kv end = krsi_flash_last(f, plus(f, w->q1, -1), f->S);
    krsi_kv begin = krsi_flash_first(f, w->q0, zero);
    begin = krsi_kb_sub(kb, begin, krsi_kb_rem(kb, begin, block));
    krsi_kv first = krsi_kb_for(kb, begin, end, block);
    krsi_kv past = krsi_kb_min(kb, plus(f, first, KRSI_FLASH_KEYS), end);
    s->m0 = o->m0 = w->q0;
    s->m1 = o->m1 = w->q1;
    s->n0 = first;
    s->n1 = past;
    s->b.offset = krsi_flash_base(f, &f->k, f->key_head);
    if (!w->few)
        krsi_tile_pack_b(s);
    if (f->at->out >= 0) {
        o->first = first;
        o->end = o->k = past;
        o->b.offset = krsi_flash_base(f, &f->v, f->key_head);
        if (!w->few)
            krsi_tile_pack_b(o);
    }
    krsi_kv g = krsi_kb_for(kb, zero, f->G, one);
    f->head = krsi_kb_add(kb, krsi_kb_mul(kb, f->key_head, f->G), g);
    if (f->at->out >= 0)
        o->sum_start =
            krsi_kb_mul(kb, krsi_kb_mul(kb, g, w->rows), o->sum_stride);
    krsi_kv row = krsi_kb_for(kb, w->q0, w->q1, krsi_kb_i64(kb, s->rows));
    meet(w, row, g, first, past);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}

/* Row i of head g, finished: out = o / l, lse = m + ln l. No key: l = 0. */
static void
deliver_row(forward *w, krsi_kv g, krsi_kv i)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    int lanes = w->o.lanes;
    krsi_kv slot =
        krsi_kb_add(kb, krsi_kb_mul(kb, g, w->rows), krsi_kb_sub(kb, i, w->q0));
    krsi_kv sum =
        krsi_kb_load(kb, (krsi_kmem){.buffer = w->sum, .index = slot});
    if (f->at->out_lse >= 0) {
        krsi_kv m =
            krsi_kb_load(kb, (krsi_kmem){.buffer = w->most, .index = slot});
        krsi_kv lse = krsi_kb_add(kb, m, krsi_kmath_log(kb, sum));
        krsi_kv empty = krsi_kb_eq(kb, sum, krsi_kb_f32(kb, 0));
        lse = krsi_kb_select(kb, empty, krsi_kb_f32(kb, NAN), lse);
        krsi_kv at = krsi_kb_add(kb, krsi_flash_base(f, &w->lse, f->head),
                                 krsi_kb_mul(kb, i, w->lse.stride[2]));
        krsi_kb_store(kb, (krsi_kmem){.buffer = w->lse.buffer, .index = at},
                      lse);
    }
    if (f->at->out < 0)
        return;
    krsi_kv e =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), f->E, krsi_kb_i64(kb, lanes));
    krsi_kv from = krsi_kb_add(kb, krsi_kb_mul(kb, slot, w->o.sum_stride), e);
    krsi_kv v = krsi_kb_load(
        kb, (krsi_kmem){.buffer = w->o.sums, .index = from, .lanes = lanes});
    krsi_kv to = krsi_kb_add(kb, krsi_flash_base(f, &w->out, f->head),
                             krsi_kb_mul(kb, i, w->out.stride[2]));
    krsi_kmem at = {.buffer = w->out.buffer,
                    .index = krsi_kb_add(kb, to, e),
                    .mask = krsi_kb_below(kb, e, f->E, lanes)};
    v = krsi_kb_div(kb, v, sum);
    krsi_kb_store(kb, at, krsi_kb_convert(kb, w->out.dtype, v));
    krsi_kb_end(kb);
}

void
krsi_lower_attention(krsi_lowering *l)
{
    const krsi_attention *at = l->cut->attention;
    forward w = {.rows = KRSI_KV_NONE};
    krsi_flash *f = &w.f;
    krsi_kb *kb = l->kb;
    if (at->cotangent >= 0) {
        krsi_lower_attention_grad(l);
        return;
    }
    declare_forward(&w, l);
    krsi_kv zero = krsi_kb_i64(kb, 0), one = krsi_kb_i64(kb, 1);
    f->b = krsi_kb_axis(kb, 2);
    f->key_head = krsi_kb_axis(kb, 1);
    w.q0 = krsi_kb_mul(kb, krsi_kb_axis(kb, 0), w.rows);
    w.q1 = krsi_kb_min(kb, krsi_kb_add(kb, w.q0, w.rows), f->T);
    krsi_kv all = krsi_kb_mul(kb, w.rows, f->G);
    fill(&w, w.most, all, -INFINITY);
    fill(&w, w.sum, all, 0);
    if (at->out >= 0)
        fill(&w, w.o.sums, krsi_kb_mul(kb, all, w.o.sum_stride), 0);
    visit_keys(&w);
    krsi_kv g = krsi_kb_for(kb, zero, f->G, one);
    f->head = krsi_kb_add(kb, krsi_kb_mul(kb, f->key_head, f->G), g);
    krsi_kv i = krsi_kb_for(kb, w.q0, w.q1, one);
    deliver_row(&w, g, i);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}
