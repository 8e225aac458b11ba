/* lower.c -- what the families of lowering share: arguments, loops over the
 * points of the iteration space, addresses, loads and stores.
 *
 * One axis of the space may be the vector axis: its points are taken `lanes`
 * at a time under a mask. What does not vary along it stays a scalar; the
 * builder broadcasts where a scalar meets a vector.
 */
#include "lower.h"

#include <stdio.h>
#include <string.h>

enum { PLACE_ALIGN = 64 }; /* bytes: of buffers, as the planner puts them */

/* ---- arguments ---- */

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

static krsi_kv
index_argument(krsi_lowering *l, krs_index index)
{
    return argument(l, KRS_I64, (krsi_arg){.index = index});
}

/* A stride: 0 and 1 are part of the kernel, others are arguments. */
static krsi_kv
stride_argument(krsi_lowering *l, int64_t stride)
{
    if (stride == 0 || stride == 1)
        return krsi_kb_i64(l->kb, stride);
    return index_argument(l, KRS_INDEX(stride));
}

static krsi_kbuf
buffer(krsi_lowering *l, const char *name, uint32_t value, krs_dtype dtype,
       int access)
{
    l->binding[l->bindings++] = value;
    return krsi_kb_param(l->kb, name, krsi_lower_stored(dtype), access,
                         l->facts->items_are_lanes ? PLACE_ALIGN : 0);
}

/* 2^63, the double nearest to the largest i64, means that one */
static int64_t
integer_of(double number)
{
    return number >= 0x1p63 ? INT64_MAX : (int64_t)number;
}

static krsi_kv
constant_argument(krsi_lowering *l, const krsi_expr *e)
{
    krs_dtype type = krsi_lower_type(e->dtype);
    if (krs_dtype_is_float(e->dtype)) {
        krsi_kv f =
            argument(l, KRS_F32,
                     (krsi_arg){.is_float = true, .number = (float)e->number});
        return type == KRS_F32 ? f : krsi_kb_convert(l->kb, type, f);
    }
    if (e->dtype == KRS_BOOL)
        return krsi_kb_bool(l->kb, e->number != 0);
    krsi_kv i = index_argument(l, KRS_INDEX(integer_of(e->number)));
    return type == KRS_I64 ? i : krsi_kb_convert(l->kb, type, i);
}

static krsi_lowered_index
declare_index(krsi_lowering *l, int64_t stride, krs_index bound, int fault)
{
    krsi_lowered_index x;
    x.stride = index_argument(l, KRS_INDEX(stride));
    x.bound = index_argument(l, bound);
    x.fault_slot = index_argument(l, KRS_INDEX(fault));
    return x;
}

krs_dtype
krsi_lower_load_type(const krsi_cut *cut, int load)
{
    for (int i = 0; i < cut->exprs; i++)
        if (cut->expr[i].kind == KRSI_X_LOAD && cut->expr[i].load == load)
            return cut->expr[i].dtype;
    return KRS_I64; /* a position */
}

void
krsi_lower_declare_load(krsi_lowering *l, int i)
{
    const krsi_load *load = &l->cut->load[i];
    krs_dtype dtype = krsi_lower_load_type(l->cut, i);
    const char name[] = {"abcdefghrstuwxyz"[i], 0};
    if (load->view.value != KRSI_NO_VALUE)
        l->load[i] = buffer(l, name, load->view.value, dtype, KRS_K_READ);
    l->load_offset[i] = index_argument(l, load->view.offset);
    for (int a = 0; a < l->cut->rank; a++)
        l->load_stride[i][a] = stride_argument(l, load->view.stride[a]);
    if (load->indirect >= 0)
        l->load_index[i] = declare_index(l, load->indirect_stride,
                                         load->indirect_bound, load->fault);
}

void
krsi_lower_declare_out(krsi_lowering *l, int i)
{
    const krsi_cut *cut = l->cut;
    const krsi_view *v = &cut->out[i].view;
    const char name[] = {'y', (char)('0' + i), 0};
    krs_dtype dtype = cut->expr[cut->out[i].root].dtype;
    int access = cut->family == KRSI_CUT_SCATTER ? KRS_K_READ | KRS_K_WRITE
                                                 : KRS_K_WRITE;
    l->out[i] = buffer(l, name, v->value, dtype, access);
    l->out_offset[i] = index_argument(l, v->offset);
    for (int a = 0; a < cut->rank; a++)
        l->out_stride[i][a] = stride_argument(l, v->stride[a]);
    if (cut->out[i].indirect >= 0)
        l->out_index[i] =
            declare_index(l, cut->out[i].indirect_stride,
                          cut->out[i].indirect_bound, cut->out[i].fault);
}

