/* test_cpu_scalar.c -- every row of scalar.def, type and number of lanes:
 * the CPU's bits are the interpreter's, for every processor level and effort.
 *
 * One kernel computes all rows that a type has, on the same operands: all
 * pairs of the edge values of the type, then random bits.
 */
#include "tests/parity.h"

#include "graph/kernel/kb.h"

#include <stdio.h>
#include <string.h>

enum { ELEMENTS = 2048, HALVES = 65536, MOST_OUTPUTS = 64, MOST_KERNELS = 400 };

enum rule {
    F32,
    NUMBER,
    INT,
    WORD,
    BITS,
    COMPARE,
    SELECT,
    CONVERT,
    BITCAST,
    DOT2
};

static const struct {
    krs_kscalar op;
    const char *name;
    int arity;
    enum rule rule;
} rows[] = {
#define SCALAR(NAME, name, arity, rule, flags, text) \
    {KRS_KS_##NAME, #name, arity, rule},
#include "graph/kernel/scalar.def"
#undef SCALAR
};

enum { ROWS = sizeof rows / sizeof *rows, TYPES = KRS_BOOL + 1 };

static const uint32_t f32_edges[] = {
    0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x00000001, 0x80000001,
    0x007fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff, 0x7f800000,
    0xff800000, 0x7fc00000, 0x3f000000, 0x3fc00000, 0x40200000, 0xc0200000,
    0xc0600000, 0x4b000000, 0x4b000001, 0x4affffff, 0x4f000000, 0xcf000000,
    0x4effffff, 0xcf000001, 0x5f000000, 0xdf000000, 0x5effffff, 0x43000000,
    0x42fe0000, 0x42ff0000, 0xc3000000, 0xc3010000, 0x437f0000, 0x437f8000,
    0x43800000, 0x477fe000, 0x477fefff, 0x477ff000, 0x33000000, 0x33000001,
    0x38800000, 0x387fffff, 0x3eaaaaab};

static const int64_t int_edges[] = {0,
                                    1,
                                    -1,
                                    2,
                                    -2,
                                    3,
                                    7,
                                    8,
                                    31,
                                    32,
                                    33,
                                    63,
                                    64,
                                    65,
                                    -31,
                                    -32,
                                    -64,
                                    127,
                                    128,
                                    -128,
                                    -129,
                                    255,
                                    256,
                                    32767,
                                    -32768,
                                    65535,
                                    2147483647,
                                    -2147483648,
                                    2147483648,
                                    16777217,
                                    33554435,
                                    INT64_MAX,
                                    INT64_MIN,
                                    INT64_MIN + 1,
                                    0x0123456789abcdef};

static int64_t
int_edge(size_t i)
{
    return int_edges[i % (sizeof int_edges / sizeof *int_edges)];
}

/* Element i of operand `turn`: edges in all pairs, then random bits. */
static uint64_t
operand(krs_dtype dtype, size_t i, int turn, uint64_t *seed)
{
    size_t edges = dtype == KRS_F32 ? sizeof f32_edges / sizeof *f32_edges
                                    : sizeof int_edges / sizeof *int_edges;
    uint64_t random = parity_random(seed);
    size_t pick = turn == 0   ? i % edges
                  : turn == 1 ? i / edges % edges
                              : (i * 7 + i / edges) % edges;
    bool by_edge = i < edges * edges && (turn < 2 || i % 3 == 0);
    if (dtype == KRS_F32 && by_edge)
        return f32_edges[pick];
    if (dtype == KRS_F32)
        return (random & 0x7fffffff) > 0x7f800000 ? 0x7fc00000
                                                  : (uint32_t)random;
    if (dtype == KRS_BOOL)
        return random & 1;
    return by_edge ? (uint64_t)int_edge(pick) : random;
}

/* Halves: all of them in order; the others: operands. */
static void *
make_operand(krs_dtype dtype, size_t count, int turn)
{
    size_t size = 0;
    uint64_t seed = 17 + (uint64_t)turn + 3 * (uint64_t)dtype;
    krs_dtype_bytes(dtype, 1, &size);
    unsigned char *data = malloc(count * size);
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < count; i++) {
        uint64_t bits =
            count == HALVES && (dtype == KRS_BF16 || dtype == KRS_F16)
                ? i
                : operand(dtype, i, turn, &seed);
        if ((dtype == KRS_BF16 && (bits & 0x7fff) > 0x7f80) ||
            (dtype == KRS_F16 && (bits & 0x7fff) > 0x7c00))
            bits = dtype == KRS_BF16 ? 0x7fc0 : 0x7e00;
        memcpy(data + i * size, &bits, size);
    }
    return data;
}

static bool
applies(enum rule rule, krs_dtype t)
{
    switch (rule) {
    case F32: return t == KRS_F32;
    case NUMBER:
    case COMPARE: return t == KRS_F32 || t == KRS_I32 || t == KRS_I64;
    case INT: return t == KRS_I32 || t == KRS_I64;
    case WORD: return t == KRS_I32;
    case BITS: return t == KRS_BOOL || t == KRS_I32 || t == KRS_I64;
    case SELECT: return true;
    case CONVERT:
    case BITCAST:
    case DOT2: return false;
    }
    return false;
}

