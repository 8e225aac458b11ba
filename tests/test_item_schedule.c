/* test_item_schedule.c -- schedules of other devices on this one: the same bits
 * as its own, near to eval, with barriers where they belong.
 *
 *     test_item_schedule            on interp
 *     test_item_schedule opencl     another backend: groups, a few cases
 *     test_item_schedule opencl all
 */
#include "suite.h"
#include "temp_folder.h"

#include <krs/krs.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { OUTPUTS = 3, ROOM = 50000 };

static const char *backend = "interp";
static bool takes_all = true; /* cases, and both schedules */
static krs_error err;

static krs_node
input(krs_graph *g, const char *name, krs_shape shape)
{
    return krs_input(g, name, KRS_F32, shape);
}

/* ---- cases: each gives its outputs; inputs are f32, or i64 below 7 ---- */

/* three of [70,40] . [40,130], so that tiles are large; a bias */
static int
batched(krs_graph *g, krs_node *out)
{
    krs_node bias = input(g, "bias", KRS_SHAPE(130));
    krs_node y = krs_matmul(input(g, "a", KRS_SHAPE(3, 70, 40)),
                            input(g, "b", KRS_SHAPE(3, 40, 130)));
    out[0] = krs_tanh(krs_add(y, bias));
    return 1;
}

/* two chunks of k, the second one cut off; turned operands made on the way */
static int
turned(krs_graph *g, krs_node *out)
{
    krs_node a = input(g, "a", KRS_SHAPE(601, 40));
    krs_node b = input(g, "b", KRS_SHAPE(50, 601));
    krs_node c = input(g, "c", KRS_SHAPE(601, 40));
    out[0] = krs_matmul(krs_transpose(krs_mul(a, krs_sigmoid(c)), 0, 1),
                        krs_transpose(krs_exp(b), 0, 1));
    return 1;
}

static int
halves(krs_graph *g, krs_node *out)
{
    krs_node a = input(g, "a", KRS_SHAPE(33, 35)),
             b = input(g, "b", KRS_SHAPE(35, 66));
    for (int i = 0; i < 2; i++) {
        krs_dtype type = i ? KRS_F16 : KRS_BF16;
        out[i] =
            krs_cast(krs_matmul(krs_cast(a, type), krs_cast(b, type)), KRS_F32);
    }
    return 2;
}

static int
rows(krs_graph *g, krs_node *out)
{
    krs_node x = input(g, "x", KRS_SHAPE(37, 300));
    out[0] = krs_softmax(x, 1);
    out[1] = krs_rms_norm(x, input(g, "scale", KRS_SHAPE(300)), 1e-5);
    out[2] = krs_sum(x, KRS_ALL_AXES);
    return 3;
}

/* several rows in a group: of 5, 9 and 20 elements, 8, 4 and 2 of them */
static int
short_rows(krs_graph *g, krs_node *out)
{
    out[0] = krs_softmax(input(g, "x", KRS_SHAPE(3, 16, 5)), -1);
    out[1] = krs_softmax(input(g, "y", KRS_SHAPE(3, 8, 9)), -1);
    out[2] = krs_amax(input(g, "z", KRS_SHAPE(5, 6, 20)), KRS_AXES(2));
    return 3;
}

static int
across(krs_graph *g, krs_node *out)
{
    krs_node x = input(g, "x", KRS_SHAPE(4, 130, 50));
    out[0] = krs_sum(x, KRS_AXES(1));
    out[1] = krs_mean(krs_square(x), KRS_AXES(1));
    return 2;
}

/* the gradient lies where logits do, one of which the loss reads by an index */
static int
loss(krs_graph *g, krs_node *out)
{
    krs_node x = input(g, "x", KRS_SHAPE(30, 12));
    krs_node logits = krs_matmul(x, input(g, "w", KRS_SHAPE(12, 70)));
    krs_node ids = krs_input(g, "ids", KRS_I64, KRS_SHAPE(30));
    out[0] = krs_cross_entropy(logits, ids, KRS_NONE, NULL);
    krs_grad(out[0], &x, 1, &out[1]);
    return 2;
}

