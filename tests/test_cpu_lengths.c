/* test_cpu_lengths.c -- vector body and tail on the CPU: lengths 1 to 65 at
 * every offset of 0 to 63 elements give every element the bits that it has in
 * a run over everything, and touch nothing else.
 *
 * LLVM turns a masked store of the last vector, a loop over single elements
 * and a whole vector into different instructions; a function that it replaced
 * by a call of the C library would differ between them.
 */
#include "tests/parity.h"
#include "tests/tail_kernel.h"
#include "tests/temp_folder.h"

#include <krs/ops.h>
#include <krs/program.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    LENGTHS = 65,
    OFFSETS = 64,
    ROOM = OFFSETS + LENGTHS + 31, /* elements, some behind every run */
    CASES = LENGTHS * OFFSETS,
    WIDTH = 16
};

#define UNTOUCHED 0x1.aap43F /* what a result holds before; a bf16 too */

static float x[ROOM], z[ROOM];

/* Ordinary numbers of both signs, and what is special in each vector. */
static void
fill(void)
{
    static const float special[] = {0, -0.0F,     INFINITY, -INFINITY, NAN,
                                    1, 0x1p-149F, 3e38F,    -104,      89};
    enum { COUNT = sizeof special / sizeof *special };
    for (int i = 0; i < ROOM; i++) {
        x[i] = i % 5 == 2 ? special[i / 5 % COUNT] : (float)(i - 70) * 0.377F;
        z[i] = i % 7 == 3 ? special[i / 7 % COUNT] : (float)(i % 13 - 6) * 0.5F;
    }
}

static uint32_t
bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Element i of a run over `length` elements from `offset` that left `got`. */
static void
check_element(const char *what, int64_t length, int64_t offset, int64_t i,
              float got, float want)
{
    bool in = i >= offset && i < offset + length;
    if (bits_of(got) == bits_of(in ? want : UNTOUCHED) ||
        (in && isnan(got) && isnan(want)))
        return;
    ck_abort_msg("%s: %lld elements from %lld: [%lld] is %a, not %a", what,
                 (long long)length, (long long)offset, (long long)i,
                 (double)got, (double)(in ? want : UNTOUCHED));
}

/* ---- the functions of the kernel language ---- */

/* What the interpreter gives, an element at a time. */
static void
expect(const parity_device *d, const tail_function *f, float want[ROOM])
{
    krs_kernel *kernel = tail_kernel(f, 1, false);
    krs_kargument args[] = {{.i = 0}, {.i = ROOM}};
    parity_buffer buffers[] = {
        {x,    sizeof x},
        {z,    sizeof z},
        {want, sizeof x}
    };
    parity_launch launch = {
        kernel, {1, 1, 1},
         args, buffers, false
    };
    void **results = parity_expect(d, &launch);
    memcpy(want, results[2], sizeof x);
    parity_free_results(&launch, results);
    krs_kernel_free(kernel);
}

/* All cases as launches of one wave, each into room of its own. */
static void
check_cases(const parity_device *d, krs_backend_code *code, const char *what,
            const float want[ROOM])
{
    static krs_backend_binding bindings[CASES][3];
    static krs_kargument args[CASES][2];
    static krs_backend_launch launches[CASES];
    const krs_backend *b = d->entry.backend;
    krs_backend_memory *in, *out;
    krs_error err;
    size_t bytes = (size_t)CASES * sizeof x;
    float *got = malloc(bytes);
    ck_assert_ptr_nonnull(got);
    for (size_t i = 0; i < (size_t)CASES * ROOM; i++)
        got[i] = UNTOUCHED;
    ck_assert(b->alloc(d->device, 2 * sizeof x, &in, &err) == KRS_OK);
    ck_assert(b->alloc(d->device, bytes, &out, &err) == KRS_OK);
    ck_assert(b->write(d->device, in, 0, x, sizeof x, &err) == KRS_OK);
    ck_assert(b->write(d->device, in, sizeof x, z, sizeof z, &err) == KRS_OK);
    ck_assert(b->write(d->device, out, 0, got, bytes, &err) == KRS_OK);
    for (int c = 0; c < CASES; c++) {
        bindings[c][0] = (krs_backend_binding){in, 0, sizeof x};
        bindings[c][1] = (krs_backend_binding){in, sizeof x, sizeof z};
        bindings[c][2] =
            (krs_backend_binding){out, (size_t)c * sizeof x, sizeof x};
        args[c][0].i = c % OFFSETS;
        args[c][1].i = 1 + c / OFFSETS;
        launches[c] = (krs_backend_launch){
            code, bindings[c], args[c], {1, 1, 1}
        };
    }
    krs_backend_work work = {.struct_size = sizeof work,
                             .launches = launches,
                             .launch_count = CASES,
                             .wave_ends = (const size_t[]){CASES},
                             .wave_count = 1};
    ck_assert_msg(b->submit(d->device, &work, &err) == KRS_OK, "%s", err.text);
    ck_assert_msg(b->wait(d->device, &err) == KRS_OK, "%s", err.text);
    ck_assert(b->read(d->device, out, 0, got, bytes, &err) == KRS_OK);
    for (int c = 0; c < CASES; c++)
        for (int i = 0; i < ROOM; i++)
            check_element(what, args[c][1].i, args[c][0].i, i,
                          got[c * ROOM + i], want[i]);
    b->free(d->device, in);
    b->free(d->device, out);
    free(got);
}

