/* test_layers.c -- layers: the states that they declare, and that they compute
 * what the operations compute.
 */
#include "suite.h"

#include <krs/nn.h>
#include <krs/ops.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static krs_graph *g;

static void
setup_graph(void)
{
    g = krs_graph_new();
    ck_assert_ptr_nonnull(g);
}

/* "name [2,3] name [3]" of all parameters, in order */
static const char *
parameters_text(void)
{
    static char text[512];
    krs_error err = {0};
    krs_node *parameters;
    size_t count, used = 0;
    ck_assert_msg(krs_nn_parameters(g, &parameters, &count, &err) == KRS_OK,
                  "%s", err.text);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        krs_shape s = krs_node_shape(parameters[i]);
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%s [",
                             i > 0 ? " " : "", krs_node_name(parameters[i]));
        for (int a = 0; a < s.rank; a++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld",
                                     a > 0 ? "," : "", (long long)s.dim[a]);
        used += (size_t)snprintf(text + used, sizeof text - used, "]");
    }
    free(parameters);
    return text;
}

static bool
same(krs_node a, krs_node b)
{
    return a.graph == b.graph && a.id == b.id && a.id != 0;
}

START_TEST(a_linear_layer_owns_its_weight_and_bias)
{
    setup_graph();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 5, 3));
    krs_scope_push(g, "mlp");
    krs_node y = krs_nn_linear(x, "up_proj", 7, KRS_WITH_BIAS);
    krs_scope_pop(g);
    ck_assert_str_eq(parameters_text(),
                     "mlp.up_proj.weight [7,3] mlp.up_proj.bias [7]");
    krs_node w = krs_state(g, "mlp.up_proj.weight", KRS_F32, KRS_SHAPE(7, 3));
    krs_node b = krs_state(g, "mlp.up_proj.bias", KRS_F32, KRS_SHAPE(7));
    ck_assert(same(y, krs_linear(x, w, b)));
    krs_graph_free(g);
}
END_TEST

START_TEST(a_linear_layer_without_bias_owns_a_weight_alone)
{
    setup_graph();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(3));
    krs_node y = krs_nn_linear(x, "proj", 2, KRS_WITHOUT_BIAS);
    ck_assert_str_eq(parameters_text(), "proj.weight [2,3]");
    ck_assert_int_eq(krs_node_shape(y).rank, 1);
    ck_assert_int_eq(krs_node_shape(y).dim[0], 2);
    krs_graph_free(g);
}
END_TEST

START_TEST(norms_own_one_value_a_channel)
{
    setup_graph();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 3));
    krs_node r = krs_nn_rms_norm(x, "r", 1e-6);
    krs_node n = krs_nn_layer_norm(x, "n", 1e-5, KRS_WITH_BIAS);
    krs_node m = krs_nn_layer_norm(x, "m", 1e-5, KRS_WITHOUT_BIAS);
    ck_assert_str_eq(parameters_text(),
                     "r.weight [3] n.weight [3] n.bias [3] m.weight [3]");
    krs_shape C = KRS_SHAPE(3);
    krs_node rw = krs_state(g, "r.weight", KRS_F32, C);
    krs_node nw = krs_state(g, "n.weight", KRS_F32, C);
    krs_node nb = krs_state(g, "n.bias", KRS_F32, C);
    krs_node mw = krs_state(g, "m.weight", KRS_F32, C);
    ck_assert(same(r, krs_rms_norm(x, rw, 1e-6)));
    ck_assert(same(n, krs_layer_norm(x, nw, nb, 1e-5)));
    ck_assert(same(m, krs_layer_norm(x, mw, KRS_NONE, 1e-5)));
    krs_graph_free(g);
}
END_TEST

START_TEST(an_embedding_owns_a_row_an_id)
{
    setup_graph();
    krs_node ids = krs_input(g, "ids", KRS_I64, KRS_SHAPE(2, 5));
    krs_node y = krs_nn_embedding(ids, "tokens", 11, 3, 0);
    ck_assert_str_eq(parameters_text(), "tokens.weight [11,3]");
    krs_node w = krs_state(g, "tokens.weight", KRS_F32, KRS_SHAPE(11, 3));
    ck_assert(same(y, krs_embedding(w, ids, 0)));
    krs_graph_free(g);
}
END_TEST

START_TEST(one_name_is_one_parameter)
{
    setup_graph();
    krs_node a = krs_input(g, "a", KRS_F32, KRS_SHAPE(2, 3));
    krs_node b = krs_input(g, "b", KRS_F32, KRS_SHAPE(4, 3));
    krs_nn_linear(a, "shared", 2, KRS_WITHOUT_BIAS);
    krs_nn_linear(b, "shared", 2, KRS_WITHOUT_BIAS);
    ck_assert_str_eq(parameters_text(), "shared.weight [2,3]");
    krs_nn_linear(b, "shared", 5, KRS_WITHOUT_BIAS);
    ck_assert_int_eq(krs_graph_check(g, NULL), KRS_E_NAME);
    krs_graph_free(g);
}
END_TEST

