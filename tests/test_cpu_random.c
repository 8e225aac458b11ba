/* test_cpu_random.c -- random kernels: the CPU's bits are the interpreter's,
 * for every processor level, and for every effort with 1 to 4 threads.
 *
 * A kernel is written from a seed by the builder: scalar rows on random
 * operands of fitting types, loads, gathers, masked stores and scatters,
 * shuffles, nested loops with carried values. Every item writes only into its
 * own region, so that the order of the items cannot matter; indices are cut
 * to a power of two, so that every access is inside. The sign and payload of
 * a NaN are nobody's, so they never become visible: bits and signs are taken
 * of numbers only.
 */
#include "tests/parity.h"

#include "graph/kernel/kb.h"

#include <stdio.h>
#include <string.h>

enum {
    ITEMS = 12,       /* 4 x 3 groups */
    REGION = 512,     /* elements of one item in each buffer that is written */
    INDEX_MASK = 255, /* so that 64 lanes more are inside */
    POOL = 24,        /* values to choose from, for each type and scope */
    TYPES = KRS_BOOL + 1,
    KERNELS = 32,
    FEW = 4,
    TEAMS = 4
};

typedef struct pool {
    krsi_kv values[POOL];
    int count;
} pool;

typedef struct writer {
    krsi_kb *kb;
    uint64_t seed;
    krsi_kbuf in[TYPES], out[TYPES];
    krsi_kv base;         /* i64: start of this item's region */
    pool pools[TYPES][7]; /* by log2 of lanes */
    int depth;
} writer;

static uint32_t
pick(writer *w, uint32_t below)
{
    return (uint32_t)(parity_random(&w->seed) >> 32) % below;
}

static int
log2_of(int lanes)
{
    return __builtin_ctz((unsigned)lanes);
}

static void
keep(writer *w, krsi_kv value)
{
    krs_ktype type = krsi_kb_type(w->kb, value);
    if (!type.lanes)
        return;
    pool *p = &w->pools[type.dtype][log2_of(type.lanes)];
    if (p->count < POOL)
        p->values[p->count++] = value;
    else
        p->values[pick(w, POOL)] = value;
}

static krsi_kv constant(writer *w, krs_dtype dtype, int lanes);

static krsi_kv
any(writer *w, krs_dtype dtype, int lanes)
{
    pool *p = &w->pools[dtype][log2_of(lanes)];
    if (p->count && pick(w, 8))
        return p->values[pick(w, (uint32_t)p->count)];
    krsi_kv value = constant(w, dtype, lanes);
    keep(w, value);
    return value;
}

static krsi_kv
constant(writer *w, krs_dtype dtype, int lanes)
{
    static const float floats[] = {0,      -0.0F, 1,     -1.5F,         3e38F,
                                   1e-40F, 0.1F,  65519, 2147483648.0F, 255.5F};
    uint64_t bits = parity_random(&w->seed);
    krs_ktype type = {(uint8_t)dtype, (uint8_t)lanes};
    float f = floats[pick(w, sizeof floats / sizeof *floats)];
    uint32_t word;
    size_t size = 8;
    switch (dtype) {
    case KRS_F32:
        memcpy(&word, &f, sizeof word);
        return krsi_kb_const(w->kb, type, word);
    case KRS_BF16: return krsi_kb_const(w->kb, type, bits & 0xbfff);
    case KRS_F16: return krsi_kb_const(w->kb, type, bits & 0xbbff);
    case KRS_BOOL: return krsi_kb_const(w->kb, type, bits & 1);
    case KRS_I64:
    case KRS_I32:
    case KRS_I8:
    case KRS_U8:
        krs_dtype_bytes(dtype, 1, &size);
        if (pick(w, 2))
            bits %= 70;
        return krsi_kb_const(
            w->kb, type,
            size == 8 ? bits : bits & (((uint64_t)1 << 8 * size) - 1));
    case KRS_Q8_0:
    case KRS_Q4_0:
    case KRS_Q4_1:
    case KRS_DTYPE_COUNT: break;
    }
    return KRSI_KV_NONE;
}

