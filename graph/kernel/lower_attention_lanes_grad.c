/* lower_attention_lanes_grad.c -- the gradient of attention where items are
 * lanes of a processor.
 *
 * Half of the items have a strip of queries, and compute its dq from all keys
 * that it sees; half have a strip of keys, and compute dk and dv from all
 * queries that see it. Scores and dp are made by both: seven products where
 * five would do, but no item waits for another, and each sum is made by one
 * item in the order of lower_attention.h. Strips of keys have their scores
 * turned, a row a key, so that the same tiles serve.
 *
 * Source: Dao 2023, section 3.2, where the passes are kernels of their own.
 */
#include "lower_attention_lanes.h"

enum {
    KEYS = KRSI_FLASH_GRAD_KEYS,
    QUERIES = KRSI_FLASH_QUERIES,
    SHORT = 128, /* a row that is summed without loops */
    ALIGN = 64,
    LANES = KRSI_STRIP_LANES
};

/* A product that is added to sums in scratch: rows of the strip. */
typedef struct sums {
    krsi_tile t;
    krsi_kbuf sums;
    krsi_kv stride, columns;
    int64_t max_columns;
} sums;

typedef struct gradient {
    krsi_flash f;
    krsi_tile s, dp; /* of queries and keys; of keys and queries */
    krsi_flash_tensor result, lse, cotangent, to_q, to_k, to_v;
    krsi_kbuf p, ds, delta; /* scratch */
    sums one, other;        /* dq; dv and dk */
    int rows;
    krsi_kv first, end; /* the strip's rows */
} gradient;

/* ---- declarations ---- */

static void
declare_sums(gradient *w, sums *x, const char *name, int64_t columns)
{
    krsi_flash *f = &w->f;
    x->stride = krsi_flash_number(f, krsi_strip_room(columns));
    x->sums = krsi_kb_scratch(f->kb, name, KRS_F32, w->rows, x->stride, ALIGN);
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
                                     KRS_F32, KRS_K_WRITE);
    int64_t start = 0, most = krsi_tile_most(f->max_T, f->max_S);
    int64_t heads = f->max_K * f->max_G;
    w->to_q = krsi_flash_part(f, out, &start, heads, f->max_T, f->max_D);
    w->to_k = krsi_flash_part(f, out, &start, f->max_K, f->max_S, f->max_D);
    w->to_v = krsi_flash_part(f, out, &start, f->max_K, f->max_S, f->max_E);
    w->rows = krsi_strip_rows(most);
    w->p = krsi_kb_scratch(kb, "p", KRS_F32, (int64_t)w->rows * QUERIES,
                           KRSI_KV_NONE, ALIGN);
    w->ds = krsi_kb_scratch(kb, "ds", KRS_F32, (int64_t)w->rows * KEYS,
                            KRSI_KV_NONE, ALIGN);
    w->delta =
        krsi_kb_scratch(kb, "delta", KRS_F32, QUERIES, KRSI_KV_NONE, ALIGN);
    declare_sums(w, &w->one, "sums", krsi_tile_most(f->max_D, f->max_E));
    declare_sums(w, &w->other, "key_sums", f->max_D);
    krs_index queries = l->cut->load[at->q].view.extent[2];
    krs_index keys = l->cut->load[at->k].view.extent[2];
    krs_index longer = queries.base < keys.base ? keys : queries;
    if (queries.terms || keys.terms)
        longer = krs_index_plus(queries, keys);
    l->grid[0] = (krsi_grid){longer, w->rows};
    l->grid[1] = (krsi_grid){KRS_INDEX(krsi_tile_most(heads, f->max_K)), 1};
    l->grid[2] = (krsi_grid){KRS_INDEX(2 * f->max_B), 1};
}

/* The tile of scores, or of dp: rows of a, and those of b turned. */
static void
score_tile(gradient *w, krsi_tile *t, const krsi_flash_tensor *a,
           krsi_kv a_head, const krsi_flash_tensor *b, krsi_kv b_head,
           krsi_kv columns, int64_t max_columns)
{
    krsi_flash *f = &w->f;
    krsi_strip_tile(f, t, w->rows, KRSI_STRIP_VECTORS);
    t->a = krsi_flash_rows(a);
    t->b = krsi_flash_rows(b);
    t->a.offset = krsi_flash_base(f, a, a_head);
    t->b.offset = krsi_flash_base(f, b, b_head);
    t->whole_words = max_columns % LANES == 0;
    t->first = krsi_kb_i64(f->kb, 0);
    t->end = columns;
    t->m1 = w->end;
}

