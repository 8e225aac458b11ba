/* test_vulkan.c -- the Vulkan backend beside the bits of its arithmetic: valid
 * modules, devices without anything optional, groups, requests to stop, and
 * what is refused.
 *
 * Needs a driver for processors (lavapipe) or a device; without one the suite
 * is skipped by exit code 77.
 */
#define _XOPEN_SOURCE 700 /* nftw */
#include "tests/noted.h"
#include "tests/parity.h"
#include "tests/temp_folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ELEMENTS = 96 };

static parity_device
open_device(krs_backend_effort effort)
{
    parity_device d = {0};
    krs_error err;
    krs_backend_options options = {.struct_size = sizeof options,
                                   .effort = effort};
    ck_assert_msg(krsi_registry_find("vulkan", KERSEY_MODULE_DIR, &d.entry,
                                     &err) == KRS_OK,
                  "%s", err.text);
    ck_assert_msg(d.entry.backend->open(&options, &d.device, &err) == KRS_OK,
                  "%s", err.text);
    d.limits = d.entry.backend->limits(d.device);
    return d;
}

static krs_kernel *
parse(const char *text)
{
    krs_kernel *kernel;
    krs_error err;
    ck_assert_msg(krs_kernel_parse(text, &kernel, &err) == KRS_OK, "%s",
                  err.text);
    return kernel;
}

/* Items of a group exchange what they read, narrow types in shared memory. */
static const char *const group_text = "kernel turn\n"
                                      "buffer @x i8 read align 64\n"
                                      "buffer @y i8 write align 64\n"
                                      "scratch @own i64 2\n"
                                      "shared @s i8 8\n"
                                      "grid 1\n"
                                      "group 8 1 1\n"
                                      "%g:i64 = axis 0\n"
                                      "%i:i64 = local 0\n"
                                      "%0:i64 = const 0\n"
                                      "%8:i64 = const 8\n"
                                      "%7:i64 = const 7\n"
                                      "%first:i64 = mul %g %8\n"
                                      "%at:i64 = add %first %i\n"
                                      "%v:i8 = load @x %at\n"
                                      "store @own %0 %at\n"
                                      "store @s %i %v\n"
                                      "barrier\n"
                                      "%other:i64 = sub %7 %i\n"
                                      "%w:i8 = load @s %other\n"
                                      "%to:i64 = load @own %0\n"
                                      "store @y %to %w indirect\n";

/* Neighbouring bytes and halves by different items, masked and scattered. */
static const char *const narrow_text = "kernel narrow\n"
                                       "buffer @x u8 read align 64\n"
                                       "buffer @h f16 read align 64\n"
                                       "buffer @y u8 write align 64\n"
                                       "buffer @z bf16 write align 64\n"
                                       "buffer @b bool write align 64\n"
                                       "grid 1\n"
                                       "%i:i64 = axis 0\n"
                                       "%3:i64 = const 3\n"
                                       "%first:i64 = mul %i %3\n"
                                       "%n:i32x4 = lanes\n"
                                       "%two:i32 = const 2\n"
                                       "%twos:i32x4 = broadcast %two\n"
                                       "%in:boolx4 = le %n %twos\n"
                                       "%v:u8x4 = load @x %first mask %in\n"
                                       "store @y %first %v mask %in\n"
                                       "%h:f16x4 = load @h %first mask %in\n"
                                       "%z:bf16x4 = convert %h\n"
                                       "store @z %first %z mask %in\n"
                                       "%b:boolx4 = convert %h\n"
                                       "scatter @b %first %n %b mask %in\n";

/* ---- kernels on the device ---- */

