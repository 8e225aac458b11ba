/* lower_attention_lanes.c -- attention where items are lanes of a processor:
 * forward, and what its gradient shares with it.
 *
 * An item has a strip of queries of one head. Nothing is packed: rows of k and
 * v are read where they lie, four words at a time, by the tiles of
 * tile_single.c, and only scores of a block of keys are in scratch. The order
 * of every sum is that of lower_attention.h, whatever the strip; virtual lanes
 * are taken in turn, so that the code is short and the loops of an item turn
 * seldom.
 */
#include "lower_attention_lanes.h"

#include <math.h>

enum { KEYS = KRSI_FLASH_KEYS, ALIGN = 64, LANES = KRSI_STRIP_LANES };

typedef struct forward {
    krsi_flash f;
    krsi_tile s; /* q k^T: rows of the strip, a few keys */
    krsi_tile o; /* p v */
    krsi_flash_tensor out, lse;
    krsi_kbuf scores, largest, most, sum, decay, sums; /* scratch, f32 */
    krsi_kv stride;                                    /* of sums */
    krsi_kv q0, q1, last_row;                          /* of the strip */
} forward;

/* ---- shared with the gradient ---- */

int
krsi_strip_rows(int64_t most)
{
    int rows = KRSI_STRIP_ROWS;
    while (rows > 1 && rows / 2 >= most)
        rows /= 2;
    return rows;
}

int
krsi_strip_vectors(int64_t columns)
{
    int vectors = KRSI_TILE_VECTORS;
    while (vectors > 1 && columns % ((int64_t)vectors * LANES) != 0)
        vectors /= 2;
    return vectors;
}

int64_t
krsi_strip_room(int64_t columns)
{
    const int64_t width = (int64_t)KRSI_TILE_VECTORS * LANES;
    return krsi_tile_parts(krsi_tile_most(columns, 1), width) * width;
}

void
krsi_strip_tile(krsi_flash *f, krsi_tile *t, int rows, int vectors)
{
    *t = (krsi_tile){.kb = f->kb,
                     .lowering = f->l,
                     .template = KRSI_TILE_SINGLE,
                     .reading = KRSI_TILE_IN_PLACE,
                     .lanes = LANES,
                     .rows = rows,
                     .wide = rows,
                     .vectors = vectors,
                     .unit = 1,
                     .out_dtype = KRS_F32};
}

krsi_tile_operand
krsi_strip_scratch(krsi_flash *f, krsi_kbuf buffer, int stride)
{
    return (krsi_tile_operand){.buffer = buffer,
                               .dtype = KRS_F32,
                               .outer = krsi_kb_i64(f->kb, stride),
                               .inner = krsi_kb_i64(f->kb, 1),
                               .along_inner = true,
                               .aligned = true,
                               .in_scratch = true};
}

krsi_kmem
krsi_strip_at(krsi_flash *f, krsi_kbuf buffer, krsi_kv row, krsi_kv stride,
              krsi_kv column)
{
    krsi_kb *kb = f->kb;
    return (krsi_kmem){
        .buffer = buffer,
        .index = krsi_kb_add(kb, krsi_kb_mul(kb, row, stride), column),
        .lanes = LANES,
        .align_bytes = KRSI_TILE_ALIGNED};
}

void
krsi_strip_fill(krsi_flash *f, krsi_kbuf buffer, krsi_kv low, krsi_kv high,
                float value)
{
    krsi_kb *kb = f->kb;
    krsi_kv i = krsi_kb_for(kb, low, high, krsi_kb_i64(kb, LANES));
    krsi_kb_store(kb,
                  (krsi_kmem){.buffer = buffer,
                              .index = i,
                              .align_bytes = KRSI_TILE_ALIGNED},
                  krsi_kb_broadcast(kb, LANES, krsi_kb_f32(kb, value)));
    krsi_kb_end(kb);
}

krsi_kv
krsi_strip_down(krsi_flash *f, krsi_kv a, krsi_kv from, int64_t multiple)
{
    krsi_kb *kb = f->kb;
    krsi_kv past = krsi_kb_sub(kb, a, from);
    return krsi_kb_sub(kb, a, krsi_kb_rem(kb, past, krsi_kb_i64(kb, multiple)));
}

