/* test_llama_config.c -- config.json of a LLaMA: what each spelling means, and
 * what is refused in which words.
 */
#include "suite.h"

#include <krs/llama.h>
#include <krs/random.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static krs_status
parse(const char *text, krs_llama_config *config, krs_error *err)
{
    return krs_llama_config_parse("config.json", text, strlen(text), config,
                                  err);
}

static krs_llama_config
accepted(const char *text)
{
    krs_llama_config config;
    krs_error err;
    krs_status status = parse(text, &config, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return config;
}

START_TEST(an_empty_object_means_llama_2_7b)
{
    krs_llama_config c = accepted("{}");
    ck_assert_int_eq(c.vocab_size, 32000);
    ck_assert_int_eq(c.hidden_size, 4096);
    ck_assert_int_eq(c.intermediate_size, 11008);
    ck_assert_int_eq(c.num_hidden_layers, 32);
    ck_assert_int_eq(c.num_key_value_heads, 32);
    ck_assert_int_eq(c.head_dim, 128);
    ck_assert_double_eq(c.rms_norm_eps, 1e-6);
    ck_assert_double_eq(c.rope.rope_theta, 10000.0);
    ck_assert_int_eq(c.rope.type, KRS_ROPE_TYPE_DEFAULT);
    ck_assert_int_eq(c.bos_token_id, 1);
    ck_assert_int_eq(c.pad_token_id, -1);
    ck_assert_int_eq(c.eos_count, 1);
    ck_assert_int_eq(c.eos_token_id[0], 2);
    ck_assert(!c.tie_word_embeddings && !c.attention_bias && !c.mlp_bias);
}
END_TEST

START_TEST(key_value_heads_and_head_size_follow_the_heads)
{
    krs_llama_config c = accepted("{\"hidden_size\": 96, "
                                  "\"num_attention_heads\": 6, "
                                  "\"num_key_value_heads\": null}");
    ck_assert_int_eq(c.num_key_value_heads, 6);
    ck_assert_int_eq(c.head_dim, 16);
    c = accepted("{\"hidden_size\": 96, \"num_attention_heads\": 7, "
                 "\"num_key_value_heads\": 1, \"head_dim\": 10}");
    ck_assert_int_eq(c.head_dim, 10);
}
END_TEST

START_TEST(old_and_new_rope_spelling_mean_the_same)
{
    krs_llama_config old = accepted(
        "{\"rope_theta\": 500000.0, \"rope_scaling\": {\"rope_type\": "
        "\"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, "
        "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": "
        "8192}}");
    krs_llama_config new = accepted(
        "{\"rope_parameters\": {\"rope_theta\": 500000.0, \"rope_type\": "
        "\"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, "
        "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": "
        "8192}}");
    ck_assert_int_eq(old.rope.type, KRS_ROPE_TYPE_LLAMA3);
    ck_assert_int_eq(new.rope.type, KRS_ROPE_TYPE_LLAMA3);
    ck_assert_double_eq(old.rope.rope_theta, 500000.0);
    ck_assert_double_eq(new.rope.rope_theta, 500000.0);
    ck_assert_double_eq(old.rope.factor, new.rope.factor);
    ck_assert_double_eq(old.rope.high_freq_factor, 4.0);
    ck_assert_double_eq(new.rope.high_freq_factor, 4.0);
    ck_assert_int_eq(old.rope.original_max_position_embeddings, 8192);

    krs_llama_config oldest =
        accepted("{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}}");
    ck_assert_int_eq(oldest.rope.type, KRS_ROPE_TYPE_LINEAR);
    ck_assert_double_eq(oldest.rope.factor, 4.0);
    ck_assert_double_eq(oldest.rope.rope_theta, 10000.0);
    accepted("{\"rope_theta\": 1e6, \"rope_scaling\": null}");
}
END_TEST

START_TEST(yarn_takes_its_context_from_the_model_if_it_has_none)
{
    krs_llama_config c = accepted(
        "{\"max_position_embeddings\": 4096, \"rope_scaling\": {\"type\": "
        "\"yarn\", \"factor\": 2.0}}");
    ck_assert_int_eq(c.rope.original_max_position_embeddings, 4096);
    ck_assert_double_eq(c.rope.beta_fast, 32.0);
    ck_assert_double_eq(c.rope.attention_factor, 0.0);
    ck_assert(c.rope.truncate);
    c = accepted("{\"max_position_embeddings\": 4096, \"rope_scaling\": "
                 "{\"type\": \"yarn\", "
                 "\"original_max_position_embeddings\": 512}}");
    ck_assert_double_eq(c.rope.factor, 8.0);
    ck_assert_int_eq(c.rope.original_max_position_embeddings, 512);
}
END_TEST

START_TEST(an_empty_mistral_or_qwen2_has_its_own_defaults)
{
    krs_llama_config c = accepted("{\"model_type\": \"mistral\"}");
    ck_assert_int_eq(c.num_key_value_heads, 8);
    ck_assert_int_eq(c.intermediate_size, 14336);
    ck_assert_int_eq(c.sliding_window, 4096);
    ck_assert_int_eq(c.max_window_layers, 0);
    ck_assert(!c.attention_bias && !c.attention_output_bias);
    c = accepted("{\"model_type\": \"mistral\", \"sliding_window\": null, "
                 "\"num_key_value_heads\": null}");
    ck_assert_int_eq(c.sliding_window, 0);
    ck_assert_int_eq(c.num_key_value_heads, 32);
    c = accepted("{\"model_type\": \"qwen2\"}");
    ck_assert_int_eq(c.vocab_size, 151936);
    ck_assert_int_eq(c.sliding_window, 0);
    ck_assert(c.attention_bias && !c.attention_output_bias);
    ck_assert_int_eq(c.eos_count, 0);
    c = accepted("{\"model_type\": \"qwen2\", \"use_sliding_window\": true, "
                 "\"num_hidden_layers\": 3, \"max_window_layers\": 1, "
                 "\"layer_types\": [\"full_attention\", "
                 "\"sliding_attention\", \"sliding_attention\"]}");
    ck_assert_int_eq(c.sliding_window, 4096);
    ck_assert_int_eq(c.max_window_layers, 1);
    /* LLaMA has no window, whatever its config.json says beside */
    c = accepted("{\"sliding_window\": 7}");
    ck_assert_int_eq(c.sliding_window, 0);
}
END_TEST

START_TEST(several_stop_ids_are_read)
{
    krs_llama_config c = accepted("{\"eos_token_id\": [5, 7, 9]}");
    ck_assert_int_eq(c.eos_count, 3);
    ck_assert_int_eq(c.eos_token_id[2], 9);
}
END_TEST

START_TEST(a_null_id_is_no_id)
{
    krs_llama_config c = accepted("{\"bos_token_id\": null, "
                                  "\"eos_token_id\": null}");
    ck_assert_int_eq(c.bos_token_id, -1);
    ck_assert_int_eq(c.eos_count, 0);
}
END_TEST

START_TEST(a_vocabulary_of_one_id_has_no_default_special_ids)
{
    krs_llama_config c = accepted("{\"vocab_size\": 1}");
    ck_assert_int_eq(c.bos_token_id, -1);
    ck_assert_int_eq(c.eos_count, 0);
}
END_TEST

/* ---- refusals: the settings, and what the message must say ---- */

/* clang-format off */
static const struct {
    const char *json, *path, *reason;
} refusals[] = {
    {"[]", "config.json: $", "object"},
    {"{\"model_type\": \"mamba\"}", "$.model_type", "\"mamba\""},
    {"{\"architectures\": [\"LlamaForSequenceClassification\"]}",
     "$.architectures", "LlamaForSequenceClassification"},
    {"{\"architectures\": \"LlamaForCausalLM\"}", "$.architectures", "array"},
    {"{\"model_type\": \"qwen2\", \"num_hidden_layers\": 1, "
     "\"layer_types\": [\"sliding_attention\"]}", "$.layer_types[0]",
     "max_window_layers"},
    {"{\"model_type\": \"mistral\", \"sliding_window\": 0}", "$.sliding_window",
     "0"},
    {"{\"model_type\": \"mistral\", \"architectures\": [\"LlamaForCausalLM\"]}",
     "$.architectures", "MistralForCausalLM"},
    {"{\"hidden_act\": \"gelu\"}", "$.hidden_act", "\"gelu\""},
    {"{\"quantization_config\": {\"bits\": 4}}", "$.quantization_config",
     "quantised"},
    {"{\"vocab_size\": 0}", "$.vocab_size", "0"},
    {"{\"vocab_size\": \"many\"}", "$.vocab_size", "many"},
    {"{\"vocab_size\": 1.5}", "$.vocab_size", "1.5"},
    {"{\"hidden_size\": -64}", "$.hidden_size", "-64"},
    {"{\"hidden_size\": 99999999999}", "$.hidden_size", "99999999999"},
    {"{\"intermediate_size\": 0}", "$.intermediate_size", "0"},
    {"{\"num_hidden_layers\": 0}", "$.num_hidden_layers", "0"},
    {"{\"num_hidden_layers\": 2000000000}", "$.num_hidden_layers", "4096"},
    {"{\"head_dim\": 2000000000}", "$.head_dim", "65536"},
    {"{\"num_attention_heads\": 0}", "$.num_attention_heads", "0"},
    {"{\"max_position_embeddings\": 0}", "$.max_position_embeddings", "0"},
    {"{\"num_attention_heads\": 32, \"num_key_value_heads\": 5}",
     "$.num_attention_heads", "32 is not a multiple of num_key_value_heads 5"},
    {"{\"num_attention_heads\": 4, \"num_key_value_heads\": 8}",
     "$.num_attention_heads", "4 is not a multiple of num_key_value_heads 8"},
    {"{\"hidden_size\": 100, \"num_attention_heads\": 8}", "$",
     "hidden_size 100 is not a multiple of num_attention_heads 8"},
    {"{\"head_dim\": 63}", "$.head_dim", "63 is odd"},
    {"{\"hidden_size\": 24, \"num_attention_heads\": 8}", "$.head_dim",
     "3 is odd"},
    {"{\"rms_norm_eps\": 0}", "$.rms_norm_eps", "0"},
    {"{\"rms_norm_eps\": 3.0}", "$.rms_norm_eps", "3"},
    {"{\"tie_word_embeddings\": 1}", "$.tie_word_embeddings", "1"},
    {"{\"attention_bias\": \"yes\"}", "$.attention_bias", "yes"},
    {"{\"bos_token_id\": 32000}", "$.bos_token_id",
     "32000 is outside the vocabulary of 32000"},
    {"{\"pad_token_id\": 40000}", "$.pad_token_id", "40000"},
    {"{\"eos_token_id\": [2, 50000]}", "$.eos_token_id", "50000"},
    {"{\"eos_token_id\": [1,2,3,4,5,6,7,8,9]}", "$.eos_token_id", "9 ids"},
    {"{\"eos_token_id\": [2, \"x\"]}", "$.eos_token_id[1]", "x"},
    {"{\"rope_parameters\": 7}", "$.rope_parameters", "object"},
    {"{\"rope_parameters\": {\"rope_type\": \"dynamic\", \"factor\": 2}}",
     "$.rope_parameters.rope_type", "dynamic"},
    {"{\"rope_scaling\": {\"type\": \"linear\", \"rope_type\": \"yarn\", "
     "\"factor\": 2}}", "$.rope_scaling",
     "\"yarn\" contradicts type \"linear\""},
    {"{\"rope_scaling\": {\"rope_type\": \"linear\"}}", "$.rope_scaling.factor",
     "factor"},
    {"{\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 0.5}}",
     "$.rope_scaling.factor", "0.5"},
    {"{\"rope_parameters\": {\"factor\": 2}}", "$.rope_parameters",
     "factor means nothing"},
    {"{\"rope_parameters\": {\"rope_theta\": 0}}",
     "$.rope_parameters.rope_theta", "0"},
    {"{\"rope_theta\": 1e4, \"rope_parameters\": {\"rope_theta\": 5e5}}",
     "$.rope_parameters", "500000 contradicts $.rope_theta 10000"},
    {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, "
     "\"rope_parameters\": {\"rope_type\": \"default\"}}", "$.rope_scaling",
     "beside $.rope_parameters"},
    {"{\"rope_parameters\": {\"rope_type\": \"llama3\", \"factor\": 8, "
     "\"low_freq_factor\": 1, \"high_freq_factor\": 4}}",
     "$.rope_parameters.original_max_position_embeddings", "missing"},
    {"{\"rope_parameters\": {\"rope_type\": \"llama3\", \"factor\": 8, "
     "\"low_freq_factor\": 4, \"high_freq_factor\": 1, "
     "\"original_max_position_embeddings\": 64}}",
     "$.rope_parameters.high_freq_factor", "1 is not above"},
    {"{\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 8, "
     "\"beta_fast\": 1, \"beta_slow\": 32}}", "$.rope_parameters.beta_fast",
     "1 is not above"},
    {"{\"rope_parameters\": {\"partial_rotary_factor\": 0.5}}",
     "$.rope_parameters", "partial_rotary_factor 0.5"},
    {"{\"partial_rotary_factor\": 0.25}", "$", "partial_rotary_factor 0.25"},
    {"{\"rope_scaling\": {\"type\": \"yarn\"}}", "$.rope_scaling.factor",
     "missing"},
    {"{\"vocab_size\": 5, \"vocab_size\": 6}", "config.json", "vocab_size"},
};
/* clang-format on */

START_TEST(contradicting_settings_are_refused_with_path_and_values)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        krs_llama_config config;
        krs_error err = {0};
        krs_status status = parse(refusals[i].json, &config, &err);
        ck_assert_msg(status != KRS_OK, "accepted: %s", refusals[i].json);
        ck_assert_msg(strncmp(err.text, "config.json", 11) == 0 &&
                          strstr(err.text, refusals[i].path) != NULL &&
                          strstr(err.text, refusals[i].reason) != NULL,
                      "%s\ngives \"%s\"\nwithout \"%s\" or \"%s\"",
                      refusals[i].json, err.text, refusals[i].path,
                      refusals[i].reason);
    }
}
END_TEST

