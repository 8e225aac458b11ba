/* lower_attention_grad.c -- the gradient of attention: cotangents of q, k and v
 * from scores that are computed again, tile by tile.
 *
 * An item has a key head: all its keys, and all queries of the heads that share
 * it. For each block of keys it goes through the queries that see one of them,
 * a block at a time: scores and e^(s - lse) (tile p), g v^T and ds (tile ds),
 * then three products that are added to dq, dv and dk where they lie. So every
 * element of the result is written by one item, in one order, and five
 * products are all there are (lower_attention.h).
 *
 * Source: Dao et al. 2022, algorithm 4; Dao 2023, section 3.1.
 */
#include "lower_attention.h"

enum { ALIGN = 64, KEYS = KRSI_FLASH_GRAD_KEYS, QUERIES = KRSI_FLASH_QUERIES };

typedef struct gradient {
    krsi_flash f;
    krsi_tile s;          /* p: rows of q, panels of k turned */
    krsi_tile dp;         /* ds: rows of the cotangent, panels of v turned */
    krsi_tile dq, dk, dv; /* added to the result */
    krsi_flash_tensor result, lse, cotangent, to_q, to_k, to_v;
    krsi_kbuf p, ds, delta; /* scratch: tiles [QUERIES][KEYS]; [G*T] */
    krsi_kv k0, k1, q0, q1; /* the blocks at hand */
    krsi_kv seen;           /* keys of the block that a query sees end here */
    krsi_kv group_row;      /* first query of the head, in delta */
} gradient;

static krsi_kv
times(gradient *w, krsi_kv a, int64_t b)
{
    return krsi_kb_mul(w->f.kb, a, krsi_kb_i64(w->f.kb, b));
}

/* ---- declarations ---- */

/* A product that is added to `to`, whose rows of B are those of x. */
static void
declare_sum(gradient *w, krsi_tile *t, const char *name, krsi_kbuf a,
            const krsi_flash_tensor *x, const krsi_flash_tensor *to,
            int64_t columns, int64_t depth)
{
    krsi_flash *f = &w->f;
    krsi_flash_tile(f, t, columns, INT64_MAX, depth);
    krsi_flash_declare_b(f, t, name, columns);
    t->whole_columns =
        t->small && columns % ((int64_t)t->vectors * t->lanes) == 0;
    t->a = (krsi_tile_operand){.buffer = a};
    t->b = krsi_flash_across(x);
    t->out = to->buffer;
    t->out_row = to->stride[2];
    t->n0 = krsi_kb_i64(f->kb, 0);
    t->n1 = krsi_tile_integer(f->l, KRS_INDEX(columns));
}

/* Small code stores sums without masks, or by way of scratch. */
static void
declare_squares(gradient *w)
{
    static const char *const names[] = {"dq_square", "dk_square", "dv_square"};
    krsi_tile *const tiles[] = {&w->dq, &w->dk, &w->dv};
    for (int i = 0; i < 3; i++)
        if (tiles[i]->small && !tiles[i]->whole_columns)
            krsi_tile_declare_square(tiles[i], names[i]);
}

static void
declare(gradient *w, krsi_lowering *l)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = l->kb;
    const krsi_attention *at = l->cut->attention;
    krsi_flash_begin(f, l);
    w->result = krsi_flash_load(l, "result", at->result);
    w->lse = krsi_flash_load(l, "lse", at->lse);
    w->cotangent = krsi_flash_load(l, "cotangent", at->cotangent);
    krsi_kbuf out = krsi_tile_buffer(l, "out", l->cut->out[0].view.value,
                                     KRS_F32, KRS_K_READ | KRS_K_WRITE);
    int64_t start = 0, rows = f->max_G * f->max_T;
    w->to_q = krsi_flash_part(f, out, &start, f->max_K * f->max_G, f->max_T,
                              f->max_D);
    w->to_k = krsi_flash_part(f, out, &start, f->max_K, f->max_S, f->max_D);
    w->to_v = krsi_flash_part(f, out, &start, f->max_K, f->max_S, f->max_E);
    w->p = krsi_kb_scratch(kb, "p", KRS_F32, (int64_t)QUERIES * KEYS,
                           KRSI_KV_NONE, ALIGN);
    w->ds = krsi_kb_scratch(kb, "ds", KRS_F32, (int64_t)QUERIES * KEYS,
                            KRSI_KV_NONE, ALIGN);
    w->delta = krsi_kb_scratch(kb, "delta", KRS_F32, 1,
                               krsi_tile_integer(l, KRS_INDEX(rows ? rows : 1)),
                               ALIGN);

    krsi_flash_declare_lanes(f);
    krsi_flash_tile(f, &w->s, 0, f->max_T, f->max_D);
    krsi_flash_score_tile(f, &w->s, w->p, KEYS);
    krsi_flash_declare_b(f, &w->s, "k_turned", KEYS);
    krsi_tile *dp = &w->dp;
    krsi_flash_tile(f, dp, 0, f->max_T, f->max_E);
    dp->a = krsi_flash_rows(&w->cotangent);
    dp->b = krsi_flash_rows(&f->v);
    krsi_tile_choose_reading(dp);
    krsi_tile_declare_a(dp, "cotangent_rows");
    krsi_flash_declare_b(f, dp, "v_turned", KEYS);
    dp->one_chunk = true;
    dp->out = w->ds;
    dp->out_row = krsi_kb_i64(kb, KEYS);
    dp->first = krsi_kb_i64(kb, 0);
    dp->end = dp->k = dp->words = f->E;

    declare_sum(w, &w->dq, "k_pack", w->ds, &f->k, &w->to_q, f->max_D, KEYS);
    declare_sum(w, &w->dk, "q_pack", w->ds, &f->q, &w->to_k, f->max_D, QUERIES);
    declare_sum(w, &w->dv, "cotangent_pack", w->p, &w->cotangent, &w->to_v,
                f->max_E, QUERIES);
    declare_squares(w);
    w->dq.a_step = 1;
    w->dk.a_step = w->dv.a_step = KEYS;
    l->grid[0] = (krsi_grid){KRS_INDEX(f->max_K), 1};
    l->grid[1] = (krsi_grid){KRS_INDEX(f->max_B), 1};
}

