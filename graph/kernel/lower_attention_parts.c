/* lower_attention_parts.c -- what forward and gradient of attention are both
 * made of: operands, tiles, scores, which keys a query sees, sums along a row.
 *
 * In: the cut. Out: pieces of a kernel, emitted where a caller is in its loops.
 * lower_attention.h says what each of them does.
 */
#include "lower_attention.h"

#include <math.h>

enum { ALIGN = 64 };

krsi_kv
krsi_flash_plus(krsi_flash *f, krsi_kv a, int64_t b)
{
    return krsi_kb_add(f->kb, a, krsi_kb_i64(f->kb, b));
}

void
krsi_flash_if_below(krsi_flash *f, krsi_kv low, krsi_kv high)
{
    krsi_kb_if_below(f->kb, low, high);
}

krsi_kv
krsi_flash_number(krsi_flash *f, int64_t value)
{
    return krsi_tile_integer(f->l, KRS_INDEX(value));
}

/* Do rows of four elements and more begin at multiples of four? */
static bool
is_in_fours(const krsi_view *view, krs_dtype dtype)
{
    bool fours = dtype == KRS_F32 && view->rank == 4 && view->stride[3] == 1 &&
                 krsi_index_is_multiple(view->offset, 4);
    for (int a = 0; a < view->rank - 1; a++)
        fours &= view->stride[a] % 4 == 0;
    return fours;
}

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
    x.in_fours = l->facts->items_are_lanes && is_in_fours(view, dtype);
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

krsi_flash_tensor
krsi_flash_part(krsi_flash *f, krsi_kbuf buffer, int64_t *start, int64_t heads,
                int64_t rows, int64_t columns)
{
    krsi_view v = f->l->cut->out[0].view;
    v.rank = 4;
    v.offset = krs_index_plus(v.offset, KRS_INDEX(*start));
    v.stride[3] = 1;
    v.stride[2] = columns;
    v.stride[1] = rows * columns;
    v.stride[0] = heads * rows * columns;
    *start += f->max_B * heads * rows * columns;
    return krsi_flash_place(f->l, buffer, KRS_F32, &v);
}

/* A view of queries [B,H,T,..] as [B,K,G,..], if there is one query: so the
 * heads of a group meet each key at once. */
krsi_view
krsi_flash_rows_of(const krsi_flash *f, const krsi_view *queries)
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
    f->G = krsi_flash_number(f, f->max_G);
    f->T = krsi_tile_integer(l, queries);
    f->S = krsi_tile_integer(l, k->extent[2]);
    f->D = krsi_flash_number(f, f->max_D);
    krsi_view rows = krsi_flash_rows_of(f, q);
    f->q = krsi_flash_declare(l, "q", &rows, krsi_tile_load_type(l->cut, at->q),
                              KRS_K_READ);
    f->k = krsi_flash_load(l, "k", at->k);
    if (at->v >= 0) {
        f->max_E = l->cut->load[at->v].view.max[3];
        f->E = krsi_flash_number(f, f->max_E);
        f->v = krsi_flash_load(l, "v", at->v);
    }
    if (at->mask >= 0) {
        rows = krsi_flash_rows_of(f, &l->cut->load[at->mask].view);
        f->mask = krsi_flash_declare(l, "mask", &rows,
                                     krsi_tile_load_type(l->cut, at->mask),
                                     KRS_K_READ);
    }
    f->scale = krsi_tile_float(l, at->scale);
    if (at->causal)
        f->offset = krsi_tile_integer(l, at->offset);
    if (at->causal && at->window)
        f->window = krsi_flash_number(f, at->window);
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
    *t = (krsi_tile){
        .kb = f->kb,
        .template = KRSI_TILE_BLOCKED,
        .unit = 1,
        .chunk = (int)(krsi_tile_parts(krsi_tile_most(depth, 1), UNIT) * UNIT),
        .out_dtype = KRS_F32,
        .even = true};
    krsi_tile_choose(t, f->l->facts, columns);
    for (int fewer = 1; fewer < t->rows; fewer *= 2)
        if (rows <= fewer)
            t->rows = fewer;
    for (t->wide = 1; t->wide < t->rows;)
        t->wide *= 2;
    t->later = krsi_kb_bool(f->kb, true);
    t->adds = true;
    t->small = f->l->facts->code_is_dear;
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
                               .along_inner = x->unit[3],
                               .aligned = x->in_fours};
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
                               .along_inner = x->unit[2] && !x->unit[3],
                               .aligned = x->in_fours};
}