START_TEST(a_refused_config_leaves_the_result_alone)
{
    krs_llama_config config = krs_llama_defaults();
    config.vocab_size = 77;
    ck_assert(parse("{\"vocab_size\": 5, \"head_dim\": 3}", &config, NULL) !=
              KRS_OK);
    ck_assert_int_eq(config.vocab_size, 77);
}
END_TEST

/* What is accepted after damage still keeps the rules. */
START_TEST(damaged_text_is_refused_or_keeps_the_rules)
{
    static const char text[] =
        "{\"architectures\": [\"LlamaForCausalLM\"], \"head_dim\": 12, "
        "\"hidden_size\": 32, \"eos_token_id\": [2, 3], \"vocab_size\": 131, "
        "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, "
        "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2.5, "
        "\"beta_fast\": 32, \"original_max_position_embeddings\": 16}}";
    static const char bytes[] = "0123456789-+.eE\"{}[]:,nulltrue\\ \xc3\x00";
    int taken = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        char damaged[sizeof text];
        krs_llama_config config;
        krs_error err = {0};
        memcpy(damaged, text, sizeof text);
        for (uint32_t k = 0; k < 1 + i % 3; k++) {
            uint32_t where = krs_random_u32(11, i, 0, 2 * k);
            uint32_t what = krs_random_u32(11, i, 0, 2 * k + 1);
            damaged[where % (sizeof text - 1)] = bytes[what % sizeof bytes];
        }
        if (krs_llama_config_parse("damaged", damaged, sizeof text - 1, &config,
                                   &err) == KRS_OK) {
            taken++;
            ck_assert_msg(krs_llama_check(&config, &err) == KRS_OK, "%s",
                          err.text);
        } else {
            ck_assert_msg(strncmp(err.text, "damaged", 7) == 0, "%s", err.text);
        }
    }
    ck_assert_int_gt(taken, 1000);
    ck_assert_int_lt(taken, 19000);
}
END_TEST

