/* kernel_turns.c -- how often the loops of an item turn, at most.
 *
 * In: a verified kernel, what each integer argument may be, the grid. Out: a
 * bound, for devices that end an item's loops after so many turns
 * (krs_backend_limits.item_turns). Each time an item comes to a loop, its trips
 * count and the test that ends it.
 *
 * Method: one pass over the instructions keeps an interval for every integer
 * scalar. Trips of a loop are bounded by the difference of its bounds, which
 * intervals alone would give too coarsely: a loop over [first, min(first + 192,
 * n)) has at most 192 trips wherever it begins. So the difference is taken
 * apart along the sums, minima and maxima that both bounds are made of.
 */
#include "kb.h"

#include <stdlib.h>

/* Stands for all that is beyond; a loop with a larger step is a condition. */
#define FAR (INT64_C(1) << 60)

enum {
    DEPTH = 6, /* sums of sums that a difference is taken apart to */
    LOOPS = 64 /* in each other, at most: kernel_verify.c */
};

typedef struct turns {
    const krs_kernel *kernel;
    krsi_range *range; /* of each instruction */
} turns;

static int64_t
near(int64_t a)
{
    return a > FAR ? FAR : a < -FAR ? -FAR : a;
}

/* operands are near, so that sums cannot overflow */
static int64_t
plus(int64_t a, int64_t b)
{
    return near(a + b);
}

static int64_t
times(int64_t a, int64_t b)
{
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return (a < 0) == (b < 0) ? FAR : -FAR;
    return near(product);
}

static int64_t
least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t
most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool
is_scalar(const krs_kinst *inst, krs_kscalar op)
{
    return inst->op == KRS_K_SCALAR && inst->scalar == op;
}

/* the largest that b - a may be */
static int64_t
gap(const turns *t, uint32_t b, uint32_t a, int depth)
{
    const krs_kinst *upper = &t->kernel->insts[b];
    const krs_kinst *lower = &t->kernel->insts[a];
    const krsi_range *r = t->range;
    if (a == b)
        return 0;
    int64_t best = plus(r[b].high, -r[a].low);
    if (depth == 0)
        return best;
    depth--;
    if (is_scalar(upper, KRS_KS_SUB) && is_scalar(lower, KRS_KS_SUB) &&
        upper->b == lower->b)
        best = least(best, gap(t, upper->a, lower->a, depth));
    if (is_scalar(upper, KRS_KS_ADD) && is_scalar(lower, KRS_KS_ADD) &&
        upper->a == lower->a)
        best = least(best, gap(t, upper->b, lower->b, depth));
    if (is_scalar(upper, KRS_KS_MIN)) {
        best = least(best, gap(t, upper->a, a, depth));
        best = least(best, gap(t, upper->b, a, depth));
    } else if (is_scalar(upper, KRS_KS_MAX)) {
        best = least(
            best, most(gap(t, upper->a, a, depth), gap(t, upper->b, a, depth)));
    } else if (is_scalar(upper, KRS_KS_ADD)) {
        best = least(best, plus(gap(t, upper->a, a, depth), r[upper->b].high));
        best = least(best, plus(gap(t, upper->b, a, depth), r[upper->a].high));
    } else if (is_scalar(upper, KRS_KS_SUB)) {
        best = least(best, plus(gap(t, upper->a, a, depth), -r[upper->b].low));
    } else if (is_scalar(upper, KRS_KS_AND) && r[upper->b].high < 0) {
        best = least(best, gap(t, upper->a, a, depth));
    }
    if (is_scalar(lower, KRS_KS_MAX)) {
        best = least(best, gap(t, b, lower->a, depth));
        best = least(best, gap(t, b, lower->b, depth));
    } else if (is_scalar(lower, KRS_KS_MIN)) {
        best = least(
            best, most(gap(t, b, lower->a, depth), gap(t, b, lower->b, depth)));
    } else if (is_scalar(lower, KRS_KS_ADD)) {
        best = least(best, plus(gap(t, b, lower->a, depth), -r[lower->b].low));
        best = least(best, plus(gap(t, b, lower->b, depth), -r[lower->a].low));
    } else if (is_scalar(lower, KRS_KS_SUB)) {
        best = least(best, plus(gap(t, b, lower->a, depth), r[lower->b].high));
    }
    return best;
}

static krsi_range
product(krsi_range a, krsi_range b)
{
    const int64_t end[] = {times(a.low, b.low), times(a.low, b.high),
                           times(a.high, b.low), times(a.high, b.high)};
    krsi_range r = {end[0], end[0]};
    for (int i = 1; i < 4; i++) {
        r.low = least(r.low, end[i]);
        r.high = most(r.high, end[i]);
    }
    return r;
}

