/* test_check.c -- the conformance check finds every fault of mutations.def, and
 * none where there is none; it names the node, or the kernel; what it writes
 * fails again.
 */
#include "every_device.h"
#include "suite.h"

#include <krs/krs.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 40, GRAPHS = 4 };

static krs_error err;
static krs_device *eval;

/* outputs so far */
static krs_node out[MOST];
static size_t outs;

static void
give(krs_node x)
{
    ck_assert_uint_lt(outs, MOST);
    ck_assert_msg(krs_node_is_valid(x), "%s", krs_graph_error(x.graph)->text);
    out[outs++] = x;
}

/* Every kind of number, ties, zeros of both signs. */
static const float special[23] = {
    0,        -0.0F,     1,         -1,         2.5F,       -2.5F,
    INFINITY, -INFINITY, NAN,       1e-40F,     -1e-41F,    65519,
    88.7F,    -104,      0x1p-126F, 1e5F,       0.3333333F, 7,
    7,        -0.7F,     3.14159F,  1.0000001F, 123.456F};

static void
maps(krs_graph *g)
{
    krs_node x = krs_constant(g, KRS_F32, KRS_SHAPE(23), special);
    x = krs_mul(x, krs_input(g, "one", KRS_F32, KRS_SHAPE(1)));
    krs_node y = krs_input(g, "y", KRS_F32, KRS_SHAPE(23));
    krs_node i = krs_input(g, "i", KRS_I32, KRS_SHAPE(37));
    krs_node j =
        krs_sub(krs_input(g, "j", KRS_I32, KRS_SHAPE(37)), krs_like(i, 4));
    krs_node big = krs_mul(krs_cast(j, KRS_I64),
                           krs_like(krs_cast(j, KRS_I64), 1000000007));
    krs_node b = krs_input(g, "b", KRS_BOOL, KRS_SHAPE(23));
    give(krs_neg(x));
    give(krs_abs(x));
    give(krs_floor(x));
    give(krs_sqrt(krs_abs(y)));
    give(krs_add(y, krs_mul(y, x)));
    give(krs_sub(y, x));
    give(krs_div(y, krs_exp(y)));
    give(krs_maximum(x, y));
    give(krs_minimum(x, y));
    give(krs_where(b, x, y));
    give(krs_and(b, krs_ge(x, y)));
    give(krs_ge(x, x));
    give(krs_lt(y, y));
    give(krs_eq(x, x));
    give(krs_cast(y, KRS_BF16));
    give(krs_cast(x, KRS_I32));
    give(krs_div(j, krs_sub(i, krs_like(i, 3))));
    give(big);
    give(krs_tanh(y));
    give(krs_sin(y));
}

static void
rows(krs_graph *g)
{
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(5, 67));
    krs_node tied = krs_floor(x);
    krs_node w = krs_input(g, "w", KRS_F32, KRS_SHAPE(67));
    give(krs_softmax(x, 1));
    give(krs_sum(x, KRS_AXES(1)));
    give(krs_sum(x, KRS_AXES(0)));
    give(krs_amax(x, KRS_AXES(1)));
    give(krs_amin(x, KRS_AXES(0)));
    give(krs_argmax(tied, 1));
    give(krs_argmin(tied, 1));
    give(krs_cumsum(x, 1));
    give(krs_cumprod(x, 0));
    give(krs_layer_norm(x, w, KRS_NONE, 1e-5));
    give(krs_random_uniform(krs_scalar(g, KRS_I64, 3),
                            krs_scalar(g, KRS_I64, 4), KRS_SHAPE(3, 5), 1));
}

static void
products(krs_graph *g)
{
    krs_node a = krs_input(g, "a", KRS_F32, KRS_SHAPE(17, 33));
    krs_node b = krs_input(g, "b", KRS_F32, KRS_SHAPE(33, 19));
    krs_node square = krs_input(g, "square", KRS_F32, KRS_SHAPE(2, 33, 33));
    krs_node half = krs_input(g, "half", KRS_BF16, KRS_SHAPE(33, 19));
    krs_node q = krs_input(g, "q", KRS_F32, KRS_SHAPE(1, 2, 9, 8));
    krs_node k = krs_input(g, "k", KRS_F32, KRS_SHAPE(1, 1, 9, 8));
    krs_node ids = krs_input(g, "ids", KRS_I64, KRS_SHAPE(13));
    krs_attention_options causal = {.struct_size = sizeof causal,
                                    .causal = true};
    give(krs_matmul(a, b));
    give(krs_matmul_tn(a, a));
    give(krs_matmul_nt(square, square));
    give(krs_matmul(krs_cast(a, KRS_BF16), half));
    give(krs_attention(q, k, k, KRS_NONE, &causal));
    give(krs_take(a, ids, 0));
    give(krs_index_add(a, ids, krs_take(a, ids, 0), 0));
    give(krs_relu(krs_matmul(krs_tanh(a), b)));
}