/* ---- writing ---- */

static void
expect_round_trip(const krs_llama_config *config)
{
    char folder[] = "/tmp/kersey-config-XXXXXX", path[64];
    krs_error err = {0};
    krs_llama_config back;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/config.json", folder);
    ck_assert_msg(krs_llama_config_write(path, config, &err) == KRS_OK, "%s",
                  err.text);
    ck_assert_msg(krs_llama_config_read(path, &back, &err) == KRS_OK, "%s",
                  err.text);
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing else was left in it */

    ck_assert_int_eq(back.vocab_size, config->vocab_size);
    ck_assert_int_eq(back.hidden_size, config->hidden_size);
    ck_assert_int_eq(back.intermediate_size, config->intermediate_size);
    ck_assert_int_eq(back.num_hidden_layers, config->num_hidden_layers);
    ck_assert_int_eq(back.num_attention_heads, config->num_attention_heads);
    ck_assert_int_eq(back.num_key_value_heads, config->num_key_value_heads);
    ck_assert_int_eq(back.head_dim, config->head_dim);
    ck_assert_int_eq(back.max_position_embeddings,
                     config->max_position_embeddings);
    ck_assert_double_eq(back.rms_norm_eps, config->rms_norm_eps);
    ck_assert_double_eq(back.initializer_range, config->initializer_range);
    ck_assert_int_eq(back.attention_bias, config->attention_bias);
    ck_assert_int_eq(back.mlp_bias, config->mlp_bias);
    ck_assert_int_eq(back.architecture, config->architecture);
    ck_assert_int_eq(back.attention_output_bias, config->attention_output_bias);
    ck_assert_int_eq(back.sliding_window, config->sliding_window);
    ck_assert_int_eq(back.max_window_layers, config->max_window_layers);
    ck_assert_int_eq(back.tie_word_embeddings, config->tie_word_embeddings);
    ck_assert_int_eq(back.bos_token_id, config->bos_token_id);
    ck_assert_int_eq(back.pad_token_id, config->pad_token_id);
    ck_assert_int_eq(back.eos_count, config->eos_count);
    for (int i = 0; i < config->eos_count; i++)
        ck_assert_int_eq(back.eos_token_id[i], config->eos_token_id[i]);
    const krs_rope_scaling *a = &back.rope, *b = &config->rope;
    ck_assert_int_eq(a->type, b->type);
    ck_assert_double_eq(a->rope_theta, b->rope_theta);
    ck_assert_double_eq(a->factor, b->factor);
    ck_assert_int_eq(a->original_max_position_embeddings,
                     b->original_max_position_embeddings);
    ck_assert_double_eq(a->low_freq_factor, b->low_freq_factor);
    ck_assert_double_eq(a->high_freq_factor, b->high_freq_factor);
    ck_assert_double_eq(a->beta_fast, b->beta_fast);
    ck_assert_double_eq(a->beta_slow, b->beta_slow);
    ck_assert_double_eq(a->mscale, b->mscale);
    ck_assert_double_eq(a->mscale_all_dim, b->mscale_all_dim);
    ck_assert_double_eq(a->attention_factor, b->attention_factor);
    ck_assert_int_eq(a->truncate, b->truncate);
}