/* ---- before the blocks ---- */

/* `value` in `count` consecutive elements from `at` on */
static void
fill(gradient *w, krsi_kv at, krsi_kv count, krsi_kv value)
{
    krsi_kb *kb = w->f.kb;
    int lanes = w->dq.lanes;
    krsi_kv i =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), count, krsi_kb_i64(kb, lanes));
    krsi_kb_store(kb,
                  (krsi_kmem){.buffer = w->to_q.buffer,
                              .index = krsi_kb_add(kb, at, i),
                              .mask = krsi_kb_below(kb, i, count, lanes)},
                  krsi_kb_broadcast(kb, lanes, value));
    krsi_kb_end(kb);
}

/* elements e, e + 1, ... of row i of a head, as f32; zeros beyond E */
static krsi_kv
row_vector(gradient *w, const krsi_flash_tensor *x, krsi_kv i, krsi_kv e)
{
    krsi_kb *kb = w->f.kb;
    int lanes = w->dq.lanes;
    krsi_kmem at = {.buffer = x->buffer,
                    .lanes = lanes,
                    .mask = krsi_kb_below(kb, e, w->f.E, lanes)};
    at.index = krsi_kb_add(kb, krsi_flash_base(&w->f, x, w->f.head),
                           krsi_kb_add(kb, krsi_kb_mul(kb, i, x->stride[2]),
                                       krsi_kb_mul(kb, e, x->stride[3])));
    if (!x->unit[3] && lanes > 1)
        at.offsets = krsi_kb_mul(
            kb, krsi_kb_convert(kb, KRS_I64, krsi_kb_lanes(kb, lanes)),
            x->stride[3]);
    return krsi_kb_convert(kb, KRS_F32, krsi_kb_load(kb, at));
}

static krsi_kv
lse_of(gradient *w, krsi_kv i)
{
    krsi_kb *kb = w->f.kb;
    krsi_kv at = krsi_kb_add(kb, krsi_flash_base(&w->f, &w->lse, w->f.head),
                             krsi_kb_mul(kb, i, w->lse.stride[2]));
    return krsi_kb_load(kb, (krsi_kmem){.buffer = w->lse.buffer, .index = at});
}

typedef struct dot {
    gradient *w;
    krsi_kv i; /* query */
} dot;

/* sum + cotangent times result, by lane */
static krsi_kv
dot_step(void *context, krsi_kv e, krsi_kv sum)
{
    dot *d = context;
    krsi_kb *kb = d->w->f.kb;
    krsi_kv product =
        krsi_kb_mul(kb, row_vector(d->w, &d->w->cotangent, d->i, e),
                    row_vector(d->w, &d->w->result, d->i, e));
    return krsi_kb_add(kb, sum, product);
}

/* delta of all rows; dq and dk zero, dv too unless the statistic of a row is
 * NaN: each p of that row is then, and so is dv. */
