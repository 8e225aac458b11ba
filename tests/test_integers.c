/* test_integers.c -- integer arithmetic that traps elsewhere, conversions at
 * their edges, and scatter, on every device against plain C.
 */
#include "every_device.h"
#include "suite.h"

#include <krs/krs.h>

#include <math.h>
#include <string.h>

enum { EDGES = 14, PAIRS = EDGES * EDGES, MOST = 600 };

static krs_error err;

/* the values of nodes on a device, one after the other, `bytes` each */
static void
compute_all(krs_device *device, const krs_node *x, size_t count, char *out,
            size_t bytes)
{
    krs_store *store;
    krs_program *program;
    ck_assert_msg(krs_graph_check(x->graph, &err) == KRS_OK, "%s", err.text);
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    ck_assert_msg(krs_program_new(store, x, count, &program, &err) == KRS_OK,
                  "%s", err.text);
    ck_assert_msg(krs_program_run(program, &err) == KRS_OK, "%s: %s",
                  krs_device_name(device), err.text);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(krs_program_read(program, i, out + i * bytes, bytes,
                                       &err) == KRS_OK,
                      "%s", err.text);
    krs_program_free(program);
    krs_store_free(store);
}

static void
compute(krs_device *device, krs_node x, void *out, size_t bytes)
{
    compute_all(device, &x, 1, out, bytes);
}

/* ---- arithmetic ---- */

typedef struct type {
    krs_dtype dtype;
    int bits;
    bool is_signed;
} type;

static const type types[] = {
    {KRS_I8,  8,  true },
    {KRS_U8,  8,  false},
    {KRS_I32, 32, true },
    {KRS_I64, 64, true },
};

/* the low bits of v as a number of the type */
static int64_t
wrap(const type *t, uint64_t v)
{
    if (t->bits == 64)
        return (int64_t)v;
    v &= ((uint64_t)1 << t->bits) - 1;
    bool negative = t->is_signed && v >> (t->bits - 1);
    return negative ? (int64_t)v - ((int64_t)1 << t->bits) : (int64_t)v;
}

static int64_t
by_hand(const char *op, const type *t, int64_t a, int64_t b)
{
    __extension__ typedef __int128 wide;
    bool far = b < 0 || b >= t->bits;
    wide q = b ? (wide)a / b : 0, r = b ? (wide)a % b : a;
    if (!strcmp(op, "div"))
        return wrap(t, (uint64_t)q);
    if (!strcmp(op, "rem"))
        return wrap(t, (uint64_t)r);
    if (!strcmp(op, "mod")) /* the sign of b */
        return wrap(t, (uint64_t)(r != 0 && (r < 0) != (b < 0) ? r + b : r));
    if (!strcmp(op, "shl"))
        return far ? 0 : wrap(t, (uint64_t)a << b);
    if (!strcmp(op, "shr")) { /* rounded down */
        wide d = (wide)1 << (far ? 64 : b);
        return (int64_t)(a >= 0 ? a / d : -((-(wide)a + d - 1) / d));
    }
    if (!strcmp(op, "and"))
        return wrap(t, (uint64_t)a & (uint64_t)b);
    if (!strcmp(op, "or"))
        return wrap(t, (uint64_t)a | (uint64_t)b);
    if (!strcmp(op, "xor"))
        return wrap(t, (uint64_t)a ^ (uint64_t)b);
    return wrap(t, ~(uint64_t)a); /* not */
}

static krs_node
not_first(krs_place at, krs_node a, krs_node b)
{
    (void)b;
    return krs_not_at(at, a);
}

static const struct {
    const char *name;
    krs_node (*build)(krs_place at, krs_node a, krs_node b);
} operations[] = {
    {"div", krs_div_at},
    {"rem", krs_rem_at},
    {"mod", krs_mod_at},
    {"shl", krs_shl_at},
    {"shr", krs_shr_at},
    {"and", krs_and_at},
    {"or",  krs_or_at },
    {"xor", krs_xor_at},
    {"not", not_first },
};

enum { OPERATIONS = sizeof operations / sizeof *operations };

