/* test_kernels.c -- the two kernels that settled the language, against plain C
 * with the same order of operations: every bit must agree.
 */
#include "graph/kernel/kb.h"
#include "suite.h"

#include <krs/random.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static char *
read_text(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/kernels/%s", TESTS_DIR, name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s does not open", path);
    char *text = calloc(1, 1 << 20);
    size_t length = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    ck_assert(length > 0);
    return text;
}

static krs_kernel *
read_kernel(const char *name)
{
    krs_error err;
    krs_kernel *kernel;
    char *text = read_text(name);
    if (krs_kernel_parse(text, &kernel, &err) != KRS_OK)
        ck_abort_msg("%s: %s", name, err.text);
    free(text);
    return kernel;
}

static krs_keval *
open_kernel(const krs_kernel *kernel, bool fma)
{
    krs_error err;
    krs_kfacts facts = {.struct_size = sizeof facts, .has_fma = fma};
    krs_keval *keval;
    if (krs_keval_open(kernel, &facts, &keval, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    return keval;
}

static float *
random_array(int64_t count, uint32_t stream)
{
    float *x = malloc((size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = 2 * krs_random_uniform_value(1, 0, stream, (uint64_t)i) - 1;
    return x;
}

static float
mad(float a, float b, float c, bool fma)
{
    return fma ? fmaf(a, b, c) : a * b + c;
}

static float
plain_gemm(const float *a, const float *b, int64_t k, int64_t ldb, bool fma)
{
    float c = 0;
    for (int64_t k0 = 0; k0 < k; k0 += 512) {
        float sum = 0;
        for (int64_t p = k0; p < k && p < k0 + 512; p++)
            sum = mad(a[p], b[p * ldb], sum, fma);
        c += sum;
    }
    return c;
}

static void
check_gemm(krs_keval *keval, int64_t m, int64_t n, int64_t k, bool fma)
{
    enum { PAD = 3 };
    int64_t lda = k + PAD, ldb = n + PAD, ldc = n + PAD;
    /* exactly as many elements as the last row needs: an access beyond an
     * edge is an error */
    int64_t an = (m - 1) * lda + k, bn = (k - 1) * ldb + n;
    int64_t cn = (m - 1) * ldc + n;
    float *a = random_array(an, 1), *b = random_array(bn, 2);
    float *c = random_array(cn, 3), *before = random_array(cn, 3);
    void *buffers[] = {a, b, c};
    size_t bytes[] = {(size_t)an * 4, (size_t)bn * 4, (size_t)cn * 4};
    krs_kargument args[] = {{.i = m},   {.i = n},   {.i = k},
                            {.i = lda}, {.i = ldb}, {.i = ldc}};
    krs_klaunch launch = {
        sizeof launch,
        {(m + 223) / 224, (n + 383) / 384, 1},
        buffers,
        bytes,
        args
    };
    krs_error err;
    if (krs_keval_run(keval, &launch, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < ldc && i * ldc + j < cn; j++) {
            float got = c[i * ldc + j];
            float want = j < n ? plain_gemm(a + i * lda, b + j, k, ldb, fma)
                               : before[i * ldc + j];
            if (memcmp(&got, &want, sizeof got) != 0)
                ck_abort_msg("%dx%dx%d: c[%d,%d] is %a, must be %a", (int)m,
                             (int)n, (int)k, (int)i, (int)j, (double)got,
                             (double)want);
        }
    free(a);
    free(b);
    free(c);
    free(before);
}

START_TEST(the_blocked_gemm_equals_plain_c_bit_for_bit)
{
    krs_kernel *kernel = read_kernel("gemm_f32.kir");
    for (int fma = 0; fma < 2; fma++) {
        krs_keval *keval = open_kernel(kernel, fma);
        check_gemm(keval, 1, 1, 1, fma);
        check_gemm(keval, 8, 48, 5, fma);
        check_gemm(keval, 7, 47, 9, fma);
        check_gemm(keval, 9, 49, 3, fma);
        check_gemm(keval, 17, 101, 600, fma);
        check_gemm(keval, 230, 50, 40, fma);
        check_gemm(keval, 10, 400, 40, fma);
        check_gemm(keval, 3, 20, 1030, fma);
        krs_keval_close(keval);
    }
    krs_kernel_free(kernel);
}
END_TEST

/* The stated order of a row sum: 64 virtual lanes, then the tree. */
static float
row_sum(const float *x, const float *y, int64_t n, bool fma)
{
    float lanes[64] = {0};
    for (int64_t i = 0; i < n; i++)
        lanes[i % 64] = mad(x[i], y[i], lanes[i % 64], fma);
    for (int apart = 32; apart >= 1; apart /= 2)
        for (int i = 0; i < apart; i++)
            lanes[i] += lanes[i + apart];
    return lanes[0];
}

static void
check_rms_norm(krs_keval *keval, int64_t rows, int64_t d, bool fma)
{
    int64_t n = rows * d;
    float *x = random_array(n, 1), *w = random_array(d, 2);
    float *dy = random_array(n, 3), *dx = random_array(n, 4);
    float *g = random_array(d, 5);
    void *buffers[] = {x, w, dy, dx};
    size_t bytes[] = {(size_t)n * 4, (size_t)d * 4, (size_t)n * 4,
                      (size_t)n * 4};
    krs_kargument args[] = {{.i = d}, {.f = 1e-5f}};
    krs_klaunch launch = {
        sizeof launch, {rows, 1, 1},
          buffers, bytes, args
    };
    krs_error err;
    if (krs_keval_run(keval, &launch, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    for (int64_t row = 0; row < rows; row++) {
        const float *at = x + row * d;
        for (int64_t i = 0; i < d; i++)
            g[i] = dy[row * d + i] * w[i];
        float mean = row_sum(at, at, d, fma) / (float)d;
        float r = 1 / sqrtf(mean + 1e-5f);
        float t = r * r * r * row_sum(g, at, d, fma) / (float)d;
        for (int64_t i = 0; i < d; i++) {
            float want = r * g[i] - at[i] * t, got = dx[row * d + i];
            if (memcmp(&got, &want, sizeof got) != 0)
                ck_abort_msg("d = %d: dx[%d,%d] is %a, must be %a", (int)d,
                             (int)row, (int)i, (double)got, (double)want);
        }
    }
    free(x);
    free(w);
    free(dy);
    free(dx);
    free(g);
}

START_TEST(the_rms_norm_gradient_equals_plain_c_bit_for_bit)
{
    static const int64_t widths[] = {1, 15, 16, 63, 64, 65, 130, 288, 1000};
    krs_kernel *kernel = read_kernel("rms_norm_backward.kir");
    for (int fma = 0; fma < 2; fma++) {
        krs_keval *keval = open_kernel(kernel, fma);
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
            check_rms_norm(keval, 3, widths[i], fma);
        krs_keval_close(keval);
    }
    krs_kernel_free(kernel);
}
END_TEST

START_TEST(both_kernels_survive_the_round_trip)
{
    static const char *const names[] = {"gemm_f32.kir",
                                        "rms_norm_backward.kir"};
    for (int i = 0; i < 2; i++) {
        krs_error err;
        krs_kernel *first = read_kernel(names[i]), *second;
        char *text = krs_kernel_print(first);
        if (krs_kernel_parse(text, &second, &err) != KRS_OK)
            ck_abort_msg("%s", err.text);
        char *again = krs_kernel_print(second);
        ck_assert_str_eq(text, again);
        ck_assert(krs_kernel_equal(first, second));
        ck_assert_uint_eq(first->hash[0], second->hash[0]);
        ck_assert_uint_eq(first->hash[1], second->hash[1]);
        free(text);
        free(again);
        krs_kernel_free(first);
        krs_kernel_free(second);
    }
}
END_TEST

START_TEST(the_example_of_the_documentation_is_a_kernel)
{
    krs_error err;
    krs_kernel *kernel;
    char *page = read_text("../../graph/kernel/README.md");
    char *text = strstr(page, "```\n");
    ck_assert_ptr_nonnull(text);
    char *end = strstr(text + 4, "```");
    ck_assert_ptr_nonnull(end);
    *end = 0;
    if (krs_kernel_parse(text + 4, &kernel, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    krs_keval *keval = open_kernel(kernel, true);
    enum { N = 1100 };
    _Alignas(64) static float x[N], y[N];
    for (int i = 0; i < N; i++)
        x[i] = (float)i;
    void *buffers[] = {x, y};
    size_t bytes[] = {sizeof x, sizeof y};
    krs_kargument args[] = {{.i = N}};
    krs_klaunch launch = {
        sizeof launch, {2, 1, 1},
          buffers, bytes, args
    };
    ck_assert_int_eq(krs_keval_run(keval, &launch, &err), KRS_OK);
    for (int i = 0; i < N; i++)
        ck_assert_float_eq(y[i], x[i] * x[i]);
    krs_keval_close(keval);
    krs_kernel_free(kernel);
    free(page);
}
END_TEST

SUITE(the_blocked_gemm_equals_plain_c_bit_for_bit,
      the_rms_norm_gradient_equals_plain_c_bit_for_bit,
      both_kernels_survive_the_round_trip,
      the_example_of_the_documentation_is_a_kernel)