/* 0 instead of a NaN */
static krsi_kv
numeric(writer *w, krsi_kv f32)
{
    krs_ktype type = krsi_kb_type(w->kb, f32);
    return krsi_kb_select(w->kb, krsi_kb_eq(w->kb, f32, f32), f32,
                          krsi_kb_const(w->kb, type, 0));
}

static krs_dtype
pick_dtype(writer *w)
{
    return (krs_dtype)pick(w, TYPES);
}

/* Numbers of lanes, as powers of two: compilers that are slow get few. */
static uint32_t
widths(void)
{
    return parity_is_quick() ? 3 : 7;
}

static int
pick_lanes(writer *w)
{
    return 1 << pick(w, widths());
}

/* A place in the region that is inside for up to 64 lanes; affine in a third
 * of the cases. */
static krsi_kv
pick_index(writer *w, int *flags)
{
    if (pick(w, 3) == 0)
        return krsi_kb_add(w->kb, w->base,
                           krsi_kb_i64(w->kb, pick(w, INDEX_MASK)));
    *flags = KRS_K_INDIRECT;
    krsi_kv at =
        krsi_kb_and(w->kb, any(w, KRS_I64, 1), krsi_kb_i64(w->kb, INDEX_MASK));
    return krsi_kb_add(w->kb, w->base, at);
}

static krsi_kv
pick_offsets(writer *w, int lanes)
{
    krs_dtype dtype = pick(w, 2) ? KRS_I32 : KRS_I64;
    krs_ktype type = {(uint8_t)dtype, (uint8_t)lanes};
    return krsi_kb_and(w->kb, any(w, dtype, lanes),
                       krsi_kb_const(w->kb, type, INDEX_MASK));
}