/* a, or the next that is a multiple behind `from` */
static krsi_kv
up(krsi_flash *f, krsi_kv a, krsi_kv from, int64_t multiple)
{
    return krsi_strip_down(f, krsi_flash_plus(f, a, multiple - 1), from,
                           multiple);
}

krsi_kv
krsi_strip_words(krsi_flash *f, const krsi_tile *t, krsi_kv end, krsi_kv from)
{
    return t->whole_words ? up(f, end, from, LANES) : end;
}

/* lanes 2 apart, then 1 apart */
static krsi_kv
join(krsi_kb *kb, krsi_kv v)
{
    krsi_kv x[LANES];
    for (int i = 0; i < LANES; i++)
        x[i] = krsi_kb_slice(kb, v, i, 1);
    return krsi_kb_add(kb, krsi_kb_add(kb, x[0], x[2]),
                       krsi_kb_add(kb, x[1], x[3]));
}

/* A loop of two turns: the sum of what they give, in their order. */
static krsi_kv
open_pair(krsi_flash *f, krsi_kv first, int64_t apart, krsi_kv *sum)
{
    krsi_kb *kb = f->kb;
    krsi_kv none = krsi_kb_broadcast(kb, LANES, krsi_kb_f32(kb, -0.0F));
    krsi_kv at = krsi_kb_for(kb, first, krsi_flash_plus(f, first, 2 * apart),
                             krsi_kb_i64(kb, apart));
    *sum = krsi_kb_carry(kb, none);
    return at;
}

static krsi_kv
close_pair(krsi_flash *f, krsi_kv sum, krsi_kv value)
{
    krsi_kb *kb = f->kb;
    krsi_kb_next(kb, sum, krsi_kb_add(kb, sum, value));
    krsi_kb_end(kb);
    return krsi_kb_result(kb, sum);
}

/* Vectors of virtual lanes 16 apart, from `base` on, over the whole row; then
 * lanes 32 and 16 apart meet. */
static krsi_kv
four_vectors(krsi_flash *f, krsi_kv base, krsi_kv end, krsi_strip_step *step,
             void *context)
{
    enum { APART = 16, VECTORS = KRSI_ROW_LANES / APART };
    krsi_kb *kb = f->kb;
    krsi_kv carry[VECTORS], next[VECTORS];
    krsi_kv zero = krsi_kb_broadcast(kb, LANES, krsi_kb_f32(kb, 0));
    krsi_kv block = krsi_kb_for(kb, krsi_kb_i64(kb, 0), end,
                                krsi_kb_i64(kb, KRSI_ROW_LANES));
    for (int v = 0; v < VECTORS; v++)
        carry[v] = krsi_kb_carry(kb, zero);
    krsi_kv at = krsi_kb_add(kb, block, base);
    for (int v = 0; v < VECTORS; v++)
        next[v] = krsi_kb_add(
            kb, carry[v],
            step(context, krsi_flash_plus(f, at, (int64_t)v * APART)));
    for (int v = 0; v < VECTORS; v++)
        krsi_kb_next(kb, carry[v], next[v]);
    krsi_kb_end(kb);
    for (int v = 0; v < VECTORS; v++)
        carry[v] = krsi_kb_result(kb, carry[v]);
    return krsi_kb_add(kb, krsi_kb_add(kb, carry[0], carry[2]),
                       krsi_kb_add(kb, carry[1], carry[3]));
}

krsi_kv
krsi_strip_sum(krsi_flash *f, krsi_kv end, krsi_strip_step *step, void *context)
{
    krsi_kv by4, by8;
    krsi_kv i = open_pair(f, krsi_kb_i64(f->kb, 0), 4, &by4);
    krsi_kv j = open_pair(f, i, 8, &by8);
    krsi_kv inner = close_pair(f, by8, four_vectors(f, j, end, step, context));
    return join(f->kb, close_pair(f, by4, inner));
}

