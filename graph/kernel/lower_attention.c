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
#include "lower_attention_lanes.h"

#include <math.h>

enum {
    ALIGN = 64,
    FEW = 8, /* rows for which packing keys would cost more than it gives */
    ITEM_ROWS = 512, /* of an item, at most, where there is enough work */
    LEAST_ROWS = 64, /* packing a block costs as much as a few rows */
    ITEMS_A_WORKER = 4
};

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
    int64_t items = krsi_tile_most(f->max_B, 1) * f->max_K;
    int64_t wanted =
        krsi_tile_parts((int64_t)f->l->facts->workers * ITEMS_A_WORKER,
                        krsi_tile_most(items, 1));
    int64_t rows = krsi_tile_parts(krsi_tile_most(f->max_T, 1), wanted);
    rows = krsi_tile_most(rows, krsi_tile_parts(LEAST_ROWS, f->max_G));
    if (rows > krsi_tile_parts(ITEM_ROWS, f->max_G))
        rows = krsi_tile_parts(ITEM_ROWS, f->max_G);
    return krsi_tile_parts(rows, strip) * strip;
}

static void
declare_forward(forward *w, krsi_lowering *l)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = l->kb;
    const krsi_attention *at = l->cut->attention;
    krsi_flash_begin(f, l);
    if (at->out >= 0) {
        krsi_view out = krsi_flash_rows_of(f, &l->cut->out[at->out].view);
        w->out = krsi_flash_declare(
            l, "out", &out, krsi_tile_load_type(l->cut, at->q), KRS_K_WRITE);
    }
    if (at->out_lse >= 0) {
        krsi_view lse = krsi_flash_rows_of(f, &l->cut->out[at->out_lse].view);
        w->lse = krsi_flash_declare(l, "lse", &lse, KRS_F32, KRS_K_WRITE);
    }
    krsi_flash_declare_lanes(f);
    krsi_flash_tile(f, &w->s, f->max_E, f->max_T, f->max_D);
    krsi_flash_tile(f, &w->o, f->max_E, f->max_T, KRSI_FLASH_KEYS);
    int strip = w->s.rows;
    int64_t width = (int64_t)w->o.vectors * w->o.lanes;
    int64_t rows = item_rows(f, strip);
    int64_t columns = krsi_tile_parts(f->max_E, width) * width;
    w->rows = krsi_flash_number(f, rows);
    krsi_kv all = krsi_flash_number(f, rows * f->max_G + w->o.lanes);
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
    if (w->few) {
        w->s.template = KRSI_TILE_TURNED;
        w->s.small = w->s.out_is_padded = false;
    } else {
        krsi_flash_declare_b(f, &w->s, "k_pack", KRSI_FLASH_KEYS);
    }
    if (at->out >= 0) {
        krsi_tile *o = &w->o;
        if (w->few) {
            o->template = KRSI_TILE_DIRECT;
            o->small = false;
        } else {
            krsi_flash_declare_b(f, o, "v_pack", f->max_E);
        }
        o->b = krsi_flash_across(&f->v);
        o->reading = KRSI_TILE_ROWS_PACKED;
        o->a_pack = w->scores;
        o->a_step = 1;
        o->has_sums = o->decays = true;
        o->decay = w->decay;
        o->sum_stride = krsi_flash_number(f, columns);
        o->sums = krsi_kb_scratch(
            kb, "sums", KRS_F32, 1,
            krsi_flash_number(f, krsi_tile_most(rows * f->max_G * columns, 1)),
            ALIGN);
        o->whole_columns = o->small && f->max_E == columns;
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

/* A row of the strip on its way to p. */
typedef struct softening {
    forward *w;
    krsi_kv r, i, first;   /* of the strip, of all queries; of the keys */
    krsi_kv from, last, m; /* keys that it sees; its largest score */
} softening;

/* the largest score that counts; the others become -inf */
static krsi_kv
mask_step(void *context, krsi_kv key, krsi_kv largest)
{
    softening *s = context;
    krsi_kb *kb = s->w->f.kb;
    krsi_kmem at = score(s->w, s->r, s->first, key);
    krsi_kv none = krsi_kb_f32(kb, -INFINITY), seen;
    krsi_kv v = krsi_flash_masked(&s->w->f, krsi_kb_load(kb, at), s->i, key,
                                  s->from, s->last, s->w->o.lanes, &seen);
    v = krsi_kb_select(kb, seen, v, none);
    krsi_kb_store(kb, at, v);
    return larger(kb, v, largest);
}

/* scores to e^(score - m), added up */
static krsi_kv
exp_step(void *context, krsi_kv key, krsi_kv sum)
{
    softening *s = context;
    krsi_kb *kb = s->w->f.kb;
    krsi_kmem at = score(s->w, s->r, s->first, key);
    krsi_kv e =
        krsi_kmath_exp_fall(kb, krsi_kb_sub(kb, krsi_kb_load(kb, at), s->m));
    krsi_kb_store(kb, at, e);
    return krsi_kb_add(kb, sum, e);
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
    softening s = {.w = w, .r = r, .i = i, .first = first};
    s.from = krsi_flash_first(&w->f, i, first);
    s.last = krsi_flash_last(&w->f, i, end);
    krsi_flash_row masked = {mask_step, &s, KRS_KS_MAX, -INFINITY, w->o.lanes};
    krsi_kv largest = krsi_flash_along_row(&w->f, &masked, first, end);
    krsi_kv m = larger(kb, largest, before);
    s.m = krsi_kb_select(kb, krsi_kb_eq(kb, m, none), zero, m);
    krsi_kv decay = krsi_kmath_exp_fall(kb, krsi_kb_sub(kb, before, s.m));
    krsi_flash_row summed = {exp_step, &s, KRS_KS_ADD, 0, w->o.lanes};
    krsi_kv sum = krsi_flash_along_row(&w->f, &summed, first, end);
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
    krsi_kv last_row = krsi_flash_plus(f, krsi_kb_add(kb, row, rows), -1);
    krsi_kv limit = krsi_flash_last(f, last_row, end);
    krsi_kv begin = krsi_flash_first(f, row, first);
    krsi_kb_if_below(s->kb, begin, limit);
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
            o->a_at[i] = krsi_kb_mul(kb,
                                     krsi_kb_min(kb, krsi_kb_i64(kb, i),
                                                 krsi_flash_plus(f, rows, -1)),
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
    krsi_kv end = krsi_flash_last(f, krsi_flash_plus(f, w->q1, -1), f->S);
    krsi_kv begin = krsi_flash_first(f, w->q0, zero);
    begin = krsi_kb_sub(kb, begin, krsi_kb_rem(kb, begin, block));
    krsi_kv first = krsi_kb_for(kb, begin, end, block);
    krsi_kv past =
        krsi_kb_min(kb, krsi_flash_plus(f, first, KRSI_FLASH_KEYS), end);
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
    krsi_kv g = krsi_flash_open_heads(f);
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
        krsi_flash_store_lse(f, &w->lse, i, m, sum);
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
        if (l->facts->items_are_lanes)
            krsi_lower_attention_lanes_grad(l);
        else
            krsi_lower_attention_grad(l);
        return;
    }
    if (l->facts->items_are_lanes) {
        krsi_lower_attention_lanes(l);
        return;
    }
    declare_forward(&w, l);
    krsi_kv one = krsi_kb_i64(kb, 1);
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
    krsi_kv g = krsi_flash_open_heads(f);
    krsi_kv i = krsi_kb_for(kb, w.q0, w.q1, one);
    deliver_row(&w, g, i);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}