static void
begin(gradient *w)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_kv zero = krsi_kb_f32(kb, 0), none = krsi_kb_i64(kb, 0);
    krsi_kv all = krsi_kb_mul(kb, f->G, f->T);
    krsi_kv first_head = krsi_kb_mul(kb, f->key_head, f->G);
    fill(w, krsi_flash_base(f, &w->to_q, first_head),
         krsi_kb_mul(kb, all, f->D), zero);
    fill(w, krsi_flash_base(f, &w->to_k, f->key_head),
         krsi_kb_mul(kb, f->S, f->D), zero);
    krsi_kv g = krsi_kb_for(kb, none, f->G, krsi_kb_i64(kb, 1));
    krsi_kv outer = krsi_kb_carry(kb, zero);
    f->head = krsi_kb_add(kb, first_head, g);
    krsi_flash_row summed = {dot_step, NULL, KRS_KS_ADD, 0, w->dq.lanes};
    krsi_kv i = krsi_kb_for(kb, none, f->T, krsi_kb_i64(kb, 1));
    krsi_kv inner = krsi_kb_carry(kb, outer);
    krsi_kv row = krsi_kb_add(kb, krsi_kb_mul(kb, g, f->T), i);
    krsi_kv lse = lse_of(w, i);
    dot d = {w, i};
    summed.context = &d;
    krsi_kb_store(kb, (krsi_kmem){.buffer = w->delta, .index = row},
                  krsi_flash_along_row(f, &summed, none, f->E));
    krsi_kb_next(kb, inner,
                 krsi_kb_select(kb, krsi_kb_ne(kb, lse, lse), lse, inner));
    krsi_kb_end(kb);
    krsi_kb_next(kb, outer, krsi_kb_result(kb, inner));
    krsi_kb_end(kb);
    fill(w, krsi_flash_base(f, &w->to_v, f->key_head),
         krsi_kb_mul(kb, f->S, f->E), krsi_kb_result(kb, outer));
}

/* ---- one block of queries and keys ---- */

static krsi_kmem
tile_at(gradient *w, krsi_kbuf tile, krsi_kv r, krsi_kv key)
{
    krsi_kb *kb = w->f.kb;
    return (krsi_kmem){.buffer = tile,
                       .lanes = w->dq.lanes,
                       .index = krsi_kb_add(kb, times(w, r, KEYS),
                                            krsi_kb_sub(kb, key, w->k0))};
}

/* Row r of the block: scores to p and dp to ds, zero where they do not
 * count. */
static void
soften(gradient *w, krsi_kv r)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    int lanes = w->dq.lanes;
    krsi_kv zero = krsi_kb_broadcast(kb, lanes, krsi_kb_f32(kb, 0));
    krsi_kv i = krsi_kb_add(kb, w->q0, r), seen;
    krsi_kv first = krsi_flash_first(f, i, w->k0);
    krsi_kv last = krsi_flash_last(f, i, w->k1);
    krsi_kv lse = lse_of(w, i);
    krsi_kv delta = krsi_kb_load(
        kb, (krsi_kmem){.buffer = w->delta,
                        .index = krsi_kb_add(kb, w->group_row, i)});
    krsi_kv key = krsi_kb_for(kb, w->k0, w->seen, krsi_kb_i64(kb, lanes));
    krsi_kmem at_p = tile_at(w, w->p, r, key);
    krsi_kmem at_ds = tile_at(w, w->ds, r, key);
    krsi_kv s = krsi_flash_masked(f, krsi_kb_load(kb, at_p), i, key, first,
                                  last, lanes, &seen);
    krsi_kv p = krsi_kmath_exp_fall(kb, krsi_kb_sub(kb, s, lse));
    krsi_kv dp = krsi_kb_load(kb, at_ds);
    krsi_kv ds = krsi_kb_mul(kb, p, krsi_kb_sub(kb, dp, delta));
    ds = krsi_kb_mul(kb, ds, f->scale);
    krsi_kb_store(kb, at_p, krsi_kb_select(kb, seen, p, zero));
    krsi_kb_store(kb, at_ds, krsi_kb_select(kb, seen, ds, zero));
    krsi_kb_end(kb);
}

/* The tiles p and ds, a strip of queries at a time. */
static void
fill_tiles(gradient *w)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_tile *s = &w->s, *dp = &w->dp;
    s->m0 = dp->m0 = w->q0;
    s->m1 = dp->m1 = w->q1;
    s->a.offset = krsi_flash_base(f, &f->q, f->head);
    dp->a.offset = krsi_flash_base(f, &w->cotangent, f->head);
    krsi_kv row = krsi_kb_for(kb, w->q0, w->q1, krsi_kb_i64(kb, s->rows));
    krsi_kv rows =
        krsi_kb_min(kb, krsi_kb_sub(kb, w->q1, row), krsi_kb_i64(kb, s->rows));
    krsi_kv last_row = krsi_flash_plus(&w->f, krsi_kb_add(kb, row, rows), -1);
    krsi_kv local = krsi_kb_sub(kb, row, w->q0);
    s->n1 = dp->n1 = krsi_flash_last(f, last_row, w->k1);
    krsi_flash_score_strip(s, row, w->k0, times(w, local, KEYS));
    krsi_flash_score_strip(dp, row, w->k0, times(w, local, KEYS));
    krsi_kv r = krsi_kb_for(kb, local, krsi_kb_add(kb, local, rows),
                            krsi_kb_i64(kb, 1));
    soften(w, r);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}