krsi_kv
krsi_strip_short_sum(krsi_flash *f, int64_t count, krsi_strip_step *step,
                     void *context)
{
    enum { VECTORS = KRSI_ROW_LANES / LANES };
    krsi_kb *kb = f->kb;
    krsi_kv part[VECTORS];
    krsi_kv zero = krsi_kb_broadcast(kb, LANES, krsi_kb_f32(kb, 0));
    for (int v = 0; v < VECTORS; v++)
        part[v] = zero;
    for (int64_t e = 0; e < count; e += LANES) {
        krsi_kv *to = &part[e / LANES % VECTORS];
        *to = krsi_kb_add(kb, *to, step(context, krsi_kb_i64(kb, e)));
    }
    return krsi_kb_row_tree(kb, KRS_KS_ADD, part, LANES);
}

/* ---- declarations ---- */

static void
declare(forward *w, krsi_lowering *l)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = l->kb;
    const krsi_attention *at = l->cut->attention;
    krsi_flash_begin(f, l);
    if (at->out_lse >= 0) {
        krsi_view lse = krsi_flash_rows_of(f, &l->cut->out[at->out_lse].view);
        w->lse = krsi_flash_declare(l, "lse", &lse, KRS_F32, KRS_K_WRITE);
    }
    if (at->out >= 0) {
        krsi_view out = krsi_flash_rows_of(f, &l->cut->out[at->out].view);
        w->out = krsi_flash_declare(
            l, "out", &out, krsi_tile_load_type(l->cut, at->q), KRS_K_WRITE);
    }
    int rows = krsi_strip_rows(f->max_T);
    krsi_strip_tile(f, &w->s, rows, KRSI_STRIP_VECTORS);
    w->s.a = krsi_flash_rows(&f->q);
    w->s.b = krsi_flash_rows(&f->k);
    w->s.whole_words = f->max_D % LANES == 0;
    w->s.first = krsi_kb_i64(kb, 0);
    w->s.end = f->D;
    w->scores = krsi_kb_scratch(kb, "scores", KRS_F32, (int64_t)rows * KEYS,
                                KRSI_KV_NONE, ALIGN);
    w->largest = krsi_kb_scratch(kb, "largest", KRS_F32, (int64_t)rows * LANES,
                                 KRSI_KV_NONE, ALIGN);
    krsi_kbuf *const each[] = {&w->most, &w->sum, &w->decay};
    static const char *const names[] = {"most", "sum", "decay"};
    for (int i = 0; i < 3; i++)
        *each[i] =
            krsi_kb_scratch(kb, names[i], KRS_F32, krsi_tile_most(rows, LANES),
                            KRSI_KV_NONE, ALIGN);
    if (at->out >= 0) {
        krsi_strip_tile(f, &w->o, rows, krsi_strip_vectors(f->max_E));
        w->o.whole_columns = f->max_E % LANES == 0;
        w->o.a = krsi_strip_scratch(f, w->scores, KEYS);
        w->o.b = krsi_flash_across(&f->v);
        w->o.whole_words =
            krsi_strip_in_fours(l->cut->load[at->k].view.extent[2]);
        w->o.whole_rows = true;
        w->o.m1 = krsi_kb_i64(kb, rows);
        w->o.n1 = f->E;
        w->stride = krsi_flash_number(f, krsi_strip_room(f->max_E));
        w->sums = krsi_kb_scratch(kb, "sums", KRS_F32, rows, w->stride, ALIGN);
    }
    l->grid[0] = (krsi_grid){f->by_heads ? KRS_INDEX(f->max_T)
                                         : l->cut->load[at->q].view.extent[2],
                             rows};
    l->grid[1] = (krsi_grid){KRS_INDEX(f->max_K * f->max_G), 1};
    l->grid[2] = (krsi_grid){KRS_INDEX(f->max_B), 1};
}

/* ---- a block of keys ---- */

/* a if a > b, else b: scores that are NaN are left out, and show in the sum */
static krsi_kv
larger(krsi_kb *kb, krsi_kv a, krsi_kv b)
{
    return krsi_kb_select(kb, krsi_kb_gt(kb, a, b), a, b);
}

/* Scores of the strip and the keys [from, limit) of the block at `first` to
 * scratch, -inf where they do not count, and the largest of each row. */