static void
compare(krs_backend_effort effort, const char *text, int64_t items)
{
    parity_device d = open_device(effort);
    krs_kernel *kernel = parse(text);
    const krs_kernel *list = kernel;
    krs_backend_code *code;
    krs_error err;
    unsigned char data[ELEMENTS * 2];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 37 % 251 & 0x7b); /* no NaN of a half */
    parity_buffer buffers[5];
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        krs_dtype dtype = (krs_dtype)kernel->buffers[i].dtype;
        buffers[i] = (parity_buffer){data, 0};
        krs_dtype_bytes(dtype, ELEMENTS, &buffers[i].bytes);
    }
    parity_launch launch = {
        .kernel = kernel, .grid = {items, 1, 1},
             .buffers = buffers
    };
    void **expected = parity_expect(&d, &launch);
    ck_assert_msg(krsi_backend_build(d.entry.backend, d.device, NULL, &list, 1,
                                     NULL, &code, &err) == KRS_OK,
                  "%s", err.text);
    parity_compare(&d, &launch, code, expected, kernel->name);
    d.entry.backend->drop(d.device, code);
    parity_free_results(&launch, expected);
    krs_kernel_free(kernel);
    parity_close(&d);
}

START_TEST(items_of_a_group_share_memory_and_meet_at_barriers)
{
    compare(KRS_EFFORT_NORMAL, group_text, ELEMENTS / 8);
}
END_TEST

START_TEST(narrow_elements_of_neighbours_do_not_touch_each_other)
{
    compare(KRS_EFFORT_NORMAL, narrow_text, ELEMENTS / 3);
}
END_TEST

START_TEST(nothing_optional_gives_the_same_bits)
{
    compare(KRS_EFFORT_NONE, group_text, ELEMENTS / 8);
    compare(KRS_EFFORT_NONE, narrow_text, ELEMENTS / 3);
}
END_TEST

/* ---- modules ---- */

static krs_kernel *
read_kernel(const char *name)
{
    static char text[1 << 16];
    char path[4096];
    snprintf(path, sizeof path, "%s/kernels/%s", TESTS_DIR, name);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    text[length] = 0;
    fclose(file);
    return parse(text);
}

/* A blob is a header (hash, count of bindings, bytes that the driver keeps),
 * bindings, the module, and those bytes. */
enum { CACHE_BYTES_AT = 20 };

static uint32_t
cache_bytes_of(const krs_backend_blob *blob)
{
    uint32_t bytes;
    memcpy(&bytes, (char *)blob->data + CACHE_BYTES_AT, sizeof bytes);
    ck_assert_uint_lt(bytes, blob->bytes);
    return bytes;
}

/* The module of a blob begins with the magic number of SPIR-V. */
static void
check_module(const parity_device *d, krs_kernel *kernel)
{
    static const uint32_t magic = 0x07230203;
    const krs_kernel *list = kernel;
    krs_backend_blob blob;
    krs_error err;
    char path[4096], command[4200];
    size_t at = 0;
    ck_assert_msg(d->entry.backend->build(d->device, &list, 1, &blob, &err) ==
                      KRS_OK,
                  "%s", err.text);
    while (at < blob.bytes &&
           memcmp((char *)blob.data + at, &magic, sizeof magic) != 0)
        at += sizeof magic;
    ck_assert_uint_lt(at, blob.bytes);
    snprintf(path, sizeof path, "%s/module.spv", temp_folder());
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    size_t end = blob.bytes - cache_bytes_of(&blob);
    ck_assert_uint_eq(fwrite((char *)blob.data + at, end - at, 1, file), 1);
    fclose(file);
    snprintf(command, sizeof command, "spirv-val --target-env vulkan1.1 '%s'",
             path);
    ck_assert_msg(system(command) == 0, "%s: no valid module", kernel->name);
    free(blob.data);
    krs_kernel_free(kernel);
}

START_TEST(modules_are_valid)
{
    if (system("spirv-val --version >/dev/null 2>&1") != 0) {
        printf("1 test skipped: there is no spirv-val (Debian: spirv-tools)\n");
        return;
    }
    for (int plain = 0; plain < 2; plain++) {
        parity_device d =
            open_device(plain ? KRS_EFFORT_NONE : KRS_EFFORT_NORMAL);
        check_module(&d, read_kernel("gemm_f32.kir"));
        check_module(&d, read_kernel("rms_norm_backward.kir"));
        check_module(&d, parse(group_text));
        check_module(&d, parse(narrow_text));
        parity_close(&d);
    }
}
END_TEST