START_TEST(a_scalar_has_no_channels)
{
    setup_graph();
    krs_node x = krs_scalar(g, KRS_F32, 1.0);
    krs_node y = krs_nn_rms_norm(x, "norm", 1e-6);
    ck_assert(!krs_node_is_valid(y));
    const krs_error *error = krs_graph_error(g);
    ck_assert_int_eq(error->status, KRS_E_SHAPE);
    ck_assert_ptr_nonnull(strstr(error->text, "rms_norm norm"));
    ck_assert_ptr_nonnull(strstr(error->text, "test_layers.c:"));
    krs_graph_free(g);
}
END_TEST

START_TEST(poison_goes_through_and_declares_nothing)
{
    setup_graph();
    krs_node bad = krs_matmul(krs_input(g, "a", KRS_F32, KRS_SHAPE(2, 3)),
                              krs_input(g, "b", KRS_F32, KRS_SHAPE(2, 3)));
    ck_assert(!krs_node_is_valid(bad));
    uint32_t size = krs_graph_size(g);
    krs_node y = krs_nn_layer_norm(
        krs_nn_linear(
            krs_nn_rms_norm(krs_nn_embedding(bad, "e", 2, 2, -1), "r", 1e-6),
            "l", 3, KRS_WITH_BIAS),
        "n", 1e-6, KRS_WITH_BIAS);
    ck_assert(!krs_node_is_valid(y));
    ck_assert_uint_eq(krs_graph_size(g), size);
    krs_graph_free(g);
}
END_TEST

START_TEST(states_that_are_no_floats_are_no_parameters)
{
    setup_graph();
    krs_state(g, "step", KRS_I64, KRS_SCALAR);
    krs_state(g, "half", KRS_BF16, KRS_SHAPE(2));
    ck_assert_str_eq(parameters_text(), "half [2]");
    krs_graph_free(g);
}
END_TEST

START_TEST(half_parameters_are_filled_with_rounded_values)
{
    const krs_init_rule rule = {"*", KRS_INIT_NORMAL, 1.0};
    krs_error err = {0};
    krs_device *device;
    krs_store *store;
    uint16_t half[4];
    float full[4], widened[4];
    setup_graph();
    ck_assert_int_eq(krs_device_open("eval", &device, &err), KRS_OK);
    krs_node w = krs_state(g, "w", KRS_BF16, KRS_SHAPE(4));
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    ck_assert_int_eq(krs_nn_init(store, &w, 1, &rule, 1, 3, &err), KRS_OK);
    ck_assert_int_eq(krs_store_read(store, "w", half, sizeof half, &err),
                     KRS_OK);
    krs_store_free(store);
    krs_graph_free(g);

    setup_graph();
    w = krs_state(g, "w", KRS_F32, KRS_SHAPE(4));
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    ck_assert_int_eq(krs_nn_init(store, &w, 1, &rule, 1, 3, &err), KRS_OK);
    ck_assert_int_eq(krs_store_read(store, "w", full, sizeof full, &err),
                     KRS_OK);
    krs_convert(KRS_F32, widened, KRS_BF16, half, 4, &err);
    for (int i = 0; i < 4; i++) {
        ck_assert_float_ne(full[i], 0.0F);
        ck_assert_float_eq_tol(widened[i], full[i], 0.02F);
    }
    krs_store_free(store);
    krs_device_close(device);
    krs_graph_free(g);
}
END_TEST

START_TEST(rules_that_mean_nothing_are_refused_before_anything_is_filled)
{
    static const struct {
        krs_init_rule rule;
        krs_status status;
    } bad[] = {
        {{"*", (krs_init)9, 0},            KRS_E_ARGUMENT},
        {{NULL, KRS_INIT_ONES, 0},         KRS_E_ARGUMENT},
        {{"*", KRS_INIT_NORMAL, NAN},      KRS_E_RANGE   },
        {{"*", KRS_INIT_NORMAL, -1},       KRS_E_RANGE   },
        {{"*", KRS_INIT_NORMAL, INFINITY}, KRS_E_RANGE   },
    };
    const krs_init_rule ones = {"*", KRS_INIT_ONES, 0};
    krs_error err;
    krs_device *device;
    krs_store *store;
    g = krs_graph_new();
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(2));
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2));
    ck_assert_int_eq(krs_device_open("eval", &device, &err), KRS_OK);
    ck_assert_int_eq(krs_store_new(device, &store, &err), KRS_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(krs_nn_init(store, &w, 1, &bad[i].rule, 1, 3, &err),
                         bad[i].status);
    ck_assert_int_eq(krs_nn_init(store, &x, 1, &ones, 1, 3, &err),
                     KRS_E_ARGUMENT);
    ck_assert_str_eq(err.text, "init: parameter 0, x is no float state");
    ck_assert_uint_eq(krs_store_count(store), 0);
    krs_store_free(store);
    krs_device_close(device);
    krs_graph_free(g);
}
END_TEST

SUITE(a_linear_layer_owns_its_weight_and_bias,
      a_linear_layer_without_bias_owns_a_weight_alone,
      norms_own_one_value_a_channel, an_embedding_owns_a_row_an_id,
      one_name_is_one_parameter, a_scalar_has_no_channels,
      poison_goes_through_and_declares_nothing,
      states_that_are_no_floats_are_no_parameters,
      half_parameters_are_filled_with_rounded_values,
      rules_that_mean_nothing_are_refused_before_anything_is_filled)