START_TEST(what_is_written_reads_back_the_same)
{
    krs_llama_config c = krs_llama_defaults();
    expect_round_trip(&c);
    c = (krs_llama_config){
        .vocab_size = 257,
        .hidden_size = 48,
        .intermediate_size = 96,
        .num_hidden_layers = 3,
        .num_attention_heads = 7,
        .num_key_value_heads = 1,
        .head_dim = 10,
        .max_position_embeddings = 99,
        .rms_norm_eps = 1.1e-5,
        .initializer_range = 0.1,
        .rope = krs_rope_defaults(),
        .attention_bias = true,
        .attention_output_bias = true,
        .mlp_bias = true,
        .tie_word_embeddings = true,
        .bos_token_id = -1,
        .pad_token_id = 0,
        .eos_token_id = {3, 4},
        .eos_count = 2
    };
    expect_round_trip(&c);
    c.eos_count = 0;
    c.rope.rope_theta = 123456.789;
    c.rope.type = KRS_ROPE_TYPE_LINEAR;
    c.rope.factor = 2.5;
    expect_round_trip(&c);
    c.rope.type = KRS_ROPE_TYPE_LLAMA3;
    c.rope.low_freq_factor = 1.5;
    c.rope.high_freq_factor = 3.5;
    c.rope.original_max_position_embeddings = 33;
    expect_round_trip(&c);
    c.rope = krs_rope_defaults();
    c.rope.type = KRS_ROPE_TYPE_YARN;
    c.rope.factor = 7.0;
    c.rope.original_max_position_embeddings = 33;
    c.rope.beta_fast = 20.0;
    c.rope.beta_slow = 2.0;
    c.rope.mscale = 0.7;
    c.rope.mscale_all_dim = 0.8;
    c.rope.attention_factor = 1.125;
    c.rope.truncate = false;
    expect_round_trip(&c);
    c = krs_llama_defaults();
    c.architecture = KRS_ARCHITECTURE_MISTRAL;
    expect_round_trip(&c);
    c.sliding_window = 6;
    expect_round_trip(&c);
    c.architecture = KRS_ARCHITECTURE_QWEN2;
    c.attention_bias = true;
    c.max_window_layers = 3;
    expect_round_trip(&c);
    c.sliding_window = c.max_window_layers = 0;
    expect_round_trip(&c);
}
END_TEST

