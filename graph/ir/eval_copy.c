/* eval_copy.c -- moving elements between arrays of different strides, the
 * one loop that all views of the interpreter share.
 */
#include "eval.h"

#include <stdio.h>
#include <string.h>

void
krsi_strides(int rank, const int64_t *dim, int64_t *stride)
{
    int64_t step = 1;
    for (int a = rank - 1; a >= 0; a--) {
        stride[a] = step;
        if (__builtin_mul_overflow(step, dim[a], &step))
            step = 0; /* an empty array: nobody steps */
    }
}

/* Axes of the copy: those of size 1 dropped, neighbours merged where both
 * sides walk on evenly. */
typedef struct walk {
    int rank;
    int64_t dim[KRS_MAX_RANK], to[KRS_MAX_RANK], from[KRS_MAX_RANK];
} walk;

static walk
simplify(int rank, const int64_t *dim, const int64_t *to, const int64_t *from)
{
    walk w = {0};
    for (int a = 0; a < rank; a++) {
        int last = w.rank - 1;
        if (dim[a] == 1)
            continue;
        if (last >= 0 && w.to[last] == to[a] * dim[a] &&
            w.from[last] == from[a] * dim[a]) {
            w.dim[last] *= dim[a];
            w.to[last] = to[a];
            w.from[last] = from[a];
            continue;
        }
        w.dim[w.rank] = dim[a];
        w.to[w.rank] = to[a];
        w.from[w.rank++] = from[a];
    }
    if (w.rank == 0)
        w = (walk){1, {1}, {1}, {1}};
    return w;
}

static void
copy_row(int64_t count, krsi_element *dst, int64_t to, const krsi_element *src,
         int64_t from)
{
    if (to == 1 && from == 1)
        memcpy(dst, src, (size_t)count * sizeof *dst);
    else if (to == 1 && from == 0)
        for (int64_t i = 0; i < count; i++)
            dst[i] = *src;
    else
        for (int64_t i = 0; i < count; i++)
            dst[i * to] = src[i * from];
}

void
krsi_strided_copy(int rank, const int64_t *dim, krsi_element *dst,
                  const int64_t *dst_stride, const krsi_element *src,
                  const int64_t *src_stride)
{
    for (int a = 0; a < rank; a++)
        if (dim[a] == 0)
            return;
    walk w = simplify(rank, dim, dst_stride, src_stride);
    int last = w.rank - 1;
    int64_t at[KRS_MAX_RANK] = {0}, to = 0, from = 0;
    for (;;) {
        copy_row(w.dim[last], dst + to, w.to[last], src + from, w.from[last]);
        int a = last - 1;
        for (; a >= 0; a--) {
            to += w.to[a];
            from += w.from[a];
            if (++at[a] < w.dim[a])
                break;
            at[a] = 0;
            to -= w.to[a] * w.dim[a];
            from -= w.from[a] * w.dim[a];
        }
        if (a < 0)
            return;
    }
}

const char *
krsi_position_text(char text[KRSI_POSITION_TEXT], int rank, const int64_t *dim,
                   int64_t position)
{
    int64_t at[KRS_MAX_RANK] = {0};
    for (int a = rank - 1; a >= 0; a--) {
        at[a] = position % dim[a];
        position /= dim[a];
    }
    int used = snprintf(text, KRSI_POSITION_TEXT, "[");
    for (int a = 0; a < rank; a++)
        used += snprintf(text + used, (size_t)(KRSI_POSITION_TEXT - used),
                         "%s%lld", a ? "," : "", (long long)at[a]);
    snprintf(text + used, (size_t)(KRSI_POSITION_TEXT - used), "]");
    return text;
}
