/* test_cpu_launch.c -- the CPU backend as a whole: waves, threads, times,
 * cancelling, what is refused, and what a call must leave as it was.
 */
#include "tests/parity.h"

#include "graph/kernel/kb.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <xmmintrin.h>

static parity_device
open_cpu(uint32_t workers)
{
    parity_device d;
    krs_error err;
    ck_assert_msg(
        parity_try_open("cpu", "native", KRS_EFFORT_NORMAL, workers, &d, &err),
        "%s", err.text);
    return d;
}

/* y[i] = x[i] by + i, sixteen at a time, n elements; through scratch */
static krs_kernel *
make_scale(void)
{
    krs_kernel *kernel;
    krs_error err;
    krsi_kb *kb = krsi_kb_new("scale");
    krsi_kbuf x = krsi_kb_param(kb, "x", KRS_F32, KRS_K_READ, 64);
    krsi_kbuf y = krsi_kb_param(kb, "y", KRS_F32, KRS_K_WRITE, 64);
    krsi_kv n = krsi_kb_arg(kb, "n", KRS_I64);
    krsi_kv by = krsi_kb_arg(kb, "by", KRS_F32);
    krsi_kv width = krsi_kb_arg(kb, "width", KRS_I64);
    krsi_kbuf first = krsi_kb_scratch(kb, "first", KRS_F32, 3, width, 0);
    krsi_kbuf then = krsi_kb_scratch(kb, "then", KRS_F32, 1, width, 0);
    krsi_kv zero = krsi_kb_i64(kb, 0);
    krsi_kv i = krsi_kb_mul(kb, krsi_kb_axis(kb, 0), krsi_kb_i64(kb, 16));
    krsi_kv in = krsi_kb_below(kb, i, n, 16);
    krsi_kv v = krsi_kb_load(
        kb, (krsi_kmem){.buffer = x, .index = i, .lanes = 16, .mask = in});
    krsi_kb_store(kb, (krsi_kmem){.buffer = first, .index = zero},
                  krsi_kb_mul(kb, v, by));
    krsi_kv number =
        krsi_kb_convert(kb, KRS_F32,
                        krsi_kb_add(kb, krsi_kb_convert(kb, KRS_I32, i),
                                    krsi_kb_lanes(kb, 16)));
    krsi_kb_store(kb, (krsi_kmem){.buffer = then, .index = zero}, number);
    krsi_kv sum = krsi_kb_add(
        kb,
        krsi_kb_load(kb,
                     (krsi_kmem){.buffer = first, .index = zero, .lanes = 16}),
        krsi_kb_load(kb,
                     (krsi_kmem){.buffer = then, .index = zero, .lanes = 16}));
    krsi_kb_store(kb, (krsi_kmem){.buffer = y, .index = i, .mask = in}, sum);
    ck_assert_msg(krsi_kb_finish(kb, &kernel, &err) == KRS_OK, "%s", err.text);
    return kernel;
}

static krs_backend_code *
build(const parity_device *d, const krs_kernel *kernel)
{
    krs_backend_code *code;
    krs_error err;
    ck_assert_msg(krsi_backend_build(d->entry.backend, d->device, NULL, &kernel,
                                     1, NULL, &code, &err) == KRS_OK,
                  "%s", err.text);
    return code;
}

enum { N = 1003, WAVES = 40, WIDE = 2 };

/* Waves that scale a into b and back, two halves at a time as independent
 * launches; the numbers stay exact. */
typedef struct chain {
    parity_device d;
    krs_kernel *kernel;
    krs_backend_code *code;
    krs_backend_memory *memory;
    krs_backend_binding bindings[2][WIDE][2];
    krs_kargument args[WIDE][3];
    krs_backend_launch launches[WAVES * WIDE];
    size_t ends[WAVES];
    krs_backend_work work;
} chain;