/* A kernel, and what its parameters hold. */
typedef struct trial {
    krs_kernel *kernel;
    char what[64];
    size_t elements;
    uint32_t lanes;
    parity_buffer buffers[4 + MOST_OUTPUTS];
} trial;

static trial trials[MOST_KERNELS];
static size_t trial_count;

typedef struct writer {
    krsi_kb *kb;
    trial *t;
    krsi_kv index;
    int lanes, buffers;
} writer;

static writer
begin(const char *what, krs_dtype dtype, int lanes, size_t elements)
{
    trial *t = &trials[trial_count++];
    ck_assert_uint_le(trial_count, MOST_KERNELS);
    *t = (trial){.elements = elements, .lanes = (uint32_t)lanes};
    snprintf(t->what, sizeof t->what, "%s_%s_x%d", what, krs_dtype_name(dtype),
             lanes);
    writer w = {.kb = krsi_kb_new(t->what), .t = t, .lanes = lanes};
    w.index =
        krsi_kb_mul(w.kb, krsi_kb_axis(w.kb, 0), krsi_kb_i64(w.kb, lanes));
    return w;
}

static krsi_kv
input(writer *w, const char *name, krs_dtype dtype, int turn)
{
    size_t bytes = 0;
    krs_dtype_bytes(dtype, (int64_t)w->t->elements, &bytes);
    w->t->buffers[w->buffers++] =
        (parity_buffer){make_operand(dtype, w->t->elements, turn), bytes};
    krsi_kbuf buffer = krsi_kb_param(w->kb, name, dtype, KRS_K_READ, 0);
    return krsi_kb_load(
        w->kb,
        (krsi_kmem){.buffer = buffer, .index = w->index, .lanes = w->lanes});
}

static void
output(writer *w, const char *name, krsi_kv value)
{
    krs_ktype type = krsi_kb_type(w->kb, value);
    size_t bytes = 0;
    size_t count = w->t->elements / (size_t)w->lanes * type.lanes;
    krs_dtype_bytes(type.dtype, (int64_t)count, &bytes);
    w->t->buffers[w->buffers++] = (parity_buffer){calloc(bytes, 1), bytes};
    krsi_kbuf buffer = krsi_kb_param(w->kb, name, type.dtype, KRS_K_WRITE, 0);
    krsi_kv at = krsi_kb_mul(w->kb, krsi_kb_axis(w->kb, 0),
                             krsi_kb_i64(w->kb, type.lanes));
    krsi_kb_store(w->kb, (krsi_kmem){.buffer = buffer, .index = at}, value);
}

static void
finish(writer *w)
{
    krs_error err;
    ck_assert_msg(krsi_kb_finish(w->kb, &w->t->kernel, &err) == KRS_OK,
                  "%s: %s", w->t->what, err.text);
}

static void
add_rows(krs_dtype dtype, int lanes)
{
    writer w = begin("rows", dtype, lanes, ELEMENTS);
    krsi_kv a = input(&w, "a", dtype, 0), b = input(&w, "b", dtype, 1),
            c = input(&w, "c", dtype, 2), m = input(&w, "m", KRS_BOOL, 3);
    for (size_t r = 0; r < ROWS; r++) {
        if (!applies(rows[r].rule, dtype))
            continue;
        krsi_kv none = KRSI_KV_NONE;
        int arity = rows[r].arity;
        output(&w, rows[r].name,
               rows[r].rule == SELECT
                   ? krsi_kb_scalar(w.kb, rows[r].op, m, a, b)
                   : krsi_kb_scalar(w.kb, rows[r].op, a, arity > 1 ? b : none,
                                    arity > 2 ? c : none));
    }
    finish(&w);
}

static void
add_conversions(krs_dtype dtype, int lanes)
{
    bool half = dtype == KRS_BF16 || dtype == KRS_F16;
    writer w = begin("conversions", dtype, lanes, half ? HALVES : 8 * ELEMENTS);
    krsi_kv a = input(&w, "a", dtype, 0);
    for (int to = 0; to < TYPES; to++)
        output(&w, krs_dtype_name((krs_dtype)to),
               krsi_kb_convert(w.kb, (krs_dtype)to, a));
    finish(&w);
}

static void
add_bitcasts(krs_dtype dtype, int lanes)
{
    size_t bytes = 0, size = 0;
    krs_dtype_bytes(dtype, lanes, &bytes);
    writer w = begin("bits", dtype, lanes, ELEMENTS);
    krsi_kv a = input(&w, "a", dtype, 0);
    for (int to = 0; to < KRS_BOOL; to++) {
        krs_dtype_bytes((krs_dtype)to, 1, &size);
        if (bytes >= size && bytes / size <= KRS_K_MAX_LANES)
            output(&w, krs_dtype_name((krs_dtype)to),
                   krsi_kb_bitcast(w.kb, (krs_dtype)to, a));
    }
    finish(&w);
}

