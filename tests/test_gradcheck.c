/* test_gradcheck.c -- gradients against slopes: right ones pass on every
 * device, a wrong one does not, whatever is wrong about it.
 *
 * Wrong gradients come from stop_gradient: what stands behind it moves the loss
 * and not the gradient.
 */
#include "every_device.h"
#include "suite.h"

#include <krs/krs.h>

#include <stdio.h>
#include <string.h>

enum { ROWS = 4, WIDTH = 5, COUNT = ROWS * WIDTH };

static krs_error err;

/* x w + b, gelu, row softmax, a scalar; parameters w, b */
static krs_node
network(krs_graph *g, krs_node *parameters)
{
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(ROWS, 3));
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(3, WIDTH));
    krs_node b = krs_state(g, "b", KRS_F32, KRS_SHAPE(WIDTH));
    krs_node y = krs_softmax(krs_gelu(krs_add(krs_matmul(x, w), b)), 1);
    parameters[0] = w;
    parameters[1] = b;
    return krs_mean(krs_square(krs_sub(y, krs_like(y, 0.3))), KRS_ALL_AXES);
}

struct seen {
    int count;
    krs_gradcheck_result worst;
    int64_t checked[8];
    char name[8][16];
};

static void
see(void *user, const krs_gradcheck_result *r)
{
    struct seen *s = user;
    s->checked[s->count] = r->checked;
    snprintf(s->name[s->count], sizeof s->name[0], "%s", r->name);
    if (s->count++ == 0 || r->ratio > s->worst.ratio)
        s->worst = *r;
}

static krs_status
check(krs_device *device, krs_node loss, krs_node parameter, int64_t elements,
      struct seen *seen)
{
    krs_gradcheck_options o = {.struct_size = sizeof o,
                               .elements = elements,
                               .sink = seen ? see : NULL,
                               .user = seen};
    if (seen)
        *seen = (struct seen){.count = 0};
    return krs_gradcheck(device, loss, &parameter, 1, &o, &err);
}

static void
on_device(krs_device *device)
{
    krs_graph *g = krs_graph_new();
    krs_node p[2], loss = network(g, p);
    uint32_t size = krs_graph_size(g);
    struct seen seen = {.count = 0};
    krs_gradcheck_options o = {
        .struct_size = sizeof o, .elements = -1, .sink = see, .user = &seen};
    ck_assert_msg(krs_gradcheck(device, loss, p, 2, &o, &err) == KRS_OK,
                  "%s: %s", krs_device_name(device), err.text);
    ck_assert_int_eq(seen.count, 2);
    ck_assert_str_eq(seen.name[0], "w");
    ck_assert_int_eq(seen.checked[0], 3 * WIDTH + 2);
    ck_assert_int_eq(seen.checked[1], WIDTH + 2);
    ck_assert_double_le(seen.worst.ratio, 1);
    ck_assert_uint_eq(krs_graph_size(g), size); /* left as it is */

    /* half of the gradient is missing */
    krs_node w = p[0], half = krs_mul(w, krs_stop_gradient(w));
    ck_assert_int_eq(check(device, krs_sum(half, KRS_ALL_AXES), w, 0, &seen),
                     KRS_E_CHECK);
    ck_assert_double_gt(seen.worst.ratio, 100);
    ck_assert_int_eq(seen.checked[0], 3 * WIDTH + 2);
    krs_graph_free(g);
}

START_TEST(right_gradients_pass_and_wrong_ones_do_not_on_every_device)
{
    for (int i = 0; i < EVERY_DEVICE; i++) {
        krs_device *device = open_every(i, NULL);
        on_device(device);
        krs_device_close(device);
    }
}
END_TEST

static krs_device *eval;

static void
open_eval(void)
{
    ck_assert_int_eq(krs_device_open("eval", &eval, &err), KRS_OK);
}

START_TEST(one_wrong_element_is_named)
{
    static const float mask[COUNT] = {[13] = 1}; /* this one has no gradient */
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(COUNT));
    krs_node m = krs_constant(g, KRS_F32, KRS_SHAPE(COUNT), mask);
    krs_node y = krs_add(krs_sin(x), krs_mul(krs_stop_gradient(x), m));
    krs_node loss = krs_sum(y, KRS_ALL_AXES);
    struct seen seen;
    open_eval();
    ck_assert_int_eq(check(eval, loss, x, -1, &seen), KRS_E_CHECK);
    ck_assert_int_eq(seen.worst.worst, 13);
    ck_assert_int_ge(seen.worst.failing, 1);
    ck_assert_ptr_nonnull(strstr(err.text, "'x': at element 13 the gradient"));
    /* the directions see it though its element is not tried */
    ck_assert_int_eq(check(eval, loss, x, 1, &seen), KRS_E_CHECK);
    ck_assert_int_lt(seen.worst.worst, 0);
    krs_device_close(eval);
    krs_graph_free(g);
}
END_TEST