START_TEST(a_config_that_breaks_the_rules_is_not_written)
{
    krs_llama_config c = krs_llama_defaults();
    krs_error err = {0};
    c.num_key_value_heads = 3;
    ck_assert_int_eq(krs_llama_config_write("/tmp/kersey-never", &c, &err),
                     KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "num_key_value_heads 3"));
    ck_assert_int_ne(access("/tmp/kersey-never", F_OK), 0);
    c = krs_llama_defaults();
    c.sliding_window = 6;
    ck_assert_int_eq(krs_llama_config_write("/tmp/kersey-never", &c, &err),
                     KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "sliding_window: 6"));
    c = krs_llama_defaults();
    c.attention_bias = true; /* but not in the output */
    ck_assert_int_eq(krs_llama_config_write("/tmp/kersey-never", &c, &err),
                     KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "attention_bias: 1"));
    c = krs_llama_defaults();
    ck_assert_int_eq(krs_llama_config_write("/nowhere/at/all", &c, &err),
                     KRS_E_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "/nowhere/at/all"));
}
END_TEST

SUITE(an_empty_object_means_llama_2_7b,
      key_value_heads_and_head_size_follow_the_heads,
      old_and_new_rope_spelling_mean_the_same,
      yarn_takes_its_context_from_the_model_if_it_has_none,
      an_empty_mistral_or_qwen2_has_its_own_defaults, several_stop_ids_are_read,
      a_null_id_is_no_id, a_vocabulary_of_one_id_has_no_default_special_ids,
      contradicting_settings_are_refused_with_path_and_values,
      a_refused_config_leaves_the_result_alone,
      damaged_text_is_refused_or_keeps_the_rules,
      what_is_written_reads_back_the_same,
      a_config_that_breaks_the_rules_is_not_written)