static void
make_chain(chain *c, uint32_t workers)
{
    krs_error err;
    const size_t part = N * sizeof(float);
    const size_t stride = (part + 63) / 64 * 64;
    *c = (chain){.d = open_cpu(workers), .kernel = make_scale()};
    c->code = build(&c->d, c->kernel);
    ck_assert(c->d.entry.backend->alloc(c->d.device, 2 * WIDE * stride,
                                        &c->memory, &err) == KRS_OK);
    float *zeros = calloc(2 * WIDE, stride);
    c->d.entry.backend->write(c->d.device, c->memory, 0, zeros,
                              2 * WIDE * stride, &err);
    free(zeros);
    for (size_t w = 0; w < WIDE; w++) {
        krs_backend_binding a = {c->memory, w * stride, part};
        krs_backend_binding b = {c->memory, (WIDE + w) * stride, part};
        c->bindings[0][w][0] = c->bindings[1][w][1] = a;
        c->bindings[0][w][1] = c->bindings[1][w][0] = b;
        c->args[w][0].i = N;
        c->args[w][1].f = w ? -1 : 0.5F;
        c->args[w][2].i = 16;
    }
    for (size_t i = 0; i < WAVES * WIDE; i++)
        c->launches[i] = (krs_backend_launch){
            c->code,
            c->bindings[i / WIDE % 2][i % WIDE],
            c->args[i % WIDE],
            {(N + 15) / 16, 1, 1}
        };
    for (size_t w = 0; w < WAVES; w++)
        c->ends[w] = (w + 1) * WIDE;
    c->work = (krs_backend_work){.struct_size = sizeof c->work,
                                 .launches = c->launches,
                                 .launch_count = WAVES * WIDE,
                                 .wave_ends = c->ends,
                                 .wave_count = WAVES};
}

static void
free_chain(chain *c)
{
    c->d.entry.backend->free(c->d.device, c->memory);
    krsi_backend_drop_all(c->d.entry.backend, c->d.device, &c->code, 1);
    krs_kernel_free(c->kernel);
    parity_close(&c->d);
}

START_TEST(waves_see_what_earlier_waves_wrote)
{
    for (uint32_t workers = 1; workers <= 4; workers++) {
        chain c;
        krs_error err;
        float *got = malloc(N * sizeof *got);
        ck_assert_ptr_nonnull(got);
        make_chain(&c, workers);
        ck_assert_uint_eq(c.d.limits->workers, workers);
        ck_assert(c.d.entry.backend->submit(c.d.device, &c.work, &err) ==
                  KRS_OK);
        ck_assert(c.d.entry.backend->wait(c.d.device, &err) == KRS_OK);
        for (size_t w = 0; w < WIDE; w++) {
            c.d.entry.backend->read(c.d.device, c.memory,
                                    c.bindings[0][w][0].offset_bytes, got,
                                    N * sizeof *got, &err);
            for (int i = 0; i < N; i++) {
                float want = 0;
                for (int wave = 0; wave < WAVES; wave++)
                    want = want * c.args[w][1].f + (float)i;
                ck_assert_msg(got[i] == want, "%d threads, [%d]: %g, not %g",
                              (int)workers, i, (double)got[i], (double)want);
            }
        }
        free(got);
        free_chain(&c);
    }
}
END_TEST

/* y[i] = 1 + 1 + ... , (i + 1) steps ones: later items take longer */
static krs_kernel *
make_count(void)
{
    krs_kernel *kernel;
    krs_error err;
    krsi_kb *kb = krsi_kb_new("count");
    krsi_kbuf y = krsi_kb_param(kb, "y", KRS_F32, KRS_K_WRITE, 0);
    krsi_kv item = krsi_kb_axis(kb, 0);
    krsi_kv steps = krsi_kb_arg(kb, "steps", KRS_I64);
    krsi_kv turns =
        krsi_kb_mul(kb, krsi_kb_add(kb, item, krsi_kb_i64(kb, 1)), steps);
    krsi_kb_for(kb, krsi_kb_i64(kb, 0), turns, krsi_kb_i64(kb, 1));
    krsi_kv sum = krsi_kb_carry(kb, krsi_kb_f32(kb, 0));
    krsi_kb_next(kb, sum, krsi_kb_add(kb, sum, krsi_kb_f32(kb, 1)));
    krsi_kb_end(kb);
    krsi_kb_store(kb, (krsi_kmem){.buffer = y, .index = item},
                  krsi_kb_result(kb, sum));
    ck_assert_msg(krsi_kb_finish(kb, &kernel, &err) == KRS_OK, "%s", err.text);
    return kernel;
}

