/* eval_reduce.c -- sum, amax, amin, argmax, cumsum.
 *
 * Every reduction is brought to [outer, count, inner] with the middle axis
 * reduced: directly if the reduced axes are neighbours, else through a
 * permuted copy. Sums are plain sums of doubles (four interleaved ones along
 * contiguous memory); integer sums wrap.
 */
#include "eval.h"

#include <math.h>
#include <string.h>

/* x as [outer, count, inner], row-major */
typedef struct rows {
    int64_t outer, count, inner;
    const krsi_element *x;
    krsi_element *scratch; /* the permuted copy, or NULL */
} rows;

/* One neighbourhood of reduced axes, or none? Sizes of 1 do not matter. */
static bool
neighbours(const krsi_value *x, unsigned gone, rows *out)
{
    int phase = 0; /* before, within, after */
    for (int a = 0; a < x->rank; a++) {
        bool reduced = gone >> a & 1;
        if (x->dim[a] == 1)
            continue;
        if (phase == 0 && reduced)
            phase = 1;
        else if (phase == 1 && !reduced)
            phase = 2;
        else if (phase == 2 && reduced)
            return false;
        if (phase == 0)
            out->outer *= x->dim[a];
        else if (phase == 1)
            out->count *= x->dim[a];
        else
            out->inner *= x->dim[a];
    }
    return true;
}

/* Reduced axes moved behind the others, into scratch. */
static krs_status
gather_rows(krsi_call *call, const krsi_value *x, unsigned gone, rows *out)
{
    int64_t stride[KRS_MAX_RANK], dim[KRS_MAX_RANK], from[KRS_MAX_RANK];
    int64_t to[KRS_MAX_RANK];
    int rank = 0;
    *out = (rows){1, 1, 1, NULL, NULL};
    krsi_strides(x->rank, x->dim, stride);
    for (unsigned pass = 0; pass < 2; pass++)
        for (int a = 0; a < x->rank; a++)
            if ((gone >> a & 1) == pass) {
                dim[rank] = x->dim[a];
                from[rank++] = stride[a];
                *(pass ? &out->count : &out->outer) *= x->dim[a];
            }
    out->scratch = krsi_scratch(call, x->elements);
    if (!out->scratch)
        return KRS_E_MEMORY;
    krsi_strides(rank, dim, to);
    krsi_strided_copy(rank, dim, out->scratch, to, x->e, from);
    out->x = out->scratch;
    return KRS_OK;
}

static krs_status
open_rows(krsi_call *call, rows *out)
{
    const krsi_value *x = krsi_in(call, 0);
    const int64_t *axis;
    unsigned gone = 0;
    int count = krsi_ints(call->node, 0, &axis);
    for (int i = 0; i < count; i++)
        gone |= 1u << axis[i];
    *out = (rows){1, 1, 1, x->e, NULL};
    if (call->out->elements == 0) /* sizes may not even multiply */
        *out = (rows){0, 0, 0, x->e, NULL};
    else if (x->elements == 0)
        *out = (rows){call->out->elements, 0, 1, x->e, NULL};
    else if (!neighbours(x, gone, out))
        KRS_TRY(gather_rows(call, x, gone, out));
    return KRS_OK;
}

static void
close_rows(krsi_call *call, rows *r)
{
    if (r->scratch)
        krsi_scratch_free(call, r->scratch);
}