/* The product of `a`, in scratch, and rows of x, whose sums begin as zero. */
static void
begin_sums(gradient *w, sums *x, krsi_kbuf a, int stride,
           const krsi_flash_tensor *b, krsi_kv columns, int64_t max_columns)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_kv rows = krsi_kb_i64(kb, w->rows);
    krsi_strip_tile(f, &x->t, w->rows, krsi_strip_vectors(max_columns));
    x->t.whole_columns = max_columns % LANES == 0;
    x->t.a = krsi_strip_scratch(f, a, stride);
    x->t.b = krsi_flash_across(b);
    x->t.whole_rows = true;
    x->t.m1 = rows;
    x->t.n1 = x->columns = columns;
    x->max_columns = max_columns;
    krsi_strip_fill(f, x->sums, krsi_kb_i64(kb, 0),
                    krsi_kb_mul(kb, rows, x->stride), 0);
}

/* sums += a b, words [from, end) of a block that begins at `first` */
static void
add_block(gradient *w, sums *x, krsi_kv b_base, krsi_kv first, krsi_kv from,
          krsi_kv end)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_tile *t = &x->t;
    krsi_tile_registers s;
    krsi_kv zero = krsi_kb_i64(kb, 0);
    t->first = first;
    t->low = krsi_kb_sub(kb, from, first);
    t->end = krsi_strip_words(f, t, end, first);
    t->a.offset = krsi_kb_sub(kb, zero, first);
    t->b.offset = b_base;
    t->n0 = krsi_kb_for(kb, zero, x->columns,
                        krsi_kb_i64(kb, (int64_t)t->vectors * LANES));
    krsi_tile_single_sums(t, zero, s);
    krsi_kv row = krsi_strip_open_rows(f, t), now[KRSI_TILE_VECTORS];
    krsi_tile_single_row(t, row, 1, 0, s, now);
    for (int v = 0; v < t->vectors; v++) {
        krsi_kmem at =
            krsi_strip_at(f, x->sums, row, x->stride,
                          krsi_flash_plus(f, t->n0, (int64_t)v * LANES));
        krsi_kb_store(kb, at, krsi_kb_add(kb, krsi_kb_load(kb, at), now[v]));
    }
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}

/* The sums to the rows of the strip; `with` is added. */
static void
deliver(gradient *w, const sums *x, const krsi_flash_tensor *to, krsi_kv head,
        krsi_kv with)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_kv r =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), krsi_kb_sub(kb, w->end, w->first),
                    krsi_kb_i64(kb, 1));
    krsi_strip_deliver(f, to, head, krsi_kb_add(kb, w->first, r),
                       &(krsi_strip_row){x->sums, r, x->stride, x->columns,
                                         x->max_columns, KRS_KS_ADD, with});
    krsi_kb_end(kb);
}

/* ---- statistics of queries ---- */

/* elements e .. e + 3 of row i of a head, as f32; zeros beyond E */
static krsi_kv
row_vector(gradient *w, const krsi_flash_tensor *x, krsi_kv i, krsi_kv e)
{
    krsi_kb *kb = w->f.kb;
    krsi_kmem at = {.buffer = x->buffer,
                    .lanes = LANES,
                    .align_bytes = x->in_fours ? KRSI_TILE_ALIGNED : 0,
                    .flags = x->unit[3] ? KRS_K_TEXEL : 0};
    if (w->f.max_E % LANES || w->f.max_E > SHORT)
        at.mask = krsi_kb_below(kb, e, w->f.E, LANES);
    at.index = krsi_kb_add(kb, krsi_flash_base(&w->f, x, w->f.head),
                           krsi_kb_add(kb, krsi_kb_mul(kb, i, x->stride[2]),
                                       krsi_kb_mul(kb, e, x->stride[3])));
    if (!x->unit[3])
        at.offsets = krsi_kb_mul(
            kb, krsi_kb_convert(kb, KRS_I64, krsi_kb_lanes(kb, LANES)),
            x->stride[3]);
    return krsi_kb_convert(kb, KRS_F32, krsi_kb_load(kb, at));
}