/* y[i] = x[last - i] */
static krs_kernel *
make_reverse(void)
{
    krs_kernel *kernel;
    krs_error err;
    krsi_kb *kb = krsi_kb_new("reverse");
    krsi_kbuf x = krsi_kb_param(kb, "x", KRS_F32, KRS_K_READ, 0);
    krsi_kbuf y = krsi_kb_param(kb, "y", KRS_F32, KRS_K_WRITE, 0);
    krsi_kv item = krsi_kb_axis(kb, 0);
    krsi_kv last = krsi_kb_arg(kb, "last", KRS_I64);
    krsi_kv from = krsi_kb_sub(kb, last, item);
    krsi_kb_store(kb, (krsi_kmem){.buffer = y, .index = item},
                  krsi_kb_load(kb, (krsi_kmem){.buffer = x, .index = from}));
    ck_assert_msg(krsi_kb_finish(kb, &kernel, &err) == KRS_OK, "%s", err.text);
    return kernel;
}

START_TEST(a_wave_waits_for_the_slowest_item_before_it)
{
    enum { ITEMS = 12, STEPS = 30000 };
    parity_device d = open_cpu(3);
    const krs_backend *b = d.entry.backend;
    krs_kernel *kernels[] = {make_count(), make_reverse()};
    krs_backend_code *codes[2];
    krs_backend_memory *memory;
    krs_error err;
    float got[2 * ITEMS] = {0};
    const size_t half = ITEMS * sizeof(float);
    for (int i = 0; i < 2; i++)
        codes[i] = build(&d, kernels[i]);
    ck_assert(b->alloc(d.device, 2 * half, &memory, &err) == KRS_OK);
    ck_assert(b->write(d.device, memory, 0, got, sizeof got, &err) == KRS_OK);
    krs_backend_binding bindings[] = {
        {memory, 0,    half},
        {memory, half, half}
    };
    krs_kargument steps = {.i = STEPS}, last = {.i = ITEMS - 1};
    krs_backend_launch launches[] = {
        {codes[0], bindings, &steps, {ITEMS, 1, 1}},
        {codes[1], bindings, &last,  {ITEMS, 1, 1}}
    };
    krs_backend_work work = {
        .struct_size = sizeof work,
        .launches = launches,
        .launch_count = 2,
        .wave_ends = (const size_t[]){1, 2},
        .wave_count = 2
    };
    ck_assert(b->submit(d.device, &work, &err) == KRS_OK);
    ck_assert(b->wait(d.device, &err) == KRS_OK);
    ck_assert(b->read(d.device, memory, 0, got, sizeof got, &err) == KRS_OK);
    for (int i = 0; i < ITEMS; i++) {
        ck_assert(got[i] == (float)(i + 1) * STEPS);
        ck_assert_msg(got[ITEMS + i] == got[ITEMS - 1 - i], "[%d]: %g", i,
                      (double)got[ITEMS + i]);
    }
    b->free(d.device, memory);
    krsi_backend_drop_all(b, d.device, codes, 2);
    krs_kernel_free(kernels[0]);
    krs_kernel_free(kernels[1]);
    parity_close(&d);
}
END_TEST