START_TEST(a_module_is_listed_an_instruction_a_line)
{
    parity_device d = open_device(KRS_EFFORT_NORMAL);
    krs_kernel *kernel = parse(group_text);
    krs_error err;
    char *text;
    ck_assert(d.entry.backend->listing(d.device, kernel, "spirv", &text,
                                       &err) == KRS_OK);
    ck_assert_ptr_nonnull(strstr(text, "EntryPoint 5 "));
    ck_assert_ptr_nonnull(strstr(text, "\nControlBarrier "));
    ck_assert_ptr_null(strstr(text, "\nop "));
    free(text);
    ck_assert_int_eq(
        d.entry.backend->listing(d.device, kernel, "asm", &text, &err),
        KRS_E_NAME);
    ck_assert_str_eq(err.text, "vulkan: no stage 'asm'; there is spirv");
    krs_kernel_free(kernel);
    parity_close(&d);
}
END_TEST

static bool
lists(const parity_device *d, const char *kernel_text, const char *part)
{
    krs_kernel *kernel = parse(kernel_text);
    krs_error err;
    char *text;
    ck_assert_msg(d->entry.backend->listing(d->device, kernel, "spirv", &text,
                                            &err) == KRS_OK,
                  "%s", err.text);
    bool has_part = strstr(text, part) != NULL;
    free(text);
    krs_kernel_free(kernel);
    return has_part;
}

/* Without groups an item is alone, and the pipeline says how many are side by
 * side: that the constant is set, all launches below show, which count on it. */
START_TEST(the_size_of_a_work_group_is_a_constant_of_the_pipeline)
{
    parity_device d = open_device(KRS_EFFORT_NORMAL);
    ck_assert(lists(&d, narrow_text, " = SpecConstantComposite "));
    ck_assert(!lists(&d, group_text, " = SpecConstant"));
    ck_assert_ptr_null(strstr(d.limits->target, "local"));
    ck_assert_uint_gt(d.limits->workers, 1);
    parity_close(&d);
}
END_TEST

/* All bits of i64 in words: the suites by "plain" compare them. */
START_TEST(where_64_bit_integers_are_optional_they_are_not_used)
{
    parity_device d = open_device(KRS_EFFORT_NONE);
    static const char *const square_text = "kernel square\n"
                                           "buffer @x i64 readwrite align 64\n"
                                           "grid 1\n"
                                           "%i:i64 = axis 0\n"
                                           "%v:i64 = load @x %i\n"
                                           "%w:i64 = mul %v %v\n"
                                           "store @x %i %w\n";
    ck_assert(lists(&d, square_text, "Capability 1\n"));
    ck_assert(!lists(&d, square_text, "Capability 11\n"));
    ck_assert(!lists(&d, square_text, " = TypeInt 64 "));
    ck_assert_ptr_null(strstr(d.limits->target, "wide"));
    parity_close(&d);
    d = open_device(KRS_EFFORT_NORMAL);
    ck_assert(lists(&d, square_text, "Capability 11\n") ==
              (strstr(d.limits->target, " wide") != NULL));
    parity_close(&d);
}
END_TEST

/* ---- launches ---- */

static const char *const add_text = "kernel add\n"
                                    "buffer @x i32 readwrite align 64\n"
                                    "grid 1\n"
                                    "%i:i64 = axis 0\n"
                                    "%1:i32 = const 1\n"
                                    "%v:i32 = load @x %i\n"
                                    "%w:i32 = add %v %1\n"
                                    "store @x %i %w\n";

typedef struct adding {
    parity_device d;
    krs_kernel *kernel;
    krs_backend_code *code;
    krs_backend_memory *memory;
} adding;

static adding
begin_kernel(const char *text, size_t bytes)
{
    adding a = {.d = open_device(KRS_EFFORT_NORMAL), .kernel = parse(text)};
    const krs_backend *b = a.d.entry.backend;
    const krs_kernel *list = a.kernel;
    krs_error err;
    int32_t zeros[ELEMENTS] = {0};
    ck_assert(krsi_backend_build(b, a.d.device, NULL, &list, 1, NULL, &a.code,
                                 &err) == KRS_OK);
    ck_assert(b->alloc(a.d.device, bytes, &a.memory, &err) == KRS_OK);
    ck_assert(b->write(a.d.device, a.memory, 0, zeros, sizeof zeros, &err) ==
              KRS_OK);
    return a;
}