static void
check_functions(const char *cpu, krs_backend_effort effort)
{
    parity_device d;
    krs_error err;
    if (!parity_try_open(parity_backend, cpu, effort, 2, &d, &err)) {
        printf("1 test skipped: %s\n", err.text);
        return;
    }
    fill();
    /* a compiler that starts slowly: every fourth function */
    size_t step = parity_is_quick() || parity_is_slow() ? 4 : 1;
    for (size_t f = 0; f < tail_function_count; f += step) {
        const tail_function *function = &tail_functions[f];
        float want[ROOM] = {0};
        krs_kernel *kernels[] = {tail_kernel(function, WIDTH, false),
                                 tail_kernel(function, WIDTH, true)};
        const krs_kernel *list[] = {kernels[0], kernels[1]};
        krs_backend_code *codes[2];
        expect(&d, function, want);
        ck_assert_msg(krsi_backend_build(d.entry.backend, d.device, NULL, list,
                                         2, NULL, codes, &err) == KRS_OK,
                      "%s", err.text);
        for (int k = 0; k < 2; k++) {
            char what[64];
            snprintf(what, sizeof what, "%s, %s tail", function->name,
                     k ? "masked" : "scalar");
            check_cases(&d, codes[k], what, want);
        }
        krsi_backend_drop_all(d.entry.backend, d.device, codes, 2);
        krs_kernel_free(kernels[0]);
        krs_kernel_free(kernels[1]);
    }
    parity_close(&d);
}

START_TEST(every_function_has_the_same_bits_in_body_and_tail)
{
    check_functions("native", KRS_EFFORT_NORMAL);
}
END_TEST

START_TEST(every_function_has_them_without_optimisation)
{
    check_functions("native", KRS_EFFORT_NONE);
}
END_TEST

START_TEST(every_function_has_them_with_every_pass)
{
    check_functions("native", KRS_EFFORT_MOST);
}
END_TEST

START_TEST(every_function_has_them_on_x86_64_v3)
{
    check_functions("x86-64-v3", KRS_EFFORT_NORMAL);
}
END_TEST

START_TEST(every_function_has_them_on_x86_64_v2)
{
    check_functions("x86-64-v2", KRS_EFFORT_NORMAL);
}
END_TEST

/* ---- kernels as they are lowered from a graph ---- */

static const char *const graph_names[] = {"exp", "tanh", "sin",        "pow",
                                          "mul", "f16",  "bf16 stored"};
enum { OUTPUTS = sizeof graph_names / sizeof *graph_names };

/* base with f(x[pos ..], z[pos ..]) in place of `length` elements from pos */
static void
outputs_of(krs_graph *g, int64_t length, krs_node out[OUTPUTS])
{
    krs_index pos = krs_var(g, "pos", 0, length == ROOM ? 0 : OFFSETS - 1);
    krs_node base = krs_input(g, "base", KRS_F32, KRS_SHAPE(ROOM));
    krs_node a =
        krs_narrow(krs_input(g, "x", KRS_F32, KRS_SHAPE(ROOM)), 0, pos, length);
    krs_node b =
        krs_narrow(krs_input(g, "z", KRS_F32, KRS_SHAPE(ROOM)), 0, pos, length);
    const krs_node made[] = {
        krs_exp(a),    krs_tanh(a),   krs_sin(a),
        krs_pow(a, b), krs_mul(a, b), krs_cast(krs_cast(a, KRS_F16), KRS_F32)};
    for (int i = 0; i < OUTPUTS - 1; i++)
        out[i] = krs_set_slice(base, made[i], &pos);
    out[OUTPUTS - 1] = krs_cast(
        krs_set_slice(krs_cast(base, KRS_BF16), krs_cast(a, KRS_BF16), &pos),
        KRS_F32);
}