static const struct example {
    const char *name;
    int (*build)(krs_graph *g, krs_node *out);
    bool is_short;      /* for compilers that are slow */
    const char *has[2]; /* what its kernels say under groups */
} examples[] = {
    {"batched",    batched,    true,  {"group 16 16 1", "shared @a_panel"}},
    {"turned",     turned,     false, {"group 8 8 1", "shared @b_panel"}  },
    {"halves",     halves,     false, {"group 8 8 1", "i32 "}             },
    {"rows",       rows,       true,  {"group 64 1 1", "barrier"}         },
    {"short rows", short_rows, false, {"group 8 8 1", "group 16 4 1"}     },
    {"across",     across,     false, {"group 32 8 1", "barrier"}         },
    {"loss",       loss,       false, {"group 64 1 1", "barrier"}         },
};
enum { EXAMPLES = sizeof examples / sizeof *examples };

/* ---- running ---- */

static krs_device *
open_device(const char *name, const char *cpu, bool unfused)
{
    const krs_device_options options = {.struct_size = sizeof options,
                                        .cpu = cpu,
                                        .modules = KERSEY_MODULE_DIR,
                                        .unfused = unfused};
    krs_device *device = NULL;
    if (krs_device_open_with(name, &options, &device, &err) != KRS_OK)
        ck_abort_msg("%s", err.text);
    return device;
}

static void
set_inputs(krs_program *program, krs_graph *g)
{
    static float values[ROOM];
    static int64_t ids[ROOM];
    for (int i = 0; i < ROOM; i++) {
        values[i] = sinf((float)(i % 1013) * 0.7F) * (i % 7 ? 1 : 3);
        ids[i] = i % 7;
    }
    for (uint32_t id = 1; id <= krs_graph_size(g); id++) {
        krs_node x = krs_graph_node(g, id);
        bool is_float = krs_node_dtype(x) == KRS_F32;
        size_t bytes;
        int64_t count;
        if (strcmp(krs_node_op(x), "input") != 0)
            continue;
        ck_assert(krs_shape_elements(krs_node_shape(x), &count));
        ck_assert(count <= ROOM);
        bytes = (size_t)count * (is_float ? sizeof *values : sizeof *ids);
        ck_assert_int_eq(
            krs_program_set_input(program, krs_node_name(x),
                                  is_float ? (void *)values : (void *)ids,
                                  bytes, &err),
            KRS_OK);
    }
}

/* All outputs, one after the other; returns how many floats. With `kernels`
 * their text, to be freed. */
static size_t
run(const struct example *e, krs_device *device, float *out, char **kernels)
{
    krs_graph *g = krs_graph_new();
    krs_node output[OUTPUTS];
    krs_store *store;
    krs_program *program;
    size_t at = 0, count = (size_t)e->build(g, output);
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    ck_assert_msg(krs_program_new(store, output, count, &program, &err) ==
                      KRS_OK,
                  "%s: %s", e->name, err.text);
    set_inputs(program, g);
    ck_assert_msg(krs_program_run(program, &err) == KRS_OK, "%s: %s", e->name,
                  err.text);
    for (size_t i = 0; i < count; i++) {
        int64_t elements;
        ck_assert(krs_shape_elements(krs_node_shape(output[i]), &elements));
        ck_assert_uint_le(at + (size_t)elements, ROOM);
        ck_assert_int_eq(krs_program_read(program, i, out + at,
                                          (size_t)elements * sizeof *out, &err),
                         KRS_OK);
        at += (size_t)elements;
    }
    if (kernels)
        ck_assert_int_eq(krs_program_print(program, "kernel", kernels, &err),
                         KRS_OK);
    krs_program_free(program);
    krs_store_free(store);
    krs_graph_free(g);
    return at;
}

static float want[ROOM], got[ROOM];

