/* parity.c -- running one kernel on the interpreter and on a backend.
 *
 * The interpreter's results are made once and compared with any number of
 * devices. A device gets each parameter inside a larger memory whose other
 * bytes are known, so that a write outside is noticed.
 */
#include "tests/parity.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GUARD_BYTES = 256, GUARD = 0xA5 };

const char *parity_backend = "cpu";

bool
parity_is_cpu(void)
{
    return strcmp(parity_backend, "cpu") == 0;
}

static bool wants_all, is_plain;

bool
parity_is_quick(void)
{
    return !parity_is_cpu() && !wants_all;
}

bool
parity_is_plain(void)
{
    return is_plain;
}

bool
parity_is_slow(void)
{
    return getenv("KERSEY_SLOW") != NULL;
}

bool
parity_try_open(const char *name, const char *cpu, krs_backend_effort effort,
                uint32_t workers, parity_device *out, krs_error *err)
{
    krs_backend_options options = {.struct_size = sizeof options,
                                   .workers = workers,
                                   .cpu = cpu,
                                   .effort = effort};
    *out = (parity_device){0};
    if (strcmp(name, "cpu") != 0 &&
        (effort != KRS_EFFORT_NORMAL || (cpu && strcmp(cpu, "native") != 0)))
        return krs_fail(err, KRS_E_UNSUPPORTED, "%s has no levels and efforts",
                        name) == KRS_OK;
    if (is_plain && strcmp(name, "cpu") != 0)
        options.effort = KRS_EFFORT_NONE;
    if (krsi_registry_find(name, KERSEY_MODULE_DIR, &out->entry, err) != KRS_OK)
        return false;
    if (out->entry.backend->open(&options, &out->device, err) != KRS_OK) {
        krsi_registry_release(&out->entry);
        return false;
    }
    out->limits = out->entry.backend->limits(out->device);
    return true;
}

void
parity_close(parity_device *d)
{
    d->entry.backend->close(d->device);
    krsi_registry_release(&d->entry);
}

void **
parity_expect(const parity_device *d, const parity_launch *launch)
{
    const krs_kernel *kernel = launch->kernel;
    krs_error err;
    krs_keval *keval;
    void **results = calloc(kernel->param_count + 1, sizeof *results);
    size_t *bytes = calloc(kernel->param_count + 1, sizeof *bytes);
    ck_assert(results && bytes);
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        bytes[i] = launch->buffers[i].bytes;
        size_t room = (bytes[i] + 63) / 64 * 64;
        results[i] = aligned_alloc(64, room ? room : 64);
        ck_assert_ptr_nonnull(results[i]);
        memcpy(results[i], launch->buffers[i].data, bytes[i]);
    }
    krs_klaunch run = {
        .struct_size = sizeof run,
        .grid = {launch->grid[0], launch->grid[1], launch->grid[2]},
        .buffers = results,
        .buffer_bytes = bytes,
        .args = launch->args
    };
    ck_assert_msg(krs_keval_open(kernel, &d->limits->facts, &keval, &err) ==
                      KRS_OK,
                  "%s", err.text);
    ck_assert_msg(krs_keval_run(keval, &run, &err) == KRS_OK, "%s", err.text);
    krs_keval_close(keval);
    free(bytes);
    return results;
}

void
parity_free_results(const parity_launch *launch, void **results)
{
    for (uint32_t i = 0; i < launch->kernel->param_count; i++)
        free(results[i]);
    free(results);
}

static bool
is_nan(krs_dtype dtype, const void *at)
{
    uint32_t word = 0;
    if (dtype == KRS_F32) {
        memcpy(&word, at, 4);
        return (word & 0x7fffffff) > 0x7f800000;
    }
    memcpy(&word, at, dtype == KRS_BF16 || dtype == KRS_F16 ? 2 : 0);
    return (dtype == KRS_BF16 && (word & 0x7fff) > 0x7f80) ||
           (dtype == KRS_F16 && (word & 0x7fff) > 0x7c00);
}

/* Two f32 that differ by the smallest normal number at most. */
static bool
nearly(const void *a, const void *b)
{
    float x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return fabsf(x - y) <= FLT_MIN;
}