typedef struct dot {
    gradient *w;
    krsi_kv i; /* query */
} dot;

static krsi_kv
dot_step(void *context, krsi_kv e)
{
    dot *d = context;
    return krsi_kb_mul(d->w->f.kb, row_vector(d->w, &d->w->cotangent, d->i, e),
                       row_vector(d->w, &d->w->result, d->i, e));
}

/* cotangent times result, for the queries low .. high, to delta[i - low] */
static void
find_delta(gradient *w, krsi_kv low, krsi_kv from, krsi_kv high)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_kv i = krsi_kb_for(kb, from, high, krsi_kb_i64(kb, 1));
    dot d = {w, i};
    krsi_kv sum = f->max_E % LANES || f->max_E > SHORT
                      ? krsi_strip_sum(f, f->E, dot_step, &d)
                      : krsi_strip_short_sum(f, f->max_E, dot_step, &d);
    krsi_kb_store(
        kb, (krsi_kmem){.buffer = w->delta, .index = krsi_kb_sub(kb, i, low)},
        sum);
    krsi_kb_end(kb);
}

/* lse of query i, or of i .. i + 3, those below `end` */
static krsi_kv
lse_of(gradient *w, krsi_kv i, int lanes, krsi_kv end)
{
    krsi_kb *kb = w->f.kb;
    const krsi_flash_tensor *x = &w->lse;
    krsi_kmem at = {.buffer = x->buffer,
                    .lanes = lanes,
                    .flags = lanes == 1 || x->unit[2] ? KRS_K_TEXEL : 0};
    at.index = krsi_kb_add(kb, krsi_flash_base(&w->f, x, w->f.head),
                           krsi_kb_mul(kb, i, x->stride[2]));
    if (lanes > 1) {
        at.mask = krsi_kb_below(kb, i, end, lanes);
        if (!x->unit[2])
            at.offsets = krsi_kb_mul(
                kb, krsi_kb_convert(kb, KRS_I64, krsi_kb_lanes(kb, lanes)),
                x->stride[2]);
    }
    return krsi_kb_load(kb, at);
}

/* ---- scores ---- */

/* s, dp at some queries and keys; s with the mask, and what of it counts. */
typedef struct point {
    krsi_kv s, dp, seen, lse, delta;
} point;

/* p and ds, zero where they do not count */
static void
soften(gradient *w, const point *at, krsi_kv *out_p, krsi_kv *out_ds)
{
    krsi_kb *kb = w->f.kb;
    krsi_kv zero = krsi_kb_broadcast(kb, LANES, krsi_kb_f32(kb, 0));
    krsi_kv p = krsi_kmath_exp_fall(kb, krsi_kb_sub(kb, at->s, at->lse));
    krsi_kv ds = krsi_kb_mul(kb, p, krsi_kb_sub(kb, at->dp, at->delta));
    ds = krsi_kb_mul(kb, ds, w->f.scale);
    *out_p = krsi_kb_select(kb, at->seen, p, zero);
    *out_ds = krsi_kb_select(kb, at->seen, ds, zero);
}

/* `rows`, or none if the item's head is not among so many: the grid has as
 * many heads as queries or keys have, whichever are more */
static krsi_kv
rows_of_head(gradient *w, int64_t heads, krsi_kv rows)
{
    krsi_kb *kb = w->f.kb;
    krsi_kv there = krsi_kb_lt(kb, w->f.head, krsi_flash_number(&w->f, heads));
    return krsi_kb_select(kb, there, rows, krsi_kb_i64(kb, 0));
}

/* ---- a strip of queries ---- */

