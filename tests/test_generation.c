/* test_generation.c -- texts by a decoder: the cache of keys equals recomputation,
 * padding changes nothing, when generation stops, how ids are drawn.
 */
#include "llama_store.h"

#include <krs/generate.h>
#include <krs/llama.h>
#include <krs/ops.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a small model of our own ---- */

/* logits f32 [B,T,V] of the plain forward pass; free them. tokens bool [B,T]
 * or NULL */
static float *
full_logits(const krs_llama_config *config, const int64_t *ids,
            const bool *tokens, int64_t B, int64_t T)
{
    krs_error err = {0};
    krs_causal_model model = krs_llama_model(config);
    krs_graph *g = krs_graph_new();
    krs_causal_call call = {.struct_size = sizeof call,
                            .ids =
                                krs_input(g, "ids", KRS_I64, KRS_SHAPE(B, T))};
    if (tokens != NULL)
        call.attention_mask = krs_input(g, "tokens", KRS_BOOL, KRS_SHAPE(B, T));
    krs_causal_result result = {.struct_size = sizeof result};
    krs_node logits = krs_causal_forward(g, &model, &call, &result);
    krs_program *program;
    ok(krs_program_new(store, &logits, 1, &program, &err), &err);
    krs_graph_free(g);
    size_t count = (size_t)(B * T);
    ok(krs_program_set_input(program, "ids", ids, count * sizeof *ids, &err),
       &err);
    if (tokens != NULL)
        ok(krs_program_set_input(program, "tokens", tokens, count, &err), &err);
    ok(krs_program_run(program, &err), &err);
    size_t bytes = count * (size_t)config->vocab_size * sizeof(float);
    float *out = malloc(bytes);
    ok(krs_program_read(program, 0, out, bytes, &err), &err);
    krs_program_free(program);
    return out;
}

static void
expect_close(const float *got, const float *want, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        ck_assert_msg(fabsf(got[i] - want[i]) <= 1e-5F + 1e-5F * fabsf(want[i]),
                      "logit %lld: %.8g, not %.8g", (long long)i,
                      (double)got[i], (double)want[i]);
}

static void
expect_cached_equals_recomputed(int64_t chunk)
{
    enum { LENGTH = 11, PROMPT = 7 };
    const int64_t ids[LENGTH] = {3, 28, 0, 7, 7, 19, 2, 5, 11, 23, 1};
    krs_error err = {0};
    krs_llama_config config = small_config();
    krs_causal_model model = krs_llama_model(&config);
    open_store();
    ok(krs_llama_init(store, &config, 5, &err), &err);
    float *want = full_logits(&config, ids, NULL, 1, LENGTH);
    krs_decoder_options options = {.struct_size = sizeof options,
                                   .chunk = chunk};
    krs_decoder *decoder;
    ok(krs_decoder_open(store, &model, &options, &decoder, &err), &err);
    ok(krs_decoder_prompt(decoder, ids, PROMPT, NULL, &err), &err);
    for (int64_t t = PROMPT - 1;; t++) {
        expect_close(krs_decoder_logits(decoder), want + t * config.vocab_size,
                     config.vocab_size);
        ck_assert_int_eq(krs_decoder_length(decoder), t + 1);
        if (t + 1 == LENGTH)
            break;
        ok(krs_decoder_step(decoder, &ids[t + 1], &err), &err);
    }
    krs_decoder_close(decoder);
    free(want);
    close_store();
}

START_TEST(the_cache_equals_recomputation_whatever_the_chunk)
{
    const int64_t chunks[] = {1, 2, 3, 7, 24};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        expect_cached_equals_recomputed(chunks[i]);
}
END_TEST

/* a decoder of the small model with the parameters of a seed */
static krs_decoder *
open_small(uint64_t seed, const krs_decoder_options *sizes)
{
    static krs_llama_config config;
    krs_error err = {0};
    krs_decoder *decoder;
    config = small_config();
    krs_causal_model model = krs_llama_model(&config);
    open_store();
    ok(krs_llama_init(store, &config, seed, &err), &err);
    ok(krs_decoder_open(store, &model, sizes, &decoder, &err), &err);
    return decoder;
}

static void
close_small(krs_decoder *decoder)
{
    krs_decoder_close(decoder);
    close_store();
}