/* every pair of edges, from inputs so that nothing is folded */
static void
check_pairs(krs_device *device, const type *t, bool folded)
{
    const int64_t edge[EDGES] = {0,
                                 1,
                                 -1,
                                 2,
                                 -2,
                                 7,
                                 -7,
                                 t->bits - 1,
                                 t->bits,
                                 t->bits + 1,
                                 100,
                                 wrap(t, (uint64_t)1 << (t->bits - 1)),
                                 wrap(t, ((uint64_t)1 << (t->bits - 1)) - 1),
                                 wrap(t, ((uint64_t)1 << (t->bits - 1)) + 1)};
    int64_t wide[2][PAIRS];
    char data[2][PAIRS * 8], *got = calloc(OPERATIONS, PAIRS * 8);
    krs_graph *g = krs_graph_new();
    krs_node in[2], y[OPERATIONS];
    size_t bytes = PAIRS * (size_t)t->bits / 8;
    for (int i = 0; i < PAIRS; i++) {
        wide[0][i] = wrap(t, (uint64_t)edge[i / EDGES]);
        wide[1][i] = wrap(t, (uint64_t)edge[i % EDGES]);
    }
    for (int k = 0; k < 2; k++)
        krs_convert(t->dtype, data[k], KRS_I64, wide[k], PAIRS, NULL);
    for (int k = 0; k < 2; k++) {
        in[k] = krs_constant(g, t->dtype, KRS_SHAPE(PAIRS), data[k]);
        if (!folded) /* a state, all zero, keeps it from being folded */
            in[k] = krs_add(
                in[k], krs_state(g, k ? "z" : "y", t->dtype, KRS_SHAPE(1)));
    }
    for (int o = 0; o < OPERATIONS; o++) {
        y[o] = operations[o].build(KRS_HERE, in[0], in[1]);
        ck_assert_int_eq(krs_node_dtype(y[o]), t->dtype);
    }
    compute_all(device, y, OPERATIONS, got, bytes);
    for (int o = 0; o < OPERATIONS; o++)
        for (int i = 0; i < PAIRS; i++) {
            int64_t a = wide[0][i], b = wide[1][i], have;
            int64_t want = by_hand(operations[o].name, t, a, b);
            krs_convert(KRS_I64, &have, t->dtype,
                        got + (size_t)o * bytes +
                            (size_t)i * (size_t)t->bits / 8,
                        1, NULL);
            ck_assert_msg(have == want,
                          "%s: %s of %s %lld and %lld: %lld, not %lld",
                          krs_device_name(device), operations[o].name,
                          krs_dtype_name(t->dtype), (long long)a, (long long)b,
                          (long long)have, (long long)want);
        }
    krs_graph_free(g);
    free(got);
}

START_TEST(nothing_traps_and_every_edge_is_as_stated)
{
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, NULL);
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            check_pairs(device, &types[t], false);
            check_pairs(device, &types[t], true);
        }
        krs_device_close(device);
    }
}
END_TEST

START_TEST(floats_are_no_operands_of_shifts_and_remainders)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2));
    ck_assert(!krs_node_is_valid(krs_shl(x, x)));
    ck_assert_msg(strstr(krs_graph_error(g)->text,
                         "shl: operand 0 is f32[2] where an integer is needed"),
                  "%s", krs_graph_error(g)->text);
    krs_graph_free(g);
}
END_TEST

/* ---- conversions ---- */

/* towards zero, saturating; NaN gives 0 */
static int64_t
saturated(const type *t, double x)
{
    double low = t->is_signed ? -ldexp(1, t->bits - 1) : 0;
    double high = ldexp(1, t->is_signed ? t->bits - 1 : t->bits);
    if (isnan(x))
        return 0;
    if (x <= low)
        return t->is_signed ? wrap(t, (uint64_t)1 << (t->bits - 1)) : 0;
    if (x >= high)
        return wrap(t, ((uint64_t)1 << (t->bits - 1)) - 1) +
               (t->is_signed ? 0 : 128);
    return (int64_t)trunc(x);
}

