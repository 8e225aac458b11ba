/* tile_contract.c -- a cut of the family contract to one kernel.
 *
 * In: the cut (batch axes, then m, n, k; load 0 is A, load 1 is B) and the
 * facts of the device. Out: the kernel, its arguments, bindings and grid.
 * tile_choose.c chooses, from the maximal sizes, what each template then emits.
 */
#include "tile_product.h"

#include <stdio.h>

enum { NARROW = 8 }; /* N up to this is exchanged for M */

/* ---- the product ---- */

/* The innermost batch axis continues m if B is the same along it and all else
 * steps on as it does from row to row. */
static bool
continues_rows(const krsi_cut *cut, const krsi_product *p)
{
    int last = p->batches - 1, m = cut->rank - 3;
    bool continues = last >= 0 && krsi_is_constant(p->m) &&
                     krsi_is_constant(p->extent[last]) && p->batch_b[last] == 0;
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
exchange_roles(krsi_product *p)
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

static krsi_product
read_cut(const krsi_cut *cut)
{
    int m = cut->rank - 3, n = cut->rank - 2, k = cut->rank - 1;
    const krsi_expr *e = &cut->expr[krsi_cut_product(cut)];
    int la = main_load(cut, e->in[0], m), lb = main_load(cut, e->in[1], n);
    const int64_t *a = cut->load[la].view.stride;
    const int64_t *b = cut->load[lb].view.stride;
    const int64_t *c = cut->out[0].view.stride;
    krsi_product p = {.batches = m,
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
count_batches(krsi_lowering *l, const krsi_product *p)
{
    krsi_kb *kb = l->kb;
    krsi_kv left = krsi_kb_axis(kb, 2);
    krs_index all = KRS_INDEX(1);
    for (int i = p->batches - 1; i >= 0; i--) {
        krsi_kv extent = krsi_tile_integer(l, p->extent[i]);
        all = krsi_is_constant(all) ? krs_index_times(p->extent[i], all.base)
                                    : krs_index_times(all, p->extent[i].base);
        l->coord[i] = i ? krsi_kb_rem(kb, left, extent) : left;
        left = i ? krsi_kb_div(kb, left, extent) : left;
    }
    l->grid[2] = (krsi_grid){all, 1};
}

/* Two batch axes take two grid axes, more are loops. */
static void
spread_batches(krsi_lowering *l, const krsi_product *p)
{
    krsi_kb *kb = l->kb;
    krsi_kv zero = krsi_kb_i64(kb, 0), one = krsi_kb_i64(kb, 1);
    for (int i = 0; i < p->batches; i++) {
        krsi_kv extent = krsi_tile_integer(l, p->extent[i]);
        int axis = p->batches == 1 ? 2 : p->batches - i;
        if (i < krsi_product_loops(p)) {
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
place_item(krsi_lowering *l, krsi_tile *t, const krsi_product *p,
           krsi_tile_split s)
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
declare_scratch(krsi_lowering *l, krsi_tile *t, const krsi_product *p,
                krsi_tile_split s)
{
    enum { ALIGN = 64, LINE = KRSI_TILE_LINE };
    krsi_kb *kb = t->kb;
    int64_t width = (int64_t)t->vectors * t->lanes;
    krsi_kv panels = number(l, s.columns / width);
    t->sum_stride = number(l, s.columns);
    if (t->template == KRSI_TILE_QUANTISED && !t->one_chunk)
        t->a_length = number(l, krsi_tile_parts(p->max_k, LINE) * LINE + LINE);
    krsi_tile_declare_a(t, "a_pack");
    if (t->template == KRSI_TILE_BLOCKED)
        t->b_pack = krsi_kb_scratch(kb, "b_pack", t->pairs ? KRS_BF16 : KRS_F32,
                                    width * t->chunk * t->unit, panels, ALIGN);
    if (t->template == KRSI_TILE_QUANTISED)
        krsi_tile_declare_quantised(t);
    if (t->small)
        krsi_tile_declare_square(t, "square");
    if (t->template == KRSI_TILE_STREAM)
        t->b_pack = krsi_kb_scratch(kb, "chunk_sums", KRS_F32, width * t->rows,
                                    panels, ALIGN);
    if (t->has_sums)
        t->sums = krsi_kb_scratch(kb, "sums", KRS_F32, 1,
                                  number(l, s.rows * s.columns), ALIGN);
}

/* Roles, types and expressions of A and B. A cast of blocks is how they are
 * read; those that do not begin where rows do are read one by one. */
static void
set_operand(const krsi_cut *cut, const krsi_product *p, krsi_tile_operand *x,
            int load, int side, int axis, const int64_t *batch, int64_t outer,
            int64_t inner)
{
    x->dtype = krsi_lower_load_type(cut, load);
    x->in_blocks = krsi_lower_stored(x->dtype) != x->dtype;
    x->root = cut->expr[krsi_cut_product(cut)].in[side];
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
    if (x->in_blocks &&
        !krsi_product_in_multiples(p, &cut->load[load].view, batch,
                                   x->along_inner ? outer : inner, KRSI_BLOCK))
        x->along_outer = x->along_inner = false;
}

/* C as it is, or the outs that are made of it. */
static void
declare_outs(krsi_lowering *l, krsi_tile *t, const krsi_product *p)
{
    const krsi_cut *cut = l->cut;
    if (t->finishes) {
        for (int i = 0; i < cut->outs; i++)
            krsi_lower_declare_out(l, i);
        return;
    }
    t->out =
        krsi_tile_buffer(l, "product", cut->out[0].view.value, t->out_dtype,
                         t->has_sums || t->one_chunk || krsi_tile_is_thin(t) ||
                                 krsi_tile_is_registers(t)
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
declare_rest(krsi_lowering *l, const krsi_tile *t, const krsi_product *p)
{
    const krsi_cut *cut = l->cut;
    if (!t->finishes && krsi_operand_is_plain(&t->a) &&
        krsi_operand_is_plain(&t->b))
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
    krsi_product p = read_cut(cut);
    krsi_tile t = {
        .kb = l->kb, .lowering = l, .product = krsi_cut_product(cut)};
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
    krsi_tile_split s = krsi_tile_decide(&t, &p, cut, l->facts);

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
        declare_scratch(l, &t, &p, s);
    place_item(l, &t, &p, s);
    switch (t.template) {
    case KRSI_TILE_BLOCKED:
    case KRSI_TILE_DIRECT: krsi_tile_blocked(&t); break;
    case KRSI_TILE_STREAM: krsi_tile_stream(&t); break;
    case KRSI_TILE_TURNED: krsi_tile_turned(&t); break;
    case KRSI_TILE_QUANTISED: krsi_tile_quantised(&t); break;
    case KRSI_TILE_SINGLE: krsi_tile_single(&t); break;
    case KRSI_TILE_GROUP: krsi_tile_group(&t); break;
    }
    for (int i = 0; i < krsi_product_loops(&p); i++)
        krsi_kb_end(t.kb);
}