/* The likeliest next id, each time from the whole text anew. */
START_TEST(greedy_ids_with_the_cache_equal_those_without)
{
    enum { PROMPT = 5, NEW = 15 };
    int64_t text[PROMPT + NEW] = {1, 14, 9, 26, 3}, ids[NEW], made;
    krs_error err = {0};
    krs_llama_config config = small_config();
    krs_decoder_options sizes = {.struct_size = sizeof sizes, .chunk = 4};
    krs_decoder *decoder = open_small(8, &sizes);
    krs_generate_options options = {.struct_size = sizeof options,
                                    .max_new_tokens = NEW};
    ok(krs_generate(decoder, text, PROMPT, NULL, &options, ids, &made, &err),
       &err);
    ck_assert_int_eq(made, NEW);
    for (int64_t t = PROMPT; t < PROMPT + NEW; t++) {
        float *logits = full_logits(&config, text, NULL, 1, t);
        const float *last = logits + (t - 1) * config.vocab_size;
        int64_t best = 0;
        for (int64_t v = 1; v < config.vocab_size; v++)
            if (last[v] > last[best])
                best = v;
        ck_assert_int_eq(ids[t - PROMPT], best);
        text[t] = best;
        free(logits);
    }
    close_small(decoder);
}
END_TEST

static void
scale_parameter(const char *name, size_t count, float factor)
{
    krs_error err = {0};
    float *values = malloc(count * sizeof *values);
    ok(krs_store_read(store, name, values, count * sizeof *values, &err), &err);
    for (size_t i = 0; i < count; i++)
        values[i] *= factor;
    ok(krs_store_write(store, name, values, count * sizeof *values, &err),
       &err);
    free(values);
}

/* With a factor of 1 yarn leaves the frequencies alone, and its attention
 * factor on q and k is as good as larger weights. */
START_TEST(the_attention_factor_of_yarn_scales_queries_and_keys)
{
    enum { T = 6 };
    const int64_t ids[T] = {3, 28, 0, 7, 19, 2};
    krs_error err = {0};
    krs_llama_config config = small_config(), yarn = config;
    yarn.rope.type = KRS_ROPE_TYPE_YARN;
    yarn.rope.original_max_position_embeddings = 8;
    yarn.rope.attention_factor = 1.5;
    open_store();
    ok(krs_llama_init(store, &config, 5, &err), &err);
    float *got = full_logits(&yarn, ids, NULL, 1, T);
    for (int i = 0; i < 2; i++) {
        char name[80];
        snprintf(name, sizeof name, "model.layers.%d.self_attn.q_proj.weight",
                 i);
        scale_parameter(name, 16 * 12, 1.5F);
        snprintf(name, sizeof name, "model.layers.%d.self_attn.k_proj.weight",
                 i);
        scale_parameter(name, 8 * 12, 1.5F);
    }
    float *want = full_logits(&config, ids, NULL, 1, T);
    expect_close(got, want, T * config.vocab_size);
    free(want);
    free(got);
    close_store();
}
END_TEST