/* The backend itself, then as if it were another one. */
static void
compare_schedules(bool unfused)
{
    static const char *const others[] = {"lanes", "groups"};
    krs_device *own = open_device(backend, NULL, unfused);
    for (int k = takes_all ? 0 : 1; k < 2; k++) {
        krs_device *other = open_device(backend, others[k], unfused);
        for (int i = 0; i < EXAMPLES; i++) {
            if (!takes_all && !examples[i].is_short)
                continue;
            size_t count = run(&examples[i], own, want, NULL);
            ck_assert_uint_eq(run(&examples[i], other, got, NULL), count);
            for (size_t j = 0; j < count; j++)
                ck_assert_msg(memcmp(&want[j], &got[j], 4) == 0,
                              "%s, %s: value %zu is %a, must be %a",
                              examples[i].name, others[k], j, (double)got[j],
                              (double)want[j]);
        }
        krs_device_close(other);
    }
    krs_device_close(own);
}

START_TEST(schedules_of_other_devices_give_the_same_bits)
{
    compare_schedules(false);
}
END_TEST

START_TEST(they_do_so_without_fusion)
{
    if (strcmp(backend, "interp") == 0)
        compare_schedules(true);
}
END_TEST

START_TEST(groups_are_near_to_eval)
{
    if (strcmp(backend, "interp") != 0)
        return;
    krs_device *eval = open_device("eval", NULL, false);
    krs_device *device = open_device(backend, "groups", false);
    for (int i = 0; i < EXAMPLES; i++) {
        size_t count = run(&examples[i], eval, want, NULL);
        float most = 0;
        run(&examples[i], device, got, NULL);
        for (size_t j = 0; j < count; j++)
            most = fmaxf(most, fabsf(want[j]));
        /* halves are rounded to 8 bits, twice if near the middle */
        float bound = most * (examples[i].build == halves ? 0x1p-7F : 1e-5F);
        for (size_t j = 0; j < count; j++)
            ck_assert_msg(fabsf(want[j] - got[j]) <= bound,
                          "%s: value %zu is %a, eval has %a", examples[i].name,
                          j, (double)got[j], (double)want[j]);
    }
    krs_device_close(device);
    krs_device_close(eval);
}
END_TEST

START_TEST(kernels_have_groups_where_the_device_has)
{
    char *text;
    if (strcmp(backend, "interp") != 0)
        return;
    for (int groups = 0; groups < 2; groups++) {
        krs_device *device =
            open_device(backend, groups ? "groups" : "lanes", false);
        for (int i = 0; i < EXAMPLES; i++) {
            run(&examples[i], device, got, &text);
            ck_assert_msg((strstr(text, "\ngroup ") != NULL) == groups, "%s",
                          examples[i].name);
            for (int k = 0; groups && k < 2; k++)
                ck_assert_msg(strstr(text, examples[i].has[k]) != NULL,
                              "%s: no %s", examples[i].name,
                              examples[i].has[k]);
            free(text);
        }
        krs_device_close(device);
    }
}
END_TEST

START_TEST(a_schedule_of_no_such_name_is_refused)
{
    krs_device *device;
    krs_device_options options = {.struct_size = sizeof options,
                                  .cpu = "fibers",
                                  .modules = KERSEY_MODULE_DIR};
    char sentence[100];
    krs_status status = krs_device_open_with(backend, &options, &device, &err);
    snprintf(sentence, sizeof sentence,
             "%s: no processor level 'fibers': ", backend);
    ck_assert_int_eq(status, KRS_E_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, sentence) != NULL, "%s", err.text);
    ck_assert_msg(strstr(err.text, "'lanes' and 'groups' take") != NULL, "%s",
                  err.text);
}
END_TEST

RUN_SUITE(run_all, schedules_of_other_devices_give_the_same_bits,
          they_do_so_without_fusion, groups_are_near_to_eval,
          kernels_have_groups_where_the_device_has,
          a_schedule_of_no_such_name_is_refused)

int
main(int argc, char **argv)
{
    const krs_device_options options = {.struct_size = sizeof options,
                                        .modules = KERSEY_MODULE_DIR};
    krs_device *device;
    if (argc > 1)
        backend = argv[1];
    takes_all = argc != 2;
    if (krs_device_open_with(backend, &options, &device, &err) != KRS_OK) {
        printf("skipped: %s\n", err.text);
        return 77;
    }
    krs_device_close(device);
    return run_all();
}