static void
compare_buffer(const krs_kbuffer *buffer, bool slack, const unsigned char *got,
               const unsigned char *want, size_t bytes, const char *where)
{
    size_t size = 1;
    krs_dtype_bytes(buffer->dtype, 1, &size);
    for (size_t at = 0; at + size <= bytes; at += size) {
        uint64_t a = 0, b = 0;
        if (memcmp(got + at, want + at, size) == 0 ||
            (is_nan(buffer->dtype, got + at) &&
             is_nan(buffer->dtype, want + at)) ||
            (slack && buffer->dtype == KRS_F32 && nearly(got + at, want + at)))
            continue;
        memcpy(&a, got + at, size);
        memcpy(&b, want + at, size);
        ck_abort_msg("%s: %s, element %zu: %s 0x%llx, keval 0x%llx", where,
                     buffer->name, at / size, parity_backend,
                     (unsigned long long)a, (unsigned long long)b);
    }
}

krs_status
parity_launch_one(const krs_backend *backend, krs_backend_device *device,
                  const krs_backend_launch *launch, krs_backend_span *span,
                  krs_error *err)
{
    krs_backend_work work = {.struct_size = sizeof work,
                             .launches = launch,
                             .launch_count = 1,
                             .wave_ends = (const size_t[]){1},
                             .wave_count = 1,
                             .spans = span};
    KRS_TRY(backend->submit(device, &work, err));
    return backend->wait(device, err);
}

void
parity_compare(const parity_device *d, const parity_launch *launch,
               krs_backend_code *code, void **expected, const char *where)
{
    const krs_backend *backend = d->entry.backend;
    const krs_kernel *kernel = launch->kernel;
    krs_error err = {0};
    krs_backend_binding *bindings =
        calloc(kernel->param_count + 1, sizeof *bindings);
    ck_assert_ptr_nonnull(bindings);
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        size_t bytes = launch->buffers[i].bytes;
        size_t whole = bytes + (size_t)2 * GUARD_BYTES;
        unsigned char *guarded = malloc(whole);
        ck_assert_ptr_nonnull(guarded);
        memset(guarded, GUARD, whole);
        memcpy(guarded + GUARD_BYTES, launch->buffers[i].data, bytes);
        bindings[i] =
            (krs_backend_binding){.offset_bytes = GUARD_BYTES, .bytes = bytes};
        ck_assert(backend->alloc(d->device, whole, &bindings[i].memory, &err) ==
                  KRS_OK);
        ck_assert(backend->write(d->device, bindings[i].memory, 0, guarded,
                                 whole, &err) == KRS_OK);
        free(guarded);
    }
    krs_backend_launch one = {
        code,
        bindings,
        launch->args,
        {launch->grid[0], launch->grid[1], launch->grid[2]}
    };
    ck_assert_msg(parity_launch_one(backend, d->device, &one, NULL, &err) ==
                      KRS_OK,
                  "%s: %s", where, err.text);
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        size_t bytes = launch->buffers[i].bytes;
        size_t whole = bytes + (size_t)2 * GUARD_BYTES;
        unsigned char *got = malloc(whole);
        ck_assert_ptr_nonnull(got);
        ck_assert(backend->read(d->device, bindings[i].memory, 0, got, whole,
                                &err) == KRS_OK);
        for (size_t g = 0; g < GUARD_BYTES; g++)
            ck_assert_msg(
                got[g] == GUARD && got[GUARD_BYTES + bytes + g] == GUARD,
                "%s: a write outside %s", where, kernel->buffers[i].name);
        compare_buffer(&kernel->buffers[i], launch->may_miss_smallest,
                       got + GUARD_BYTES, expected[i], bytes, where);
        free(got);
        backend->free(d->device, bindings[i].memory);
    }
    free(bindings);
}

/* splitmix64: Steele, Lea, Flood 2014 */
uint64_t
parity_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

int
parity_main(int argc, char **argv, const char *file, const TTest *const *tests,
            size_t count)
{
    parity_device d;
    krs_error err;
    if (argc > 1)
        parity_backend = argv[1];
    for (int i = 2; i < argc; i++) {
        wants_all |= strcmp(argv[i], "all") == 0;
        is_plain |= strcmp(argv[i], "plain") == 0;
    }
    if (!parity_try_open(parity_backend, "native", KRS_EFFORT_NORMAL, 1, &d,
                         &err)) {
        printf("%zu tests skipped: %s\n", count, err.text);
        return 77;
    }
    parity_close(&d);
    Suite *suite = suite_create(file);
    TCase *all = tcase_create("all");
    for (size_t i = 0; i < count; i++)
        tcase_add_test(all, tests[i]);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