START_TEST(left_padding_changes_nothing_of_the_text)
{
    enum { T = 6, PAD = 2 };
    const int64_t padded[2 * T] = {0, 0, 4, 9, 20, 11, 7, 1, 3, 5, 28, 2};
    const bool tokens[2 * T] = {0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    krs_error err = {0};
    krs_llama_config config = small_config();
    open_store();
    ok(krs_llama_init(store, &config, 2, &err), &err);
    int64_t V = config.vocab_size;
    float *both = full_logits(&config, padded, tokens, 2, T);
    float *short_one = full_logits(&config, padded + PAD, NULL, 1, T - PAD);
    float *long_one = full_logits(&config, padded + T, NULL, 1, T);
    for (int64_t i = 0; i < 2 * T * V; i++)
        ck_assert(isfinite(both[i]));
    expect_close(both + PAD * V, short_one, (T - PAD) * V);
    expect_close(both + T * V, long_one, T * V);
    free(long_one);
    free(short_one);
    free(both);
    close_store();
}
END_TEST

static void
generate_rows(const krs_llama_config *config, const int64_t *ids, int64_t batch,
              int64_t length, const int64_t *padding, int64_t count,
              int64_t *out)
{
    krs_error err = {0};
    int64_t made;
    krs_causal_model model = krs_llama_model(config);
    krs_decoder_options sizes = {.struct_size = sizeof sizes,
                                 .batch = batch,
                                 .chunk = 3,
                                 .padded = padding != NULL};
    krs_generate_options options = {.struct_size = sizeof options,
                                    .max_new_tokens = count};
    krs_decoder *decoder;
    ok(krs_decoder_open(store, &model, &sizes, &decoder, &err), &err);
    ok(krs_generate(decoder, ids, length, padding, &options, out, &made, &err),
       &err);
    ck_assert_int_eq(made, count);
    krs_decoder_close(decoder);
}

START_TEST(prompts_of_several_lengths_continue_as_each_alone)
{
    enum { T = 5, NEW = 6 };
    const int64_t prompts[2 * T] = {0, 0, 0, 17, 6, 8, 1, 24, 13, 2};
    const int64_t padding[2] = {3, 0};
    int64_t both[2 * NEW], first[NEW], second[NEW];
    krs_error err = {0};
    krs_llama_config config = small_config();
    open_store();
    ok(krs_llama_init(store, &config, 4, &err), &err);
    generate_rows(&config, prompts, 2, T, padding, NEW, both);
    generate_rows(&config, prompts + 3, 1, T - 3, NULL, NEW, first);
    generate_rows(&config, prompts + T, 1, T, NULL, NEW, second);
    ck_assert_mem_eq(both, first, sizeof first);
    ck_assert_mem_eq(both + NEW, second, sizeof second);
    close_store();
}
END_TEST

/* ---- the loop around the model ---- */

struct counted {
    int64_t calls, most;
};

static bool
count_calls(void *user, int64_t row, int64_t id)
{
    struct counted *c = user;
    (void)row;
    (void)id;
    return ++c->calls < c->most;
}

START_TEST(generation_stops_where_it_is_told)
{
    enum { NEW = 12 };
    const int64_t prompts[4] = {1, 5, 6, 9};
    int64_t free_run[2 * NEW], out[2 * NEW], made;
    krs_error err = {0};
    krs_decoder_options sizes = {.struct_size = sizeof sizes, .batch = 2};
    krs_decoder *decoder = open_small(3, &sizes);
    krs_generate_options options = {
        .struct_size = sizeof options, .max_new_tokens = NEW, .pad_id = -7};
    ok(krs_generate(decoder, prompts, 2, NULL, &options, free_run, &made, &err),
       &err);

    /* row 0 ends at its fourth id, or before if that one came earlier */
    int64_t stop = free_run[3], end = 0;
    while (free_run[end] != stop)
        end++;
    options.stop_ids = &stop;
    options.stop_count = 1;
    ok(krs_generate(decoder, prompts, 2, NULL, &options, out, &made, &err),
       &err);
    for (int64_t i = 0; i < made; i++)
        ck_assert_int_eq(out[i], i <= end ? free_run[i] : -7);

    struct counted counted = {.most = 5};
    options.stop_count = 0;
    options.token = count_calls;
    options.user = &counted;
    ok(krs_generate(decoder, prompts, 2, NULL, &options, out, &made, &err),
       &err);
    ck_assert_int_eq(counted.calls, 5);
    ck_assert_int_eq(made, 3); /* 2 + 2 + 1 ids */
    ck_assert_int_eq(out[NEW + 2], -7);
    close_small(decoder);
}
END_TEST

START_TEST(a_text_longer_than_the_cache_goes_on_from_its_end)
{
    enum { NEW = 20, CAPACITY = 8, KEEP = 3 };
    const int64_t prompt[2] = {4, 4};
    int64_t out[NEW], again[NEW], made;
    krs_error err = {0};
    krs_decoder_options sizes = {.struct_size = sizeof sizes,
                                 .cache_length = CAPACITY};
    krs_decoder *decoder = open_small(6, &sizes);
    krs_generate_options options = {.struct_size = sizeof options,
                                    .max_new_tokens = NEW};
    ck_assert_int_eq(
        krs_generate(decoder, prompt, 2, NULL, &options, out, &made, &err),
        KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "20 new ids after a prompt of 2"));
    options.keep = KEEP;
    ok(krs_generate(decoder, prompt, 2, NULL, &options, out, &made, &err),
       &err);
    ck_assert_int_eq(made, NEW);
    /* the 8 places are full after prompt + 6 ids; id 7 was chosen from them,
     * and ids 8.. follow from the last 3 as from a prompt */
    options.max_new_tokens = CAPACITY - KEEP + 1;
    ok(krs_generate(decoder, out + 7 - KEEP, KEEP, NULL, &options, again, &made,
                    &err),
       &err);
    ck_assert_mem_eq(out + 7, again, sizeof *again * (CAPACITY - KEEP + 1));
    close_small(decoder);
}
END_TEST

START_TEST(samples_depend_on_the_seed_alone)
{
    enum { NEW = 16 };
    const int64_t prompt[3] = {4, 1, 2};
    const krs_logits_rule rules[] = {
        {KRS_LOGITS_TEMPERATURE, 1.5},
        {KRS_LOGITS_TOP_K,       20 }
    };
    int64_t one[NEW], same[NEW], other[NEW], made;
    krs_error err = {0};
    krs_decoder *decoder = open_small(6, NULL);
    krs_generate_options options = {.struct_size = sizeof options,
                                    .max_new_tokens = NEW,
                                    .sample = true,
                                    .rules = rules,
                                    .rule_count = 2,
                                    .seed = 1};
    ok(krs_generate(decoder, prompt, 3, NULL, &options, one, &made, &err),
       &err);
    ok(krs_generate(decoder, prompt, 3, NULL, &options, same, &made, &err),
       &err);
    options.seed = 2;
    ok(krs_generate(decoder, prompt, 3, NULL, &options, other, &made, &err),
       &err);
    ck_assert_mem_eq(one, same, sizeof one);
    ck_assert_mem_ne(one, other, sizeof one);
    close_small(decoder);
}
END_TEST

