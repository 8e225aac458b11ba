/* test_lower_block.c -- block-quantised operands on every device: what is
 * computed of blocks has the bits of what the device computes of their numbers,
 * which krs_block_read gives.
 *
 * Blocks are random; their scales and minima are f16 of either sign, among them
 * zeros and subnormal ones.
 */
#include "every_device.h"
#include "one_run.h"

#include <krs/block.h>
#include <krs/ops.h>

#include <stdlib.h>
#include <string.h>

static const krs_dtype types[] = {KRS_Q8_0, KRS_Q4_0, KRS_Q4_1};
enum { TYPES = sizeof types / sizeof *types };

/* [N,K] blocks and their numbers */
typedef struct weights {
    krs_dtype type;
    int64_t n, k;
    size_t bytes, wide_bytes;
    uint8_t *blocks;
    float *wide;
} weights;

static uint64_t
next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *state >> 33;
}

static weights
random_weights(krs_dtype type, int64_t n, int64_t k)
{
    weights w = {.type = type, .n = n, .k = k};
    krs_block format;
    size_t block, header = type == KRS_Q4_1 ? 4 : 2;
    uint64_t state = (uint64_t)(n * 100 + k) + type;
    ck_assert(krs_dtype_bytes(type, n * k, &w.bytes));
    ck_assert(krs_dtype_bytes(KRS_F32, n * k, &w.wide_bytes));
    ck_assert(krs_dtype_bytes(type, 32, &block));
    ck_assert(krs_dtype_block(type, &format));
    w.blocks = malloc(w.bytes);
    w.wide = malloc(w.wide_bytes);
    ck_assert(w.blocks && w.wide);
    for (size_t i = 0; i < w.bytes; i++)
        w.blocks[i] = (uint8_t)next(&state);
    for (size_t i = 1; i < w.bytes; i += 2) /* high bytes of halves */
        if (i % block < header)
            w.blocks[i] &= i / block % 5 ? 0xAF : 0x83;
    krs_block_read(format, w.blocks, w.bytes / block, w.wide);
    return w;
}

static void
free_weights(weights *w)
{
    free(w->blocks);
    free(w->wide);
}

static float *
random_floats(int64_t count, uint64_t seed)
{
    float *x = malloc((size_t)count * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)((double)next(&seed) * 0x1p-30 - 1);
    return x;
}

/* What is computed of x and of w, which is blocks or their numbers. */
typedef krs_node use_of(krs_node x, krs_node w);

static krs_node
product(krs_node x, krs_node w)
{
    return krs_matmul_nt(x, w);
}

static krs_node
product_of_numbers(krs_node x, krs_node w)
{
    return krs_matmul(x, krs_cast(w, KRS_F32));
}

static krs_node
numbers(krs_node x, krs_node w)
{
    (void)x;
    return krs_cast(w, KRS_F32);
}

static krs_node
scaled_numbers(krs_node x, krs_node w)
{
    krs_node first = krs_reshape(krs_slice(x, 0, 0, 1, 1), KRS_SHAPE(-1));
    return krs_add(krs_mul(krs_cast(w, KRS_F32), first),
                   krs_sum_keep(krs_cast(w, KRS_F32), KRS_AXES(1)));
}

/* Rows by an index: the last, the first and one between. */
static krs_node
rows(krs_node x, krs_node w)
{
    (void)x;
    int64_t n = krs_node_shape(w).dim[0], at[] = {n - 1, 0, n / 2, n - 1};
    krs_node index = krs_constant(w.graph, KRS_I64, KRS_SHAPE(2, 2), at);
    return krs_take(w, index, 0);
}

static krs_node
normed_rows(krs_node x, krs_node w)
{
    krs_node y = rows(x, w);
    return krs_add(krs_mul(y, krs_sum_keep(y, KRS_AXES(-1))), y);
}

static krs_node
gradient(krs_node x, krs_node w)
{
    krs_node y = krs_matmul_nt(x, w), d;
    krs_grad(krs_sum(krs_square(y), KRS_ALL_AXES), &x, 1, &d);
    return d;
}

/* The output of use(x[m, inner], w) on a device, with w as type. */
static void
compute(krs_device *device, use_of *use, const weights *w, bool as_blocks,
        int64_t m, int64_t inner, const float *x, float *out, size_t *bytes)
{
    krs_graph *g = krs_graph_new();
    krs_node node_x = krs_input(g, "x", KRS_F32, KRS_SHAPE(m, inner));
    krs_node node_w =
        krs_input(g, "w", as_blocks ? w->type : KRS_F32, KRS_SHAPE(w->n, w->k));
    krs_node y = use(node_x, node_w);
    krs_error err;
    ck_assert_msg(krs_graph_check(g, &err) == KRS_OK, "%s", err.text);
    const one_input in[] = {
        {"x", x,                                             (size_t)(m * inner) * 4},
        {"w", as_blocks ? (const void *)w->blocks : w->wide,
         as_blocks ? w->bytes : w->wide_bytes                                       }
    };
    int64_t count = 0;
    krs_shape_elements(krs_node_shape(y), &count);
    *bytes = (size_t)count * 4;
    void *to = out;
    one_run(device, &y, 1, in, 2, &to, bytes);
    krs_graph_free(g);
}