START_TEST(floats_saturate_on_their_way_to_integers)
{
    static const float x[] = {0,
                              -0.0F,
                              0.5F,
                              -0.5F,
                              0.9999999F,
                              -1,
                              1.5F,
                              127,
                              127.5F,
                              128,
                              -128,
                              -128.5F,
                              -129,
                              254.5F,
                              255,
                              255.99F,
                              256,
                              1e-40F,
                              2147483520,
                              2147483648,
                              1e10F,
                              -2147483648.F,
                              -2147483904.F,
                              9.2233715e18F,
                              9.2233720e18F,
                              1e30F,
                              -9.2233720e18F,
                              -1e30F,
                              INFINITY,
                              -INFINITY,
                              NAN,
                              65504,
                              -65504};
    enum { COUNT = sizeof x / sizeof *x };
    static const krs_dtype from[] = {KRS_F32, KRS_BF16, KRS_F16};
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, NULL);
        for (int f = 0; f < 3; f++)
            for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
                float held[COUNT];
                char half[COUNT * 4], got[COUNT * 8];
                krs_graph *g = krs_graph_new();
                krs_convert(from[f], half, KRS_F32, x, COUNT, NULL);
                krs_convert(KRS_F32, held, from[f], half, COUNT, NULL);
                krs_node y = krs_constant(g, from[f], KRS_SHAPE(COUNT), half);
                krs_node bit = krs_state(g, "b", KRS_BOOL, KRS_SHAPE(1));
                y = krs_where(bit, krs_zeros_like(y), y); /* not folded */
                compute(device, krs_cast(y, types[t].dtype), got,
                        COUNT * (size_t)types[t].bits / 8);
                for (int i = 0; i < COUNT; i++) {
                    int64_t have, want = saturated(&types[t], (double)held[i]);
                    krs_convert(KRS_I64, &have, types[t].dtype,
                                got + i * types[t].bits / 8, 1, NULL);
                    ck_assert_msg(have == want,
                                  "%s: %s %.9g to %s: %lld, not "
                                  "%lld",
                                  krs_device_name(device),
                                  krs_dtype_name(from[f]), (double)held[i],
                                  krs_dtype_name(types[t].dtype),
                                  (long long)have, (long long)want);
                }
                krs_graph_free(g);
            }
        krs_device_close(device);
    }
}
END_TEST

/* ---- scatter ---- */

enum { ROWS = 5, COLUMNS = 7, PUTS = 9 };

static krs_node
scatter_of(krs_graph *g, krs_dtype dtype, const float *x, const int64_t *index,
           const float *src, int axis)
{
    krs_shape shape =
        axis ? KRS_SHAPE(COLUMNS, ROWS) : KRS_SHAPE(ROWS, COLUMNS);
    krs_shape puts = axis ? KRS_SHAPE(COLUMNS, PUTS) : KRS_SHAPE(PUTS, COLUMNS);
    return krs_scatter(krs_cast(krs_constant(g, KRS_F32, shape, x), dtype),
                       krs_constant(g, KRS_I64, puts, index),
                       krs_cast(krs_constant(g, KRS_F32, puts, src), dtype),
                       axis);
}

START_TEST(scatter_replaces_and_the_last_of_equal_indices_wins)
{
    static const krs_dtype dtypes[] = {KRS_F32, KRS_BF16, KRS_F16, KRS_I32,
                                       KRS_I64, KRS_U8,   KRS_BOOL};
    float x[ROWS * COLUMNS], src[PUTS * COLUMNS], want[ROWS * COLUMNS];
    int64_t index[PUTS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++)
        x[i] = (float)(i % 11 + 1);
    for (int i = 0; i < PUTS * COLUMNS; i++) {
        index[i] = i * i * 7 % 13 % (ROWS - 1); /* nothing comes to the last */
        src[i] = (float)(i % 29);
    }
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, NULL);
        for (size_t t = 0; t < sizeof dtypes / sizeof *dtypes; t++) {
            float got[ROWS * COLUMNS];
            if (d == 2 && t % 2) /* half of them compiled: it takes time */
                continue;
            krs_graph *g = krs_graph_new();
            memcpy(want, x, sizeof want);
            for (int i = 0; i < PUTS * COLUMNS; i++)
                want[index[i] * COLUMNS + i % COLUMNS] = src[i];
            for (int i = 0; dtypes[t] == KRS_BOOL && i < ROWS * COLUMNS; i++)
                want[i] = want[i] != 0;
            krs_node y = scatter_of(g, dtypes[t], x, index, src, 0);
            ck_assert_int_eq(krs_node_dtype(y), dtypes[t]);
            compute(device, krs_cast(y, KRS_F32), got, sizeof got);
            for (int i = 0; i < ROWS * COLUMNS; i++)
                ck_assert_msg(
                    got[i] == want[i], "%s, %s, element %d: %g, not %g",
                    krs_device_name(device), krs_dtype_name(dtypes[t]), i,
                    (double)got[i], (double)want[i]);
            krs_graph_free(g);
        }
        krs_device_close(device);
    }
}
END_TEST

