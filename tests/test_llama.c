/* test_llama.c -- LLaMA against its golden folders, which verification tells from
 * others; its call and its parameters. Texts are in test_generation.c.
 */
#include "llama_store.h"
#include "temp_folder.h"

#include <krs/llama.h>
#include <krs/ops.h>
#include <krs/verify.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS TESTS_DIR "/golden/models/"

/* ---- golden folders ---- */

static void
expect_passed(void *user, const krs_verify_check *check)
{
    (void)user;
    ck_assert_msg(check->reason == NULL, "%s: %s", check->name, check->reason);
}

static void
expect_equal_to_golden(const char *name, size_t layers, size_t parameters)
{
    char folder[512];
    krs_error err = {0};
    size_t passed, failed;
    ok(krs_device_open("eval", &device, &err), &err);
    snprintf(folder, sizeof folder, MODELS "%s", name);
    ok(krs_verify_folder(folder, device, expect_passed, NULL, &passed, &failed,
                         &err),
       &err);
    ck_assert_uint_eq(failed, 0);
    /* hidden states, logits, loss, gradients, one continuation */
    ck_assert_uint_eq(passed, layers + 1 + 2 + parameters + 1);
    krs_device_close(device);
}

START_TEST(grouped_heads_and_a_tied_output_are_equal_to_golden)
{
    expect_equal_to_golden("llama_gqa", 3, 29);
}
END_TEST

START_TEST(as_many_key_heads_as_heads_are_equal_to_golden)
{
    expect_equal_to_golden("llama_mha", 2, 21);
}
END_TEST

START_TEST(one_key_head_biases_and_own_head_size_are_equal_to_golden)
{
    expect_equal_to_golden("llama_mqa_headdim", 2, 35);
}
END_TEST

START_TEST(linear_rope_is_equal_to_golden)
{
    expect_equal_to_golden("llama_rope_linear", 2, 21);
}
END_TEST

START_TEST(llama3_rope_is_equal_to_golden)
{
    expect_equal_to_golden("llama_rope_scaling", 2, 21);
}
END_TEST

/* A folder that differs from a golden one in its config.json alone. */
static const char *
changed_folder(const char *name, const krs_llama_config *config)
{
    static const char *const files[] = {"golden.json", "golden.safetensors",
                                        "model.safetensors"};
    krs_error err = {0};
    char from[512];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(from, sizeof from, MODELS "%s/%s", name, files[i]);
        ck_assert_int_eq(symlink(from, temp_path(files[i])), 0);
    }
    ok(krs_llama_config_write(temp_path("config.json"), config, &err), &err);
    return temp_folder();
}

static void
expect_found(krs_llama_config *config, size_t least)
{
    krs_error err = {0};
    size_t passed, failed;
    ok(krs_device_open("eval", &device, &err), &err);
    ok(krs_verify_folder(changed_folder("llama_mha", config), device, NULL,
                         NULL, &passed, &failed, &err),
       &err);
    ck_assert_msg(failed >= least, "only %zu of %zu found", failed,
                  passed + failed);
    krs_device_close(device);
}

static krs_llama_config
golden_config(const char *name)
{
    char path[512];
    krs_error err = {0};
    krs_llama_config config;
    snprintf(path, sizeof path, MODELS "%s/config.json", name);
    ok(krs_llama_config_read(path, &config, &err), &err);
    return config;
}

START_TEST(verification_finds_another_rope_theta)
{
    krs_llama_config config = golden_config("llama_mha");
    config.rope.rope_theta = 10100.0;
    expect_found(&config, 10);
}
END_TEST

START_TEST(verification_finds_another_epsilon)
{
    krs_llama_config config = golden_config("llama_mha");
    config.rms_norm_eps = 1e-4;
    expect_found(&config, 10);
}
END_TEST

/* ---- the call ---- */

static void
expect_refused(krs_causal_call *call, krs_graph *g, const char *text)
{
    krs_llama_config config = small_config();
    krs_causal_model model = krs_llama_model(&config);
    krs_causal_result result = {.struct_size = sizeof result};
    krs_node y = krs_causal_forward(g, &model, call, &result);
    ck_assert(!krs_node_is_valid(y));
    ck_assert_ptr_nonnull(krs_graph_error(g));
    ck_assert_msg(strstr(krs_graph_error(g)->text, text) != NULL, "%s",
                  krs_graph_error(g)->text);
    krs_graph_free(g);
}