static void
views(krs_graph *g)
{
    static const int64_t before[] = {1, 0}, after[] = {0, 2};
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(7, 11));
    krs_node y = krs_input(g, "y", KRS_F32, KRS_SHAPE(7, 11));
    krs_node parts[] = {x, y};
    krs_index start[] = {KRS_INDEX(2), KRS_INDEX(3)};
    give(krs_concat(parts, 2, 1));
    give(krs_pad(x, before, after, 0.5));
    give(krs_add(krs_transpose(x, 0, 1), krs_transpose(y, 0, 1)));
    give(krs_slice(x, 1, KRS_END, KRS_END, -2));
    give(krs_set_slice(x, krs_slice(y, 0, 0, 3, 1),
                       (krs_index[]){KRS_INDEX(2), KRS_INDEX(0)}));
    give(krs_set_slice(
        x, krs_scale(krs_slice(krs_slice(y, 0, 0, 2, 1), 1, 0, 4, 1), 2),
        start));
    give(krs_expand(krs_reshape(x, KRS_SHAPE(1, 77)), KRS_SHAPE(3, 77)));
    krs_node s = krs_state(g, "s", KRS_F32, KRS_SHAPE(7, 11));
    give(krs_update(s, krs_add(s, krs_mul(x, y))));
}

static void (*const graphs[GRAPHS])(krs_graph *g) = {maps, rows, products,
                                                     views};

static krs_device *
open_mutant(const char *fault)
{
    krs_device_options o = {
        .struct_size = sizeof o, .cpu = fault, .modules = OTHER_MODULES_DIR};
    krs_device *device;
    ck_assert_msg(krs_device_open_with("mutant", &o, &device, &err) == KRS_OK,
                  "%s", err.text);
    return device;
}

static krs_status
check_graph(int which, krs_device *device, krs_check_result *result)
{
    static const float one = 1;
    krs_check_value value = {
        "one", {KRS_F32, KRS_SHAPE(1), &one, sizeof one}
    };
    krs_check_data data = {.struct_size = sizeof data,
                           .values = &value,
                           .value_count = which == 0,
                           .seed = 5};
    krs_check_options o = {
        .struct_size = sizeof o, .data = &data, .steps = which == 3 ? 2 : 0};
    krs_graph *g = krs_graph_new();
    outs = 0;
    graphs[which](g);
    krs_status status = krs_check(device, eval, out, outs, &o, result, &err);
    krs_graph_free(g);
    return status;
}

static void
open_eval(void)
{
    ck_assert_int_eq(krs_device_open("eval", &eval, &err), KRS_OK);
}

START_TEST(without_a_fault_everything_passes_on_every_device)
{
    krs_check_result r = {.struct_size = sizeof r};
    open_eval();
    for (int d = 0; d <= EVERY_DEVICE; d++) {
        krs_device *device =
            d < EVERY_DEVICE ? open_every(d, NULL) : open_mutant("none");
        for (int i = 0; i < GRAPHS; i++) {
            ck_assert_msg(check_graph(i, device, &r) == KRS_OK, "graph %d: %s",
                          i, err.text);
            ck_assert_int_eq(r.cause, KRS_CAUSE_NONE);
            ck_assert_int_eq(r.failing_nodes, 0);
            ck_assert_int_ge(r.tensors, 7);
            if (d > 0)
                ck_assert_int_ge(r.nodes, 10);
        }
        krs_device_close(device);
    }
    krs_device_close(eval);
}
END_TEST