START_TEST(every_launch_gets_a_time)
{
    chain c;
    krs_error err;
    krs_backend_span spans[WAVES * WIDE];
    memset(spans, 0xff, sizeof spans);
    make_chain(&c, 2);
    c.launches[3].grid[0] = 0;
    c.work.spans = spans;
    ck_assert(c.d.entry.backend->submit(c.d.device, &c.work, &err) == KRS_OK);
    ck_assert(c.d.entry.backend->wait(c.d.device, &err) == KRS_OK);
    for (int i = 0; i < WAVES * WIDE; i++)
        ck_assert_msg((spans[i].end_ns > spans[i].begin_ns) == (i != 3) &&
                          spans[i].end_ns - spans[i].begin_ns < 10000000000U,
                      "launch %d: %llu to %llu ns", i,
                      (unsigned long long)spans[i].begin_ns,
                      (unsigned long long)spans[i].end_ns);
    free_chain(&c);
}
END_TEST

START_TEST(a_cancelled_submission_says_so_and_the_next_one_runs)
{
    chain c;
    krs_error err;
    int cancel = 1;
    make_chain(&c, 3);
    c.work.cancel = &cancel;
    ck_assert(c.d.entry.backend->submit(c.d.device, &c.work, &err) == KRS_OK);
    ck_assert_int_eq(c.d.entry.backend->wait(c.d.device, &err),
                     KRS_E_CANCELLED);
    cancel = 0;
    ck_assert(c.d.entry.backend->submit(c.d.device, &c.work, &err) == KRS_OK);
    ck_assert_int_eq(c.d.entry.backend->wait(c.d.device, &err), KRS_OK);
    ck_assert_int_eq(c.d.entry.backend->wait(c.d.device, &err), KRS_OK);
    free_chain(&c);
}
END_TEST

static void
expect_refusal(chain *c, krs_status status, const char *text)
{
    krs_error err = {0};
    ck_assert_int_eq(c->d.entry.backend->submit(c->d.device, &c->work, &err),
                     status);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' is not in '%s'", text,
                  err.text);
}

START_TEST(what_would_touch_foreign_memory_is_refused)
{
    chain c;
    make_chain(&c, 2);
    krs_backend_binding *binding = &c.bindings[1][0][1], good = *binding;
    binding->bytes = 10000000;
    expect_refusal(&c, KRS_E_RANGE, "scale: y is bound to 10000000 bytes");
    *binding = good;
    binding->offset_bytes = SIZE_MAX - 10;
    expect_refusal(&c, KRS_E_RANGE, "scale: y is bound to");
    *binding = good;
    binding->offset_bytes += 4;
    binding->bytes -= 64;
    expect_refusal(&c, KRS_E_RANGE, "not a multiple of 64");
    *binding = good;
    binding->memory = NULL;
    expect_refusal(&c, KRS_E_ARGUMENT, "y has no memory");
    *binding = good;
    c.args[0][2].i = INT64_MAX / 2;
    expect_refusal(&c, KRS_E_RANGE, "scratch buffer");
    c.args[0][2].i = -1;
    expect_refusal(&c, KRS_E_RANGE, "scratch buffer");
    c.args[0][2].i = 16;
    c.launches[2].grid[0] = -1;
    expect_refusal(&c, KRS_E_RANGE, "no grid: -1 x 1 x 1");
    c.launches[2].grid[0] = c.launches[2].grid[1] = INT64_MAX;
    expect_refusal(&c, KRS_E_RANGE, "no grid");
    c.launches[2].grid[0] = c.launches[2].grid[1] = 1;
    c.ends[3] = 0;
    expect_refusal(&c, KRS_E_ARGUMENT, "wave 3 ends at launch 0");
    c.ends[3] = 4 * WIDE;
    c.work.wave_count--;
    expect_refusal(&c, KRS_E_ARGUMENT, "the waves end at launch");
    free_chain(&c);
}
END_TEST

