/* test_smollm2.c -- SmolLM2-135M from its GGUF file (Q4_1 and Q8_0), on
 * dequantised weights: settings, tokenizer, and against golden/real the logits
 * after each prompt and the greedy continuation, id for id.
 *
 * real.bats compares the hash of every dequantised tensor. Under a sanitizer
 * (KERSEY_SLOW) eval is left out: it takes a minute there.
 */
#include <krs/generate.h>
#include <krs/gguf.h>
#include <krs/llama.h>

#include "real_models.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum { MOST_IDS = 64 };

static krs_error err;
static char model_path[4096];

static void
must(krs_status status)
{
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

START_TEST(the_file_says_what_the_model_is)
{
    krs_llama_config c;
    krs_weights *w;
    krs_gguf_tokenizer t;
    ck_assert(find_real_model(SMOLLM2, model_path));
    must(krs_llama_weights(model_path, &c, &w, &err));
    ck_assert_uint_eq(krs_weights_count(w), 272);
    ck_assert_int_eq(c.vocab_size, 49152);
    ck_assert_int_eq(c.hidden_size, 576);
    ck_assert_int_eq(c.intermediate_size, 1536);
    ck_assert_int_eq(c.num_hidden_layers, 30);
    ck_assert_int_eq(c.num_attention_heads, 9);
    ck_assert_int_eq(c.num_key_value_heads, 3);
    ck_assert_int_eq(c.head_dim, 64);
    ck_assert_int_eq(c.max_position_embeddings, 8192);
    ck_assert(c.rms_norm_eps == 1e-5);
    ck_assert(c.rope.rope_theta == 100000);
    ck_assert(c.tie_word_embeddings);
    must(krs_gguf_read_tokenizer(krs_weights_gguf(w), &t, &err));
    ck_assert_str_eq(t.model, "gpt2");
    ck_assert_str_eq(t.pre, "smollm");
    ck_assert_uint_eq(t.token_count, 49152);
    ck_assert_uint_eq(t.merge_count, 48900);
    ck_assert_str_eq(t.tokens[1].text, "<|im_start|>");
    ck_assert_ptr_nonnull(strstr(t.chat_template, "<|im_start|>"));
    ck_assert_int_eq(t.eos, 2);
    krs_weights_close(w);
}
END_TEST

static size_t
read_ids(const json_t *list, int64_t ids[MOST_IDS])
{
    size_t count = json_array_size(list);
    ck_assert_uint_gt(count, 0);
    ck_assert_uint_le(count, MOST_IDS);
    for (size_t i = 0; i < count; i++)
        ids[i] = json_integer_value(json_array_get(list, i));
    return count;
}

static void
check_logits(const float *got, const krs_weights *golden, size_t prompt,
             const json_t *tolerance)
{
    char name[40];
    snprintf(name, sizeof name, "logits_last.%zu", prompt);
    int64_t i = krs_weights_find(golden, name);
    ck_assert_int_ge(i, 0);
    size_t count = (size_t)krs_weights_at(golden, (size_t)i)->count;
    float *want = malloc(count * sizeof *want);
    must(krs_weights_read(golden, (size_t)i, KRS_F32, want,
                          count * sizeof *want, &err));
    double rtol = json_number_value(json_object_get(tolerance, "rtol"));
    double atol = json_number_value(json_object_get(tolerance, "atol"));
    ck_assert(rtol > 0 && rtol <= 1e-3 && atol > 0 && atol <= 2e-3);
    for (size_t k = 0; k < count; k++)
        ck_assert_msg(fabs((double)got[k] - (double)want[k]) <=
                          atol + rtol * fabs((double)want[k]),
                      "prompt %zu, logit %zu: %g, not %g", prompt, k,
                      (double)got[k], (double)want[k]);
    free(want);
}

/* All prompts: logits, and `most` ids of the continuation. */
static void
continue_prompts(const char *backend, size_t prompts, int64_t most)
{
    krs_device_options options = {.struct_size = sizeof options,
                                  .modules = KERSEY_MODULE_DIR};
    krs_device *device;
    krs_store *store;
    krs_llama_config config;
    krs_weights *golden;
    krs_decoder *decoder;
    ck_assert(find_real_model(SMOLLM2, model_path));
    must(krs_device_open_with(backend, &options, &device, &err));
    must(krs_store_new(device, &store, &err));
    must(krs_llama_open(model_path, store, &config, &err));
    must(krs_weights_open(TESTS_DIR "/golden/real/smollm2.safetensors", &golden,
                          &err));
    json_t *json =
        json_load_file(TESTS_DIR "/golden/real/smollm2.json", 0, NULL);
    json_t *list = json_object_get(json, "prompts");
    ck_assert_uint_eq(json_array_size(list), 3);
    krs_causal_model model = krs_llama_model(&config);
    krs_decoder_options sizes = {.struct_size = sizeof sizes,
                                 .cache_length = MOST_IDS};
    must(krs_decoder_open(store, &model, &sizes, &decoder, &err));
    for (size_t p = 0; p < prompts; p++) {
        const json_t *one = json_array_get(list, p);
        int64_t ids[MOST_IDS], want[MOST_IDS], got[MOST_IDS], made;
        size_t length = read_ids(json_object_get(one, "ids"), ids);
        size_t total = read_ids(json_object_get(one, "greedy"), want);
        int64_t more = (int64_t)(total - length);
        more = more < most ? more : most;
        must(krs_decoder_prompt(decoder, ids, (int64_t)length, NULL, &err));
        check_logits(krs_decoder_logits(decoder), golden, p,
                     json_object_get(json, "tol_logits"));
        krs_generate_options greedy = {.struct_size = sizeof greedy,
                                       .max_new_tokens = more};
        must(krs_generate(decoder, ids, (int64_t)length, NULL, &greedy, got,
                          &made, &err));
        ck_assert_int_eq(made, more);
        for (int64_t k = 0; k < more; k++)
            ck_assert_int_eq(got[k], want[length + (size_t)k]);
    }
    json_decref(json);
    krs_decoder_close(decoder);
    krs_weights_close(golden);
    krs_store_free(store);
    krs_device_close(device);
}

START_TEST(logits_and_greedy_ids_are_those_of_the_reference_on_cpu)
{
    if (access(KERSEY_MODULE_DIR "/libkersey-cpu.so", F_OK) == 0)
        continue_prompts("cpu", 3, MOST_IDS);
    else
        printf("cpu skipped: its module is not built\n");
}
END_TEST

START_TEST(logits_and_greedy_ids_are_those_of_the_reference_on_eval)
{
    if (getenv("KERSEY_SLOW"))
        printf("eval skipped: it would take a minute under a sanitizer\n");
    else
        continue_prompts("eval", 1, 2);
}
END_TEST

REAL_MODEL_SUITE(SMOLLM2, the_file_says_what_the_model_is,
                 logits_and_greedy_ids_are_those_of_the_reference_on_cpu,
                 logits_and_greedy_ids_are_those_of_the_reference_on_eval)
