/* test_beam.c -- beam search against a search of all texts, and rows of a
 * decoder that change places. What the reference finds with length penalties is
 * compared by kersey verify (models.bats).
 */
#include "suite.h"

#include <krs/generate.h>
#include <krs/llama.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { V = 5, N = 3, LENGTH = 4, ROOM = 16 };

static krs_error err;
static krs_device *device;
static krs_store *store;
static krs_llama_config config;
static krs_causal_model model;
static krs_decoder *scorer; /* of one row */

static const int64_t prompts[2 * LENGTH] = {1, 4, 2, 2, 3, 0, 1, 4};

static void
must(krs_status status)
{
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

static void
refused(krs_status status, krs_status wanted, const char *text)
{
    ck_assert_int_eq(status, wanted);
    ck_assert_msg(strstr(err.text, text) != NULL, "'%s' is not in '%s'", text,
                  err.text);
}

/* chunks of 3, so that texts lie in more than one */
static krs_decoder *
open_decoder(int64_t batch)
{
    krs_decoder_options o = {.struct_size = sizeof o,
                             .batch = batch,
                             .chunk = 3,
                             .padded = true,
                             .reorders = true};
    krs_decoder *d;
    must(krs_decoder_open(store, &model, &o, &d, &err));
    return d;
}

static void
set_up(void)
{
    config = krs_llama_defaults();
    config.vocab_size = V;
    config.hidden_size = 8;
    config.intermediate_size = 12;
    config.num_hidden_layers = 2;
    config.num_attention_heads = 2;
    config.num_key_value_heads = 1;
    config.head_dim = 4;
    config.max_position_embeddings = ROOM;
    config.initializer_range = 0.9;
    model = krs_llama_model(&config);
    must(krs_device_open("eval", &device, &err));
    must(krs_store_new(device, &store, &err));
    must(krs_llama_init(store, &config, 7, &err));
    scorer = open_decoder(1);
}

static void
tear_down(void)
{
    krs_decoder_close(scorer);
    krs_store_free(store);
    krs_device_close(device);
}

static double
log_p(const float *logits, int64_t id)
{
    double sum = 0;
    for (int v = 0; v < V; v++)
        sum += exp((double)logits[v] - (double)logits[id]);
    return -log(sum);
}

/* Score of `count` ids after a prompt, which begins with `skip` of padding. */
static double
score(const int64_t *prompt, int64_t skip, const int64_t *ids, int64_t count,
      double length_penalty)
{
    krs_decoder *d = scorer;
    double sum = 0;
    must(krs_decoder_prompt(d, prompt + skip, LENGTH - skip, NULL, &err));
    for (int64_t i = 0; i < count; i++) {
        sum += log_p(krs_decoder_logits(d), ids[i]);
        if (i + 1 < count)
            must(krs_decoder_step(d, ids + i, &err));
    }
    return sum / pow((double)count, length_penalty);
}

/* The best of all texts of N ids, or fewer that end with `stop`. */
static double
best_of_all(const int64_t *prompt, int64_t skip, int64_t stop, double penalty,
            int64_t best[N], int64_t *best_count)
{
    double most = -INFINITY;
    for (int text = 0; text < V * V * V; text++) {
        int64_t ids[N] = {text % V, text / V % V, text / V / V}, count = 1;
        while (count < N && ids[count - 1] != stop)
            count++;
        double s = score(prompt, skip, ids, count, penalty);
        if (s > most) {
            most = s;
            *best_count = count;
            memcpy(best, ids, sizeof ids);
        }
    }
    return most;
}

static krs_beam_options
options_of(int64_t beams, const int64_t *stop)
{
    return (krs_beam_options){.struct_size = sizeof(krs_beam_options),
                              .beams = beams,
                              .max_new_tokens = N,
                              .stop_ids = stop,
                              .stop_count = stop != NULL,
                              .pad_id = -7,
                              .length_penalty = 1};
}

/* As many beams as there are texts without an end: nothing is lost. */
START_TEST(enough_beams_find_the_best_of_all_texts)
{
    enum { BEAMS = V * V };
    static const int64_t padding[2] = {0, 2};
    int64_t out[2 * BEAMS * N], made, best[N], count = 0, stop = 3;
    double scores[2 * BEAMS];
    set_up();
    krs_decoder *d = open_decoder(2 * BEAMS);
    for (int p = 0; p < 3; p++) {
        krs_beam_options o = options_of(BEAMS, &stop);
        o.length_penalty = p - 0.5;
        must(krs_generate_beams(d, prompts, LENGTH, padding, &o, out, scores,
                                &made, &err));
        for (int i = 0; i < 2; i++) {
            const int64_t *found = out + i * BEAMS * N;
            double most = best_of_all(prompts + i * LENGTH, padding[i], stop,
                                      o.length_penalty, best, &count);
            ck_assert_double_eq_tol(scores[i * BEAMS], most, 1e-5);
            for (int64_t k = 0; k < N; k++)
                ck_assert_int_eq(found[k], k < count ? best[k] : -7);
        }
    }
    krs_decoder_close(d);
    tear_down();
}
END_TEST

/* Every text that comes out has the score it is said to have, and they are
 * different and sorted. */
START_TEST(texts_have_their_scores_best_first)
{
    enum { BEAMS = 4 };
    int64_t out[2 * BEAMS * N], made, stop = 1;
    double scores[2 * BEAMS];
    set_up();
    krs_decoder *d = open_decoder(2 * BEAMS);
    krs_beam_options o = options_of(BEAMS, &stop);
    must(krs_generate_beams(d, prompts, LENGTH, NULL, &o, out, scores, &made,
                            &err));
    for (int r = 0; r < 2 * BEAMS; r++) {
        const int64_t *text = out + r * N;
        int64_t count = 0;
        while (count < N && text[count] != -7)
            count++;
        ck_assert(count == N || text[count - 1] == stop);
        ck_assert_double_eq_tol(
            scores[r], score(prompts + r / BEAMS * LENGTH, 0, text, count, 1),
            1e-5);
        if (r % BEAMS == 0)
            continue;
        ck_assert_double_le(scores[r], scores[r - 1]);
        ck_assert(memcmp(text, text - N, N * sizeof *text) != 0);
    }
    krs_decoder_close(d);
    tear_down();
}
END_TEST

START_TEST(one_beam_takes_the_likeliest_id_each_time)
{
    int64_t out[2 * N], greedy[2 * N], made, greedy_made;
    double scores[2];
    set_up();
    krs_decoder *d = open_decoder(2);
    krs_beam_options o = options_of(1, NULL);
    krs_generate_options g = {.struct_size = sizeof g, .max_new_tokens = N};
    must(krs_generate_beams(d, prompts, LENGTH, NULL, &o, out, scores, &made,
                            &err));
    must(
        krs_generate(d, prompts, LENGTH, NULL, &g, greedy, &greedy_made, &err));
    ck_assert_int_eq(made, N);
    ck_assert_int_eq(greedy_made, N);
    ck_assert_mem_eq(out, greedy, sizeof out);
    krs_decoder_close(d);
    tear_down();
}
END_TEST

static bool
stop_after_two(void *user, int64_t made)
{
    *(int64_t *)user = made;
    return made < 2;
}

START_TEST(rules_and_the_callback_bound_the_search)
{
    enum { BEAMS = 3 };
    static const krs_logits_rule no_repeats = {KRS_LOGITS_NO_REPEAT_NGRAM, 1};
    int64_t out[BEAMS * N], made, told = 0;
    double scores[BEAMS];
    set_up();
    krs_decoder *d = open_decoder(BEAMS);
    krs_beam_options o = options_of(BEAMS, NULL);
    o.step = stop_after_two;
    o.user = &told;
    must(krs_generate_beams(d, prompts, LENGTH, NULL, &o, out, scores, &made,
                            &err));
    ck_assert_int_eq(told, 2);
    ck_assert_int_eq(made, 2);
    ck_assert_double_eq_tol(scores[0], score(prompts, 0, out, 2, 1), 1e-5);

    /* two ids of five are not in the prompt: two texts, of one id each at
     * first, of two after it */
    o = options_of(BEAMS, NULL);
    o.max_new_tokens = 2;
    o.rules = &no_repeats;
    o.rule_count = 1;
    must(krs_generate_beams(d, prompts, LENGTH, NULL, &o, out, scores, &made,
                            &err));
    ck_assert(out[0] + out[1] == 3 && out[2] + out[3] == 3);
    ck_assert(isinf(scores[2]) && !isinf(scores[1]));
    ck_assert(out[4] == -7 && out[5] == -7);
    o.max_new_tokens = 3;
    refused(krs_generate_beams(d, prompts, LENGTH, NULL, &o, out, scores, &made,
                               &err),
            KRS_E_RANGE, "prompt 0: the rules leave no text");
    krs_decoder_close(d);
    tear_down();
}
END_TEST

START_TEST(a_row_goes_on_from_what_another_has_read)
{
    static const int64_t padding[3] = {0, 3, 1}, rows[3] = {2, 0, 2},
                         next[3] = {1, 2, 3};
    static const int64_t three[3 * LENGTH] = {1, 4, 2, 2, 3, 0,
                                              1, 4, 4, 4, 0, 2};
    set_up();
    krs_decoder *d = open_decoder(3), *alone = scorer;
    must(krs_decoder_prompt(d, three, LENGTH, padding, &err));
    must(krs_decoder_reorder(d, rows, &err));
    must(krs_decoder_step(d, next, &err));
    for (int b = 0; b < 3; b++) {
        int64_t from = rows[b], skip = padding[from];
        must(krs_decoder_prompt(alone, three + from * LENGTH + skip,
                                LENGTH - skip, NULL, &err));
        must(krs_decoder_step(alone, next + b, &err));
        for (int v = 0; v < V; v++)
            ck_assert_double_eq_tol((double)krs_decoder_logits(d)[b * V + v],
                                    (double)krs_decoder_logits(alone)[v], 1e-5);
    }
    krs_decoder_close(d);
    tear_down();
}
END_TEST

START_TEST(what_cannot_be_searched_is_refused)
{
    static const int64_t rows[2] = {0, 2};
    int64_t out[2 * N], made;
    double scores[2];
    krs_decoder *plain;
    krs_decoder_options sizes = {.struct_size = sizeof sizes, .batch = 2};
    set_up();
    must(krs_decoder_open(store, &model, &sizes, &plain, &err));
    krs_decoder *d = open_decoder(2);
    krs_beam_options o = options_of(2, NULL);
#define SEARCH(decoder)                                                        \
    krs_generate_beams(decoder, prompts, LENGTH, NULL, &o, out, scores, &made, \
                       &err)
    refused(SEARCH(plain), KRS_E_ARGUMENT, "opened without .reorders");
    refused(krs_decoder_reorder(plain, rows, &err), KRS_E_ARGUMENT,
            "opened without .reorders");
    refused(krs_decoder_reorder(d, rows, &err), KRS_E_ARGUMENT,
            "before any prompt");
    must(krs_decoder_prompt(d, prompts, LENGTH, NULL, &err));
    refused(krs_decoder_reorder(d, rows, &err), KRS_E_RANGE,
            "row 1 cannot become row 2; there are 2");
    o.beams = 3;
    refused(SEARCH(d), KRS_E_RANGE, "3 of them do not divide the 2 rows");
    o.beams = 0;
    refused(SEARCH(d), KRS_E_RANGE, "0 of them do not divide the 2 rows");
    o.beams = 2;
    o.max_new_tokens = ROOM;
    refused(SEARCH(d), KRS_E_RANGE,
            "16 new ids after a prompt of 4 do not fit the 16 places");
    o.max_new_tokens = N;
    o.length_penalty = (double)NAN;
    refused(SEARCH(d), KRS_E_RANGE, "length_penalty nan");
    o.struct_size = 1;
    refused(SEARCH(d), KRS_E_ARGUMENT, "struct_size");
#undef SEARCH
    krs_decoder_close(d);
    krs_decoder_close(plain);
    tear_down();
}
END_TEST

SUITE(enough_beams_find_the_best_of_all_texts,
      texts_have_their_scores_best_first,
      one_beam_takes_the_likeliest_id_each_time,
      rules_and_the_callback_bound_the_search,
      a_row_goes_on_from_what_another_has_read,
      what_cannot_be_searched_is_refused)