/* The loss sum(relu(x) + max(x, 0.002)), and slant times x without a gradient,
 * at these four places; what is seen of it. */
static krs_status
check_kinks(krs_device *device, const float *at, double slant,
            struct seen *seen)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4));
    krs_node y = krs_add(krs_relu(x), krs_maximum(x, krs_like(x, 0.002)));
    y = krs_add(y, krs_scale(krs_stop_gradient(x), slant));
    krs_node loss = krs_sum(y, KRS_ALL_AXES);
    krs_check_value value = {
        "x", {KRS_F32, KRS_SHAPE(4), at, 4 * sizeof *at}
    };
    krs_check_data data = {
        .struct_size = sizeof data, .values = &value, .value_count = 1};
    krs_gradcheck_options o = {
        .struct_size = sizeof o, .data = &data, .sink = see, .user = seen};
    *seen = (struct seen){.count = 0};
    krs_status status = krs_gradcheck(device, loss, &x, 1, &o, &err);
    krs_graph_free(g);
    return status;
}

START_TEST(a_kink_near_the_point_is_not_a_wrong_gradient_on_any_device)
{
    /* within the first steps, the second, the last, and between h and 2 h */
    static const float at[] = {0.003F, -0.001F, 0.00015F, 0.00018F};
    struct seen seen;
    for (int i = 0; i < EVERY_DEVICE; i++) {
        krs_device *device = open_every(i, NULL);
        ck_assert_msg(check_kinks(device, at, 0, &seen) == KRS_OK, "%s",
                      err.text);
        ck_assert_int_eq(seen.worst.kinks, 0);
        ck_assert_int_eq(check_kinks(device, at, 0.01, &seen), KRS_E_CHECK);
        ck_assert_int_eq(seen.worst.failing, seen.worst.checked);
        krs_device_close(device);
    }
}
END_TEST

START_TEST(at_a_kink_the_gradient_lies_between_the_slopes_of_both_sides)
{
    static const float one[] = {0.5F, 0, -0.5F, 1};
    static const float two[] = {0.5F, 0.002F, 0, 1e-5F};
    struct seen seen;
    open_eval();
    ck_assert_msg(check_kinks(eval, one, 0, &seen) == KRS_OK, "%s", err.text);
    ck_assert_int_eq(seen.worst.checked, 6);
    ck_assert_int_ge(seen.worst.kinks, 1); /* the directions pass it too */
    ck_assert_int_le(seen.worst.kinks, 3);
    /* beside both, and where there is no kink */
    ck_assert_int_eq(check_kinks(eval, one, 1.5, &seen), KRS_E_CHECK);
    ck_assert_int_eq(seen.worst.failing, 6);
    /* kinks but at 0.5, and where a tied maximum halves its gradient */
    ck_assert_int_eq(check_kinks(eval, two, 0, &seen), KRS_E_CHECK);
    ck_assert_str_eq(err.text, "gradcheck: 'x': at 4 of 6 places that were "
                               "tried the loss has a kink, where no slope says "
                               "what the gradient is; give other data");
    krs_device_close(eval);
}
END_TEST

START_TEST(a_nan_in_loss_or_gradient_never_passes)
{
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(3));
    krs_node nan = krs_log(krs_like(x, -1));
    open_eval();
    ck_assert_int_eq(
        check(eval, krs_sum(krs_add(x, nan), KRS_ALL_AXES), x, 0, NULL),
        KRS_E_CHECK);
    ck_assert_int_eq(
        check(eval, krs_sum(krs_mul(x, nan), KRS_ALL_AXES), x, 0, NULL),
        KRS_E_CHECK);
    krs_device_close(eval);
    krs_graph_free(g);
}
END_TEST