/* Along which axes an expression varies: bit a. */
static unsigned
varies_along(const krsi_lowering *l, const krsi_expr *e)
{
    const krsi_cut *cut = l->cut;
    unsigned axes = 0;
    if (e->kind == KRSI_X_LOAD || e->kind == KRSI_X_POSITION) {
        const krsi_load *load = &cut->load[e->load];
        for (int a = 0; a < cut->rank; a++)
            axes |= (unsigned)(load->view.stride[a] != 0) << a;
        return load->indirect < 0 ? axes : axes | l->varies[load->indirect];
    }
    for (int i = 0; i < krsi_expr_operands(e); i++)
        axes |= l->varies[e->in[i]];
    if (e->kind == KRSI_X_REDUCE || e->kind == KRSI_X_PRODUCT)
        axes &= ~(1U << (cut->rank - 1));
    return axes;
}

void
krsi_lower_declare_rest(krsi_lowering *l)
{
    const krsi_cut *cut = l->cut;
    if (krsi_cut_may_fault(cut))
        l->faults = buffer(l, "faults", KRSI_FAULTS, KRS_I64, KRS_K_WRITE);
    for (int i = 0; i < cut->exprs; i++) {
        const krsi_expr *e = &cut->expr[i];
        l->varies[i] = varies_along(l, e);
        if (e->kind == KRSI_X_CONST)
            l->constant[i] = constant_argument(l, e);
        else if (e->kind == KRSI_X_RANDOM)
            l->constant[i] = index_argument(l, KRS_INDEX(e->stream));
    }
}

void
krsi_lower_declare(krsi_lowering *l)
{
    const krsi_cut *cut = l->cut;
    for (int a = 0; a < cut->rank; a++)
        l->extent[a] = index_argument(l, cut->extent[a]);
    for (int i = 0; i < cut->loads; i++)
        krsi_lower_declare_load(l, i);
    for (int i = 0; i < cut->outs; i++)
        krsi_lower_declare_out(l, i);
    krsi_lower_declare_rest(l);
}

/* ---- points ---- */

void
krsi_lower_points(krsi_lowering *l, int axes, int64_t per)
{
    krsi_kb *kb = l->kb;
    krsi_kv one = krsi_kb_i64(kb, 1), zero = krsi_kb_i64(kb, 0);
    for (int g = 0; g < KRS_K_AXES; g++)
        l->grid[g] = (krsi_grid){KRS_INDEX(1), 1};
    l->loops = 0;
    l->mask = KRSI_KV_NONE;
    krsi_lower_move(l);
    /* outermost axes beyond the grid are loops of the item */
    for (int a = 0; a < axes - KRS_K_AXES; a++, l->loops++)
        l->coord[a] = krsi_kb_for(kb, zero, l->extent[a], one);
    for (int a = axes > KRS_K_AXES ? axes - KRS_K_AXES : 0; a < axes - 1; a++) {
        int g = axes - 1 - a;
        l->coord[a] = krsi_kb_axis(kb, g);
        l->grid[g] = (krsi_grid){l->cut->extent[a], 1};
    }
    if (axes == 0)
        return;
    int last = axes - 1;
    krsi_kv item = krsi_kb_axis(kb, 0);
    l->grid[0] = (krsi_grid){l->cut->extent[last], per};
    l->coord[last] = krsi_kb_mul(kb, item, krsi_kb_i64(kb, per));
    l->end =
        krsi_kb_min(kb, krsi_kb_add(kb, l->coord[last], krsi_kb_i64(kb, per)),
                    l->extent[last]);
}

void
krsi_lower_end_points(krsi_lowering *l)
{
    for (; l->loops > 0; l->loops--)
        krsi_kb_end(l->kb);
}

/* An axis of whole vectors needs no masks. */
bool
krsi_lower_has_whole_vectors(const krsi_lowering *l, int axis)
{
    krs_index extent = l->cut->extent[axis];
    return extent.terms == 0 && extent.base % l->lanes == 0;
}