START_TEST(every_planted_fault_is_caught)
{
    static const char *const faults[] = {
#define KERNEL(name, op, type, needs, lines) #name,
#define RESULT(name)                         #name,
#define LAUNCH(name)                         #name,
#include "mutations.def"
#undef KERNEL
#undef RESULT
#undef LAUNCH
    };
    size_t count = sizeof faults / sizeof *faults, caught = 0;
    open_eval();
    for (size_t i = 0; i < count; i++) {
        krs_device *device = open_mutant(faults[i]);
        bool found = false;
        for (int k = 0; k < GRAPHS && !found; k++) {
            krs_status status = check_graph(k, device, NULL);
            found = status != KRS_OK;
            /* refused or named, never a crash or another failure */
            ck_assert_msg(!found || status == KRS_E_CHECK ||
                              status == KRS_E_RANGE || status == KRS_E_INTERNAL,
                          "%s: %s", faults[i], err.text);
        }
        if (!found)
            printf("%s was not caught\n", faults[i]);
        caught += found;
        krs_device_close(device);
    }
    krs_device_close(eval);
    printf("%zu of %zu faults caught\n", caught, count);
    ck_assert_uint_ge(count, 40);
    ck_assert_uint_eq(caught, count);
}
END_TEST

/* Operations in two scopes; none whose kernel alone has both mul and sub. */
static krs_node
deep(krs_graph *g)
{
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 9));
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(9, 9));
    krs_scope_push(g, "first");
    krs_node h = krs_relu(krs_matmul(x, w));
    krs_scope_pop(g);
    krs_scope_push(g, "second");
    krs_node y = krs_sub(krs_mul(h, x), krs_offset(h, 0.5));
    krs_scope_pop(g);
    return krs_mean(krs_square(y), KRS_ALL_AXES);
}

static void
find_in_deep(const char *fault, krs_check_result *r)
{
    krs_graph *g = krs_graph_new();
    krs_node loss = deep(g);
    krs_device *device = open_mutant(fault);
    krs_check_options o = {
        .struct_size = sizeof o, .gradients = true, .repro = true};
    uint32_t size = krs_graph_size(g);
    r->struct_size = sizeof *r;
    open_eval();
    ck_assert_int_eq(krs_check(device, eval, &loss, 1, &o, r, &err),
                     KRS_E_CHECK);
    ck_assert_uint_eq(krs_graph_size(g), size);
    ck_assert_ptr_nonnull(r->repro);
    krs_device_close(eval);
    krs_device_close(device);
    krs_graph_free(g);
}

/* A repro fails on the device and passes on the interpreter. */
static void
replay(const char *text, const char *fault)
{
    krs_graph *g;
    krs_node y[8];
    size_t count;
    krs_check_data *data;
    ck_assert_msg(krs_graph_parse(text, &g, y, 8, &count, &err) == KRS_OK,
                  "%s\n%s", err.text, text);
    ck_assert_msg(krs_check_read(text, &data, &err) == KRS_OK, "%s\n%s",
                  err.text, text);
    krs_check_options o = {.struct_size = sizeof o, .data = data};
    open_eval();
    krs_device *bad = open_mutant(fault), *good = open_mutant("none");
    ck_assert_msg(krs_check(bad, eval, y, count, &o, NULL, &err) == KRS_E_CHECK,
                  "%s", text);
    ck_assert_msg(krs_check(good, eval, y, count, &o, NULL, &err) == KRS_OK,
                  "%s\n%s", err.text, text);
    krs_device_close(good);
    krs_device_close(bad);
    krs_device_close(eval);
    krs_check_data_free(data);
    krs_graph_free(g);
}

START_TEST(the_first_wrong_node_is_named_and_shown_alone)
{
    krs_check_result r;
    find_in_deep("sub_swapped", &r);
    ck_assert_int_eq(r.cause, KRS_CAUSE_NODE);
    ck_assert_str_eq(r.op, "sub");
    ck_assert_str_eq(r.scope, "second");
    ck_assert_ptr_nonnull(strstr(r.file, "test_check.c"));
    ck_assert_int_gt(r.line, 0);
    ck_assert_msg(strstr(r.kernel, "(sub)"), "%s; %s", r.kernel, err.text);
    ck_assert_ptr_nonnull(strstr(err.text, "on mutant second: sub: element "));
    ck_assert_ptr_null(strstr(r.repro, "matmul"));
    replay(r.repro, "sub_swapped");
    free(r.repro);
}
END_TEST