/* ds of the strip at the keys [from, limit) of the block at k0 */
static void
score_queries(gradient *w, krsi_kv k0, krsi_kv from, krsi_kv limit)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_tile_registers s, dp;
    krsi_kv zero = krsi_kb_i64(kb, 0), last = krsi_flash_plus(f, w->end, -1);
    krsi_kv n = krsi_kb_for(kb, from, limit,
                            krsi_kb_i64(kb, (int64_t)w->s.vectors * LANES));
    w->s.n0 = w->dp.n0 = n;
    krsi_tile_single_sums(&w->s, w->first, s);
    krsi_tile_single_sums(&w->dp, w->first, dp);
    krsi_kv r = krsi_strip_open_rows(f, &w->s);
    krsi_kv i = krsi_kb_min(kb, krsi_kb_add(kb, w->first, r), last);
    krsi_kv begin = krsi_flash_first(f, i, k0);
    krsi_kv end = krsi_flash_last(f, i, limit), p, ds;
    krsi_kv s_row[KRSI_TILE_VECTORS], dp_row[KRSI_TILE_VECTORS];
    point at = {.lse = lse_of(w, i, 1, zero)};
    at.delta =
        krsi_kb_load(kb, (krsi_kmem){.buffer = w->delta,
                                     .index = krsi_kb_sub(kb, i, w->first)});
    krsi_tile_single_row(&w->s, r, 1, 0, s, s_row);
    krsi_tile_single_row(&w->dp, r, 1, 0, dp, dp_row);
    for (int v = 0; v < w->s.vectors; v++) {
        krsi_kv key = krsi_flash_plus(f, n, (int64_t)v * LANES);
        at.dp = dp_row[v];
        at.s = krsi_flash_masked(f, krsi_kb_mul(kb, s_row[v], f->scale), i, key,
                                 begin, end, LANES, &at.seen);
        soften(w, &at, &p, &ds);
        krsi_kb_store(kb,
                      krsi_strip_at(f, w->ds, r, krsi_kb_i64(kb, KEYS),
                                    krsi_kb_sub(kb, key, k0)),
                      ds);
    }
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}

static void
strip_of_queries(gradient *w, krsi_kv start)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_kv zero = krsi_kb_i64(kb, 0);
    krsi_flash_if_below(f, start, rows_of_head(w, f->max_K * f->max_G, f->T));
    w->first = start;
    w->end = krsi_kb_min(kb, krsi_flash_plus(f, start, w->rows), f->T);
    f->key_head = f->max_G == 1 ? f->head : krsi_kb_div(kb, f->head, f->G);
    score_tile(w, &w->s, &f->q, f->head, &f->k, f->key_head, f->D, f->max_D);
    score_tile(w, &w->dp, &w->cotangent, f->head, &f->v, f->key_head, f->E,
               f->max_E);
    begin_sums(w, &w->one, w->ds, KEYS, &f->k, f->D, f->max_D);
    w->one.t.whole_words =
        krsi_strip_in_fours(f->l->cut->load[f->at->k].view.extent[2]);
    find_delta(w, w->first, w->first, w->end);
    krsi_kv last_row = krsi_flash_plus(f, w->end, -1);
    krsi_kv begin =
        krsi_strip_down(f, krsi_flash_first(f, w->first, zero), zero, KEYS);
    krsi_kv k0 = krsi_kb_for(kb, begin, krsi_flash_last(f, last_row, f->S),
                             krsi_kb_i64(kb, KEYS));
    krsi_kv k1 = krsi_kb_min(kb, krsi_flash_plus(f, k0, KEYS), f->S);
    krsi_kv limit = krsi_flash_last(f, last_row, k1);
    krsi_kv from = krsi_strip_down(f, krsi_flash_first(f, w->first, k0), k0,
                                   (int64_t)w->s.vectors * LANES);
    krsi_flash_if_below(f, from, limit);
    w->s.n1 = w->dp.n1 = k1;
    score_queries(w, k0, from, limit);
    add_block(w, &w->one, krsi_flash_base(f, &f->k, f->key_head), k0, from,
              limit);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
    deliver(w, &w->one, &w->to_q, f->head, krsi_kb_f32(kb, 0));
    krsi_kb_end(kb);
}

/* ---- a strip of keys ---- */

/* Which of the queries i .. i + 3 see key j, among those below `end`; s with
 * the additive mask. */