static krsi_range
scalar_range(const turns *t, const krs_kinst *inst)
{
    const krsi_range any = {-FAR, FAR};
    krsi_range a = t->range[inst->a], b = t->range[inst->b];
    switch ((krs_kscalar)inst->scalar) {
    case KRS_KS_ADD:
        return (krsi_range){plus(a.low, b.low), plus(a.high, b.high)};
    case KRS_KS_SUB:
        return (krsi_range){-gap(t, inst->b, inst->a, DEPTH),
                            gap(t, inst->a, inst->b, DEPTH)};
    case KRS_KS_MUL: return product(a, b);
    case KRS_KS_MIN:
        return (krsi_range){least(a.low, b.low), least(a.high, b.high)};
    case KRS_KS_MAX:
        return (krsi_range){most(a.low, b.low), most(a.high, b.high)};
    case KRS_KS_DIV: /* of what is not negative, by what is positive */
        return a.low >= 0 && b.low > 0
                   ? (krsi_range){a.low / b.high, a.high / b.low}
                   : any;
    case KRS_KS_REM:
        return b.low > 0 ? (krsi_range){a.low < 0 ? 1 - b.high : 0,
                                        least(most(a.high, 0), b.high - 1)}
                         : any;
    case KRS_KS_AND: /* with -2^n, as for whole vectors */
        return b.low == b.high && b.low < 0 && (b.low & -b.low) == -b.low
                   ? (krsi_range){plus(a.low, b.low + 1), a.high}
                   : any;
    case KRS_KS_SHR:
        return a.low >= 0 && b.low == b.high && b.low >= 0 && b.low < 60
                   ? (krsi_range){a.low >> b.low, a.high >> b.low}
                   : any;
    case KRS_KS_SELECT: {
        krsi_range c = t->range[inst->c];
        return (krsi_range){least(b.low, c.low), most(b.high, c.high)};
    }
    case KRS_KS_CONVERT: return a;
    case KRS_KS_NEG:
    case KRS_KS_ABS:
    case KRS_KS_MAD:
    case KRS_KS_SQRT:
    case KRS_KS_FLOOR:
    case KRS_KS_ROUND:
    case KRS_KS_COPYSIGN:
    case KRS_KS_EQ:
    case KRS_KS_NE:
    case KRS_KS_LT:
    case KRS_KS_LE:
    case KRS_KS_GT:
    case KRS_KS_GE:
    case KRS_KS_OR:
    case KRS_KS_XOR:
    case KRS_KS_NOT:
    case KRS_KS_SHL:
    case KRS_KS_SAR:
    case KRS_KS_UMULH:
    case KRS_KS_BITCAST:
    case KRS_KS_DOT2_BF16:
    case KRS_KS_DOT4_I8:
    case KRS_KS_COUNT: break;
    }
    return any;
}

static krsi_range
range_of(const turns *t, const krs_kinst *inst, const krsi_range *args,
         const int64_t *grid)
{
    const krsi_range any = {-FAR, FAR};
    if (inst->op == KRS_K_FOR)
        return (krsi_range){
            t->range[inst->a].low,
            most(plus(t->range[inst->b].high, -1), t->range[inst->a].low)};
    if (inst->op == KRS_K_AXIS)
        return (krsi_range){0, most(near(grid[inst->slot]) - 1, 0)};
    if (inst->op == KRS_K_LOCAL)
        return (krsi_range){0, (int64_t)t->kernel->group[inst->slot] - 1};
    if ((inst->type.dtype != KRS_I64 && inst->type.dtype != KRS_I32) ||
        inst->type.lanes != 1)
        return any;
    if (inst->op == KRS_K_CONST) {
        int64_t n = inst->type.dtype == KRS_I32 ? (int32_t)inst->u.bits
                                                : (int64_t)inst->u.bits;
        return (krsi_range){near(n), near(n)};
    }
    if (inst->op == KRS_K_ARG)
        return (krsi_range){near(args[inst->slot].low),
                            near(args[inst->slot].high)};
    return inst->op == KRS_K_SCALAR ? scalar_range(t, inst) : any;
}

bool
krsi_kernel_turns(const krs_kernel *kernel, const krsi_range *args,
                  const int64_t grid[KRS_K_AXES], int64_t *out)
{
    int64_t comes[LOOPS + 1] = {1};
    size_t depth = 0;
    turns t = {kernel, calloc(kernel->inst_count + 1, sizeof *t.range)};
    *out = 0;
    if (!t.range)
        return false;
    for (uint32_t i = 1; i < kernel->inst_count; i++) {
        const krs_kinst *inst = &kernel->insts[i];
        t.range[i] = range_of(&t, inst, args, grid);
        if (inst->op == KRS_K_END) {
            depth--;
        } else if (inst->op == KRS_K_FOR && depth < LOOPS) {
            int64_t step = most(t.range[inst->c].low, 1);
            int64_t span = most(gap(&t, inst->b, inst->a, DEPTH), 0);
            int64_t trips = span / step + (span % step != 0);
            comes[depth + 1] = times(comes[depth], trips);
            if (step < FAR)
                *out = plus(*out, times(comes[depth], trips + 1));
            depth++;
        }
    }
    free(t.range);
    return true;
}