START_TEST(an_output_that_is_an_input_is_what_was_given)
{
    krs_check_result r = {.struct_size = sizeof r};
    krs_check_options o = {.struct_size = sizeof o, .repro = true};
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(3));
    krs_device *device = open_mutant("reversed");
    open_eval();
    ck_assert_int_eq(krs_check(device, eval, &x, 1, &o, &r, &err), KRS_E_CHECK);
    ck_assert_int_eq(r.cause, KRS_CAUSE_NODE);
    ck_assert_str_eq(r.op, "input");
    ck_assert_msg(strstr(err.text, "output 0, input (") &&
                      strstr(err.text, "), is not what was given: kernel 0"),
                  "%s", err.text);
    krs_device_close(device);
    krs_device_close(eval);
    krs_graph_free(g);
    replay(r.repro, "reversed");
    free(r.repro);
}
END_TEST

START_TEST(attention_of_scores_without_digits_is_an_average_all_the_same)
{
    static const float large[] = {1e6F, -2e6F, 3e6F, 5e5F,
                                  2e6F, 1e6F,  1,    -4e6F};
    krs_check_value value = {
        "q", {KRS_F32, KRS_SHAPE(1, 1, 2, 4), large, sizeof large}
    };
    krs_check_data data = {
        .struct_size = sizeof data, .values = &value, .value_count = 1};
    krs_check_options o = {.struct_size = sizeof o, .data = &data};
    krs_graph *g = krs_graph_new();
    krs_node q = krs_input(g, "q", KRS_F32, KRS_SHAPE(1, 1, 2, 4));
    krs_node k = krs_input(g, "k", KRS_F32, KRS_SHAPE(1, 1, 3, 4));
    krs_node v = krs_input(g, "v", KRS_F32, KRS_SHAPE(1, 1, 3, 4));
    krs_node y = krs_attention(q, k, v, KRS_NONE, NULL);
    krs_device *good = open_mutant("none"), *bad = open_mutant("one_is_nan");
    open_eval();
    ck_assert_msg(krs_check(good, eval, &y, 1, &o, NULL, &err) == KRS_OK, "%s",
                  err.text);
    ck_assert_int_eq(krs_check(bad, eval, &y, 1, &o, NULL, &err), KRS_E_CHECK);
    krs_device_close(good);
    krs_device_close(bad);
    krs_device_close(eval);
    krs_graph_free(g);
}
END_TEST

START_TEST(a_kernel_that_is_wrong_only_when_fused_is_named)
{
    krs_check_result r;
    find_in_deep("only_when_fused", &r);
    ck_assert_msg(r.cause == KRS_CAUSE_FUSION, "%s", err.text);
    ck_assert_msg(strstr(r.kernel, "mul") && strstr(r.kernel, "sub"), "%s",
                  r.kernel);
    ck_assert_str_eq(r.scope, "second");
    ck_assert_ptr_nonnull(strstr(err.text, "computed alone it is right"));
    replay(r.repro, "only_when_fused");
    free(r.repro);
}
END_TEST

struct rows_seen {
    size_t kind[4];
    int64_t elements, counted;
};

static void
see(void *user, const krs_check_row *row)
{
    struct rows_seen *s = user;
    s->kind[row->kind]++;
    s->elements += row->difference.elements;
    for (int i = 0; i < KRS_ULP_BUCKETS; i++)
        s->counted += row->difference.ulps[i];
    ck_assert_int_eq(row->failing, 0);
    if (row->kind == KRS_CHECK_GRADIENT)
        ck_assert(!strcmp(row->name, "x") || !strcmp(row->name, "w"));
}

START_TEST(outputs_gradients_and_steps_are_compared)
{
    krs_graph *g = krs_graph_new();
    krs_node loss = deep(g);
    struct rows_seen seen = {{0}, 0, 0};
    krs_check_result r = {.struct_size = sizeof r};
    krs_check_options o = {
        .struct_size = sizeof o,
        .gradients = true,
        .steps = 3,
        .tolerance = {.rtol = 1e-4, .atol = 1e-5},
        .sink = see,
        .user = &seen
    };
    open_eval();
    krs_device *interp = open_every(1, NULL);
    ck_assert_msg(krs_check(interp, eval, &loss, 1, &o, &r, &err) == KRS_OK,
                  "%s", err.text);
    ck_assert_uint_eq(seen.kind[KRS_CHECK_OUTPUT], 3);
    ck_assert_uint_eq(seen.kind[KRS_CHECK_GRADIENT], 6); /* x, w */
    ck_assert_uint_eq(seen.kind[KRS_CHECK_STATE], 3);
    ck_assert_uint_eq(seen.kind[KRS_CHECK_NODE], (size_t)r.nodes);
    ck_assert_int_eq(seen.elements, seen.counted);
    ck_assert_int_eq(r.tensors, 12);
    o.tolerance = (krs_tolerance){.rtol = 1e-12}; /* nobody keeps that */
    o.sink = NULL;
    ck_assert_int_eq(krs_check(interp, eval, &loss, 1, &o, &r, &err),
                     KRS_E_CHECK);
    ck_assert_int_eq(r.cause, KRS_CAUSE_TOLERANCE);
    ck_assert_int_gt(r.failing_tensors, 0);
    krs_device_close(interp);
    krs_device_close(eval);
    krs_graph_free(g);
}
END_TEST