static void
check(krs_device *device, const char *name, use_of *use, krs_dtype type,
      int64_t m, int64_t n, int64_t k, int64_t inner)
{
    weights w = random_weights(type, n, k);
    int64_t most = (m + n + 4) * (n + k);
    float *x = random_floats(m * inner, (uint64_t)(m + n));
    float *got = malloc((size_t)most * 4), *want = malloc((size_t)most * 4);
    size_t bytes, want_bytes;
    ck_assert(got && want);
    compute(device, use, &w, true, m, inner, x, got, &bytes);
    compute(device, use, &w, false, m, inner, x, want, &want_bytes);
    ck_assert_uint_eq(bytes, want_bytes);
    for (size_t i = 0; i < bytes / 4; i++)
        if (memcmp(&got[i], &want[i], 4) != 0)
            ck_abort_msg("%s of %s[%lld,%lld], %lld rows on %s: element %zu is "
                         "%a, of its numbers %a",
                         name, krs_dtype_name(type), (long long)n, (long long)k,
                         (long long)m, krs_device_name(device), i,
                         (double)got[i], (double)want[i]);
    if (use == numbers)
        ck_assert_int_eq(memcmp(got, w.wide, w.wide_bytes), 0);
    free(got);
    free(want);
    free(x);
    free_weights(&w);
}

/* Every device, or the one that $KRS_TEST_DEVICE names: NULL past the last. */
static krs_device *
device_at(int i)
{
    const char *name = getenv("KRS_TEST_DEVICE");
    krs_device_options o = {.struct_size = sizeof o,
                            .modules = KERSEY_MODULE_DIR};
    krs_device *device;
    krs_error err;
    if (!name)
        return i < EVERY_DEVICE ? open_every(i, NULL) : NULL;
    ck_assert_msg(i > 0 ||
                      krs_device_open_with(name, &o, &device, &err) == KRS_OK,
                  "%s", err.text);
    return i > 0 ? NULL : device;
}

#define FOR_EACH_DEVICE(device)                             \
    for (int every = 0; every >= 0; every = -1)             \
        for (krs_device *device = device_at(every); device; \
             krs_device_close(device), device = device_at(++every))

START_TEST(products_of_blocks_are_those_of_their_numbers)
{
    static const int64_t sizes[][3] = {
        {1,  200, 576 },
        {3,  70,  1056},
        {20, 5,   64  },
        {33, 100, 96  },
    };
    FOR_EACH_DEVICE(device)
    for (int t = 0; t < TYPES; t++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int64_t *s = sizes[i];
            check(device, "product", product, types[t], s[0], s[1], s[2], s[2]);
        }
}
END_TEST

START_TEST(products_along_the_rows_of_blocks_are_those_of_their_numbers)
{
    FOR_EACH_DEVICE(device)
    for (int t = 0; t < TYPES; t++)
        for (int64_t m = 1; m < 90; m += 40)
            check(device, "product of numbers", product_of_numbers, types[t], m,
                  40, 96, 40);
}
END_TEST

START_TEST(casts_and_what_is_fused_with_them_give_the_numbers)
{
    FOR_EACH_DEVICE(device)
    for (int t = 0; t < TYPES; t++) {
        check(device, "cast", numbers, types[t], 2, 5, 96, 96);
        check(device, "map of a cast", scaled_numbers, types[t], 2, 5, 160,
              160);
    }
}
END_TEST

START_TEST(rows_of_blocks_are_taken_as_numbers)
{
    FOR_EACH_DEVICE(device)
    for (int t = 0; t < TYPES; t++) {
        check(device, "take", rows, types[t], 2, 7, 96, 96);
        check(device, "row of a take", normed_rows, types[t], 2, 7, 160, 160);
    }
}
END_TEST

START_TEST(gradients_pass_through_blocks)
{
    FOR_EACH_DEVICE(device)
    for (int t = 0; t < TYPES; t++)
        for (int64_t m = 1; m < 90; m += 80)
            check(device, "gradient", gradient, types[t], m, 64, 96, 96);
}
END_TEST

START_TEST(an_index_outside_the_rows_is_refused)
{
    weights w = random_weights(KRS_Q4_0, 3, 32);
    int64_t index = 3;
    FOR_EACH_DEVICE(device)
    {
        krs_graph *g = krs_graph_new();
        krs_store *store;
        krs_program *program;
        krs_error err;
        krs_node y = krs_take(krs_input(g, "w", w.type, KRS_SHAPE(3, 32)),
                              krs_input(g, "at", KRS_I64, KRS_SCALAR), 0);
        ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
        ck_assert_int_eq(krs_program_new(store, &y, 1, &program, &err), KRS_OK);
        krs_program_set_input(program, "w", w.blocks, w.bytes, &err);
        krs_program_set_input(program, "at", &index, sizeof index, &err);
        ck_assert_int_eq(krs_program_run(program, &err), KRS_E_RANGE);
        krs_program_free(program);
        krs_store_free(store);
        krs_graph_free(g);
    }
    free_weights(&w);
}
END_TEST

START_TEST(blocks_are_an_output_as_they_are)
{
    weights w = random_weights(KRS_Q4_1, 16, 64);
    uint8_t *got = malloc(w.bytes);
    void *to = got;
    const one_input in = {"w", w.blocks, w.bytes};
    ck_assert_ptr_nonnull(got);
    FOR_EACH_DEVICE(device)
    {
        krs_graph *g = krs_graph_new();
        krs_node y = krs_reshape(krs_input(g, "w", w.type, KRS_SHAPE(16, 64)),
                                 KRS_SHAPE(4, 4, 64));
        memset(got, 0, w.bytes);
        one_run(device, &y, 1, &in, 1, &to, &w.bytes);
        ck_assert_int_eq(memcmp(got, w.blocks, w.bytes), 0);
        krs_graph_free(g);
    }
    free(got);
    free_weights(&w);
}
END_TEST

SUITE(products_of_blocks_are_those_of_their_numbers,
      products_along_the_rows_of_blocks_are_those_of_their_numbers,
      casts_and_what_is_fused_with_them_give_the_numbers,
      rows_of_blocks_are_taken_as_numbers, gradients_pass_through_blocks,
      an_index_outside_the_rows_is_refused, blocks_are_an_output_as_they_are)