START_TEST(reads_and_writes_stay_inside)
{
    parity_device d = open_cpu(1);
    const krs_backend *b = d.entry.backend;
    krs_backend_memory *memory;
    krs_error err;
    char bytes[8] = "abcdefg";
    ck_assert_int_eq(b->alloc(d.device, 8, &memory, &err), KRS_OK);
    ck_assert_int_eq(b->write(d.device, memory, 1, bytes, 8, &err),
                     KRS_E_RANGE);
    ck_assert_int_eq(b->read(d.device, memory, SIZE_MAX, bytes, 2, &err),
                     KRS_E_RANGE);
    ck_assert_int_eq(b->write(d.device, memory, 0, bytes, 8, &err), KRS_OK);
    ck_assert_int_eq(b->read(d.device, memory, 2, bytes, 3, &err), KRS_OK);
    ck_assert(memcmp(bytes, "cdedefg", 8) == 0);
    b->free(d.device, memory);
    b->free(d.device, NULL);
    ck_assert_int_eq(b->alloc(d.device, SIZE_MAX / 2, &memory, &err),
                     KRS_E_MEMORY);
    ck_assert_int_eq(b->alloc(d.device, 0, &memory, &err), KRS_OK);
    b->free(d.device, memory);
    parity_close(&d);
}
END_TEST

START_TEST(bytes_that_are_no_code_are_refused)
{
    parity_device d = open_cpu(1);
    const krs_backend *b = d.entry.backend;
    krs_kernel *kernel = make_scale();
    const krs_kernel *list[] = {kernel};
    krs_backend_blob blob;
    krs_backend_code *code;
    krs_error err;
    ck_assert_int_eq(b->build(d.device, list, 1, &blob, &err), KRS_OK);
    krs_backend_blob cut = {blob.data, 80};
    ck_assert_int_eq(b->load(d.device, kernel, &cut, &code, &err),
                     KRS_E_FORMAT);
    ck_assert_ptr_null(code);
    cut = (krs_backend_blob){(void *)(uintptr_t) "text", 4};
    ck_assert_int_eq(b->load(d.device, kernel, &cut, &code, &err),
                     KRS_E_FORMAT);
    /* and the right ones are taken afterwards, twice */
    krs_backend_code *again;
    ck_assert_msg(b->load(d.device, kernel, &blob, &code, &err) == KRS_OK, "%s",
                  err.text);
    ck_assert_int_eq(b->load(d.device, kernel, &blob, &again, &err), KRS_OK);
    b->drop(d.device, code);
    b->drop(d.device, again);
    b->drop(d.device, NULL);
    ck_assert_int_eq(b->load(d.device, kernel, &blob, &code, &err), KRS_OK);
    b->drop(d.device, code);
    free(blob.data);
    krs_kernel_free(kernel);
    parity_close(&d);
}
END_TEST

START_TEST(building_is_pure)
{
    parity_device d = open_cpu(2), e = open_cpu(1);
    krs_kernel *kernel = make_scale();
    const krs_kernel *list[] = {kernel, kernel};
    krs_backend_blob a[2], b[1];
    krs_error err;
    ck_assert_str_eq(d.limits->target, e.limits->target);
    ck_assert_int_eq(d.entry.backend->build(d.device, list, 2, a, &err),
                     KRS_OK);
    ck_assert_int_eq(e.entry.backend->build(e.device, list, 1, b, &err),
                     KRS_OK);
    ck_assert(a[0].bytes == b[0].bytes && a[1].bytes == b[0].bytes);
    ck_assert(memcmp(a[0].data, b[0].data, b[0].bytes) == 0);
    ck_assert(memcmp(a[1].data, b[0].data, b[0].bytes) == 0);
    free(a[0].data);
    free(a[1].data);
    free(b[0].data);
    krs_kernel_free(kernel);
    parity_close(&d);
    parity_close(&e);
}
END_TEST

START_TEST(an_unknown_processor_level_is_refused)
{
    parity_device d;
    krs_error err;
    ck_assert(
        !parity_try_open("cpu", "x86-64-v9", KRS_EFFORT_NORMAL, 1, &d, &err));
    ck_assert_int_eq(err.status, KRS_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "x86-64-v2"));
}
END_TEST