static krsi_kv
see_key(gradient *w, krsi_kv s, krsi_kv i, krsi_kv j, krsi_kv end,
        krsi_kv *out_seen)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_kv inside = krsi_kb_below(kb, i, end, LANES), seen = inside;
    krsi_kv low = f->at->causal ? krsi_kb_sub(kb, j, f->offset) : KRSI_KV_NONE;
    if (low.ref)
        seen = krsi_kb_and(kb, seen,
                           krsi_kb_not(kb, krsi_kb_below(kb, i, low, LANES)));
    if (f->window.ref)
        seen = krsi_kb_and(
            kb, seen,
            krsi_kb_below(kb, i, krsi_kb_add(kb, low, f->window), LANES));
    if (f->at->mask >= 0) {
        krsi_kv m = krsi_flash_mask_down(f, i, j, inside, LANES);
        if (f->mask.dtype == KRS_BOOL)
            seen = krsi_kb_and(kb, seen, m);
        else
            s = krsi_kb_add(kb, s, m);
    }
    *out_seen = seen;
    return s;
}

/* p and ds of the strip, a row a key, at the queries [from, q1) of the block at
 * q0 */
static void
score_keys(gradient *w, krsi_kv q0, krsi_kv from, krsi_kv q1)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_tile_registers s, dp;
    krsi_kv last = krsi_flash_plus(f, w->end, -1);
    krsi_kv n = krsi_kb_for(kb, from, q1,
                            krsi_kb_i64(kb, (int64_t)w->s.vectors * LANES));
    w->s.n0 = w->dp.n0 = n;
    krsi_tile_single_sums(&w->s, w->first, s);
    krsi_tile_single_sums(&w->dp, w->first, dp);
    krsi_kv zero = krsi_kb_i64(kb, 0), stride = krsi_kb_i64(kb, QUERIES);
    krsi_kv r = krsi_strip_open_rows(f, &w->s), p, ds;
    krsi_kv j = krsi_kb_min(kb, krsi_kb_add(kb, w->first, r), last);
    krsi_kv s_row[KRSI_TILE_VECTORS], dp_row[KRSI_TILE_VECTORS];
    krsi_tile_single_row(&w->s, r, 1, 0, s, s_row);
    krsi_tile_single_row(&w->dp, r, 1, 0, dp, dp_row);
    for (int v = 0; v < w->s.vectors; v++) {
        krsi_kv i = krsi_flash_plus(f, n, (int64_t)v * LANES);
        krsi_kv column = krsi_kb_sub(kb, i, q0);
        point at = {.dp = dp_row[v], .lse = lse_of(w, i, LANES, q1)};
        at.delta =
            krsi_kb_load(kb, krsi_strip_at(f, w->delta, zero, zero, column));
        at.s =
            see_key(w, krsi_kb_mul(kb, s_row[v], f->scale), i, j, q1, &at.seen);
        soften(w, &at, &p, &ds);
        krsi_kb_store(kb, krsi_strip_at(f, w->p, r, stride, column), p);
        krsi_kb_store(kb, krsi_strip_at(f, w->ds, r, stride, column), ds);
    }
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}

/* NaN if the statistic of a query of the head is, else what it was before: each
 * p of that query is NaN then, and so is dv. */
static krsi_kv
find_nan(gradient *w, krsi_kv before)
{
    enum { VECTORS = 4 };
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_kv i = krsi_kb_for(kb, krsi_kb_i64(kb, 0), f->T,
                            krsi_kb_i64(kb, (int64_t)VECTORS * LANES));
    krsi_kv so_far = krsi_kb_carry(kb, before), now = so_far;
    for (int v = 0; v < VECTORS; v++) {
        krsi_kv lse =
            lse_of(w, krsi_flash_plus(f, i, (int64_t)v * LANES), LANES, f->T);
        now = krsi_kb_select(kb, krsi_kb_ne(kb, lse, lse), lse, now);
    }
    krsi_kb_next(kb, so_far, now);
    krsi_kb_end(kb);
    return krsi_kb_result(kb, so_far);
}

/* Are blocks of queries whole vectors, wherever they begin and end? */
static bool
queries_in_fours(const gradient *w)
{
    const krsi_flash *f = &w->f;
    return !f->at->window &&
           krsi_strip_in_fours(f->l->cut->load[f->at->q].view.extent[2]) &&
           (!f->at->causal || krsi_strip_in_fours(f->at->offset));
}