static void
score(forward *w, krsi_kv first, krsi_kv from, krsi_kv limit)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_tile *t = &w->s;
    krsi_tile_registers s;
    krsi_kv big[KRSI_TILE_ROWS], next[KRSI_TILE_ROWS];
    krsi_kv none = krsi_kb_broadcast(kb, LANES, krsi_kb_f32(kb, -INFINITY));
    krsi_kv stride = krsi_kb_i64(kb, KEYS);
    t->n0 = krsi_kb_for(kb, from, limit,
                        krsi_kb_i64(kb, (int64_t)t->vectors * LANES));
    for (int r = 0; r < t->rows; r++)
        next[r] = big[r] = krsi_kb_carry(kb, none);
    krsi_tile_single_sums(t, w->q0, s);
    for (int r = 0; r < t->rows; r++) {
        krsi_kv i = krsi_kb_min(kb, krsi_flash_plus(f, w->q0, r), w->last_row);
        krsi_kv begin = krsi_flash_first(f, i, first);
        krsi_kv end = krsi_flash_last(f, i, limit), seen;
        for (int v = 0; v < t->vectors; v++) {
            krsi_kv key = krsi_flash_plus(f, t->n0, (int64_t)v * LANES);
            krsi_kv x = krsi_kb_mul(kb, s[r][v], f->scale);
            x = krsi_flash_masked(f, x, i, key, begin, end, LANES, &seen);
            x = krsi_kb_select(kb, seen, x, none);
            next[r] = larger(kb, x, next[r]);
            krsi_kb_store(kb,
                          krsi_strip_at(f, w->scores, krsi_kb_i64(kb, r),
                                        stride, krsi_kb_sub(kb, key, first)),
                          x);
        }
    }
    for (int r = 0; r < t->rows; r++)
        krsi_kb_next(kb, big[r], next[r]);
    krsi_kb_end(kb);
    for (int r = 0; r < t->rows; r++)
        krsi_kb_store(kb,
                      krsi_strip_at(f, w->largest, krsi_kb_i64(kb, r),
                                    krsi_kb_i64(kb, LANES), krsi_kb_i64(kb, 0)),
                      krsi_kb_result(kb, big[r]));
}

/* A row of the strip on its way to p. */
typedef struct softening {
    forward *w;
    krsi_kv start, m; /* of the row, in scratch; its largest score */
} softening;

/* scores to e^(score - m) */
static krsi_kv
exp_step(void *context, krsi_kv at)
{
    softening *s = context;
    krsi_kb *kb = s->w->f.kb;
    krsi_kmem place = {.buffer = s->w->scores,
                       .index = krsi_kb_add(kb, s->start, at),
                       .lanes = LANES,
                       .align_bytes = KRSI_TILE_ALIGNED};
    krsi_kv e =
        krsi_kmath_exp_fall(kb, krsi_kb_sub(kb, krsi_kb_load(kb, place), s->m));
    krsi_kb_store(kb, place, e);
    return e;
}

/* Row r of the strip: scores of the keys from .. limit of the block become p,
 * and its statistics move on; around them, up to whole rows of virtual lanes,
 * are keys that do not count. */