void
krsi_flash_declare_b(krsi_flash *f, krsi_tile *t, const char *name,
                     int64_t columns)
{
    int64_t width = (int64_t)t->vectors * t->lanes;
    t->b_pack = krsi_kb_scratch(
        f->kb, name, KRS_F32, width * t->chunk,
        krsi_flash_number(f,
                          krsi_tile_parts(krsi_tile_most(columns, 1), width)),
        ALIGN);
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
    t->out_is_padded = t->small;
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
    return krsi_kb_min(kb, end, krsi_flash_plus(f, position(f, i), 1));
}

krsi_kv
krsi_flash_first(krsi_flash *f, krsi_kv i, krsi_kv first)
{
    krsi_kb *kb = f->kb;
    if (!f->window.ref)
        return first;
    krsi_kv from = krsi_kb_sub(kb, position(f, i), f->window);
    return krsi_kb_max(kb, first, krsi_flash_plus(f, from, 1));
}

void
krsi_flash_bound_queries(krsi_flash *f, krsi_kv k0, krsi_kv k1,
                         krsi_kv *out_first, krsi_kv *out_end)
{
    krsi_kb *kb = f->kb;
    *out_first = krsi_kb_i64(kb, 0);
    *out_end = f->T;
    if (f->at->causal)
        *out_first =
            krsi_kb_max(kb, *out_first, krsi_kb_sub(kb, k0, f->offset));
    if (f->window.ref) {
        krsi_kv last =
            krsi_kb_sub(kb, krsi_kb_add(kb, k1, f->window), f->offset);
        *out_end = krsi_kb_min(kb, *out_end, krsi_flash_plus(f, last, -1));
    }
}

/* elements of the mask for query i and key j, and those that follow along axis
 * 2, queries, or 3, keys */
static krsi_kv
mask_along(krsi_flash *f, int axis, krsi_kv i, krsi_kv j, krsi_kv inside,
           int lanes)
{
    krsi_kb *kb = f->kb;
    const krsi_flash_tensor *x = &f->mask;
    krsi_kmem at = {.buffer = x->buffer};
    at.index = krsi_kb_add(kb, krsi_flash_base(f, x, f->head),
                           krsi_kb_add(kb, krsi_kb_mul(kb, i, x->stride[2]),
                                       krsi_kb_mul(kb, j, x->stride[3])));
    if (!x->repeat[axis]) {
        at.lanes = lanes;
        at.mask = inside;
        if (!x->unit[axis] && lanes > 1)
            at.offsets = krsi_kb_mul(
                kb, krsi_kb_convert(kb, KRS_I64, krsi_kb_lanes(kb, lanes)),
                x->stride[axis]);
    }
    krsi_kv v = krsi_kb_load(kb, at);
    return x->repeat[axis] ? krsi_kb_broadcast(kb, lanes, v) : v;
}

krsi_kv
krsi_flash_mask_down(krsi_flash *f, krsi_kv i, krsi_kv j, krsi_kv mask,
                     int lanes)
{
    return mask_along(f, 2, i, j, mask, lanes);
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
        krsi_kv m = mask_along(f, 3, i, j, inside, lanes);
        if (f->mask.dtype == KRS_BOOL)
            seen = krsi_kb_and(kb, seen, m);
        else
            v = krsi_kb_add(kb, v, m);
    }
    *out_seen = seen;
    return v;
}