/* one head of the group */
static void
visit_queries(gradient *w, krsi_kv k0)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_kv first, end;
    krsi_kv k1 = krsi_kb_min(kb, krsi_flash_plus(f, k0, KEYS), f->S);
    krsi_flash_bound_queries(f, k0, k1, &first, &end);
    krsi_kv q0 = krsi_kb_for(kb, first, end, krsi_kb_i64(kb, QUERIES));
    krsi_kv q1 = krsi_kb_min(kb, krsi_flash_plus(f, q0, QUERIES), end);
    krsi_kv from = q0;
    if (f->at->causal)
        from = krsi_strip_down(
            f, krsi_kb_max(kb, q0, krsi_kb_sub(kb, w->first, f->offset)), q0,
            (int64_t)w->s.vectors * LANES);
    krsi_flash_if_below(f, from, q1);
    w->s.n1 = w->dp.n1 = krsi_kb_min(kb, krsi_flash_plus(f, q0, QUERIES), f->T);
    find_delta(w, q0, from, q1);
    score_keys(w, q0, from, q1);
    add_block(w, &w->one, krsi_flash_base(f, &w->cotangent, f->head), q0, from,
              q1);
    add_block(w, &w->other, krsi_flash_base(f, &f->q, f->head), q0, from, q1);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}

static void
strip_of_keys(gradient *w, krsi_kv start)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_kv zero = krsi_kb_broadcast(kb, LANES, krsi_kb_f32(kb, 0)), nan[LANES];
    krsi_flash_if_below(f, start, rows_of_head(w, f->max_K, f->S));
    w->first = start;
    w->end = krsi_kb_min(kb, krsi_flash_plus(f, start, w->rows), f->S);
    f->key_head = f->head;
    krsi_kv k0 = krsi_strip_down(f, start, krsi_kb_i64(kb, 0), KEYS);
    begin_sums(w, &w->one, w->p, QUERIES, &w->cotangent, f->E, f->max_E);
    begin_sums(w, &w->other, w->ds, QUERIES, &f->q, f->D, f->max_D);
    w->one.t.whole_words = w->other.t.whole_words = queries_in_fours(w);
    krsi_kv g = krsi_kb_for(kb, krsi_kb_i64(kb, 0), f->G, krsi_kb_i64(kb, 1));
    krsi_kv empty = krsi_kb_carry(kb, zero);
    f->head = krsi_kb_add(kb, krsi_kb_mul(kb, f->key_head, f->G), g);
    score_tile(w, &w->s, &f->k, f->key_head, &f->q, f->head, f->D, f->max_D);
    score_tile(w, &w->dp, &f->v, f->key_head, &w->cotangent, f->head, f->E,
               f->max_E);
    krsi_kb_next(kb, empty, find_nan(w, empty));
    visit_queries(w, k0);
    krsi_kb_end(kb);
    empty = krsi_kb_result(kb, empty);
    for (int i = 0; i < LANES; i++)
        nan[i] = krsi_kb_slice(kb, empty, i, 1);
    krsi_kv any = krsi_kb_add(kb, krsi_kb_add(kb, nan[0], nan[1]),
                              krsi_kb_add(kb, nan[2], nan[3]));
    deliver(w, &w->one, &w->to_v, f->key_head, any);
    deliver(w, &w->other, &w->to_k, f->key_head, krsi_kb_f32(kb, 0));
    krsi_kb_end(kb);
}

void
krsi_lower_attention_lanes_grad(krsi_lowering *l)
{
    gradient w = {.rows = 0};
    krsi_flash *f = &w.f;
    krsi_kb *kb = l->kb;
    declare(&w, l);
    krsi_kv two = krsi_kb_i64(kb, 2), half = krsi_kb_axis(kb, 2);
    krsi_kv start =
        krsi_kb_mul(kb, krsi_kb_axis(kb, 0), krsi_kb_i64(kb, w.rows));
    krsi_kv head = f->head = krsi_kb_axis(kb, 1);
    f->b = krsi_kb_div(kb, half, two);
    half = krsi_kb_rem(kb, half, two);
    krsi_kv one = krsi_kb_i64(kb, 1);
    krsi_flash_if_below(f, half, one);
    strip_of_queries(&w, start);
    krsi_kb_end(kb);
    f->head = head;
    krsi_flash_if_below(f, krsi_kb_sub(kb, one, half), one);
    strip_of_keys(&w, start);
    krsi_kb_end(kb);
}
