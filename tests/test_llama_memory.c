/* test_llama_memory.c -- memory that runs out anywhere between a config.json
 * and generated text is reported, and nothing leaks (the sanitize preset looks
 * for leaks).
 *
 * Some allocations can be done without: a graph goes on without the note of a
 * place, the interpreter without a second buffer. Those of jansson fail only
 * in the first test: see json_file.c for what it makes of that.
 */
#include "suite.h"

#include "fault_memory.h"
#include "temp_folder.h"

#include <krs/generate.h>
#include <krs/llama.h>
#include <krs/verify.h>

#include <string.h>

static krs_device *device;

static krs_llama_config
tiny_config(void)
{
    krs_llama_config c = krs_llama_defaults();
    c.vocab_size = 7;
    c.hidden_size = 4;
    c.intermediate_size = 4;
    c.num_hidden_layers = 1;
    c.num_attention_heads = 2;
    c.num_key_value_heads = 1;
    c.head_dim = 2;
    c.max_position_embeddings = 6;
    c.tie_word_embeddings = true;
    return c;
}

static krs_status
read_config(krs_error *err)
{
    static const char text[] =
        "{\"architectures\": [\"LlamaForCausalLM\"], \"eos_token_id\": [2, 3], "
        "\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 2}}";
    krs_llama_config config;
    return krs_llama_config_parse("config.json", text, strlen(text), &config,
                                  err);
}

static krs_status
save(krs_error *err)
{
    krs_llama_config config = tiny_config();
    krs_store *store;
    KRS_TRY(krs_store_new(device, &store, err));
    krs_status status = krs_llama_init(store, &config, 1, err);
    if (status == KRS_OK)
        status = krs_llama_save(temp_folder(), store, &config, err);
    krs_store_free(store);
    return status;
}

static krs_status
open_saved(krs_error *err)
{
    krs_llama_config config;
    krs_store *store;
    KRS_TRY(krs_store_new(device, &store, err));
    krs_status status = krs_llama_open(temp_folder(), store, &config, err);
    krs_store_free(store);
    return status;
}

/* Rules, a prompt in chunks, steps, and a fresh start when the cache is full. */
static krs_status
generate(krs_store *store, const krs_llama_config *config, krs_error *err)
{
    const int64_t prompt[3] = {1, 2, 3};
    const krs_logits_rule rule = {KRS_LOGITS_TOP_K, 3};
    krs_causal_model model = krs_llama_model(config);
    krs_decoder_options sizes = {.struct_size = sizeof sizes,
                                 .cache_length = 4,
                                 .chunk = 2,
                                 .padded = true};
    krs_generate_options options = {.struct_size = sizeof options,
                                    .max_new_tokens = 3,
                                    .keep = 2,
                                    .sample = true,
                                    .rules = &rule,
                                    .rule_count = 1};
    int64_t out[3], made;
    krs_decoder *decoder;
    KRS_TRY(krs_decoder_open(store, &model, &sizes, &decoder, err));
    krs_status status =
        krs_generate(decoder, prompt, 3, NULL, &options, out, &made, err);
    krs_decoder_close(decoder);
    return status;
}

/* Two beams that change places. */
static krs_status
search(krs_store *store, const krs_llama_config *config, krs_error *err)
{
    const int64_t prompt[2] = {1, 2};
    krs_causal_model model = krs_llama_model(config);
    krs_decoder_options sizes = {.struct_size = sizeof sizes,
                                 .batch = 2,
                                 .cache_length = 5,
                                 .padded = true,
                                 .reorders = true};
    krs_beam_options options = {
        .struct_size = sizeof options, .beams = 2, .max_new_tokens = 3};
    int64_t out[2 * 3], made;
    double scores[2];
    krs_decoder *decoder;
    KRS_TRY(krs_decoder_open(store, &model, &sizes, &decoder, err));
    krs_status status = krs_generate_beams(decoder, prompt, 2, NULL, &options,
                                           out, scores, &made, err);
    krs_decoder_close(decoder);
    return status;
}

static krs_status
init_and_generate(krs_error *err)
{
    krs_llama_config config = tiny_config();
    krs_store *store;
    KRS_TRY(krs_store_new(device, &store, err));
    krs_status status = krs_llama_init(store, &config, 1, err);
    if (status == KRS_OK)
        status = generate(store, &config, err);
    if (status == KRS_OK)
        status = search(store, &config, err);
    krs_store_free(store);
    return status;
}

static krs_status
verify(krs_error *err)
{
    size_t passed, failed;
    return krs_verify_folder(TESTS_DIR "/golden/models/llama_mha", device, NULL,
                             NULL, &passed, &failed, err);
}

/* Let allocation 1, 1 + stride, ... fail until f needs fewer. */
static void
expect_reports(krs_status (*f)(krs_error *), int stride, int least)
{
    krs_error err = {0};
    ck_assert_int_eq(krs_device_open("eval", &device, &err), KRS_OK);
    temp_folder();
    int n = 1, reported = 0;
    for (;; n += stride) {
        memory_fail_at(n);
        krs_status status = f(&err);
        if (!memory_struck()) {
            ck_assert_msg(status == KRS_OK, "%s", err.text);
            break;
        }
        ck_assert_msg(status == KRS_E_MEMORY || status == KRS_OK,
                      "allocation %d: %s: %s", n, krs_status_name(status),
                      err.text);
        reported += status == KRS_E_MEMORY;
    }
    ck_assert_int_ge(reported, least);
    krs_device_close(device);
}

START_TEST(reading_a_config_reports_every_failed_allocation)
{
    memory_watch_json();
    expect_reports(read_config, 1, 10);
}
END_TEST

/* not every one: each saving waits for the disk */
START_TEST(saving_reports_a_failed_allocation_anywhere)
{
    expect_reports(save, 7, 15);
}
END_TEST

START_TEST(opening_reports_every_failed_allocation)
{
    krs_error err = {0};
    ck_assert_int_eq(krs_device_open("eval", &device, &err), KRS_OK);
    ck_assert_int_eq(save(&err), KRS_OK);
    krs_device_close(device);
    expect_reports(open_saved, 1, 50);
}
END_TEST

START_TEST(generating_reports_every_failed_allocation)
{
    expect_reports(init_and_generate, 1, 100);
}
END_TEST

START_TEST(verifying_reports_a_failed_allocation_anywhere)
{
    expect_reports(verify, 29, 20);
}
END_TEST

SUITE(reading_a_config_reports_every_failed_allocation,
      saving_reports_a_failed_allocation_anywhere,
      opening_reports_every_failed_allocation,
      generating_reports_every_failed_allocation,
      verifying_reports_a_failed_allocation_anywhere)