static adding
begin_adding(size_t bytes)
{
    return begin_kernel(add_text, bytes);
}

static void
end_adding(adding *a)
{
    const krs_backend *b = a->d.entry.backend;
    b->free(a->d.device, a->memory);
    b->drop(a->d.device, a->code);
    krs_kernel_free(a->kernel);
    parity_close(&a->d);
}

/* Waves of one launch each, and when they ran. */
enum { WAVES = 100 };

static krs_status
add_often(adding *a, const int *cancel, krs_backend_span spans[WAVES],
          krs_error *err)
{
    const krs_backend *b = a->d.entry.backend;
    krs_backend_binding binding = {a->memory, 0, sizeof(int32_t) * ELEMENTS};
    krs_backend_launch launches[WAVES];
    size_t ends[WAVES];
    for (size_t i = 0; i < WAVES; i++) {
        launches[i] = (krs_backend_launch){
            a->code, &binding, NULL, {ELEMENTS, 1, 1}
        };
        ends[i] = i + 1;
    }
    krs_backend_work work = {.struct_size = sizeof work,
                             .launches = launches,
                             .launch_count = WAVES,
                             .wave_ends = ends,
                             .wave_count = WAVES,
                             .spans = spans,
                             .cancel = cancel};
    KRS_TRY(b->submit(a->d.device, &work, err));
    return b->wait(a->d.device, err);
}

static void
check_sum(adding *a, int32_t want)
{
    int32_t sums[ELEMENTS];
    krs_error err;
    ck_assert(a->d.entry.backend->read(a->d.device, a->memory, 0, sums,
                                       sizeof sums, &err) == KRS_OK);
    for (int i = 0; i < ELEMENTS; i++)
        ck_assert_int_eq(sums[i], want);
}

START_TEST(waves_see_what_earlier_ones_wrote_and_tell_when_they_ran)
{
    adding a = begin_adding(sizeof(int32_t) * ELEMENTS);
    krs_backend_span spans[WAVES];
    krs_error err;
    ck_assert_msg(add_often(&a, NULL, spans, &err) == KRS_OK, "%s", err.text);
    check_sum(&a, WAVES);
    for (int i = 0; i < WAVES; i++) {
        ck_assert_uint_gt(spans[i].begin_ns, 0);
        ck_assert_uint_le(spans[i].begin_ns, spans[i].end_ns);
        ck_assert(i == 0 || spans[i - 1].end_ns <= spans[i].begin_ns);
    }
    end_adding(&a);
}
END_TEST

START_TEST(a_request_to_stop_ends_the_work_at_a_wave)
{
    adding a = begin_adding(sizeof(int32_t) * ELEMENTS);
    krs_backend_span spans[WAVES];
    krs_error err;
    int cancel = 1, ran = 0;
    ck_assert_int_eq(add_often(&a, &cancel, spans, &err), KRS_E_CANCELLED);
    while (ran < WAVES && spans[ran].end_ns)
        ran++;
    ck_assert_int_lt(ran, WAVES);
    check_sum(&a, ran);
    cancel = 0;
    ck_assert_int_eq(add_often(&a, &cancel, spans, &err), KRS_OK);
    check_sum(&a, ran + WAVES);
    end_adding(&a);
}
END_TEST

static const char *const turns_text = "kernel turns\n"
                                      "arg n i64\n"
                                      "buffer @x i32 readwrite align 64\n"
                                      "grid 1\n"
                                      "%n:i64 = arg n\n"
                                      "%i:i64 = axis 0\n"
                                      "%0:i64 = const 0\n"
                                      "%1:i64 = const 1\n"
                                      "%2:i32 = const 2\n"
                                      "%3:i32 = const 3\n"
                                      "%first:i32 = load @x %i\n"
                                      "%t:i64 = for %0 to %n step %1 {\n"
                                      "  %sum:i32 = carry %first\n"
                                      "  %more:i32 = mul %sum %3\n"
                                      "  %next:i32 = add %more %2\n"
                                      "  next %sum %next\n"
                                      "}\n"
                                      "%total:i32 = result %sum\n"
                                      "store @x %i %total\n";