static void
add_dots(int lanes)
{
    writer w = begin("dots", KRS_I32, lanes, ELEMENTS);
    krsi_kv a = input(&w, "a", KRS_F32, 0), b = input(&w, "b", KRS_F32, 1),
            c = input(&w, "c", KRS_F32, 2);
    /* f32 edges as pairs of bf16: high halves are edges too */
    output(&w, "dot2_bf16",
           krsi_kb_dot2_bf16(w.kb, a, krsi_kb_bitcast(w.kb, KRS_I32, b),
                             krsi_kb_bitcast(w.kb, KRS_I32, c)));
    finish(&w);
}

static void
make_trials(const int *lanes, size_t count)
{
    static const krs_dtype computed[] = {KRS_F32,  KRS_I32, KRS_I64, KRS_BOOL,
                                         KRS_BF16, KRS_F16, KRS_I8,  KRS_U8};
    for (size_t l = 0; l < count; l++) {
        for (size_t t = 0; t < sizeof computed / sizeof *computed; t++) {
            add_rows(computed[t], lanes[l]);
            add_conversions(computed[t], lanes[l]);
            if (computed[t] != KRS_BOOL)
                add_bitcasts(computed[t], lanes[l]);
        }
        add_dots(lanes[l]);
    }
}

static void
run_trials(const parity_device *d)
{
    const krs_kernel *kernels[MOST_KERNELS];
    krs_backend_code *codes[MOST_KERNELS];
    krs_error err;
    for (size_t i = 0; i < trial_count; i++)
        kernels[i] = trials[i].kernel;
    ck_assert_msg(krsi_backend_build(d->entry.backend, d->device, NULL, kernels,
                                     trial_count, NULL, codes, &err) == KRS_OK,
                  "%s", err.text);
    for (size_t i = 0; i < trial_count; i++) {
        const trial *t = &trials[i];
        parity_launch launch = {
            .kernel = t->kernel,
            .grid = {(int64_t)(t->elements / t->lanes), 1, 1},
            .buffers = t->buffers,
            .may_miss_smallest = d->limits->facts.dot2_flushes &&
                                 strncmp(t->what, "dots", 4) == 0,
        };
        void **expected = parity_expect(d, &launch);
        parity_compare(d, &launch, codes[i], expected, t->what);
        parity_free_results(&launch, expected);
    }
    krsi_backend_drop_all(d->entry.backend, d->device, codes, trial_count);
}

static void
free_trials(void)
{
    for (size_t i = 0; i < trial_count; i++) {
        for (int b = 0; b < 4 + MOST_OUTPUTS; b++)
            free((void *)(uintptr_t)trials[i].buffers[b].data);
        krs_kernel_free(trials[i].kernel);
    }
    trial_count = 0;
}

static void
check_level(const char *cpu, krs_backend_effort effort, const int *lanes,
            size_t count)
{
    parity_device d;
    krs_error err;
    if (parity_is_slow() && count > 2)
        count = 2;
    if (!parity_try_open(parity_backend, cpu, effort, 2, &d, &err)) {
        printf("1 test skipped: %s\n", err.text);
        return;
    }
    make_trials(lanes, count);
    run_trials(&d);
    free_trials();
    parity_close(&d);
}

static const int all_lanes[] = {1, 2, 4, 8, 16, 32, 64};
static const int some_lanes[] = {1, 4, 64};
static const int few_lanes[] = {1, 8};

START_TEST(native_code_has_the_bits_of_the_interpreter)
{
    if (parity_is_quick() || parity_is_slow())
        check_level("native", KRS_EFFORT_NORMAL, few_lanes,
                    parity_is_plain() ? 1 : 2);
    else
        check_level("native", KRS_EFFORT_NORMAL, all_lanes, 7);
}
END_TEST

START_TEST(native_code_without_optimisation_has_the_same_bits)
{
    check_level("native", KRS_EFFORT_NONE, some_lanes, 3);
}
END_TEST

START_TEST(native_code_with_every_pass_has_the_same_bits)
{
    check_level("native", KRS_EFFORT_MOST, some_lanes, 3);
}
END_TEST

START_TEST(x86_64_v4_has_the_bits_of_the_interpreter)
{
    check_level("x86-64-v4", KRS_EFFORT_NORMAL, some_lanes, 3);
}
END_TEST

START_TEST(x86_64_v3_has_the_bits_of_the_interpreter)
{
    check_level("x86-64-v3", KRS_EFFORT_NORMAL, some_lanes, 3);
}
END_TEST

START_TEST(x86_64_v2_has_the_bits_of_the_interpreter)
{
    check_level("x86-64-v2", KRS_EFFORT_NORMAL, some_lanes, 3);
}
END_TEST

PARITY_SUITE(native_code_has_the_bits_of_the_interpreter,
             native_code_without_optimisation_has_the_same_bits,
             native_code_with_every_pass_has_the_same_bits,
             x86_64_v4_has_the_bits_of_the_interpreter,
             x86_64_v3_has_the_bits_of_the_interpreter,
             x86_64_v2_has_the_bits_of_the_interpreter)
