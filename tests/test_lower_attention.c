/* test_lower_attention.c -- attention and its gradients by kernels of their own
 * against the definition, for every way that sizes, masks and types can be.
 *
 * The judge is the device eval, in f64. The error of the kernels is compared
 * with that of the definition on f32 kernels, which the kernel interpreter runs
 * (a processor would give the same bits, and compile them first): they may be
 * off by twice as much and a few roundings of the largest element, no more,
 * because no chain of sums is longer (lower_attention.h) and every further
 * factor rounds once.
 * Bits: the processor gives those of the kernel interpreter, for any number of
 * threads. NaNs must stand where the definition has them.
 */
#include "graph/kernel/lower.h"
#include "graph/opt/opt.h"
#include "parity.h"
#include "temp_folder.h"

#include <krs/check.h>
#include <krs/program.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum mask_kind {
    NO_MASK,
    BOOL_KEYS,    /* [B,1,1,S] */
    BOOL_SCORES,  /* [1,H,T,S] */
    ADDED,        /* f32 [T,S] */
    ADDED_NO_KEY, /* f32 [T,S], the row 1 all -inf */
    BOOL_NO_KEY   /* bool [T,S], the row 1 all false */
} mask_kind;

/* how q, k and v lie: [B,heads,rows,D], [B,rows,heads,D], [B,heads,D,rows] */
typedef enum layout { STRAIGHT, BY_ROWS, BY_COLUMNS } layout;

typedef struct problem {
    int64_t B, H, K, T, S, D, E;
    bool causal;
    int64_t offset, window;
    mask_kind mask;
    layout layout;
    krs_dtype dtype; /* 0, which is f32, where it is not named */
    double scale;    /* 0: 1/sqrt(D) */
    bool even;       /* the cotangent of out is one number everywhere */
} problem;

enum { OUTPUTS = 6 }; /* out, dq, dk, dv; of second order: three of four */

typedef struct result {
    krs_shape shape[OUTPUTS];
    krs_dtype dtype[OUTPUTS];
    void *data[OUTPUTS];
    size_t bytes[OUTPUTS];
    size_t count;
} result;

/* clang-format off */
static const problem problems[] = {
    {1, 1, 1, 1, 1, 1, 1, .mask = NO_MASK},
    {1, 1, 1, 5, 7, 3, 2, .mask = NO_MASK},
    {2, 3, 3, 33, 65, 16, 48, .mask = NO_MASK},
    {1, 2, 2, 70, 70, 64, 64, .causal = true},
    {1, 1, 1, 130, 400, 64, 64, .causal = true, .offset = 270},
    {1, 4, 2, 50, 50, 48, 48, .causal = true},
    {2, 6, 1, 9, 200, 20, 36, .causal = true, .offset = 191},
    {1, 2, 1, 203, 203, 24, 40, .causal = true, .window = 50},
    {1, 1, 1, 250, 500, 8, 8, .causal = true, .offset = 250, .window = 7},
    {2, 2, 2, 40, 230, 32, 32, .mask = BOOL_KEYS},
    {1, 3, 3, 21, 97, 17, 31, .mask = BOOL_SCORES, .causal = true,
     .offset = 76},
    {1, 2, 1, 100, 60, 16, 16, .mask = ADDED},
    {1, 2, 2, 30, 210, 16, 16, .mask = ADDED, .causal = true, .offset = 180},
    {2, 2, 2, 37, 41, 48, 64, .layout = BY_ROWS, .causal = true, .offset = 4},
    {1, 2, 1, 20, 30, 7, 9, .layout = BY_COLUMNS},
    {1, 1, 1, 12, 20, 600, 530, .scale = 0.01},
    {1, 2, 2, 66, 66, 64, 64, .dtype = KRS_BF16, .causal = true},
    {1, 2, 1, 18, 205, 40, 24, .dtype = KRS_F16, .layout = BY_ROWS},
    {1, 8, 2, 1, 300, 64, 64, .causal = true, .offset = 299},
    {1, 2, 2, 1, 1000, 48, 48, .causal = true, .offset = 611},
    /* rows that no key counts for */
    {1, 2, 2, 9, 230, 8, 8, .causal = true, .offset = -2},
    {1, 1, 1, 5, 9, 4, 4, .causal = true, .offset = 30, .window = 3},
    {1, 2, 2, 6, 10, 4, 5, .mask = BOOL_NO_KEY},
    {1, 2, 2, 6, 10, 4, 5, .mask = BOOL_NO_KEY, .causal = true, .offset = 4},
    {1, 1, 1, 6, 10, 4, 5, .mask = ADDED_NO_KEY},
    {2, 2, 2, 3, 8, 2, 2, .mask = ADDED, .even = true},
    /* nothing */
    {0, 2, 2, 3, 4, 5, 6, .mask = NO_MASK},
    {1, 2, 2, 0, 4, 5, 6, .mask = NO_MASK},
    {1, 2, 2, 3, 0, 5, 6, .mask = NO_MASK},
    {1, 2, 2, 3, 4, 0, 6, .scale = 1},
    {1, 2, 2, 3, 4, 5, 0, .mask = NO_MASK},
    {1, 0, 2, 3, 4, 5, 6, .mask = NO_MASK},
};
/* clang-format on */
enum { PROBLEMS = sizeof problems / sizeof *problems };