START_TEST(a_loop_that_the_driver_ends_early_is_an_error_not_a_result)
{
    static const uint32_t turns[] = {0, 1, 60000, 200000};
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        adding a = begin_kernel(turns_text, sizeof(int32_t) * ELEMENTS);
        const krs_backend *b = a.d.entry.backend;
        krs_backend_binding binding = {a.memory, 0, sizeof(int32_t) * ELEMENTS};
        krs_kargument arg = {.i = turns[i]};
        krs_backend_launch launch = {
            a.code, &binding, &arg, {ELEMENTS, 1, 1}
        };
        krs_error err;
        uint32_t want = 0;
        for (uint32_t t = 0; t < turns[i]; t++)
            want = want * 3 + 2;
        krs_status status =
            parity_launch_one(b, a.d.device, &launch, NULL, &err);
        if (status == KRS_OK) {
            check_sum(&a, (int32_t)want);
        } else {
            ck_assert_int_eq(status, KRS_E_DEVICE);
            ck_assert_uint_gt(turns[i], 65535); /* what lavapipe allows */
            ck_assert_msg(strstr(err.text, "vulkan: turns: ") &&
                              strstr(err.text, " ended a loop before its end"),
                          "%s", err.text);
        }
        end_adding(&a);
    }
}
END_TEST

/* One launch over ELEMENTS, whose memory was zero, turns times; then the sum. */
static void
turn_once(adding *a, uint32_t turns)
{
    const krs_backend *b = a->d.entry.backend;
    krs_backend_binding binding = {a->memory, 0, sizeof(int32_t) * ELEMENTS};
    krs_kargument arg = {.i = turns};
    krs_backend_launch launch = {
        a->code, &binding, &arg, {ELEMENTS, 1, 1}
    };
    int32_t zeros[ELEMENTS] = {0}, want = 0;
    krs_error err;
    for (uint32_t t = 0; t < turns; t++)
        want = want * 3 + 2;
    ck_assert_int_eq(
        b->write(a->d.device, a->memory, 0, zeros, sizeof zeros, &err), KRS_OK);
    ck_assert_int_eq(parity_launch_one(b, a->d.device, &launch, NULL, &err),
                     KRS_OK);
    check_sum(a, want);
}

START_TEST(work_that_was_recorded_sees_new_arguments_and_new_memories)
{
    adding a = begin_kernel(turns_text, sizeof(int32_t) * ELEMENTS);
    const krs_backend *b = a.d.entry.backend;
    krs_error err;
    for (uint32_t turns = 1; turns < 6; turns++)
        turn_once(&a, turns);
    /* memory that is gone, whose place another one has; more of it than
     * recordings are kept */
    krs_backend_memory *kept[20];
    for (uint32_t i = 0; i < 20; i++) {
        if (i % 2)
            b->free(a.d.device, a.memory);
        kept[i] = i % 2 ? NULL : a.memory;
        ck_assert_int_eq(
            b->alloc(a.d.device, sizeof(int32_t) * ELEMENTS, &a.memory, &err),
            KRS_OK);
        turn_once(&a, 1 + i % 3);
        turn_once(&a, 4);
    }
    for (uint32_t i = 0; i < 20; i++)
        b->free(a.d.device, kept[i]);
    end_adding(&a);
}
END_TEST

/* ---- what is refused ---- */

static void
check_binding(adding *a, krs_backend_binding binding, krs_status want,
              const char *part)
{
    const krs_backend *b = a->d.entry.backend;
    krs_backend_launch launch = {
        a->code, &binding, NULL, {1, 1, 1}
    };
    krs_error err;
    ck_assert_int_eq(parity_launch_one(b, a->d.device, &launch, NULL, &err),
                     want);
    ck_assert_msg(strstr(err.text, part) != NULL, "%s", err.text);
    ck_assert_int_eq(b->wait(a->d.device, &err), KRS_OK);
}