/* One body, masked unless that is never needed. */
static void
vectors_in_turn(krsi_lowering *l, krsi_kv low, krsi_kv high,
                krsi_lower_body *body, void *context)
{
    krsi_kb *kb = l->kb;
    krsi_kv at = krsi_kb_for(kb, low, high, krsi_kb_i64(kb, l->lanes));
    l->coord[l->vector_axis] = at;
    l->mask = l->lanes == 1 || krsi_lower_has_whole_vectors(l, l->vector_axis)
                  ? KRSI_KV_NONE
                  : krsi_kb_below(kb, at, high, l->lanes);
    krsi_lower_move(l);
    body(l, context);
    krsi_kb_end(kb);
    l->mask = KRSI_KV_NONE;
    krsi_lower_move(l);
}

void
krsi_lower_vectors(krsi_lowering *l, krsi_kv low, krsi_kv high,
                   krsi_lower_body *body, void *context)
{
    krsi_kb *kb = l->kb;
    if (l->facts->code_is_dear) {
        vectors_in_turn(l, low, high, body, context);
        return;
    }
    krsi_kv step = krsi_kb_i64(kb, l->lanes), whole = high;
    if (l->lanes > 1) {
        krsi_kv count = krsi_kb_sub(kb, high, low);
        whole = krsi_kb_sub(kb, high, krsi_kb_rem(kb, count, step));
    }
    l->mask = KRSI_KV_NONE;
    l->coord[l->vector_axis] = krsi_kb_for(kb, low, whole, step);
    krsi_lower_move(l);
    body(l, context);
    krsi_kb_end(kb);
    if (l->lanes > 1) {
        krsi_kv at = krsi_kb_for(kb, whole, high, step);
        l->coord[l->vector_axis] = at;
        l->mask = krsi_kb_below(kb, at, high, l->lanes);
        krsi_lower_move(l);
        body(l, context);
        krsi_kb_end(kb);
    }
    l->mask = KRSI_KV_NONE;
    krsi_lower_move(l);
}

/* ---- addresses ---- */

/* 0, 1, 2, ... along the vector axis, i64 */
static krsi_kv
lane_numbers(krsi_lowering *l)
{
    return krsi_kb_convert(l->kb, KRS_I64, krsi_kb_lanes(l->kb, l->lanes));
}

/* offset + sum of coordinate * stride (lane 0), and how it goes on along the
 * vector axis: one element a lane, by `lane_step`, or not at all */
typedef struct address {
    krsi_kv first, lane_step;
    bool varies, contiguous;
    bool in_fours;  /* contiguous vectors begin at multiples of four elements */
    bool in_halves; /* of blocks: such vectors lie in half a block each */
} address;

static address
address_of(krsi_lowering *l, krsi_kv offset, const krsi_kv *stride,
           const krsi_view *v)
{
    krsi_kb *kb = l->kb;
    address at = {.first = offset,
                  .in_fours = l->in_fours && l->facts->items_are_lanes &&
                              krsi_index_is_multiple(v->offset, 4),
                  .in_halves = l->lanes <= KRSI_BLOCK / 2 &&
                               krsi_index_is_multiple(v->offset, KRSI_BLOCK)};
    for (int a = 0; a < l->cut->rank; a++) {
        if (v->stride[a] == 0)
            continue;
        at.first =
            krsi_kb_add(kb, at.first, krsi_kb_mul(kb, l->coord[a], stride[a]));
        if (a == l->vector_axis) {
            at.varies = true;
            at.contiguous = v->stride[a] == 1;
            at.lane_step = stride[a];
        } else {
            at.in_fours &= v->stride[a] % 4 == 0;
            at.in_halves &= v->stride[a] % KRSI_BLOCK == 0;
        }
    }
    return at;
}