START_TEST(data_is_given_or_drawn_below_what_it_indexes)
{
    static const int64_t ids[] = {2, 0};
    krs_graph *g = krs_graph_new();
    krs_index n = krs_var(g, "n", 0, 2);
    krs_node table = krs_state(g, "table", KRS_F32, KRS_SHAPE(3, 4));
    krs_node id = krs_input(g, "ids", KRS_I64, KRS_SHAPE(2));
    krs_node far = krs_input(g, "far", KRS_I32, KRS_SHAPE(2, 1));
    krs_node rows = krs_take(table, id, 0); /* [2,4] */
    krs_node cells =
        krs_gather(rows, krs_cast(krs_reshape(far, KRS_SHAPE(1, 2)), KRS_I64),
                   0); /* [1,2], below 2 */
    krs_node part = krs_narrow(rows, 1, n, 2);
    krs_node loss = krs_add(krs_sum(krs_tanh(cells), KRS_ALL_AXES),
                            krs_sum(krs_square(part), KRS_ALL_AXES));
    krs_check_value value = {
        "ids", {KRS_I64, KRS_SHAPE(2), ids, sizeof ids}
    };
    krs_check_var var = {"n", 1};
    krs_check_data data = {.struct_size = sizeof data,
                           .values = &value,
                           .value_count = 1,
                           .vars = &var,
                           .var_count = 1};
    krs_gradcheck_options o = {.struct_size = sizeof o, .data = &data};
    open_eval();
    for (data.seed = 0; data.seed < 20; data.seed++)
        ck_assert_msg(krs_gradcheck(eval, loss, &table, 1, &o, &err) == KRS_OK,
                      "%s", err.text);
    krs_device_close(eval);
    krs_graph_free(g);
}
END_TEST

START_TEST(mistakes_are_named)
{
    krs_graph *g = krs_graph_new(), *other = krs_graph_new();
    krs_node p[2], loss = network(g, p);
    krs_node half = krs_state(g, "half", KRS_BF16, KRS_SHAPE(2));
    krs_node y = krs_input(other, "y", KRS_F32, KRS_SHAPE(2));
    static const float three[3];
    krs_check_value value = {
        "b", {KRS_F32, KRS_SHAPE(3), three, sizeof three}
    };
    krs_check_data data = {
        .struct_size = sizeof data, .values = &value, .value_count = 1};
    krs_gradcheck_options with = {.struct_size = sizeof with, .data = &data};
    krs_gradcheck_options step = {.struct_size = sizeof step, .step = -1};
    const struct {
        krs_node loss;
        krs_node parameter;
        const krs_gradcheck_options *options;
        const char *text;
    } cases[] = {
        {p[0],          p[0],     NULL, "the loss is f32[3,5]; it must be a scalar"},
        {krs_cast(loss, KRS_F16), p[0], NULL,
         "the loss is f16; it must be f32"},
        {KRS_NONE,             p[0],              NULL,  "the loss is no node"                           },
        {loss,             half,                  NULL,      "'half' is bf16; only f32 can be moved"},
        {loss,             y,                  NULL,         "a parameter is no node of the loss's graph"                              },
        {loss,             loss,                  NULL,      "a mean is no parameter"},
        {loss,             p[0],                  &step,      "step -1, atol 0"                             },
        {loss,             p[1],                  &with,      "'b' is f32[5]; the value given for it is f32[3]"},
    };
    open_eval();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_ne(krs_gradcheck(eval, cases[i].loss, &cases[i].parameter,
                                       1, cases[i].options, &err),
                         KRS_OK);
        ck_assert_msg(strstr(err.text, cases[i].text), "%s", err.text);
    }
    value.name = "nobody";
    ck_assert_int_eq(krs_gradcheck(eval, loss, p, 1, &with, &err), KRS_E_NAME);
    ck_assert_ptr_nonnull(strstr(err.text, "no input or state 'nobody'"));
    ck_assert_int_eq(krs_gradcheck(eval, loss, p, 0, NULL, &err),
                     KRS_E_ARGUMENT);
    krs_device_close(eval);
    krs_graph_free(g);
    krs_graph_free(other);
}
END_TEST

SUITE(right_gradients_pass_and_wrong_ones_do_not_on_every_device,
      one_wrong_element_is_named,
      a_kink_near_the_point_is_not_a_wrong_gradient_on_any_device,
      at_a_kink_the_gradient_lies_between_the_slopes_of_both_sides,
      a_nan_in_loss_or_gradient_never_passes,
      data_is_given_or_drawn_below_what_it_indexes, mistakes_are_named)