START_TEST(bindings_that_the_device_cannot_have_are_refused)
{
    adding a = begin_adding(4096);
    check_binding(
        &a, (krs_backend_binding){a.memory, 64, 4096}, KRS_E_RANGE,
        "vulkan: add: x is bound to 4096 bytes at 64 of a memory of 4096");
    check_binding(&a, (krs_backend_binding){a.memory, 4, 64}, KRS_E_RANGE,
                  "add: x is bound at byte 4, which is not a multiple of 64");
    check_binding(&a, (krs_backend_binding){NULL, 0, 0}, KRS_E_ARGUMENT,
                  "add: x has no memory");
    krs_backend_memory *large;
    krs_error err;
    const krs_backend *b = a.d.entry.backend;
    size_t bytes = (size_t)a.d.limits->max_bind_bytes + 64;
    if (bytes > 1U << 28 ||
        b->alloc(a.d.device, bytes, &large, &err) != KRS_OK) {
        printf("no memory of %zu bytes to bind\n", bytes);
    } else {
        check_binding(&a, (krs_backend_binding){large, 0, bytes},
                      KRS_E_UNSUPPORTED, " binds ");
        b->free(a.d.device, large);
    }
    end_adding(&a);
}
END_TEST

START_TEST(code_of_something_else_is_refused)
{
    parity_device d = open_device(KRS_EFFORT_NORMAL);
    const krs_backend *b = d.entry.backend;
    krs_kernel *kernel = parse(group_text), *other = parse(narrow_text);
    const krs_kernel *list = kernel;
    krs_backend_code *code;
    krs_backend_blob blob, cut;
    krs_error err;
    ck_assert(b->build(d.device, &list, 1, &blob, &err) == KRS_OK);
    ck_assert_int_eq(b->load(d.device, other, &blob, &code, &err),
                     KRS_E_FORMAT);
    for (size_t bytes = 0; bytes < blob.bytes; bytes += 7) {
        cut = (krs_backend_blob){blob.data, bytes};
        ck_assert_int_eq(b->load(d.device, kernel, &cut, &code, &err),
                         KRS_E_FORMAT);
        ck_assert_ptr_null(code);
    }
    free(blob.data);
    krs_kernel_free(kernel);
    krs_kernel_free(other);
    parity_close(&d);
}
END_TEST

/* The code of a, through a cache, and used; so many warnings. */
static void
use_cache(adding *a, krsi_cache *cache, noted *notes, int warnings)
{
    const krs_backend *b = a->d.entry.backend;
    const krs_kernel *list = a->kernel;
    int32_t zeros[ELEMENTS] = {0};
    krs_error err;
    notes->count = 0;
    b->drop(a->d.device, a->code);
    ck_assert_msg(krsi_backend_build(b, a->d.device, cache, &list, 1, NULL,
                                     &a->code, &err) == KRS_OK,
                  "%s", err.text);
    ck_assert_msg(notes->count == warnings, "%d warnings, not %d: %s",
                  notes->count, warnings, notes->text);
    ck_assert(b->write(a->d.device, a->memory, 0, zeros, sizeof zeros, &err) ==
              KRS_OK);
    ck_assert_int_eq(add_often(a, NULL, NULL, &err), KRS_OK);
    check_sum(a, WAVES);
}

enum damage { OTHER_DRIVER, NO_HEADER, SHORT, DAMAGES };

/* What a driver kept, damaged in a way that its holder cannot know of. */
static void
damage_kept(krs_backend_blob *blob, enum damage how)
{
    enum { UUID = 16 }; /* in the header of VkPipelineCache */
    uint32_t bytes = cache_bytes_of(blob), few = UUID;
    char *header = blob->data, *kept = header + blob->bytes - bytes;
    ck_assert_uint_ge(bytes, 2 * UUID);
    if (how == OTHER_DRIVER)
        kept[UUID] ^= 1;
    else if (how == NO_HEADER)
        memset(kept, 0xFF, bytes);
    else {
        blob->bytes -= bytes - few;
        memcpy(header + CACHE_BYTES_AT, &few, sizeof few);
    }
}