/* ---- graphs ---- */

static krs_node
tensor(krs_graph *g, const char *name, const problem *p, int64_t heads,
       int64_t rows, int64_t columns)
{
    krs_dtype dtype = p->dtype ? p->dtype : KRS_F32;
    switch (p->layout) {
    case STRAIGHT:
        return krs_input(g, name, dtype, KRS_SHAPE(p->B, heads, rows, columns));
    case BY_ROWS:
        return krs_transpose(
            krs_input(g, name, dtype, KRS_SHAPE(p->B, rows, heads, columns)), 1,
            2);
    case BY_COLUMNS:
        return krs_transpose(
            krs_input(g, name, dtype, KRS_SHAPE(p->B, heads, columns, rows)), 2,
            3);
    }
    return KRS_NONE;
}

static krs_node
mask_of(krs_graph *g, const problem *p)
{
    switch (p->mask) {
    case NO_MASK: return KRS_NONE;
    case BOOL_KEYS:
        return krs_input(g, "mask", KRS_BOOL, KRS_SHAPE(p->B, 1, 1, p->S));
    case BOOL_SCORES:
        return krs_input(g, "mask", KRS_BOOL, KRS_SHAPE(1, p->H, p->T, p->S));
    case ADDED:
    case ADDED_NO_KEY:
        return krs_input(g, "mask", KRS_F32, KRS_SHAPE(p->T, p->S));
    case BOOL_NO_KEY:
        return krs_input(g, "mask", KRS_BOOL, KRS_SHAPE(p->T, p->S));
    }
    return KRS_NONE;
}

/* sum of y times an input of that shape */
static krs_node
weighed(krs_graph *g, krs_node y, const char *name, krs_shape shape)
{
    krs_node c = krs_input(g, name, KRS_F32, shape);
    return krs_sum(krs_mul(krs_cast(y, KRS_F32), c), KRS_ALL_AXES);
}

/* out and the gradients of q, k, v; with `twice` also the gradients of a
 * weighed sum of these. */
static size_t
build(krs_graph *g, const problem *p, bool twice, krs_node *outputs)
{
    krs_node q = tensor(g, "q", p, p->H, p->T, p->D);
    krs_node k = tensor(g, "k", p, p->K, p->S, p->D);
    krs_node v = tensor(g, "v", p, p->K, p->S, p->E);
    const krs_node in[3] = {q, k, v};
    krs_attention_options o = {.struct_size = sizeof o,
                               .scale = p->scale,
                               .causal = p->causal,
                               .offset = KRS_INDEX(p->offset),
                               .window = p->window};
    outputs[0] = krs_attention(q, k, v, mask_of(g, p), &o);
    krs_shape one = KRS_SHAPE(1, 1, 1, 1);
    krs_grad(
        weighed(g, outputs[0], "c", p->even ? one : krs_node_shape(outputs[0])),
        in, 3, outputs + 1);
    if (!twice)
        return 4;
    static const char *const names[3] = {"cq", "ck", "cv"};
    krs_node sum = weighed(g, outputs[1], names[0], krs_node_shape(outputs[1]));
    for (int i = 1; i < 3; i++)
        sum = krs_add(sum, weighed(g, outputs[1 + i], names[i],
                                   krs_node_shape(outputs[1 + i])));
    krs_grad(sum, in, 3, outputs + 3);
    return 6;
}