/* Memory at an address plus `moved` (none, scalar or lanes). */
static krsi_kmem
memory(krsi_lowering *l, krsi_kbuf buf, krs_dtype dtype, address at,
       krsi_kv moved)
{
    size_t element_bytes =
        (size_t)krsi_kdtype_bytes((int)krsi_lower_stored(dtype));
    krsi_kb *kb = l->kb;
    krsi_kmem m = {.buffer = buf, .index = at.first};
    bool by_lane = moved.ref && krsi_kb_type(kb, moved).lanes > 1;
    if (moved.ref && !by_lane)
        m.index = krsi_kb_add(kb, m.index, moved);
    if (moved.ref)
        m.flags = KRS_K_INDIRECT;
    if (!at.varies && !by_lane)
        return m;
    m.lanes = l->lanes;
    m.mask = l->mask;
    if (at.contiguous && !by_lane) {
        m.align_bytes = at.in_fours && !moved.ref ? 4 * element_bytes : 0;
        return m;
    }
    if (at.varies)
        m.offsets = krsi_kb_mul(kb, lane_numbers(l), at.lane_step);
    if (by_lane)
        m.offsets = m.offsets.ref ? krsi_kb_add(kb, m.offsets, moved) : moved;
    return m;
}

krsi_kv
krsi_lower_index(krsi_lowering *l, const krsi_lowered_index *by, krsi_kv index,
                 krsi_kv *inside)
{
    krsi_kb *kb = l->kb;
    krsi_kv wide = krsi_kb_convert(kb, KRS_I64, index);
    bool scalar = krsi_kb_type(kb, wide).lanes == 1;
    krsi_kv zero = krsi_kb_i64(kb, 0);
    krsi_kv ok = krsi_kb_and(kb, krsi_kb_ge(kb, wide, zero),
                             krsi_kb_lt(kb, wide, by->bound));
    krsi_kv wrong = krsi_kb_not(kb, ok);
    if (!scalar && l->mask.ref)
        wrong = krsi_kb_and(kb, wrong, l->mask);
    /* INT64_MIN means no fault */
    krsi_kv reported = krsi_kb_max(kb, wide, krsi_kb_i64(kb, INT64_MIN + 1));
    krsi_kmem slot = {.buffer = l->faults,
                      .index = by->fault_slot,
                      .mask = wrong,
                      .lanes = scalar ? 1 : l->lanes};
    if (!scalar)
        slot.offsets = krsi_kb_broadcast(kb, l->lanes, krsi_kb_i64(kb, 0));
    krsi_kb_store(kb, slot, reported);
    *inside = !scalar && l->mask.ref ? krsi_kb_and(kb, ok, l->mask) : ok;
    krsi_kv safe = krsi_kb_select(kb, ok, wide, zero);
    return krsi_kb_mul(kb, safe, by->stride);
}

static krsi_kv
load_value(krsi_lowering *l, const krsi_expr *e)
{
    krsi_kb *kb = l->kb;
    int i = e->load;
    const krsi_load *load = &l->cut->load[i];
    address at =
        address_of(l, l->load_offset[i], l->load_stride[i], &load->view);
    krsi_kv moved = KRSI_KV_NONE, inside = KRSI_KV_NONE;
    bool indirect = load->indirect >= 0;
    if (indirect)
        moved = krsi_lower_index(l, &l->load_index[i],
                                 krsi_lower_expr(l, load->indirect), &inside);
    krsi_kmem m = memory(l, l->load[i], e->dtype, at, moved);
    if (indirect && m.lanes > 1 && krsi_kb_type(kb, inside).lanes == 1)
        m.mask = l->mask.ref
                     ? krsi_kb_and(kb, l->mask,
                                   krsi_kb_broadcast(kb, l->lanes, inside))
                     : krsi_kb_broadcast(kb, l->lanes, inside);
    else if (indirect)
        m.mask = inside;
    if (krsi_lower_stored(e->dtype) != e->dtype)
        return krsi_lower_block(kb, e->dtype, m,
                                at.contiguous && at.in_halves &&
                                    !m.offsets.ref &&
                                    load->indirect_stride % KRSI_BLOCK == 0);
    krsi_kv v = krsi_kb_load(kb, m);
    krs_dtype type = krsi_lower_type(e->dtype);
    return type == e->dtype ? v : krsi_kb_convert(kb, type, v);
}

krsi_kmem
krsi_lower_out(krsi_lowering *l, int i, krsi_kv moved)
{
    return memory(
        l, l->out[i], l->cut->expr[l->cut->out[i].root].dtype,
        address_of(l, l->out_offset[i], l->out_stride[i], &l->cut->out[i].view),
        moved);
}

