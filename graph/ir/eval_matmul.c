/* eval_matmul.c -- matrix products of the interpreter, in doubles.
 *
 * Blocked over the inner axis and the columns so that a panel of b stays in
 * the second-level cache; within it, four rows of b at a time are added to a
 * row of the result, a loop over contiguous memory that compilers vectorise.
 * b^T and block-quantised b are brought into the panel by copying; a is read
 * one element at a time through strides, so a^T costs nothing. Few rows times
 * b^T (one token times a weight) are dot products without a panel. The order of
 * a sum is the same on each way, four products at a time: how operands lie does
 * not change a bit, as on kernels.
 *
 * Zeros are multiplied like everything else: 0 * NaN is NaN.
 */
#include "eval.h"

#include <string.h>

enum { PANEL_ROWS = 128, PANEL_COLUMNS = 256, FEW_ROWS = 4 };

/* y[j] += a[0] b[0][j] + .. + a[3] b[3][j] */
typedef void four_rows(int64_t n, double *restrict y, const double a[4],
                       const double *restrict b, int64_t b_row);

static inline void
add_four_rows(int64_t n, double *restrict y, const double a[4],
              const double *restrict b, int64_t b_row)
{
    const double *restrict b0 = b, *restrict b1 = b + b_row;
    const double *restrict b2 = b1 + b_row, *restrict b3 = b2 + b_row;
    double a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3];
    for (int64_t j = 0; j < n; j++)
        y[j] += (a0 * b0[j] + a1 * b1[j]) + (a2 * b2[j] + a3 * b3[j]);
}

static void
add_four_rows_anywhere(int64_t n, double *restrict y, const double a[4],
                       const double *restrict b, int64_t b_row)
{
    add_four_rows(n, y, a, b, b_row);
}

/* The same with wider vectors where the processor has them: element by
 * element the same operations, so the same bits. */
#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2"))) static void
add_four_rows_avx2(int64_t n, double *restrict y, const double a[4],
                   const double *restrict b, int64_t b_row)
{
    add_four_rows(n, y, a, b, b_row);
}

static four_rows *
best_four_rows(void)
{
    return __builtin_cpu_supports("avx2") ? add_four_rows_avx2
                                          : add_four_rows_anywhere;
}
#else
static four_rows *
best_four_rows(void)
{
    return add_four_rows_anywhere;
}
#endif

typedef struct product {
    int64_t m, n, k;
    const double *a;
    int64_t a_row, a_column; /* strides */
    const krsi_value *b;
    int64_t b_first; /* element where this batch begins */
    bool tb, block;
    double *y;
    four_rows *add;
    double *panel; /* PANEL_ROWS * PANEL_COLUMNS, or k if the rows are few */
} product;

static void
add_row(int64_t n, double *restrict y, double a, const double *restrict b)
{
    for (int64_t j = 0; j < n; j++)
        y[j] += a * b[j];
}

/* rows k0.. and columns n0.. of b, in rows of PANEL_COLUMNS */
static void
pack(const product *p, int64_t k0, int64_t rows, int64_t n0, int64_t columns)
{
    double row[PANEL_ROWS];
    for (int64_t j = 0; j < columns; j++) {
        int64_t first = p->b_first + (n0 + j) * p->k + k0;
        const double *from = p->block ? row : p->b->f + first;
        if (p->block)
            krsi_dequantise((krs_dtype)p->b->dtype, row, p->b->block, first,
                            rows);
        for (int64_t i = 0; i < rows; i++)
            p->panel[i * PANEL_COLUMNS + j] = from[i];
    }
}