static void
soften(forward *w, krsi_kv r, krsi_kv from, krsi_kv limit)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_kv none = krsi_kb_f32(kb, -INFINITY), zero = krsi_kb_f32(kb, 0);
    softening s = {.w = w};
    s.start = krsi_kb_mul(kb, r, krsi_kb_i64(kb, KEYS));
    krsi_kv whole = krsi_kb_i64(kb, 0);
    krsi_kv end = up(f, limit, whole, KRSI_ROW_LANES);
    krsi_kv done = krsi_kb_max(kb, krsi_kb_sub(kb, limit, from), whole);
    done = krsi_kb_add(kb, from,
                       up(f, done, whole, (int64_t)w->s.vectors * LANES));
    krsi_strip_fill(f, w->scores, s.start, krsi_kb_add(kb, s.start, from),
                    -INFINITY);
    krsi_strip_fill(f, w->scores, krsi_kb_add(kb, s.start, done),
                    krsi_kb_add(kb, s.start, end), -INFINITY);
    krsi_kv big = krsi_kb_load(
        kb, krsi_strip_at(f, w->largest, r, krsi_kb_i64(kb, LANES), whole));
    krsi_kv m = krsi_kb_slice(kb, big, 0, 1);
    for (int i = 1; i < LANES; i++)
        m = larger(kb, krsi_kb_slice(kb, big, i, 1), m);
    krsi_kmem most_at = {.buffer = w->most, .index = r};
    krsi_kmem sum_at = {.buffer = w->sum, .index = r};
    krsi_kv before = krsi_kb_load(kb, most_at);
    m = larger(kb, m, before);
    s.m = krsi_kb_select(kb, krsi_kb_eq(kb, m, none), zero, m);
    krsi_kv decay = krsi_kmath_exp_fall(kb, krsi_kb_sub(kb, before, s.m));
    krsi_kv sum = krsi_strip_sum(f, limit, exp_step, &s);
    krsi_kv old = krsi_kb_mul(kb, krsi_kb_load(kb, sum_at), decay);
    krsi_kb_store(kb, most_at, m);
    krsi_kb_store(kb, sum_at, krsi_kb_add(kb, old, sum));
    krsi_kb_store(kb, (krsi_kmem){.buffer = w->decay, .index = r}, decay);
}

/* o = o w + p v, for the block at `first` */
static void
add_values(forward *w, krsi_kv first, krsi_kv limit)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_tile *t = &w->o;
    krsi_tile_registers s;
    krsi_kv zero = krsi_kb_i64(kb, 0);
    t->first = first;
    t->end = krsi_strip_words(f, t, limit, first);
    t->a.offset = krsi_kb_sub(kb, zero, first);
    t->n0 = krsi_kb_for(kb, zero, f->E,
                        krsi_kb_i64(kb, (int64_t)t->vectors * LANES));
    krsi_tile_single_sums(t, zero, s);
    krsi_kv row = krsi_strip_open_rows(f, t), now[KRSI_TILE_VECTORS];
    krsi_tile_single_row(t, row, 1, 0, s, now);
    krsi_kv decay =
        krsi_kb_load(kb, (krsi_kmem){.buffer = w->decay, .index = row});
    for (int v = 0; v < t->vectors; v++) {
        krsi_kmem at =
            krsi_strip_at(f, w->sums, row, w->stride,
                          krsi_flash_plus(f, t->n0, (int64_t)v * LANES));
        krsi_kv before = krsi_kb_mul(kb, krsi_kb_load(kb, at), decay);
        krsi_kb_store(kb, at, krsi_kb_add(kb, before, now[v]));
    }
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}

static void
visit_keys(forward *w)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_kv zero = krsi_kb_i64(kb, 0);
    krsi_kv all = krsi_flash_last(f, w->last_row, f->S);
    krsi_kv begin =
        krsi_strip_down(f, krsi_flash_first(f, w->q0, zero), zero, KEYS);
    krsi_kv first = krsi_kb_for(kb, begin, all, krsi_kb_i64(kb, KEYS));
    krsi_kv past = krsi_kb_min(kb, krsi_flash_plus(f, first, KEYS), f->S);
    krsi_kv limit = krsi_flash_last(f, w->last_row, past);
    krsi_kv from = krsi_strip_down(f, krsi_flash_first(f, w->q0, first), first,
                                   (int64_t)w->s.vectors * LANES);
    krsi_flash_if_below(f, from, limit);
    w->s.n1 = past;
    score(w, first, from, limit);
    krsi_kv r =
        krsi_kb_for(kb, zero, krsi_kb_i64(kb, w->s.rows), krsi_kb_i64(kb, 1));
    soften(w, r, krsi_kb_sub(kb, from, first), krsi_kb_sub(kb, limit, first));
    krsi_kb_end(kb);
    if (f->at->out >= 0)
        add_values(w, first, limit);
    krsi_kb_end(kb);
    krsi_kb_end(kb);
}