/* dq += ds k */
static void
add_queries(gradient *w)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_tile *t = &w->dq;
    t->m0 = w->q0;
    t->m1 = w->q1;
    t->out_offset = krsi_flash_base(f, &w->to_q, f->head);
    krsi_kv row = krsi_kb_for(kb, w->q0, w->q1, krsi_kb_i64(kb, t->rows));
    krsi_kv last = krsi_flash_plus(&w->f, w->q1, -1);
    krsi_kv past =
        krsi_kb_min(kb, krsi_flash_plus(&w->f, row, t->rows - 1), last);
    t->end = krsi_flash_last(f, past, w->k1);
    for (int r = 0; r < t->rows; r++) {
        krsi_kv i = krsi_kb_min(kb, krsi_flash_plus(&w->f, row, r), last);
        t->a_at[r] = times(w, krsi_kb_sub(kb, i, w->q0), KEYS);
    }
    krsi_tile_strip(t, row);
    krsi_kb_end(kb);
}

/* dk += ds^T q, or dv += p^T g: for the keys that a query sees, over the
 * queries that see the first of a strip. */
static void
add_keys(gradient *w, krsi_tile *t, const krsi_flash_tensor *to)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    t->m0 = w->k0;
    t->m1 = w->seen;
    t->out_offset = krsi_flash_base(f, to, f->key_head);
    krsi_kv key = krsi_kb_for(kb, w->k0, w->seen, krsi_kb_i64(kb, t->rows));
    for (int r = 0; r < t->rows; r++)
        t->a_at[r] =
            krsi_kb_sub(kb,
                        krsi_kb_min(kb, krsi_flash_plus(&w->f, key, r),
                                    krsi_flash_plus(&w->f, w->seen, -1)),
                        w->k0);
    if (f->at->causal) {
        krsi_kv query = krsi_kb_sub(kb, key, f->offset);
        t->low =
            krsi_kb_max(kb, krsi_kb_i64(kb, 0), krsi_kb_sub(kb, query, w->q0));
    }
    krsi_tile_strip(t, key);
    krsi_kb_end(kb);
}

static void
pack(gradient *w, krsi_tile *t, const krsi_flash_tensor *x, krsi_kv head,
     krsi_kv first, krsi_kv end)
{
    t->first = first;
    t->end = t->k = end;
    t->b.offset = krsi_flash_base(&w->f, x, head);
    krsi_tile_pack_b(t);
}

static void
pack_turned(gradient *w, krsi_tile *t, const krsi_flash_tensor *x)
{
    t->n0 = w->k0;
    t->n1 = w->k1;
    t->b.offset = krsi_flash_base(&w->f, x, w->f.key_head);
    krsi_tile_pack_b(t);
}

void
krsi_lower_attention_grad(krsi_lowering *l)
{
    gradient w = {.p = {0}};
    krsi_flash *f = &w.f;
    krsi_kb *kb = l->kb;
    krsi_kv first, end;
    declare(&w, l);
    f->key_head = krsi_kb_axis(kb, 0);
    f->b = krsi_kb_axis(kb, 1);
    begin(&w);
    w.k0 = krsi_kb_for(kb, krsi_kb_i64(kb, 0), f->S, krsi_kb_i64(kb, KEYS));
    w.k1 = krsi_kb_min(kb, krsi_flash_plus(&w.f, w.k0, KEYS), f->S);
    pack_turned(&w, &w.s, &f->k);
    pack_turned(&w, &w.dp, &f->v);
    pack(&w, &w.dq, &f->k, f->key_head, w.k0, w.k1);
    w.group_row = krsi_kb_mul(kb, krsi_flash_open_heads(f), f->T);
    krsi_flash_bound_queries(f, w.k0, w.k1, &first, &end);
    w.q0 = krsi_kb_for(kb, first, end, krsi_kb_i64(kb, QUERIES));
    w.q1 = krsi_kb_min(kb, krsi_flash_plus(&w.f, w.q0, QUERIES), end);
    w.seen = krsi_flash_last(f, krsi_flash_plus(&w.f, w.q1, -1), w.k1);
    pack(&w, &w.dk, &f->q, f->head, w.q0, w.q1);
    pack(&w, &w.dv, &w.cotangent, f->head, w.q0, w.q1);
    fill_tiles(&w);
    add_queries(&w);
    add_keys(&w, &w.dv, &w.to_v);
    add_keys(&w, &w.dk, &w.to_k);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}