START_TEST(a_pipeline_cache_that_is_damaged_is_named_once_and_made_anew)
{
    adding a = begin_adding(sizeof(int32_t) * ELEMENTS);
    const krs_backend *b = a.d.entry.backend;
    noted notes = {0};
    krsi_cache *cache;
    krs_error err;
    ck_assert_msg(
        krsi_cache_open(temp_folder(), 0, note, &notes, &cache, &err) == KRS_OK,
        "%s", err.text);
    use_cache(&a, cache, &notes, 0);
    use_cache(&a, cache, &notes, 0);
    for (enum damage how = 0; how < DAMAGES; how++) {
        krs_backend_blob blob;
        krs_backend_code *code;
        ck_assert(krsi_cache_find(cache, a.kernel, a.d.limits->target, &blob));
        damage_kept(&blob, how);
        krsi_cache_store(cache, a.kernel, a.d.limits->target, &blob);
        ck_assert_int_eq(b->load(a.d.device, a.kernel, &blob, &code, &err),
                         KRS_E_FORMAT);
        free(blob.data);
        use_cache(&a, cache, &notes, 1);
        ck_assert_msg(
            strstr(notes.text, ": vulkan: add: the ") &&
                strstr(notes.text, " bytes that a driver kept of its pipeline "
                                   "are damaged, or not of ") &&
                strstr(notes.text, "; 1 of 1 kernels are compiled again"),
            "%s", notes.text);
        use_cache(&a, cache, &notes, 0);
    }
    krsi_cache_close(cache);
    end_adding(&a);
}
END_TEST

START_TEST(code_of_which_a_driver_keeps_nothing_is_loaded)
{
    adding a = begin_adding(sizeof(int32_t) * ELEMENTS);
    const krs_backend *b = a.d.entry.backend;
    const krs_kernel *list = a.kernel;
    const uint32_t none = 0, most = UINT32_MAX;
    krs_backend_blob blob;
    krs_backend_code *code;
    krs_error err;
    ck_assert(b->build(a.d.device, &list, 1, &blob, &err) == KRS_OK);
    blob.bytes -= cache_bytes_of(&blob);
    memcpy((char *)blob.data + CACHE_BYTES_AT, &none, sizeof none);
    b->drop(a.d.device, a.code);
    ck_assert_int_eq(b->load(a.d.device, a.kernel, &blob, &a.code, &err),
                     KRS_OK);
    ck_assert_int_eq(add_often(&a, NULL, NULL, &err), KRS_OK);
    check_sum(&a, WAVES);
    memcpy((char *)blob.data + CACHE_BYTES_AT, &most, sizeof most);
    ck_assert_int_eq(b->load(a.d.device, a.kernel, &blob, &code, &err),
                     KRS_E_FORMAT);
    free(blob.data);
    end_adding(&a);
}
END_TEST

/* ---- code before it runs ---- */

enum { DEAR_KERNELS = 3, DEAR_STEPS = 1600 };

static size_t files_found;

static int
count_file(const char *path, const struct stat *about, int kind,
           struct FTW *where)
{
    (void)path;
    (void)about;
    (void)where;
    files_found += kind == FTW_F;
    return 0;
}

static int
remove_entry(const char *path, const struct stat *about, int kind,
             struct FTW *where)
{
    (void)about;
    (void)kind;
    (void)where;
    return remove(path);
}

/* y[i] = x[i] + ..., so often that it is dear to compile; kernel k ends with a
 * number of its own. */
static krs_kernel *
dear_kernel(int k)
{
    size_t room = (size_t)64 * DEAR_STEPS, at = 0;
    char *text = malloc(room);
    at += (size_t)snprintf(text, room,
                           "kernel dear\nbuffer @x f32 read align 64\n"
                           "buffer @y f32 write align 64\ngrid 1\n"
                           "%%i:i64 = axis 0\n%%x:f32 = load @x %%i\n"
                           "%%s0:f32 = const %d\n",
                           k + 1);
    for (int i = 0; i < DEAR_STEPS; i++)
        at += (size_t)snprintf(text + at, room - at,
                               "%%s%d:f32 = add %%s%d %%x\n", i + 1, i);
    snprintf(text + at, room - at, "store @y %%i %%s%d\n", DEAR_STEPS);
    krs_kernel *kernel = parse(text);
    free(text);
    return kernel;
}