void
krsi_flash_store_lse(krsi_flash *f, const krsi_flash_tensor *to, krsi_kv i,
                     krsi_kv m, krsi_kv sum)
{
    krsi_kb *kb = f->kb;
    krsi_kv lse = krsi_kb_add(kb, m, krsi_kmath_log(kb, sum));
    krsi_kv empty = krsi_kb_eq(kb, sum, krsi_kb_f32(kb, 0));
    krsi_kv at = krsi_kb_add(kb, krsi_flash_base(f, to, f->head),
                             krsi_kb_mul(kb, i, to->stride[2]));
    krsi_kb_store(kb, (krsi_kmem){.buffer = to->buffer, .index = at},
                  krsi_kb_select(kb, empty, krsi_kb_f32(kb, NAN), lse));
}

/* ---- loops ---- */

krsi_kv
krsi_flash_open_heads(krsi_flash *f)
{
    krsi_kb *kb = f->kb;
    krsi_kv g = krsi_kb_for(kb, krsi_kb_i64(kb, 0), f->G, krsi_kb_i64(kb, 1));
    f->head = krsi_kb_add(kb, krsi_kb_mul(kb, f->key_head, f->G), g);
    return g;
}

void
krsi_flash_declare_lanes(krsi_flash *f)
{
    if (f->l->facts->code_is_dear)
        f->row_lanes = krsi_kb_scratch(f->kb, "row_lanes", KRS_F32,
                                       KRSI_ROW_LANES, KRSI_KV_NONE, ALIGN);
}

/* What follows with the lanes in scratch, so that the step stands once. */
static krsi_kv
along_row_in_turn(krsi_flash *f, const krsi_flash_row *row, krsi_kv low,
                  krsi_kv high, krsi_kv none)
{
    krsi_kb *kb = f->kb;
    krsi_kv part[KRSI_ROW_LANES], zero = krsi_kb_i64(kb, 0);
    krsi_kv block = krsi_kb_i64(kb, KRSI_ROW_LANES);
    krsi_kv step = krsi_kb_i64(kb, row->lanes);
    krsi_kmem lane = {.buffer = f->row_lanes,
                      .lanes = row->lanes,
                      .align_bytes = (size_t)row->lanes * 4};
    lane.index = krsi_kb_for(kb, zero, block, step);
    krsi_kb_store(kb, lane, none);
    krsi_kb_end(kb);
    krsi_kv first = krsi_kb_for(kb, low, high, block);
    lane.index = krsi_kb_for(
        kb, zero, krsi_kb_min(kb, krsi_kb_sub(kb, high, first), block), step);
    krsi_kb_store(kb, lane,
                  row->step(row->context, krsi_kb_add(kb, first, lane.index),
                            krsi_kb_load(kb, lane)));
    krsi_kb_end(kb);
    krsi_kb_end(kb);
    for (int p = 0; p < KRSI_ROW_LANES / row->lanes; p++) {
        lane.index = krsi_kb_i64(kb, (int64_t)p * row->lanes);
        part[p] = krsi_kb_load(kb, lane);
    }
    return krsi_kb_row_tree(kb, row->join, part, row->lanes);
}

krsi_kv
krsi_flash_along_row(krsi_flash *f, const krsi_flash_row *row, krsi_kv low,
                     krsi_kv high)
{
    krsi_kb *kb = f->kb;
    int vectors = KRSI_ROW_LANES / row->lanes;
    krsi_kv part[KRSI_ROW_LANES], next[KRSI_ROW_LANES];
    krsi_kv first =
        krsi_kb_broadcast(kb, row->lanes, krsi_kb_f32(kb, row->first));
    if (f->row_lanes.ref)
        return along_row_in_turn(f, row, low, high, first);
    krsi_kv at = krsi_kb_for(kb, low, high, krsi_kb_i64(kb, KRSI_ROW_LANES));
    for (int p = 0; p < vectors; p++)
        part[p] = krsi_kb_carry(kb, first);
    for (int p = 0; p < vectors; p++)
        next[p] =
            row->step(row->context,
                      krsi_flash_plus(f, at, (int64_t)p * row->lanes), part[p]);
    for (int p = 0; p < vectors; p++)
        krsi_kb_next(kb, part[p], next[p]);
    krsi_kb_end(kb);
    for (int p = 0; p < vectors; p++)
        part[p] = krsi_kb_result(kb, part[p]);
    return krsi_kb_row_tree(kb, row->join, part, row->lanes);
}