/* nodes need not be right to the last bit for what is made of them to be */
static krs_status
check_within(krs_device *device, const krs_node *y, double outputs,
             double gradients)
{
    krs_check_options o = {.struct_size = sizeof o,
                           .gradients = true,
                           .steps = 2,
                           .output_within = outputs,
                           .gradient_within = gradients};
    return krs_check(device, eval, y, 1, &o, NULL, &err);
}

START_TEST(outputs_and_gradients_are_judged_by_their_largest_element)
{
    krs_graph *g = krs_graph_new();
    krs_node loss = deep(g);
    open_eval();
    krs_device *interp = open_every(1, NULL);
    ck_assert_msg(check_within(interp, &loss, 1e-5, 1e-5) == KRS_OK, "%s",
                  err.text);
    ck_assert_int_eq(check_within(interp, &loss, 1e-12, 0), KRS_E_CHECK);
    ck_assert_msg(
        !strncmp(err.text, "check: an output of interp, step 1: ", 36), "%s",
        err.text);
    ck_assert_int_eq(check_within(interp, &loss, 0, 1e-12), KRS_E_CHECK);
    ck_assert_msg(!strncmp(err.text, "check: the gradient of ", 23), "%s",
                  err.text);
    ck_assert_int_eq(check_within(interp, &loss, -1, 0), KRS_E_ARGUMENT);
    ck_assert_int_eq(check_within(interp, &loss, 0, NAN), KRS_E_ARGUMENT);
    krs_graph_free(g);
    /* a gradient that is nothing but zeros, of either sign */
    g = krs_graph_new();
    krs_node x = krs_state(g, "x", KRS_F32, KRS_SHAPE(3));
    loss = krs_sum(krs_neg(krs_mul(x, krs_full(g, KRS_F32, KRS_SHAPE(3), 0))),
                   KRS_ALL_AXES);
    ck_assert_msg(check_within(interp, &loss, 1e-5, 1e-5) == KRS_OK, "%s",
                  err.text);
    krs_device_close(interp);
    krs_device_close(eval);
    krs_graph_free(g);
}
END_TEST

START_TEST(a_program_is_given_what_a_check_would_draw)
{
    enum { ROWS = 3, C = 4, T = 50 };
    krs_graph *g = krs_graph_new(), *other = krs_graph_new();
    krs_node table = krs_state(g, "table", KRS_F32, KRS_SHAPE(ROWS, C));
    krs_node ids = krs_input(g, "ids", KRS_I64, KRS_SHAPE(T));
    krs_node nodes[2] = {krs_embedding(table, ids, -1), KRS_NONE};
    krs_check_data seeded = {.struct_size = sizeof seeded, .seed = 7};
    const krs_check_data *data[3] = {NULL, NULL, &seeded};
    float y[3][T * C];
    open_eval();
    for (int i = 0; i < 3; i++) {
        krs_store *store;
        krs_program *program;
        ck_assert_int_eq(krs_store_new(eval, &store, &err), KRS_OK);
        ck_assert_int_eq(krs_program_new(store, nodes, 1, &program, &err),
                         KRS_OK);
        ck_assert_int_eq(
            krs_check_fill(program, store, nodes, 1, data[i], &err), KRS_OK);
        ck_assert_msg(krs_program_run(program, &err) == KRS_OK, "%s", err.text);
        ck_assert_int_eq(krs_program_read(program, 0, y[i], sizeof y[i], &err),
                         KRS_OK);
        nodes[1] = krs_input(other, "x", KRS_F32, KRS_SHAPE(1));
        ck_assert_int_eq(krs_check_fill(program, store, nodes, 2, NULL, &err),
                         KRS_E_ARGUMENT);
        ck_assert_ptr_nonnull(
            strstr(err.text, "output 1 is no node of one graph"));
        ck_assert_int_eq(krs_check_fill(program, store, nodes, 0, NULL, &err),
                         KRS_E_ARGUMENT);
        krs_program_free(program);
        krs_store_free(store);
    }
    ck_assert_mem_eq(y[0], y[1], sizeof y[0]);
    ck_assert_mem_ne(y[0], y[2], sizeof y[0]);
    krs_device_close(eval);
    krs_graph_free(g);
    krs_graph_free(other);
}
END_TEST