static double
sum_float_row(const krsi_element *x, int64_t count)
{
    double sum[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (int t = 0; t < 4; t++)
            sum[t] += x[i + t].f;
    for (; i < count; i++)
        sum[0] += x[i].f;
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void
sum_floats(const rows *r, krsi_element *out)
{
    const krsi_element *x = r->x;
    for (int64_t o = 0; o < r->outer; o++, out += r->inner) {
        if (r->inner == 1) {
            out->f = sum_float_row(x, r->count);
            x += r->count;
            continue;
        }
        for (int64_t j = 0; j < r->inner; j++)
            out[j].f = 0;
        for (int64_t i = 0; i < r->count; i++, x += r->inner)
            for (int64_t j = 0; j < r->inner; j++)
                out[j].f += x[j].f;
    }
}

static void
sum_ints(const rows *r, krsi_element *out)
{
    const krsi_element *x = r->x;
    for (int64_t o = 0; o < r->outer; o++, out += r->inner) {
        for (int64_t j = 0; j < r->inner; j++)
            out[j].i = 0;
        for (int64_t i = 0; i < r->count; i++, x += r->inner)
            for (int64_t j = 0; j < r->inner; j++)
                out[j].i = (int64_t)((uint64_t)out[j].i + (uint64_t)x[j].i);
    }
}

static void
multiply(const rows *r, bool is_float, krsi_element *out)
{
    const krsi_element *x = r->x;
    for (int64_t o = 0; o < r->outer; o++, out += r->inner) {
        for (int64_t j = 0; j < r->inner; j++)
            if (is_float)
                out[j].f = 1;
            else
                out[j].i = 1;
        for (int64_t i = 0; i < r->count; i++, x += r->inner)
            for (int64_t j = 0; j < r->inner; j++)
                if (is_float)
                    out[j].f *= x[j].f;
                else
                    out[j].i = (int64_t)((uint64_t)out[j].i * (uint64_t)x[j].i);
    }
}

krs_status
krsi_eval_prod(krsi_call *call)
{
    rows r;
    KRS_TRY(open_rows(call, &r));
    krs_status status = krsi_out_new(call);
    if (status == KRS_OK)
        multiply(&r, krsi_is_float(call->out), call->out->e);
    close_rows(call, &r);
    return status;
}

krs_status
krsi_eval_sum(krsi_call *call)
{
    rows r;
    KRS_TRY(open_rows(call, &r));
    krs_status status = krsi_out_new(call);
    if (status == KRS_OK && krsi_is_float(call->out))
        sum_floats(&r, call->out->e);
    else if (status == KRS_OK)
        sum_ints(&r, call->out->e);
    close_rows(call, &r);
    return status;
}

/* Is x to replace best? NaN beats everything and is not beaten. */
static bool
beats(bool is_float, bool largest, krsi_element x, krsi_element best)
{
    if (!is_float)
        return largest ? x.i > best.i : x.i < best.i;
    if (isnan(best.f))
        return false;
    return isnan(x.f) || (largest ? x.f > best.f : x.f < best.f);
}

static void
extremes(const rows *r, bool is_float, bool largest, krsi_element *out)
{
    const krsi_element *x = r->x;
    for (int64_t o = 0; o < r->outer; o++, out += r->inner) {
        memcpy(out, x, (size_t)r->inner * sizeof *out);
        x += r->inner;
        for (int64_t i = 1; i < r->count; i++, x += r->inner)
            for (int64_t j = 0; j < r->inner; j++)
                if (beats(is_float, largest, x[j], out[j]))
                    out[j] = x[j];
    }
}

static krs_status
no_elements(krsi_call *call)
{
    return krsi_call_fail(call, KRS_E_RANGE,
                          "no elements are live at this run, and nothing has "
                          "no extremum");
}

static krs_status
extremum(krsi_call *call, bool largest)
{
    rows r;
    KRS_TRY(open_rows(call, &r));
    krs_status status = krsi_out_new(call);
    if (status == KRS_OK && r.outer > 0 && r.count == 0)
        status = no_elements(call);
    if (status == KRS_OK)
        extremes(&r, krsi_is_float(call->out), largest, call->out->e);
    close_rows(call, &r);
    return status;
}

krs_status
krsi_eval_amax(krsi_call *call)
{
    return extremum(call, true);
}

krs_status
krsi_eval_amin(krsi_call *call)
{
    return extremum(call, false);
}

/* x as [outer, axis, inner]; x is not empty */
static rows
split_at(const krsi_value *x, int axis)
{
    rows r = {1, x->dim[axis], 1, x->e, NULL};
    for (int a = 0; a < axis; a++)
        r.outer *= x->dim[a];
    for (int a = axis + 1; a < x->rank; a++)
        r.inner *= x->dim[a];
    return r;
}

krs_status
krsi_eval_argmax(krsi_call *call)
{
    const krsi_value *x = krsi_in(call, 0);
    bool is_float = krsi_is_float(x);
    KRS_TRY(krsi_out_new(call));
    if (call->out->elements == 0)
        return KRS_OK;
    if (x->elements == 0)
        return no_elements(call);
    rows r = split_at(x, (int)krsi_int(call->node, 0));
    int64_t *out = call->out->i;
    for (int64_t o = 0; o < r.outer; o++)
        for (int64_t j = 0; j < r.inner; j++) {
            const krsi_element *at = r.x + o * r.count * r.inner + j;
            int64_t best = 0;
            for (int64_t i = 1; i < r.count; i++)
                if (beats(is_float, true, at[i * r.inner], at[best * r.inner]))
                    best = i;
            *out++ = best;
        }
    return KRS_OK;
}

static krsi_element
combined(krsi_element a, krsi_element b, bool is_float, bool multiplies)
{
    uint64_t x = (uint64_t)a.i, y = (uint64_t)b.i;
    if (is_float)
        a.f = multiplies ? a.f * b.f : a.f + b.f;
    else
        a.i = (int64_t)(multiplies ? x * y : x + y);
    return a;
}

/* running sums, or products */
static krs_status
prefixes(krsi_call *call, bool multiplies)
{
    krsi_value *out = call->out;
    bool is_float = krsi_is_float(out), reverse;
    reverse = krsi_int(call->node, 1) != 0;
    KRS_TRY(krsi_out_copy(call, 0));
    if (out->elements == 0)
        return KRS_OK;
    rows r = split_at(out, (int)krsi_int(call->node, 0));
    int64_t step = reverse ? -r.inner : r.inner;
    for (int64_t o = 0; o < r.outer; o++) {
        krsi_element *row = out->e + o * r.count * r.inner;
        if (reverse)
            row += (r.count - 1) * r.inner;
        for (int64_t i = 1; i < r.count; i++, row += step)
            for (int64_t j = 0; j < r.inner; j++)
                row[step + j] =
                    combined(row[step + j], row[j], is_float, multiplies);
    }
    return KRS_OK;
}

krs_status
krsi_eval_cumsum(krsi_call *call)
{
    return prefixes(call, false);
}

krs_status
krsi_eval_cumprod(krsi_call *call)
{
    return prefixes(call, true);
}
