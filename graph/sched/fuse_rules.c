/* fuse_rules.c -- when merging two cuts is worth it: rules on a host, a guest
 * and the mapping between them. fuse.c says what each protects.
 */
#include "fuse.h"

#include <stdlib.h>

enum {
    FEW_ROWS = 16,     /* too few to keep workers busy */
    SMALL = 1 << 15,   /* points that one worker does at once */
    OPERAND_COST = 48, /* of an element of a product's operand */
    OPERAND_USES = 64  /* products that an element takes part in, at least */
};

/* The axis that vectors will lie along, in most kernels of the family. */
static int
vector_axis(const krsi_cut *c)
{
    bool before = c->family == KRSI_CUT_PREFIX ||
                  c->family == KRSI_CUT_SCATTER ||
                  (c->family == KRSI_CUT_ROWS && krsi_cut_is_across(c));
    return c->rank - (before ? 2 : 1);
}

int64_t
krsi_fuse_evaluations(const krsi_cut *host, const krsi_cut *guest,
                      const krsi_mapping *m)
{
    int64_t points = 1;
    for (int h = 0; h < host->rank; h++) {
        bool moves = false;
        for (int g = 0; g < guest->rank; g++)
            moves |= m->step[g][h] != 0;
        if (!moves &&
            (h == vector_axis(host) || host->family == KRSI_CUT_CONTRACT))
            continue;
        if (__builtin_mul_overflow(points, host->max[h], &points))
            return INT64_MAX;
    }
    return points;
}

bool
krsi_fuse_rows_agree(const krsi_cut *host, const krsi_cut *guest,
                     const krsi_mapping *m)
{
    int row = host->rank - 1, last = guest->rank - 1;
    if (row < 0 || host->max[row] != guest->max[last] ||
        !krs_index_equal(host->extent[row], guest->extent[last]) ||
        m->offset[last])
        return false;
    for (int h = 0; h < host->rank; h++)
        if (m->step[last][h] != (h == row))
            return false;
    for (int g = 0; g < last; g++)
        if (m->step[g][row])
            return false;
    return true;
}

bool
krsi_fuse_has_rows_enough(const krsi_cut *host)
{
    return krsi_cut_points(host, host->rank - 1) >= FEW_ROWS ||
           krsi_cut_points(host, host->rank) <= SMALL;
}

bool
krsi_fuse_keeps_order(const krsi_cut *host, const krsi_cut *guest,
                      const krsi_mapping *m)
{
    int axis = vector_axis(host);
    for (int g = 0; g < guest->rank - 1 && axis >= 0; g++)
        if (m->step[g][axis] && guest->max[g] > 1)
            return false;
    return true;
}

/* The axes of the host that move axis g count through it, like the digits of
 * a number: every value once. */
static bool
counts_through(const krsi_cut *host, const krsi_cut *guest,
               const krsi_mapping *m, int g)
{
    int64_t reached = 1;
    while (reached < guest->max[g]) {
        int next = -1;
        for (int h = 0; h < host->rank; h++)
            if (host->max[h] > 1 && llabs(m->step[g][h]) == reached)
                next = next < 0 ? h : host->rank; /* two: not once each */
        if (next < 0 || next == host->rank)
            return false;
        reached *= host->max[next];
    }
    return reached == guest->max[g];
}

bool
krsi_fuse_covers(const krsi_cut *host, const krsi_cut *guest,
                 const krsi_mapping *m)
{
    for (int h = 0; h < host->rank; h++) {
        bool same = !host->extent[h].terms;
        for (int g = 0; g < guest->rank; g++)
            same |= m->step[g][h] == 1 &&
                    krs_index_equal(host->extent[h], guest->extent[g]);
        if (!same)
            return false;
    }
    for (int g = 0; g < guest->rank; g++)
        if (!counts_through(host, guest, m, g))
            return false;
    return krsi_cut_points(host, host->rank) ==
           krsi_cut_points(guest, guest->rank);
}

static bool
stores_points(const krsi_cut *c)
{
    for (int i = 0; i < c->outs; i++)
        if (c->out[i].view.stride[c->rank - 1])
            return true;
    return false;
}

static int
count_reductions(const krsi_cut *c, bool *argmax)
{
    int count = 0;
    *argmax = false;
    for (int i = 0; i < c->exprs; i++) {
        count += c->expr[i].kind == KRSI_X_REDUCE;
        *argmax |=
            c->expr[i].kind == KRSI_X_REDUCE && c->expr[i].op == KRSI_ARGMAX;
    }
    return count;
}

bool
krsi_fuse_has_argmax(const krsi_cut *c)
{
    bool argmax;
    count_reductions(c, &argmax);
    return argmax;
}

bool
krsi_fuse_is_awkward(const krsi_cut *c)
{
    bool argmax;
    int level[KRSI_CUT_EXPRS] = {0}, highest = 0;
    if (c->family != KRSI_CUT_ROWS)
        return false;
    if (count_reductions(c, &argmax) > 1 && argmax)
        return true;
    if (!argmax && !krsi_cut_is_across(c))
        return false;
    for (int i = 0; i < c->exprs; i++) {
        for (int k = 0; k < krsi_expr_operands(&c->expr[i]); k++)
            if (level[c->expr[i].in[k]] > level[i])
                level[i] = level[c->expr[i].in[k]];
        level[i] += c->expr[i].kind == KRSI_X_REDUCE;
        highest = level[i] > highest ? level[i] : highest;
    }
    return highest > 1 || stores_points(c);
}

/* Which operand of the product a load belongs to: its axes are b.. m k or
 * b.. n k. An epilogue's loads have no axis k. */
static bool
is_operand(const krsi_cut *c, int load)
{
    for (int i = 0; i < c->exprs; i++)
        if (c->expr[i].kind == KRSI_X_PRODUCT)
            for (int k = 0; k < 2; k++) {
                const krsi_expr *e = &c->expr[c->expr[i].in[k]];
                if (e->kind == KRSI_X_LOAD && e->load == load)
                    return e->dtype == KRS_F32;
            }
    return false;
}

/* a load of the cut that gives every point an element of its own, which the
 * templates of products can read and pack */
static bool
has_main_load(const krsi_cut *p)
{
    for (int i = 0; i < p->exprs; i++) {
        if (p->expr[i].kind != KRSI_X_LOAD ||
            !(krs_dtype_is_float(p->expr[i].dtype) ||
              krs_dtype_class_of(p->expr[i].dtype) == KRS_CLASS_BLOCK))
            continue;
        const krsi_load *load = &p->load[p->expr[i].load];
        bool moves = load->indirect < 0;
        for (int a = 0; a < p->rank; a++)
            moves &= load->view.stride[a] != 0 || p->max[a] == 1;
        if (moves)
            return true;
    }
    return false;
}

bool
krsi_fuse_fits_operand(const krsi_cut *c, const krsi_cut *p, int load,
                       const krsi_mapping *m)
{
    int n = c->rank - 2, row = c->rank - 3;
    bool is_a = c->load[load].view.stride[n] == 0;
    int other = is_a ? n : row;
    for (int g = 0; g < p->rank; g++)
        if (m->step[g][other])
            return false;
    return is_operand(c, load) && krsi_cut_cost(p) <= OPERAND_COST &&
           c->max[other] >= OPERAND_USES && p->outs == 1 && has_main_load(p) &&
           p->expr[p->out[0].root].dtype == KRS_F32;
}