/* A program for runs over `length` elements, its inputs set. */
static krs_program *
open_program(krs_store *store, krs_graph **out_graph, int64_t length)
{
    float base[ROOM];
    krs_node outputs[OUTPUTS];
    krs_program *program;
    krs_error err;
    for (int i = 0; i < ROOM; i++)
        base[i] = UNTOUCHED;
    *out_graph = krs_graph_new();
    outputs_of(*out_graph, length, outputs);
    ck_assert_msg(krs_program_new(store, outputs, OUTPUTS, &program, &err) ==
                      KRS_OK,
                  "%s", err.text);
    ck_assert(!krs_program_set_input(program, "base", base, sizeof base, &err));
    ck_assert(!krs_program_set_input(program, "x", x, sizeof x, &err));
    ck_assert(!krs_program_set_input(program, "z", z, sizeof z, &err));
    return program;
}

static void
run_program(krs_program *program, int64_t pos, float out[OUTPUTS][ROOM])
{
    krs_error err;
    ck_assert(!krs_program_set_var(program, "pos", pos, &err));
    ck_assert_msg(krs_program_run(program, &err) == KRS_OK, "%s", err.text);
    for (size_t i = 0; i < OUTPUTS; i++)
        ck_assert(!krs_program_read(program, i, out[i], sizeof out[i], &err));
}

static krs_store *
open_store(const char *device_name, const char *cpu, krs_device **out,
           krs_error *err)
{
    krs_device_options options = {.struct_size = sizeof options,
                                  .threads = 1,
                                  .cpu = cpu,
                                  .modules = KERSEY_MODULE_DIR,
                                  .cache = cpu ? temp_folder() : NULL};
    krs_store *store;
    if (krs_device_open_with(device_name, &options, out, err) != KRS_OK)
        return NULL;
    ck_assert(krs_store_new(*out, &store, err) == KRS_OK);
    return store;
}

/* All elements at once. */
static void
run_whole(krs_store *store, float out[OUTPUTS][ROOM])
{
    krs_graph *g;
    krs_program *program = open_program(store, &g, ROOM);
    run_program(program, 0, out);
    krs_program_free(program);
    krs_graph_free(g);
}

static bool
has_fma(const krs_device *device)
{
    krs_device_info info = {.struct_size = sizeof info};
    krs_error err;
    ck_assert(krs_device_describe(device, &info, &err) == KRS_OK);
    return info.has_fma;
}

/* The interpreter gives the same, where it fuses as the processor does. */
static void
check_whole(const krs_device *cpu, float got[OUTPUTS][ROOM])
{
    static float want[OUTPUTS][ROOM];
    krs_device *device;
    krs_error err;
    krs_store *store = open_store("interp", NULL, &device, &err);
    ck_assert_msg(store != NULL, "%s", err.text);
    run_whole(store, want);
    for (int o = 0; has_fma(device) == has_fma(cpu) && o < OUTPUTS; o++)
        for (int i = 0; i < ROOM; i++)
            check_element(graph_names[o], ROOM, 0, i, got[o][i], want[o][i]);
    krs_store_free(store);
    krs_device_close(device);
}

static void
check_graph(const char *cpu)
{
    static float want[OUTPUTS][ROOM], got[OUTPUTS][ROOM];
    krs_device *device;
    krs_error err;
    if (!parity_is_cpu())
        return; /* a program a length: too many for other compilers */
    krs_store *store = open_store("cpu", cpu, &device, &err);
    if (!store) {
        printf("1 test skipped: %s\n", err.text);
        return;
    }
    fill();
    run_whole(store, want);
    check_whole(device, want);
    for (int64_t length = 1; length <= LENGTHS; length++) {
        krs_graph *g;
        krs_program *program = open_program(store, &g, length);
        for (int64_t pos = 0; pos < OFFSETS; pos++) {
            run_program(program, pos, got);
            for (int o = 0; o < OUTPUTS; o++)
                for (int i = 0; i < ROOM; i++)
                    check_element(graph_names[o], length, pos, i, got[o][i],
                                  want[o][i]);
        }
        krs_program_free(program);
        krs_graph_free(g);
    }
    krs_store_free(store);
    krs_device_close(device);
}

START_TEST(kernels_of_a_graph_have_the_same_bits_at_every_length_and_offset)
{
    check_graph("native");
}
END_TEST

START_TEST(kernels_of_a_graph_have_them_on_x86_64_v3)
{
    check_graph("x86-64-v3");
}
END_TEST

START_TEST(kernels_of_a_graph_have_them_on_x86_64_v2)
{
    check_graph("x86-64-v2");
}
END_TEST

PARITY_SUITE(every_function_has_the_same_bits_in_body_and_tail,
             every_function_has_them_without_optimisation,
             every_function_has_them_with_every_pass,
             every_function_has_them_on_x86_64_v3,
             every_function_has_them_on_x86_64_v2,
             kernels_of_a_graph_have_the_same_bits_at_every_length_and_offset,
             kernels_of_a_graph_have_them_on_x86_64_v3,
             kernels_of_a_graph_have_them_on_x86_64_v2)