void
krsi_lower_store(krsi_lowering *l, int i, krsi_kmem at, krsi_kv value)
{
    krsi_kb *kb = l->kb;
    krs_dtype to = l->cut->expr[l->cut->out[i].root].dtype;
    if (krsi_kb_type(kb, value).dtype != to)
        value = krsi_kb_convert(kb, to, value);
    if (at.lanes > 1 && krsi_kb_type(kb, value).lanes == 1)
        value = krsi_kb_broadcast(kb, at.lanes, value);
    else if (at.lanes <= 1 && krsi_kb_type(kb, value).lanes > 1)
        value = krsi_kb_slice(kb, value, 0, 1); /* an axis of size 1 */
    krsi_kb_store(kb, at, value);
}

void
krsi_lower_deliver(krsi_lowering *l, int i)
{
    krsi_kv value = krsi_lower_expr(l, l->cut->out[i].root);
    krsi_lower_store(l, i, krsi_lower_out(l, i, KRSI_KV_NONE), value);
}

/* ---- expressions ---- */

static krsi_kv
position(krsi_lowering *l, const krsi_expr *e)
{
    krsi_kb *kb = l->kb;
    address at = address_of(l, l->load_offset[e->load], l->load_stride[e->load],
                            &l->cut->load[e->load].view);
    krsi_kv index = at.first;
    if (at.varies && l->lanes > 1)
        index = krsi_kb_add(kb, index,
                            krsi_kb_mul(kb, lane_numbers(l), at.lane_step));
    krs_dtype type = krsi_lower_type(e->dtype);
    return type == KRS_I64 ? index : krsi_kb_convert(kb, type, index);
}

static krsi_kv
compute(krsi_lowering *l, int expr)
{
    krsi_kb *kb = l->kb;
    const krsi_expr *e = &l->cut->expr[expr];
    krsi_kv in[3] = {{0}, {0}, {0}};
    switch (e->kind) {
    case KRSI_X_LOAD: return load_value(l, e);
    case KRSI_X_CONST: return l->constant[expr];
    case KRSI_X_POSITION: return position(l, e);
    case KRSI_X_RANDOM:
        return krsi_lower_random(
            kb, krsi_lower_expr(l, e->in[0]), krsi_lower_expr(l, e->in[1]),
            l->constant[expr], krsi_lower_expr(l, e->in[2]));
    case KRSI_X_OP: {
        int operands = krsi_expr_operands(e);
        for (int i = 0; i < operands; i++)
            in[i] = krsi_lower_expr(l, e->in[i]);
        krs_dtype from =
            l->cut->expr[e->in[operands == 1 ? 0 : operands - 1]].dtype;
        return krsi_lower_op(kb, e->op, from, e->dtype, in);
    }
    case KRSI_X_REDUCE:
    case KRSI_X_PRODUCT: break; /* fixed by their families */
    }
    krsi_kb_fail(kb, KRS_E_INTERNAL, "a reduction is used before it is known");
    return KRSI_KV_NONE;
}

krsi_kv
krsi_lower_expr(krsi_lowering *l, int expr)
{
    if (l->fixed[expr].ref)
        return l->fixed[expr];
    if (!l->here[expr].ref)
        l->here[expr] = compute(l, expr);
    return l->here[expr];
}

void
krsi_lower_move(krsi_lowering *l)
{
    memset(l->here, 0, sizeof l->here);
}

void
krsi_lower_needed(const krsi_cut *cut, const int *roots, int count,
                  bool *needed)
{
    memset(needed, 0, KRSI_CUT_EXPRS * sizeof *needed);
    for (int i = 0; i < count; i++)
        needed[roots[i]] = true;
    for (int i = cut->exprs - 1; i >= 0; i--) {
        const krsi_expr *e = &cut->expr[i];
        if (!needed[i])
            continue;
        for (int k = 0; k < krsi_expr_operands(e); k++)
            needed[e->in[k]] = true;
        if (e->kind == KRSI_X_LOAD && cut->load[e->load].indirect >= 0)
            needed[cut->load[e->load].indirect] = true;
    }
}

void
krsi_lower_fix(krsi_lowering *l, unsigned axes, const bool *needed)
{
    for (int i = 0; i < l->cut->exprs; i++)
        if (needed[i] && !l->fixed[i].ref && !(l->varies[i] & axes))
            l->fixed[i] = krsi_lower_expr(l, i);
}