START_TEST(a_call_that_does_not_fit_together_is_refused)
{
    krs_graph *g = krs_graph_new();
    krs_causal_call call = {.struct_size = sizeof call,
                            .ids = krs_input(g, "x", KRS_F32, KRS_SHAPE(2, 3))};
    expect_refused(&call, g, "ids must be i64");

    g = krs_graph_new();
    call.ids = krs_input(g, "x", KRS_I64, KRS_SHAPE(2, 3));
    call.attention_mask = krs_input(g, "m", KRS_BOOL, KRS_SHAPE(2, 4));
    expect_refused(&call, g, "attention_mask must be bool [2, 3]");

    g = krs_graph_new();
    call.ids = krs_input(g, "x", KRS_I64, KRS_SHAPE(2, 3));
    call.attention_mask = KRS_NONE;
    call.labels = krs_input(g, "l", KRS_I64, KRS_SHAPE(3, 2));
    expect_refused(&call, g, "labels must be i64 [2, 3]");

    g = krs_graph_new();
    call.ids = krs_input(g, "x", KRS_I64, KRS_SHAPE(2, 3));
    call.labels = KRS_NONE;
    call.targets = krs_input(g, "l", KRS_I32, KRS_SHAPE(2, 3));
    expect_refused(&call, g, "targets must be i64 [2, 3]");

    g = krs_graph_new();
    call.ids = krs_input(g, "x", KRS_I64, KRS_SHAPE(2, 3));
    call.labels = krs_input(g, "l", KRS_I64, KRS_SHAPE(2, 3));
    call.targets = call.labels;
    expect_refused(&call, g, "labels and targets are one too many");
    call.targets = KRS_NONE;

    g = krs_graph_new();
    call.ids = krs_input(g, "x", KRS_I64, KRS_SHAPE(2, 3));
    call.labels = KRS_NONE;
    call.cache_length = 2;
    expect_refused(&call, g, "a cache of 2 slots does not hold 3 ids");

    g = krs_graph_new();
    call.ids = krs_input(g, "x", KRS_I64, KRS_SHAPE(2, 3));
    call.cache_length = 4;
    expect_refused(&call, g, "room for its updates");

    g = krs_graph_new();
    call.ids = krs_input(g, "x", KRS_I64, KRS_SHAPE(2, 3));
    call.cache_length = 0;
    call.position = KRS_INDEX(1);
    expect_refused(&call, g, "a position needs a cache");

    g = krs_graph_new();
    call =
        (krs_causal_call){.ids = krs_input(g, "x", KRS_I64, KRS_SHAPE(2, 3))};
    expect_refused(&call, g, "struct_size");
}
END_TEST

START_TEST(settings_that_break_a_rule_poison_the_graph)
{
    krs_llama_config config = small_config();
    config.num_key_value_heads = 3;
    krs_causal_model model = krs_llama_model(&config);
    krs_graph *g = krs_graph_new();
    krs_causal_call call = {.struct_size = sizeof call,
                            .ids = krs_input(g, "x", KRS_I64, KRS_SHAPE(1, 1))};
    krs_causal_result result = {.struct_size = sizeof result};
    ck_assert(
        !krs_node_is_valid(krs_causal_forward(g, &model, &call, &result)));
    ck_assert_ptr_nonnull(
        strstr(krs_graph_error(g)->text, "llama: num_attention_heads: 4"));
    krs_graph_free(g);
}
END_TEST

/* ---- parameters ---- */

static void
read_parameter(const char *name, float *out, size_t count)
{
    krs_error err = {0};
    ok(krs_store_read(store, name, out, count * sizeof *out, &err), &err);
}

START_TEST(fresh_parameters_depend_on_name_and_seed_alone)
{
    enum { C = 12, V = 29 };
    static const char embedding[] = "model.embed_tokens.weight";
    float norm[C], deep[V * C], shallow[V * C], other[V * C];
    krs_error err = {0};
    krs_llama_config config = small_config();
    open_store();
    ok(krs_llama_init(store, &config, 1, &err), &err);
    ck_assert_uint_eq(krs_store_count(store), 21);
    read_parameter("model.layers.1.post_attention_layernorm.weight", norm, C);
    for (int i = 0; i < C; i++)
        ck_assert_float_eq(norm[i], 1.0F);
    read_parameter(embedding, deep, V * C);
    double sum = 0.0, squares = 0.0;
    for (int i = 0; i < V * C; i++) {
        sum += (double)deep[i];
        squares += (double)deep[i] * (double)deep[i];
    }
    ck_assert_double_eq_tol(sum / (V * C), 0.0, 0.1);
    ck_assert_double_eq_tol(sqrt(squares / (V * C)), 0.4, 0.06);
    close_store();

    config.num_hidden_layers = 1;
    open_store();
    ok(krs_llama_init(store, &config, 1, &err), &err);
    read_parameter(embedding, shallow, V * C);
    ck_assert_mem_eq(deep, shallow, sizeof deep);
    ok(krs_llama_init(store, &config, 2, &err), &err);
    read_parameter(embedding, other, V * C);
    ck_assert_mem_ne(deep, other, sizeof deep);
    close_store();
}
END_TEST