START_TEST(mistakes_are_refused)
{
    krs_graph *g = krs_graph_new(), *other = krs_graph_new();
    krs_node i = krs_input(g, "i", KRS_I32, KRS_SHAPE(2));
    krs_node two[] = {i, krs_input(other, "i", KRS_I32, KRS_SHAPE(2))};
    krs_check_options o = {.struct_size = sizeof o, .gradients = true};
    open_eval();
    ck_assert_int_eq(krs_check(eval, eval, two, 0, NULL, NULL, &err),
                     KRS_E_ARGUMENT);
    ck_assert_int_eq(krs_check(eval, eval, two, 2, NULL, NULL, &err),
                     KRS_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "output 1 is no node of one graph"));
    ck_assert_int_eq(krs_check(eval, eval, &i, 1, &o, NULL, &err),
                     KRS_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "no output is a float"));
    o.struct_size = 3;
    ck_assert_int_eq(krs_check(eval, eval, &i, 1, &o, NULL, &err),
                     KRS_E_ARGUMENT);
    krs_device_close(eval);
    krs_graph_free(g);
    krs_graph_free(other);
}
END_TEST

START_TEST(hostile_data_is_refused_with_line_and_column)
{
    static const char *const texts[][2] = {
        {"#: \"x\" f32[2] 1",               "line 1, column 16"},
        {"\n#: \"x\" f32[2] 1 2 3\n",       "line 2, column 19"},
        {"#: \"x\" f32[-2]",                "line 1, column 8" },
        {"#: \"x\" f32[99999999999]",       "at most 4194304"  },
        {"#: \"x\" f32[1,1,1,1,1,1,1,1,1]", "more than 8 sizes"},
        {"#: \"x\" q8_0[32]",               "of no block type" },
        {"#: \"x\" = 1.5",                  "line 1, column 11"},
        {"#: \"x",                          "line 1, column "  },
        {"#: \"x\" f33[2] 1 2",             "line 1, column 8" },
        {"#:",                              "line 1, column "  },
        {"#: \"x\" f32[4194304] 1",         "line 1, column "  },
    };
    krs_check_data *data;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ck_assert_int_eq(krs_check_read(texts[i][0], &data, &err),
                         KRS_E_FORMAT);
        ck_assert_msg(strstr(err.text, texts[i][1]), "%s: %s", texts[i][0],
                      err.text);
        ck_assert_ptr_null(data);
    }
    ck_assert_int_eq(
        krs_check_read("# none\n#: n = -3\n#: \"a b\" i8[2] -1 7 # x\nreturn\n",
                       &data, &err),
        KRS_OK);
    ck_assert_uint_eq(data->value_count, 1);
    ck_assert_uint_eq(data->var_count, 1);
    ck_assert_str_eq(data->values[0].name, "a b");
    ck_assert_int_eq(((const int8_t *)data->values[0].value.data)[0], -1);
    ck_assert_int_eq(data->vars[0].value, -3);
    krs_check_data_free(data);
}
END_TEST

SUITE(without_a_fault_everything_passes_on_every_device,
      every_planted_fault_is_caught,
      the_first_wrong_node_is_named_and_shown_alone,
      an_output_that_is_an_input_is_what_was_given,
      attention_of_scores_without_digits_is_an_average_all_the_same,
      a_kernel_that_is_wrong_only_when_fused_is_named,
      outputs_gradients_and_steps_are_compared,
      outputs_and_gradients_are_judged_by_their_largest_element,
      a_program_is_given_what_a_check_would_draw, mistakes_are_refused,
      hostile_data_is_refused_with_line_and_column)