/* lavapipe compiles a kernel when it is first dispatched, and keeps a file. */
START_TEST(kernels_that_are_dear_are_compiled_when_they_are_built)
{
    char folder[] = "/tmp/kersey-driver-XXXXXX";
    krs_kernel *kernels[DEAR_KERNELS];
    krs_backend_blob blobs[DEAR_KERNELS];
    krs_error err;
    const char *before = getenv("MESA_SHADER_CACHE_DIR");
    char *kept = before ? strdup(before) : NULL;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("MESA_SHADER_CACHE_DIR", folder, 1);
    parity_device d = open_device(KRS_EFFORT_NORMAL);
    for (int i = 0; i < DEAR_KERNELS; i++)
        kernels[i] = dear_kernel(i);
    ck_assert_msg(d.entry.backend->build(d.device,
                                         (const krs_kernel *const *)kernels,
                                         DEAR_KERNELS, blobs, &err) == KRS_OK,
                  "%s", err.text);
    ck_assert_int_eq(nftw(folder, count_file, 16, FTW_PHYS), 0);
    bool compiles_late =
        strstr(d.limits->name, "llvmpipe") && sysconf(_SC_NPROCESSORS_ONLN) > 1;
    if (compiles_late)
        ck_assert_uint_gt(files_found, DEAR_KERNELS); /* and an index */
    for (int i = 0; i < DEAR_KERNELS; i++) {
        krs_backend_code *code;
        ck_assert(d.entry.backend->load(d.device, kernels[i], &blobs[i], &code,
                                        &err) == KRS_OK);
        d.entry.backend->drop(d.device, code);
        free(blobs[i].data);
        krs_kernel_free(kernels[i]);
    }
    parity_close(&d);
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    if (kept)
        setenv("MESA_SHADER_CACHE_DIR", kept, 1);
    else
        unsetenv("MESA_SHADER_CACHE_DIR");
    free(kept);
}
END_TEST

START_TEST(a_device_that_is_absent_is_refused_by_its_number)
{
    krsi_registry_entry entry;
    krs_error err;
    krs_backend_device *device;
    krs_backend_options options = {.struct_size = sizeof options, .index = 99};
    ck_assert(krsi_registry_find("vulkan", KERSEY_MODULE_DIR, &entry, &err) ==
              KRS_OK);
    ck_assert_int_eq(entry.backend->open(&options, &device, &err),
                     KRS_E_ARGUMENT);
    ck_assert_msg(strncmp(err.text, "vulkan: no device 99; there are ", 32) ==
                      0,
                  "%s", err.text);
    options = (krs_backend_options){.struct_size = sizeof options,
                                    .cpu = "x86-64-v2"};
    ck_assert_int_eq(entry.backend->open(&options, &device, &err),
                     KRS_E_UNSUPPORTED);
    ck_assert_ptr_null(device);
    krsi_registry_release(&entry);
}
END_TEST

int
main(void)
{
    char *arguments[] = {"test_vulkan", "vulkan"};
    const TTest *tests[] = {
        items_of_a_group_share_memory_and_meet_at_barriers,
        narrow_elements_of_neighbours_do_not_touch_each_other,
        nothing_optional_gives_the_same_bits,
        modules_are_valid,
        a_module_is_listed_an_instruction_a_line,
        the_size_of_a_work_group_is_a_constant_of_the_pipeline,
        where_64_bit_integers_are_optional_they_are_not_used,
        waves_see_what_earlier_ones_wrote_and_tell_when_they_ran,
        a_request_to_stop_ends_the_work_at_a_wave,
        a_loop_that_the_driver_ends_early_is_an_error_not_a_result,
        work_that_was_recorded_sees_new_arguments_and_new_memories,
        bindings_that_the_device_cannot_have_are_refused,
        code_of_something_else_is_refused,
        a_pipeline_cache_that_is_damaged_is_named_once_and_made_anew,
        code_of_which_a_driver_keeps_nothing_is_loaded,
        kernels_that_are_dear_are_compiled_when_they_are_built,
        a_device_that_is_absent_is_refused_by_its_number};
    return parity_main(2, arguments, __FILE__, tests,
                       sizeof tests / sizeof *tests);
}