START_TEST(targets_differ_by_level_and_effort)
{
    parity_device a, b, c;
    krs_error err;
    ck_assert(
        parity_try_open("cpu", "x86-64-v2", KRS_EFFORT_NORMAL, 1, &a, &err));
    ck_assert(parity_try_open("cpu", NULL, KRS_EFFORT_NORMAL, 1, &b, &err));
    ck_assert(
        parity_try_open("cpu", "x86-64-v2", KRS_EFFORT_MOST, 1, &c, &err));
    ck_assert_str_ne(a.limits->target, b.limits->target);
    ck_assert_str_ne(a.limits->target, c.limits->target);
    ck_assert(!a.limits->facts.has_fma);
    ck_assert_uint_eq(a.limits->vector_lanes, 4);
    parity_close(&a);
    parity_close(&b);
    parity_close(&c);
}
END_TEST

static int
count_writable_code(void)
{
    char line[512];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps))
        count += strstr(line, " rwx") != NULL;
    fclose(maps);
    return count;
}

START_TEST(no_memory_is_writable_and_executable)
{
    ck_assert_int_eq(count_writable_code(), 0);
    chain c;
    krs_error err;
    make_chain(&c, 2);
    ck_assert_int_eq(count_writable_code(), 0);
    ck_assert(c.d.entry.backend->submit(c.d.device, &c.work, &err) == KRS_OK);
    ck_assert_int_eq(count_writable_code(), 0);
    c.d.entry.backend->wait(c.d.device, &err);
    free_chain(&c);
    ck_assert_int_eq(count_writable_code(), 0);
}
END_TEST

/* Round up, flush, and some flags set: nothing a backend would choose. */
START_TEST(no_call_changes_the_floating_point_control_word)
{
    const unsigned odd = 0x1f80 | 0x8040 | 0x4000 | 0x03;
    chain c;
    krs_error err;
    float x = 1;
    krs_backend_blob blob;
    krs_backend_code *code;
    krs_backend_memory *memory;
    _mm_setcsr(odd);
#define KEEPS(call)                                                  \
    do {                                                             \
        _mm_setcsr(odd);                                             \
        call;                                                        \
        unsigned after = _mm_getcsr();                               \
        _mm_setcsr(0x1f80);                                          \
        ck_assert_msg(after == odd, "%s leaves %04x", #call, after); \
    } while (0)
    KEEPS(make_chain(&c, 2));
    const krs_backend *b = c.d.entry.backend;
    const krs_kernel *list[] = {c.kernel};
    KEEPS(b->build(c.d.device, list, 1, &blob, &err));
    KEEPS(b->load(c.d.device, c.kernel, &blob, &code, &err));
    KEEPS(b->drop(c.d.device, code));
    KEEPS(b->alloc(c.d.device, 64, &memory, &err));
    KEEPS(b->write(c.d.device, memory, 0, &x, sizeof x, &err));
    KEEPS(b->read(c.d.device, memory, 0, &x, sizeof x, &err));
    KEEPS(b->free(c.d.device, memory));
    KEEPS(b->submit(c.d.device, &c.work, &err));
    KEEPS(b->wait(c.d.device, &err));
    KEEPS(free_chain(&c));
    free(blob.data);
}
END_TEST

/* ---- the kernels written by hand ---- */

static krs_kernel *
read_kernel(const char *name)
{
    char path[512];
    krs_error err;
    krs_kernel *kernel;
    snprintf(path, sizeof path, "%s/kernels/%s", TESTS_DIR, name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s does not open", path);
    char *text = calloc(1, 1 << 20);
    size_t length = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    ck_assert_uint_gt(length, 0);
    ck_assert_msg(krs_kernel_parse(text, &kernel, &err) == KRS_OK, "%s: %s",
                  name, err.text);
    free(text);
    return kernel;
}

static float *
random_floats(size_t count, uint64_t seed)
{
    float *x = malloc(count * sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)(parity_random(&seed) >> 40) * 0x1p-23F - 1;
    return x;
}

static const char *const levels[] = {"native", "x86-64-v3", "x86-64-v2"};

START_TEST(the_blocked_gemm_has_the_bits_of_the_interpreter)
{
    static const int64_t sizes[][3] = {
        {8,   48,  16  },
        {127, 129, 65  },
        {230, 400, 3   },
        {17,  50,  1030}
    };
    krs_kernel *kernel = read_kernel("gemm_f32.kir");
    for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
        parity_device d;
        krs_error err;
        if (!parity_try_open("cpu", levels[l], KRS_EFFORT_NORMAL, 3, &d,
                             &err)) {
            printf("1 level skipped: %s\n", err.text);
            continue;
        }
        krs_backend_code *code = build(&d, kernel);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
            float *a = random_floats((size_t)(m * k), 1);
            float *b = random_floats((size_t)(k * n), 2);
            float *c = random_floats((size_t)(m * n), 3);
            parity_buffer buffers[] = {
                {a, (size_t)(m * k) * 4},
                {b, (size_t)(k * n) * 4},
                {c, (size_t)(m * n) * 4}
            };
            krs_kargument args[] = {{.i = m}, {.i = n}, {.i = k},
                                    {.i = k}, {.i = n}, {.i = n}};
            parity_launch launch = {
                kernel,
                {(m + 223) / 224, (n + 383) / 384, 1},
                args,
                buffers,
                false
            };
            void **expected = parity_expect(&d, &launch);
            parity_compare(&d, &launch, code, expected, levels[l]);
            parity_free_results(&launch, expected);
            free(a);
            free(b);
            free(c);
        }
        krsi_backend_drop_all(d.entry.backend, d.device, &code, 1);
        parity_close(&d);
    }
    krs_kernel_free(kernel);
}
END_TEST