/* At a temperature without end all ids are as likely as each other. */
START_TEST(each_draw_is_its_own)
{
    enum { NEW = 16 };
    const int64_t prompts[2] = {4, 4};
    const krs_logits_rule rule = {KRS_LOGITS_TEMPERATURE, 1e6};
    int64_t out[2 * NEW], made;
    krs_error err = {0};
    krs_decoder_options sizes = {.struct_size = sizeof sizes, .batch = 2};
    krs_decoder *decoder = open_small(6, &sizes);
    krs_generate_options options = {.struct_size = sizeof options,
                                    .max_new_tokens = NEW,
                                    .sample = true,
                                    .rules = &rule,
                                    .rule_count = 1};
    ok(krs_generate(decoder, prompts, 1, NULL, &options, out, &made, &err),
       &err);
    ck_assert_mem_ne(out, out + NEW, NEW * sizeof *out);
    int distinct = 0;
    for (int i = 0; i < NEW; i++) {
        int before = 0;
        while (before < i && out[before] != out[i])
            before++;
        distinct += before == i;
    }
    ck_assert_int_ge(distinct, 6); /* fewer: one chance in a million */
    close_small(decoder);
}
END_TEST

/* No id twice: 28 of the 29 are left to each row only if the padding of the
 * first, id 0, is not taken for text; and the text outgrows the cache. */
START_TEST(padding_is_no_part_of_the_history)
{
    enum { NEW = 28 };
    const int64_t prompts[4] = {0, 3, 5, 5}, padding[2] = {1, 0};
    const krs_logits_rule rule = {KRS_LOGITS_NO_REPEAT_NGRAM, 1};
    int64_t out[2 * NEW], made;
    krs_error err = {0};
    krs_decoder_options sizes = {
        .struct_size = sizeof sizes, .batch = 2, .padded = true};
    krs_decoder *decoder = open_small(6, &sizes);
    krs_generate_options options = {.struct_size = sizeof options,
                                    .max_new_tokens = NEW,
                                    .keep = 7,
                                    .rules = &rule,
                                    .rule_count = 1};
    ok(krs_generate(decoder, prompts, 2, padding, &options, out, &made, &err),
       &err);
    int64_t sum = 0;
    for (int i = 0; i < NEW; i++)
        sum += out[i];
    ck_assert_int_eq(sum, 28 * 29 / 2 - 3);
    options.max_new_tokens = 30;
    int64_t more[60];
    ck_assert_int_eq(
        krs_generate(decoder, prompts, 2, padding, &options, more, &made, &err),
        KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "leave no id to choose"));
    close_small(decoder);
}
END_TEST

START_TEST(a_decoder_refuses_what_it_has_no_room_for)
{
    const int64_t ids[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, padding = 1;
    krs_error err = {0};
    krs_decoder_options sizes = {.struct_size = sizeof sizes,
                                 .cache_length = 4};
    krs_decoder *decoder = open_small(6, &sizes);
    ck_assert_int_eq(krs_decoder_step(decoder, ids, &err), KRS_E_ARGUMENT);
    ck_assert_int_eq(krs_decoder_prompt(decoder, ids, 5, NULL, &err),
                     KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "prompt of 5"));
    ck_assert_int_eq(krs_decoder_prompt(decoder, ids, 3, &padding, &err),
                     KRS_E_ARGUMENT);
    ok(krs_decoder_prompt(decoder, ids, 3, NULL, &err), &err);
    ok(krs_decoder_step(decoder, ids, &err), &err);
    ck_assert_int_eq(krs_decoder_step(decoder, ids, &err), KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "cache of 4"));
    close_small(decoder);
}
END_TEST

SUITE(the_cache_equals_recomputation_whatever_the_chunk,
      greedy_ids_with_the_cache_equal_those_without,
      the_attention_factor_of_yarn_scales_queries_and_keys,
      left_padding_changes_nothing_of_the_text,
      prompts_of_several_lengths_continue_as_each_alone,
      generation_stops_where_it_is_told,
      a_text_longer_than_the_cache_goes_on_from_its_end,
      samples_depend_on_the_seed_alone, each_draw_is_its_own,
      padding_is_no_part_of_the_history,
      a_decoder_refuses_what_it_has_no_room_for)