static krsi_kmem
pick_place(writer *w, krsi_kbuf buffer, int lanes, bool stored)
{
    krsi_kmem at = {.buffer = buffer, .lanes = lanes};
    if (pick(w, 5) == 0) { /* whole aligned vectors, past the caches */
        at.index = krsi_kb_add(w->kb, w->base,
                               krsi_kb_i64(w->kb, 64 * (int64_t)pick(w, 4)));
        at.align_bytes = 64;
        at.flags = stored ? KRS_K_STREAM : 0;
        return at;
    }
    at.index = pick_index(w, &at.flags);
    if (pick(w, 3) == 0) {
        at.offsets = pick_offsets(w, lanes);
        at.flags = KRS_K_INDIRECT;
    }
    if (pick(w, 2))
        at.mask = any(w, KRS_BOOL, lanes);
    return at;
}

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
    int arity;
    enum rule rule;
} rows[] = {
#define SCALAR(NAME, name, arity, rule, flags, text) \
    {KRS_KS_##NAME, arity, rule},
#include "graph/kernel/scalar.def"
#undef SCALAR
};

static krs_dtype
operand_type(writer *w, enum rule rule)
{
    static const krs_dtype types[] = {KRS_I32, KRS_I64, KRS_F32, KRS_BOOL};
    switch (rule) {
    case F32: return KRS_F32;
    case NUMBER:
    case COMPARE: return types[pick(w, 3)];
    case INT: return types[pick(w, 2)];
    case WORD:
    case DOT2: return KRS_I32;
    case BITS: return pick(w, 3) ? types[pick(w, 2)] : KRS_BOOL;
    case SELECT:
    case CONVERT:
    case BITCAST: break;
    }
    return pick_dtype(w);
}

/* Moderate pairs of bf16, so that no product is subnormal. */
static krsi_kv
pairs(writer *w, int lanes)
{
    krs_ktype type = {KRS_I32, (uint8_t)lanes};
    krsi_kv bits = krsi_kb_and(w->kb, any(w, KRS_I32, lanes),
                               krsi_kb_const(w->kb, type, 0x83ff83ff));
    return krsi_kb_or(w->kb, bits, krsi_kb_const(w->kb, type, 0x3c003c00));
}

static krsi_kv
row(writer *w)
{
    size_t r = pick(w, sizeof rows / sizeof *rows);
    enum rule rule = rows[r].rule;
    krs_dtype dtype = operand_type(w, rule);
    int lanes = pick_lanes(w), arity = rows[r].arity;
    krsi_kv a = any(w, dtype, lanes), b = KRSI_KV_NONE, c = KRSI_KV_NONE;
    if (rule == CONVERT)
        return krsi_kb_convert(w->kb, pick_dtype(w), a);
    if (rule == BITCAST) {
        dtype = pick(w, 2) ? KRS_I32 : KRS_F32;
        a = any(w, dtype, lanes);
        if (dtype == KRS_F32)
            a = numeric(w, a);
        return krsi_kb_bitcast(w->kb, KRS_I32, a);
    }
    if (rule == DOT2) {
        krsi_kv sum = krsi_kb_convert(w->kb, KRS_F32, any(w, KRS_I8, lanes));
        return krsi_kb_dot2_bf16(w->kb, sum, pairs(w, lanes), pairs(w, lanes));
    }
    if (arity > 1)
        b = any(w, dtype, lanes);
    if (arity > 2)
        c = any(w, dtype, lanes);
    if (rule == SELECT)
        return krsi_kb_select(w->kb, any(w, KRS_BOOL, lanes), a, b);
    if (rows[r].op == KRS_KS_COPYSIGN)
        b = numeric(w, b);
    return krsi_kb_scalar(w->kb, rows[r].op, a, b, c);
}

static krsi_kv
lanes_of(writer *w)
{
    krs_dtype dtype = pick_dtype(w);
    int lanes = pick_lanes(w), from = pick_lanes(w);
    uint8_t indices[KRS_K_MAX_LANES];
    if (pick(w, 3) == 0)
        return krsi_kb_broadcast(w->kb, lanes, any(w, dtype, 1));
    if (pick(w, 6) == 0)
        return krsi_kb_lanes(w->kb, lanes);
    bool two = pick(w, 2);
    for (int i = 0; i < lanes; i++)
        indices[i] = (uint8_t)pick(w, (uint32_t)(two ? 2 * from : from));
    krsi_kv a = any(w, dtype, from);
    krsi_kv b = two ? any(w, dtype, from) : KRSI_KV_NONE;
    return krsi_kb_shuffle(w->kb, a, b, lanes, indices);
}

static void statements(writer *w, int count);

/* Values made inside are dropped behind the loop; the carried ones remain. */
static void
loop(writer *w)
{
    enum { CARRIES = 3 };
    krsi_kv carry[CARRIES];
    krs_ktype types[CARRIES];
    pool(*saved)[7] = malloc(sizeof w->pools);
    ck_assert_ptr_nonnull(saved);
    krsi_kv low = krsi_kb_i64(w->kb, pick(w, 3));
    krsi_kv high =
        krsi_kb_and(w->kb, any(w, KRS_I64, 1), krsi_kb_i64(w->kb, 7));
    for (int i = 0; i < CARRIES; i++) {
        types[i] = (krs_ktype){(uint8_t)pick_dtype(w), (uint8_t)pick_lanes(w)};
        carry[i] = any(w, types[i].dtype, types[i].lanes);
    }
    krsi_kv i =
        krsi_kb_for(w->kb, low, high, krsi_kb_i64(w->kb, 1 + pick(w, 3)));
    memcpy(saved, w->pools, sizeof w->pools);
    for (int k = 0; k < CARRIES; k++) {
        carry[k] = krsi_kb_carry(w->kb, carry[k]);
        keep(w, carry[k]);
    }
    keep(w, i);
    w->depth++;
    statements(w, 4 + (int)pick(w, 8));
    w->depth--;
    for (int k = 0; k < CARRIES; k++)
        if (pick(w, 5))
            krsi_kb_next(w->kb, carry[k],
                         any(w, types[k].dtype, types[k].lanes));
    krsi_kb_end(w->kb);
    memcpy(w->pools, saved, sizeof w->pools);
    free(saved);
    for (int k = 0; k < CARRIES; k++)
        keep(w, krsi_kb_result(w->kb, carry[k]));
}

static void
statements(writer *w, int count)
{
    while (count-- > 0) {
        uint32_t kind = pick(w, 16);
        krs_dtype dtype = pick_dtype(w);
        if (kind < 8) {
            keep(w, row(w));
        } else if (kind < 10) {
            keep(w, lanes_of(w));
        } else if (kind < 12) {
            keep(w, krsi_kb_load(
                        w->kb,
                        pick_place(w, pick(w, 4) ? w->in[dtype] : w->out[dtype],
                                   pick_lanes(w), false)));
        } else if (kind < 15 || w->depth == 3) {
            int lanes = pick_lanes(w);
            krsi_kmem at = pick_place(w, w->out[dtype], lanes, true);
            krsi_kb_store(w->kb, at, any(w, dtype, lanes));
            krsi_kb_prefetch(w->kb, (krsi_kmem){.buffer = w->in[dtype],
                                                .index = at.index,
                                                .flags = KRS_K_INDIRECT});
        } else {
            loop(w);
        }
    }
}

static krs_kernel *
write_kernel(uint64_t seed)
{
    krs_kernel *kernel;
    krs_error err;
    writer *w = calloc(1, sizeof *w);
    ck_assert_ptr_nonnull(w);
    char name[32];
    snprintf(name, sizeof name, "random_%u", (unsigned)seed);
    w->kb = krsi_kb_new(name);
    w->seed = seed;
    for (int t = 0; t < TYPES; t++) {
        char text[32];
        snprintf(text, sizeof text, "in_%s", krs_dtype_name((krs_dtype)t));
        w->in[t] = krsi_kb_param(w->kb, text, (krs_dtype)t, KRS_K_READ, 64);
        snprintf(text, sizeof text, "out_%s", krs_dtype_name((krs_dtype)t));
        w->out[t] = krsi_kb_param(w->kb, text, (krs_dtype)t,
                                  KRS_K_READ | KRS_K_WRITE, 64);
    }
    krsi_kv item = krsi_kb_add(
        w->kb, krsi_kb_axis(w->kb, 0),
        krsi_kb_mul(w->kb, krsi_kb_axis(w->kb, 1), krsi_kb_i64(w->kb, 4)));
    w->base = krsi_kb_mul(w->kb, item, krsi_kb_i64(w->kb, REGION));
    keep(w, item);
    keep(w, krsi_kb_arg(w->kb, "n", KRS_I64));
    keep(w, krsi_kb_arg(w->kb, "x", KRS_F32));
    statements(w, 40);
    /* whatever was computed last is seen */
    for (int t = 0; t < TYPES; t++)
        for (uint32_t l = 0; l < widths(); l++)
            krsi_kb_store(w->kb, pick_place(w, w->out[t], 1 << l, true),
                          any(w, (krs_dtype)t, 1 << l));
    krs_status status = krsi_kb_finish(w->kb, &kernel, &err);
    ck_assert_msg(status == KRS_OK, "%s: %s", name, err.text);
    free(w);
    return kernel;
}

/* Random contents; no NaNs with payloads, bools are 0 or 1. */
static void *
make_contents(krs_dtype dtype, size_t bytes, uint64_t *seed)
{
    unsigned char *data = malloc(bytes);
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (unsigned char)(parity_random(seed) >> 20);
    size_t size = 1;
    krs_dtype_bytes(dtype, 1, &size);
    for (size_t i = 0; i < bytes; i += size) {
        unsigned char *high = data + i + size - 1;
        if (dtype == KRS_BOOL)
            *high &= 1;
        else if (krs_dtype_is_float(dtype)) /* below infinity */
            *high &= dtype == KRS_F16 ? 0xbb : 0xbf;
    }
    return data;
}

static krs_kernel *kernels[KERNELS];
static int kernel_count; /* the first so many of them */
static void **expected[KERNELS];
static parity_buffer contents[2 * TYPES];
static const krs_kargument arguments[] = {{.i = 5}, {.f = 0.75F}};

static parity_launch
launch_of(int k)
{
    return (parity_launch){
        .kernel = kernels[k],
        .grid = {4, 3, 1},
        .args = arguments,
        .buffers = contents
    };
}

static void
make_all(const parity_device *d)
{
    uint64_t seed = 42;
    for (int i = 0; i < 2 * TYPES; i++) {
        size_t bytes = 0;
        krs_dtype_bytes((krs_dtype)(i / 2), (int64_t)ITEMS * REGION, &bytes);
        contents[i] = (parity_buffer){
            make_contents((krs_dtype)(i / 2), bytes, &seed), bytes};
    }
    for (int k = 0; k < kernel_count; k++) {
        kernels[k] = write_kernel(1000 + (uint64_t)k);
        parity_launch launch = launch_of(k);
        expected[k] = parity_expect(d, &launch);
    }
}

static void
free_all(void)
{
    for (int k = 0; k < kernel_count; k++) {
        parity_launch launch = launch_of(k);
        parity_free_results(&launch, expected[k]);
        krs_kernel_free(kernels[k]);
    }
    for (int i = 0; i < 2 * TYPES; i++)
        free((void *)(uintptr_t)contents[i].data);
}

/* Code for all kernels, which no team of threads has a part in. */
static void
build_all(const parity_device *d, krs_backend_blob *blobs)
{
    const krs_kernel *list[KERNELS];
    krs_error err;
    memcpy(list, kernels, sizeof list);
    ck_assert_msg(d->entry.backend->build(d->device, list, (size_t)kernel_count,
                                          blobs, &err) == KRS_OK,
                  "%s", err.text);
}

/* The same code on a team of so many. */
static void
run_all(const parity_device *d, const krs_backend_blob *blobs, uint32_t workers)
{
    if (parity_is_cpu())
        ck_assert_uint_eq(d->limits->workers, workers);
    for (int k = 0; k < kernel_count; k++) {
        char where[64];
        parity_launch launch = launch_of(k);
        krs_backend_code *code;
        krs_error err;
        snprintf(where, sizeof where, "%s, %u threads", kernels[k]->name,
                 (unsigned)workers);
        ck_assert_msg(d->entry.backend->load(d->device, kernels[k], &blobs[k],
                                             &code, &err) == KRS_OK,
                      "%s: %s", where, err.text);
        parity_compare(d, &launch, code, expected[k], where);
        d->entry.backend->drop(d->device, code);
    }
}

/* Every kernel on teams of 1 to TEAMS threads, compiled once. */
static void
check(const char *cpu, krs_backend_effort effort)
{
    krs_backend_blob blobs[KERNELS];
    char target[KRS_BACKEND_TARGET_TEXT] = "";
    krs_error err;
    uint32_t most = parity_is_cpu() ? TEAMS : 1;
    kernel_count = parity_is_quick()  ? FEW
                   : parity_is_slow() ? KERNELS / 4
                                      : KERNELS;
    for (uint32_t workers = most; workers > 0; workers--) {
        parity_device d;
        if (!parity_try_open(parity_backend, cpu, effort, workers, &d, &err)) {
            printf("1 test skipped: %s\n", err.text);
            return;
        }
        if (workers == most) { /* compiles the fastest */
            make_all(&d);
            build_all(&d, blobs);
            strcpy(target, d.limits->target);
        }
        ck_assert_str_eq(d.limits->target, target);
        run_all(&d, blobs, workers);
        parity_close(&d);
    }
    for (int k = 0; k < kernel_count; k++)
        free(blobs[k].data);
    free_all();
}

START_TEST(one_to_four_threads_give_the_bits_of_the_interpreter)
{
    check("native", KRS_EFFORT_NORMAL);
}
END_TEST

START_TEST(no_optimisation_gives_the_same_bits_on_one_to_four_threads)
{
    check("native", KRS_EFFORT_NONE);
}
END_TEST

START_TEST(every_pass_gives_the_same_bits_on_one_to_four_threads)
{
    check("native", KRS_EFFORT_MOST);
}
END_TEST

START_TEST(x86_64_v3_gives_the_bits_of_the_interpreter)
{
    check("x86-64-v3", KRS_EFFORT_NORMAL);
}
END_TEST

START_TEST(x86_64_v2_gives_the_bits_of_the_interpreter)
{
    check("x86-64-v2", KRS_EFFORT_NORMAL);
}
END_TEST

PARITY_SUITE(one_to_four_threads_give_the_bits_of_the_interpreter,
             no_optimisation_gives_the_same_bits_on_one_to_four_threads,
             every_pass_gives_the_same_bits_on_one_to_four_threads,
             x86_64_v3_gives_the_bits_of_the_interpreter,
             x86_64_v2_gives_the_bits_of_the_interpreter)