/* Numbers in [-1, 1) by name and place; a mask of bools is true for three of
 * four. */
static void
set_input(krs_program *program, const char *name, krs_node x, const problem *p)
{
    krs_shape shape = krs_node_shape(x);
    krs_dtype dtype = krs_node_dtype(x);
    krs_error err;
    int64_t count = 1;
    size_t bytes;
    uint64_t state = 88172645463325252U;
    for (const char *c = name; *c; c++)
        state = state * 31 + (uint64_t)(unsigned char)*c;
    for (int i = 0; i < shape.rank; i++)
        count *= shape.dim[i];
    ck_assert(krs_dtype_bytes(dtype, count, &bytes));
    float *values = calloc((size_t)count + 1, sizeof *values);
    unsigned char *data = calloc(bytes + 1, 1);
    bool is_mask = strcmp(name, "mask") == 0;
    for (int64_t i = 0; i < count; i++) {
        bool no_key = (p->mask == ADDED_NO_KEY || p->mask == BOOL_NO_KEY) &&
                      i / p->S == 1;
        double x1 = (double)(parity_random(&state) >> 11) * 0x1p-52 - 1;
        values[i] = (float)x1;
        if (is_mask && no_key)
            values[i] = -INFINITY;
        if (is_mask && dtype == KRS_BOOL)
            data[i] = !no_key && (x1 > -0.5 || i % p->S == 0);
    }
    if (dtype != KRS_BOOL)
        ck_assert_int_eq(
            krs_convert(dtype, data, KRS_F32, values, (size_t)count, &err),
            KRS_OK);
    krs_status status = krs_program_set_input(program, name, data, bytes, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    free(values);
    free(data);
}

/* ---- running ---- */

static krs_device *
open_device(const char *name, bool unfused, uint32_t threads)
{
    bool lanes = strcmp(name, "lanes") == 0;
    const krs_device_options options = {.struct_size = sizeof options,
                                        .threads = threads,
                                        .cpu = lanes ? "lanes" : NULL,
                                        .modules = KERSEY_MODULE_DIR,
                                        .cache = temp_folder(),
                                        .unfused = unfused};
    krs_device *device;
    krs_error err;
    krs_status status =
        krs_device_open_with(lanes ? "interp" : name, &options, &device, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return device;
}

/* The program of the outputs with every input set. */
static krs_program *
make_program(krs_store *store, krs_graph *g, const krs_node *outputs,
             size_t count, const problem *p)
{
    krs_error err;
    krs_program *program;
    const krs_error *wrong = krs_graph_error(g);
    ck_assert_msg(!wrong, "%s", wrong ? wrong->text : "");
    krs_status status = krs_program_new(store, outputs, count, &program, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    for (uint32_t id = 1; id <= krs_graph_size(g); id++) {
        krs_node x = krs_graph_node(g, id);
        if (strcmp(krs_node_op(x), "input") == 0)
            set_input(program, krs_node_name(x), x, p);
    }
    return program;
}

static result
run(const problem *p, bool twice, const char *name, bool unfused,
    uint32_t threads)
{
    krs_device *device = open_device(name, unfused, threads);
    krs_graph *g = krs_graph_new();
    krs_node outputs[OUTPUTS];
    krs_store *store;
    krs_error err;
    result r = {.count = build(g, p, twice, outputs)};
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    krs_program *program = make_program(store, g, outputs, r.count, p);
    krs_status status = krs_program_run(program, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    for (size_t i = 0; i < r.count; i++) {
        krs_program_output(program, i, &r.dtype[i], &r.shape[i], &err);
        int64_t elements = 1;
        for (int a = 0; a < r.shape[i].rank; a++)
            elements *= r.shape[i].dim[a];
        ck_assert(krs_dtype_bytes(r.dtype[i], elements, &r.bytes[i]));
        r.data[i] = malloc(r.bytes[i] + 1);
        status = krs_program_read(program, i, r.data[i], r.bytes[i], &err);
        ck_assert_msg(status == KRS_OK, "%s", err.text);
    }
    krs_program_free(program);
    krs_store_free(store);
    krs_graph_free(g);
    krs_device_close(device);
    return r;
}

static void
forget(result *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->data[i]);
}

/* ---- comparing ---- */

static double
element(const result *r, size_t output, size_t i)
{
    float f;
    krs_convert(KRS_F32, &f, r->dtype[output],
                (char *)r->data[output] +
                    i * (r->dtype[output] == KRS_F32 ? 4 : 2),
                1, NULL);
    return (double)f;
}

static size_t
elements(const result *r, size_t output)
{
    return r->bytes[output] / (r->dtype[output] == KRS_F32 ? 4 : 2);
}

/* largest |a - b| where both are numbers; the same NaNs and infinities */
static double
distance(const result *a, const result *b, size_t output, int number,
         const char *what)
{
    double largest = 0;
    ck_assert_uint_eq(a->bytes[output], b->bytes[output]);
    for (size_t i = 0; i < elements(a, output); i++) {
        double x = element(a, output, i), y = element(b, output, i);
        ck_assert_msg(isnan(x) == isnan(y) && (!isinf(y) || x == y),
                      "problem %d, %s, output %zu[%zu]: %g, want %g", number,
                      what, output, i, x, y);
        if (isfinite(y) && fabs(x - y) > largest)
            largest = fabs(x - y);
    }
    return largest;
}

static double
magnitude(const result *r, size_t output)
{
    double largest = 0;
    for (size_t i = 0; i < elements(r, output); i++)
        if (isfinite(element(r, output, i)))
            largest = fmax(largest, fabs(element(r, output, i)));
    return largest;
}

static void
assert_as_good(const result *got, const result *plain, const result *want,
               int number)
{
    for (size_t i = 0; i < want->count; i++) {
        double ulp = want->dtype[i] == KRS_F32    ? 0x1p-23
                     : want->dtype[i] == KRS_BF16 ? 0x1p-8
                                                  : 0x1p-11;
        double error = distance(got, want, i, number, "fused");
        double allowed = 2 * distance(plain, want, i, number, "plain") +
                         4 * ulp * magnitude(want, i);
        ck_assert_msg(error <= allowed,
                      "problem %d, output %zu: error %g where %g is allowed",
                      number, i, error, allowed);
    }
}

static void
assert_same_bits(const result *a, const result *b, int number, const char *what)
{
    for (size_t i = 0; i < a->count; i++)
        for (size_t k = 0; k < elements(a, i); k++) {
            double x = element(a, i, k), y = element(b, i, k);
            ck_assert_msg(x == y || (isnan(x) && isnan(y)),
                          "problem %d, %s: output %zu[%zu] is %a and %a",
                          number, what, i, k, x, y);
        }
}

/* each problem compiles for half a second under a sanitizer: a third of them */
static int
stride(void)
{
    return getenv("KERSEY_SLOW") ? 3 : 1;
}

START_TEST(attention_and_its_gradients_are_as_good_as_the_definition)
{
    for (int i = 0; i < PROBLEMS; i += stride()) {
        result want = run(&problems[i], false, "eval", false, 0);
        result plain = run(&problems[i], false, "interp", true, 1);
        result got = run(&problems[i], false, "cpu", false, 2);
        assert_as_good(&got, &plain, &want, i);
        forget(&want);
        forget(&plain);
        forget(&got);
    }
}
END_TEST

START_TEST(any_split_into_items_gives_the_bits_of_the_interpreter)
{
    for (int i = 0; i < PROBLEMS; i += stride()) {
        result want = run(&problems[i], false, "interp", false, 0);
        for (uint32_t threads = 1; threads < 8; threads += 4) {
            result got = run(&problems[i], false, "cpu", false, threads);
            assert_same_bits(&got, &want, i, "threads");
            forget(&got);
        }
        /* where items are lanes, tiles and the split into items are others */
        result strips = run(&problems[i], false, "lanes", false, 0);
        assert_same_bits(&strips, &want, i, "strips of a head");
        forget(&strips);
        forget(&want);
    }
}
END_TEST

START_TEST(second_gradients_are_as_good_as_those_of_the_definition)
{
    static const int some[] = {1, 5, 7, 11, 13};
    for (size_t i = 0; i < sizeof some / sizeof *some; i += (size_t)stride()) {
        const problem *p = &problems[some[i]];
        result want = run(p, true, "eval", false, 0);
        result plain = run(p, true, "interp", true, 1);
        result got = run(p, true, "cpu", false, 2);
        assert_as_good(&got, &plain, &want, some[i]);
        forget(&want);
        forget(&plain);
        forget(&got);
    }
}
END_TEST

/* ---- live lengths ---- */

/* out of T queries at position pos among the first pos + T of S keys */
static void
run_live(krs_device *device, const problem *p, const int64_t *position,
         size_t count, float **out)
{
    krs_graph *g = krs_graph_new();
    krs_index pos = krs_var(g, "pos", 1 - p->T, p->S - p->T);
    krs_index length = krs_index_plus(pos, KRS_INDEX(p->T));
    krs_attention_options o = {.struct_size = sizeof o,
                               .causal = p->causal,
                               .offset = pos,
                               .window = p->window};
    krs_node q = tensor(g, "q", p, p->H, p->T, p->D);
    krs_node k = krs_live(tensor(g, "k", p, p->K, p->S, p->D), 2, length);
    krs_node v = krs_live(tensor(g, "v", p, p->K, p->S, p->E), 2, length);
    krs_node y = krs_attention(q, k, v, KRS_NONE, &o);
    size_t bytes = (size_t)(p->B * p->H * p->T * p->E) * sizeof(float);
    krs_store *store;
    krs_error err;
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    krs_program *program = make_program(store, g, &y, 1, p);
    for (size_t i = 0; i < count; i++) {
        krs_program_set_var(program, "pos", position[i], &err);
        krs_status status = krs_program_run(program, &err);
        ck_assert_msg(status == KRS_OK, "%s", err.text);
        out[i] = malloc(bytes);
        krs_program_read(program, 0, out[i], bytes, &err);
    }
    krs_program_free(program);
    krs_store_free(store);
    krs_graph_free(g);
}

START_TEST(keys_beyond_the_live_length_do_not_count)
{
    static const problem cases[] = {
        {1, 4, 2, 1, 500, 16, 16, .causal = true},
        {2, 2, 2, 3, 300, 48, 24, .causal = true, .window = 20},
        {1, 2,  1,  4, 250,  8, 8, .causal = false             },
    };
    static const int64_t position[] = {0, 1, 17, 63, 64, 190, 192, 240};
    enum { COUNT = sizeof position / sizeof *position };
    krs_device *eval = open_device("eval", false, 0);
    krs_device *cpu = open_device("cpu", false, 2);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const problem *p = &cases[c];
        float *want[COUNT], *got[COUNT];
        run_live(eval, p, position, COUNT, want);
        run_live(cpu, p, position, COUNT, got);
        for (size_t i = 0; i < COUNT; i++) {
            int64_t count = p->B * p->H * p->T * p->E;
            for (int64_t k = 0; k < count; k++)
                ck_assert_msg(fabs((double)got[i][k] - (double)want[i][k]) <
                                  2e-6,
                              "case %zu, position %lld, [%lld]: %g, want %g", c,
                              (long long)position[i], (long long)k,
                              (double)got[i][k], (double)want[i][k]);
            free(want[i]);
            free(got[i]);
        }
    }
    krs_device_close(eval);
    krs_device_close(cpu);
}
END_TEST

START_TEST(no_live_key_is_refused_as_by_the_definition)
{
    static const char *const names[] = {"interp", "cpu"};
    for (int d = 0; d < 2; d++) {
        krs_device *device = open_device(names[d], false, 1);
        krs_graph *g = krs_graph_new();
        krs_index length = krs_var(g, "length", 0, 4);
        krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(1, 1, 4, 2));
        krs_node k = krs_live(x, 2, length);
        krs_node y = krs_attention(x, k, k, KRS_NONE, NULL);
        const problem p = {1, 1, 1, 4, 4, 2, 2, .mask = NO_MASK};
        krs_store *store;
        krs_error err;
        ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
        krs_program *program = make_program(store, g, &y, 1, &p);
        krs_program_set_var(program, "length", 0, &err);
        ck_assert_int_eq(krs_program_run(program, &err), KRS_E_RANGE);
        ck_assert_ptr_nonnull(strstr(err.text, "attention: no elements are "
                                               "live at this run"));
        krs_program_set_var(program, "length", 1, &err);
        ck_assert_int_eq(krs_program_run(program, &err), KRS_OK);
        krs_program_free(program);
        krs_store_free(store);
        krs_graph_free(g);
        krs_device_close(device);
    }
}
END_TEST

/* ---- memory ---- */

/* bytes of temporaries and of one worker's scratch for out and gradients */
static void
plan_bytes(int64_t T, size_t *out_arena, size_t *out_scratch,
           size_t *out_launches)
{
    const problem p = {1, 2, 2, T, T, 64, 64, .causal = true};
    const krsi_facts facts = {
        .lanes = 16,
        .registers = 32,
        .workers = 2,
        .cache_bytes = {32 << 10, 1 << 20, 8 << 20}
    };
    krs_graph *g = krs_graph_new(), *made;
    krs_node outputs[OUTPUTS];
    uint32_t roots[OUTPUTS];
    krsi_plan plan;
    krs_error err;
    size_t count = build(g, &p, false, outputs);
    for (size_t i = 0; i < count; i++)
        roots[i] = outputs[i].id;
    ck_assert_int_eq(
        krsi_expand_to_families(g, roots, count, &made, roots, &err), KRS_OK);
    for (size_t i = 0; i < count; i++)
        outputs[i] = krsi_handle(made, roots[i]);
    krs_status status =
        krsi_plan_make(&plan, made, outputs, count, &facts, KRSI_SHARE, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    *out_arena = plan.layout.arena_bytes;
    *out_launches = plan.launch_count;
    *out_scratch = 0;
    for (size_t i = 0; i < plan.launch_count; i++) {
        const krs_kernel *k = plan.kernels[plan.launches[i].kernel];
        size_t bytes = 0;
        for (uint32_t b = k->param_count; b < k->buffer_count; b++) {
            int64_t times = 1;
            if (k->buffers[b].count_arg >= 0)
                times =
                    plan.launches[i].arg[k->buffers[b].count_arg].index.base;
            bytes += (size_t)(k->buffers[b].count * times) * sizeof(float);
        }
        if (bytes > *out_scratch)
            *out_scratch = bytes;
    }
    krsi_plan_free(&plan);
    krs_graph_free(made);
    krs_graph_free(g);
}

START_TEST(memory_of_forward_and_backward_is_linear_in_the_queries)
{
    size_t arena[2], scratch[2], launches[2];
    plan_bytes(2048, &arena[0], &scratch[0], &launches[0]);
    plan_bytes(4096, &arena[1], &scratch[1], &launches[1]);
    ck_assert_uint_eq(launches[0], launches[1]);
    ck_assert_uint_lt(10 * arena[1], 22 * arena[0]);
    ck_assert_uint_lt(10 * scratch[1], 22 * scratch[0]);
    /* a few times q, far from T x T: 8 MB against 128 MB of scores */
    ck_assert_uint_lt(arena[1], 8 * (size_t)(2 * 4096 * 64) * sizeof(float));
    ck_assert_uint_lt(scratch[1], (size_t)2 << 20);
}
END_TEST

START_TEST(a_training_step_has_two_cuts_of_attention)
{
    const problem p = {1, 2, 2, 8, 8, 4, 4, .causal = true};
    krs_device *device = open_device("interp", false, 1);
    krs_graph *g = krs_graph_new();
    krs_node outputs[OUTPUTS];
    krs_store *store;
    krs_error err;
    char *text;
    size_t count = build(g, &p, false, outputs);
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    krs_program *program = make_program(store, g, outputs, count, &p);
    ck_assert_int_eq(krs_program_print(program, "sched", &text, &err), KRS_OK);
    const char *forward = strstr(text, " attention attention\n");
    ck_assert_ptr_nonnull(forward);
    ck_assert_ptr_nonnull(strstr(forward, "] = logsumexp("));
    ck_assert_ptr_nonnull(strstr(forward, " attention_grad attention\n"));
    ck_assert_ptr_null(strstr(text, "attention_lse attention"));
    ck_assert_ptr_null(strstr(text, "contract"));
    free(text);
    krs_program_free(program);
    krs_store_free(store);
    krs_graph_free(g);
    krs_device_close(device);
}
END_TEST

/* one cache: what the first test compiled, the second finds */
PARITY_SUITE_AFTER(temp_folder(),
                   attention_and_its_gradients_are_as_good_as_the_definition,
                   any_split_into_items_gives_the_bits_of_the_interpreter,
                   second_gradients_are_as_good_as_those_of_the_definition,
                   keys_beyond_the_live_length_do_not_count,
                   no_live_key_is_refused_as_by_the_definition,
                   memory_of_forward_and_backward_is_linear_in_the_queries,
                   a_training_step_has_two_cuts_of_attention)