static void
multiply_panel(const product *p, int64_t k0, int64_t rows, int64_t n0,
               int64_t columns)
{
    const double *b = p->panel;
    int64_t b_row = PANEL_COLUMNS;
    if (p->tb) {
        pack(p, k0, rows, n0, columns);
    } else {
        b = p->b->f + p->b_first + k0 * p->n + n0;
        b_row = p->n;
    }
    for (int64_t i = 0; i < p->m; i++) {
        const double *a = p->a + i * p->a_row + k0 * p->a_column;
        double *y = p->y + i * p->n + n0;
        int64_t k = 0;
        for (; k + 4 <= rows; k += 4) {
            double four[4];
            for (int t = 0; t < 4; t++)
                four[t] = a[(k + t) * p->a_column];
            p->add(columns, y, four, b + k * b_row, b_row);
        }
        for (; k < rows; k++)
            add_row(columns, y, a[k * p->a_column], b + k * b_row);
    }
}

/* in the order of add_four_rows */
static double
dot(int64_t n, const double *a, int64_t a_step, const double *b)
{
    double sum = 0;
    int64_t i = 0;
    for (; i + 4 <= n; i += 4, a += 4 * a_step)
        sum += (a[0] * b[i] + a[a_step] * b[i + 1]) +
               (a[2 * a_step] * b[i + 2] + a[3 * a_step] * b[i + 3]);
    for (; i < n; i++, a += a_step)
        sum += a[0] * b[i];
    return sum;
}

static void
multiply_few_rows(const product *p)
{
    for (int64_t j = 0; j < p->n; j++) {
        int64_t first = p->b_first + j * p->k;
        const double *b = p->block ? p->panel : p->b->f + first;
        if (p->block)
            krsi_dequantise((krs_dtype)p->b->dtype, p->panel, p->b->block,
                            first, p->k);
        for (int64_t i = 0; i < p->m; i++)
            p->y[i * p->n + j] = dot(p->k, p->a + i * p->a_row, p->a_column, b);
    }
}

static void
multiply(const product *p)
{
    if (p->tb && p->m < FEW_ROWS) {
        multiply_few_rows(p);
        return;
    }
    memset(p->y, 0, (size_t)(p->m * p->n) * sizeof *p->y);
    for (int64_t k0 = 0; k0 < p->k; k0 += PANEL_ROWS)
        for (int64_t n0 = 0; n0 < p->n; n0 += PANEL_COLUMNS) {
            int64_t rows = p->k - k0, columns = p->n - n0;
            multiply_panel(p, k0, rows < PANEL_ROWS ? rows : PANEL_ROWS, n0,
                           columns < PANEL_COLUMNS ? columns : PANEL_COLUMNS);
        }
}

krs_status
krsi_eval_matmul(krsi_call *call)
{
    const krsi_value *a = krsi_in(call, 0), *b = krsi_in(call, 1);
    krsi_value *out = call->out;
    bool ta = krsi_int(call->node, 0) != 0;
    KRS_TRY(krsi_out_new(call));
    if (out->elements == 0)
        return KRS_OK;
    product p = {.m = out->dim[out->rank - 2],
                 .n = out->dim[out->rank - 1],
                 .k = a->dim[a->rank - (ta ? 2 : 1)],
                 .b = b,
                 .add = best_four_rows(),
                 .tb = krsi_int(call->node, 1) != 0};
    p.block = krs_dtype_class_of((krs_dtype)b->dtype) == KRS_CLASS_BLOCK;
    p.a_row = ta ? 1 : p.k;
    p.a_column = ta ? p.m : 1;
    int64_t panel = PANEL_ROWS * PANEL_COLUMNS;
    krsi_element *scratch = NULL;
    if (p.tb && !(scratch = krsi_scratch(call, p.k > panel ? p.k : panel)))
        return KRS_E_MEMORY;
    p.panel = scratch ? &scratch->f : NULL;
    int64_t batches = out->elements / (p.m * p.n);
    for (int64_t i = 0; i < batches; i++) {
        p.a = a->f + i * p.m * p.k;
        p.b_first = i * p.k * p.n;
        p.y = out->f + i * p.m * p.n;
        multiply(&p);
    }
    if (scratch)
        krsi_scratch_free(call, scratch);
    return KRS_OK;
}