START_TEST(scatter_keeps_every_bit_along_any_axis)
{
    static const float put[] = {-0.0F, NAN, INFINITY, 1e-40F, 3};
    static const int64_t index[] = {1, 0, 1, 3, 0};
    static const float x[] = {1, -0.0F, NAN, -INFINITY, 2, 5};
    static const float want[] = {3, INFINITY, NAN, 1e-40F, 2, 5};
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, NULL);
        krs_graph *g = krs_graph_new();
        float got[6];
        krs_node y =
            krs_scatter(krs_constant(g, KRS_F32, KRS_SHAPE(1, 6), x),
                        krs_constant(g, KRS_I64, KRS_SHAPE(1, 5), index),
                        krs_constant(g, KRS_F32, KRS_SHAPE(1, 5), put), -1);
        compute(device, y, got, sizeof got);
        for (int i = 0; i < 6; i++)
            ck_assert(i == 2 ? isnan(got[i]) : got[i] == want[i]);
        int64_t first = 0;
        y = krs_scatter(krs_constant(g, KRS_F32, KRS_SHAPE(1), x),
                        krs_constant(g, KRS_I64, KRS_SHAPE(1), &first),
                        krs_constant(g, KRS_F32, KRS_SHAPE(1), put), 0);
        compute(device, y, got, sizeof *got);
        ck_assert(got[0] == 0 && signbit(got[0]));
        y = krs_scatter(krs_constant(g, KRS_F32, KRS_SHAPE(6), x),
                        krs_constant(g, KRS_I64, KRS_SHAPE(0), NULL),
                        krs_constant(g, KRS_F32, KRS_SHAPE(0), NULL), 0);
        compute(device, y, got, sizeof got);
        ck_assert(signbit(got[1]) && got[4] == 2);
        krs_graph_free(g);
        krs_device_close(device);
    }
}
END_TEST

START_TEST(an_index_outside_is_named)
{
    static const int64_t index[] = {0, 6};
    static const float x[6];
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_device *device = open_every(d, NULL);
        krs_graph *g = krs_graph_new();
        krs_store *store;
        krs_program *program;
        krs_node y = krs_scatter(krs_constant(g, KRS_F32, KRS_SHAPE(6), x),
                                 krs_constant(g, KRS_I64, KRS_SHAPE(2), index),
                                 krs_constant(g, KRS_F32, KRS_SHAPE(2), x), 0);
        krs_store_new(device, &store, &err);
        ck_assert_int_eq(krs_program_new(store, &y, 1, &program, &err), KRS_OK);
        ck_assert_int_eq(krs_program_run(program, &err), KRS_E_RANGE);
        ck_assert_msg(strstr(err.text, "index 6") &&
                          strstr(err.text, "test_integers.c:"),
                      "%s", err.text);
        krs_program_free(program);
        krs_store_free(store);
        krs_graph_free(g);
        krs_device_close(device);
    }
}
END_TEST

SUITE(nothing_traps_and_every_edge_is_as_stated,
      floats_are_no_operands_of_shifts_and_remainders,
      floats_saturate_on_their_way_to_integers,
      scatter_replaces_and_the_last_of_equal_indices_wins,
      scatter_keeps_every_bit_along_any_axis, an_index_outside_is_named)