/* Row r of the strip, finished: out = o / l, lse = m + ln l. No key: l = 0. */
static void
deliver_row(forward *w, krsi_kv r)
{
    krsi_flash *f = &w->f;
    krsi_kb *kb = f->kb;
    krsi_kv i = krsi_kb_add(kb, w->q0, r);
    krsi_kv sum = krsi_kb_load(kb, (krsi_kmem){.buffer = w->sum, .index = r});
    if (f->at->out_lse >= 0) {
        krsi_kv m =
            krsi_kb_load(kb, (krsi_kmem){.buffer = w->most, .index = r});
        krsi_flash_store_lse(f, &w->lse, i, m, sum);
    }
    if (f->at->out >= 0)
        krsi_strip_deliver(f, &w->out, f->head, i,
                           &(krsi_strip_row){w->sums, r, w->stride, f->E,
                                             f->max_E, KRS_KS_DIV, sum});
}

krsi_kv
krsi_strip_open_rows(krsi_flash *f, const krsi_tile *t)
{
    krsi_kb *kb = f->kb;
    return krsi_kb_for(kb, krsi_kb_i64(kb, 0), krsi_kb_i64(kb, t->rows),
                       krsi_kb_i64(kb, 1));
}

void
krsi_strip_deliver(krsi_flash *f, const krsi_flash_tensor *to, krsi_kv head,
                   krsi_kv i, const krsi_strip_row *row)
{
    krsi_kb *kb = f->kb;
    krsi_kv e =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), row->count, krsi_kb_i64(kb, LANES));
    krsi_kv v = krsi_kb_load(
        kb, krsi_strip_at(f, row->sums, row->number, row->stride, e));
    krsi_kv at = krsi_kb_add(kb, krsi_flash_base(f, to, head),
                             krsi_kb_mul(kb, i, to->stride[2]));
    krsi_kmem place = {.buffer = to->buffer,
                       .index = krsi_kb_add(kb, at, e),
                       .align_bytes = to->in_fours ? KRSI_TILE_ALIGNED : 0};
    if (row->max_count % LANES)
        place.mask = krsi_kb_below(kb, e, row->count, LANES);
    v = krsi_kb_scalar(kb, row->op, v, krsi_kb_broadcast(kb, LANES, row->with),
                       KRSI_KV_NONE);
    krsi_kb_store(kb, place, krsi_kb_convert(kb, to->dtype, v));
    krsi_kb_end(kb);
}

void
krsi_lower_attention_lanes(krsi_lowering *l)
{
    forward w = {.stride = KRSI_KV_NONE};
    krsi_flash *f = &w.f;
    krsi_kb *kb = l->kb;
    krsi_kv zero = krsi_kb_i64(kb, 0), one = krsi_kb_i64(kb, 1);
    declare(&w, l);
    krsi_kv rows = krsi_kb_i64(kb, w.s.rows);
    f->b = krsi_kb_axis(kb, 2);
    f->head = krsi_kb_axis(kb, 1);
    f->key_head = f->max_G == 1 ? f->head : krsi_kb_div(kb, f->head, f->G);
    w.q0 = krsi_kb_mul(kb, krsi_kb_axis(kb, 0), rows);
    w.q1 = krsi_kb_min(kb, krsi_kb_add(kb, w.q0, rows), f->T);
    w.last_row = krsi_flash_plus(f, w.q1, -1);
    w.s.m1 = w.q1;
    w.s.a.offset = krsi_flash_base(f, &f->q, f->head);
    w.s.b.offset = krsi_flash_base(f, &f->k, f->key_head);
    krsi_strip_fill(f, w.most, zero, rows, -INFINITY);
    krsi_strip_fill(f, w.sum, zero, rows, 0);
    if (f->at->out >= 0) {
        w.o.b.offset = krsi_flash_base(f, &f->v, f->key_head);
        krsi_strip_fill(f, w.sums, zero, krsi_kb_mul(kb, rows, w.stride), 0);
    }
    visit_keys(&w);
    krsi_kv r = krsi_kb_for(kb, zero, krsi_kb_sub(kb, w.q1, w.q0), one);
    deliver_row(&w, r);
    krsi_kb_end(kb);
}