START_TEST(biases_begin_at_zero)
{
    float bias[20];
    krs_error err = {0};
    krs_llama_config config = small_config();
    config.mlp_bias = true;
    open_store();
    ok(krs_llama_init(store, &config, 1, &err), &err);
    read_parameter("model.layers.0.mlp.up_proj.bias", bias, 20);
    for (int i = 0; i < 20; i++)
        ck_assert_float_eq(bias[i], 0.0F);
    close_store();
}
END_TEST

START_TEST(a_saved_folder_opens_to_the_same_parameters)
{
    krs_error err = {0};
    krs_llama_config config = small_config(), back;
    config.tie_word_embeddings = true;
    config.attention_bias = config.attention_output_bias = true;
    open_store();
    krs_store *first = store, *second;
    ok(krs_llama_init(first, &config, 9, &err), &err);
    ok(krs_llama_save(temp_folder(), first, &config, &err), &err);
    ok(krs_store_new(device, &second, &err), &err);
    ok(krs_llama_open(temp_folder(), second, &back, &err), &err);
    ck_assert(back.tie_word_embeddings && back.attention_bias);
    ck_assert_uint_eq(krs_store_count(first), krs_store_count(second));
    for (size_t i = 0; i < krs_store_count(first); i++) {
        const char *name;
        krs_shape shape;
        int64_t count;
        ok(krs_store_entry(first, i, &name, NULL, &shape, &err), &err);
        ck_assert(krs_shape_elements(shape, &count));
        size_t bytes = (size_t)count * sizeof(float);
        void *a = malloc(bytes), *b = malloc(bytes);
        ok(krs_store_read(first, name, a, bytes, &err), &err);
        ok(krs_store_read(second, name, b, bytes, &err), &err);
        ck_assert_mem_eq(a, b, bytes);
        free(a);
        free(b);
    }
    krs_store_free(second);
    close_store();
}
END_TEST

/* Save with one configuration, open with another. */
static void
expect_mismatch(const krs_llama_config *saved, const krs_llama_config *opened,
                krs_status status, const char *text)
{
    krs_error err = {0};
    krs_llama_config back;
    open_store();
    krs_store *second;
    ok(krs_llama_init(store, saved, 9, &err), &err);
    ok(krs_llama_save(temp_folder(), store, saved, &err), &err);
    ok(krs_llama_config_write(temp_path("config.json"), opened, &err), &err);
    ok(krs_store_new(device, &second, &err), &err);
    ck_assert_int_eq(krs_llama_open(temp_folder(), second, &back, &err),
                     status);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
    ck_assert_uint_eq(krs_store_count(second), 0);
    krs_store_free(second);
    close_store();
}

START_TEST(weights_that_do_not_belong_to_the_settings_are_refused)
{
    krs_llama_config saved = small_config(), opened = small_config();
    opened.tie_word_embeddings = true;
    expect_mismatch(&saved, &opened, KRS_E_NAME,
                    "no use for the tensor lm_head.weight");
    opened = small_config();
    opened.num_hidden_layers = 3;
    expect_mismatch(&saved, &opened, KRS_E_NAME,
                    "the tensor model.layers.2.input_layernorm.weight is "
                    "missing");
    opened = small_config();
    opened.intermediate_size = 21;
    expect_mismatch(&saved, &opened, KRS_E_SHAPE,
                    "model.layers.0.mlp.gate_proj.weight has the shape [20, "
                    "12]; the model's settings make it [21, 12]");
}
END_TEST

START_TEST(a_parameter_without_a_rule_is_named)
{
    const krs_init_rule rule = {"*.bias", KRS_INIT_ZEROS, 0.0};
    krs_error err = {0};
    open_store();
    krs_graph *g = krs_graph_new();
    krs_node w = krs_state(g, "some.weight", KRS_F32, KRS_SHAPE(2));
    ck_assert_int_eq(krs_nn_init(store, &w, 1, &rule, 1, 0, &err), KRS_E_NAME);
    ck_assert_ptr_nonnull(strstr(err.text, "some.weight"));
    krs_graph_free(g);
    close_store();
}
END_TEST

SUITE(grouped_heads_and_a_tied_output_are_equal_to_golden,
      as_many_key_heads_as_heads_are_equal_to_golden,
      one_key_head_biases_and_own_head_size_are_equal_to_golden,
      linear_rope_is_equal_to_golden, llama3_rope_is_equal_to_golden,
      verification_finds_another_rope_theta, verification_finds_another_epsilon,
      a_call_that_does_not_fit_together_is_refused,
      settings_that_break_a_rule_poison_the_graph,
      fresh_parameters_depend_on_name_and_seed_alone, biases_begin_at_zero,
      a_saved_folder_opens_to_the_same_parameters,
      weights_that_do_not_belong_to_the_settings_are_refused,
      a_parameter_without_a_rule_is_named)