START_TEST(the_norm_gradient_has_the_same_bits_for_every_length)
{
    enum { ROWS = 5, LONGEST = 65 };
    krs_kernel *kernel = read_kernel("rms_norm_backward.kir");
    float *x = random_floats(ROWS * LONGEST, 1);
    float *w = random_floats(ROWS * LONGEST, 2);
    float *dy = random_floats(ROWS * LONGEST, 3);
    float *dx = calloc(ROWS * LONGEST, sizeof *dx);
    for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
        parity_device d;
        krs_error err;
        if (!parity_try_open("cpu", levels[l], KRS_EFFORT_NORMAL, 2, &d,
                             &err)) {
            printf("1 level skipped: %s\n", err.text);
            continue;
        }
        krs_backend_code *code = build(&d, kernel);
        for (int64_t n = 1; n <= LONGEST; n++) {
            size_t row = (size_t)n * sizeof *x;
            parity_buffer buffers[] = {
                {x,  ROWS * row},
                {w,  row       },
                {dy, ROWS * row},
                {dx, ROWS * row}
            };
            krs_kargument args[] = {{.i = n}, {.f = 1e-5F}};
            parity_launch launch = {
                kernel, {ROWS, 1, 1},
                 args, buffers, false
            };
            void **expected = parity_expect(&d, &launch);
            parity_compare(&d, &launch, code, expected, levels[l]);
            parity_free_results(&launch, expected);
        }
        krsi_backend_drop_all(d.entry.backend, d.device, &code, 1);
        parity_close(&d);
    }
    free(x);
    free(w);
    free(dy);
    free(dx);
    krs_kernel_free(kernel);
}
END_TEST

PARITY_SUITE(waves_see_what_earlier_waves_wrote,
             a_wave_waits_for_the_slowest_item_before_it,
             every_launch_gets_a_time,
             a_cancelled_submission_says_so_and_the_next_one_runs,
             what_would_touch_foreign_memory_is_refused,
             reads_and_writes_stay_inside, bytes_that_are_no_code_are_refused,
             building_is_pure, an_unknown_processor_level_is_refused,
             targets_differ_by_level_and_effort,
             no_memory_is_writable_and_executable,
             no_call_changes_the_floating_point_control_word,
             the_blocked_gemm_has_the_bits_of_the_interpreter,
             the_norm_gradient_has_the_same_bits_for_every_length)
