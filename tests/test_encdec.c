/* test_encdec.c -- encoder-decoders: the Transformer of the paper in both
 * orders of its norms, generation against the whole forward pass, what is
 * refused. The golden folders are kersey verify's (models.bats).
 */
#include "every_device.h"
#include "temp_folder.h"

#include <krs/generate.h>
#include <krs/model.h>
#include <krs/ops.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MODELS TESTS_DIR "/golden/models/"

enum { B = 2, S = 5, T = 6, V = 23 };

static krs_error err;

static void
must(krs_status status)
{
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

static krs_model_config
small_transformer(bool normalize_before)
{
    krs_encdec_config c = krs_encdec_defaults(KRS_ARCHITECTURE_TRANSFORMER);
    c.vocab_size = V;
    c.max_position_embeddings = 12;
    c.d_model = 16;
    c.encoder_layers = 2;
    c.decoder_layers = 1;
    c.encoder_attention_heads = 4;
    c.decoder_attention_heads = 2;
    c.encoder_ffn_dim = 24;
    c.decoder_ffn_dim = 20;
    c.init_std = 0.3;
    c.normalize_before = normalize_before;
    return (krs_model_config){.architecture = c.architecture, .of.encdec = c};
}

static const int64_t source[B * S] = {4, 9, 22, 7, 2, 11, 3, 2, 1, 1};
static const bool tokens[B * S] = {1, 1, 1, 1, 1, 1, 1, 1, 0, 0};
static const int64_t ids[B * T] = {0, 5, 6, 7, 8, 2, 0, 3, 3, 9, 14, 21};

/* logits [B,T,V] of the whole forward pass */
static void
whole(krs_store *store, const krs_encdec_config *c, float *logits)
{
    krs_graph *g = krs_graph_new();
    krs_encdec_call call = {
        .struct_size = sizeof call,
        .input_ids = krs_constant(g, KRS_I64, KRS_SHAPE(B, S), source),
        .attention_mask = krs_constant(g, KRS_BOOL, KRS_SHAPE(B, S), tokens),
        .decoder_input_ids = krs_constant(g, KRS_I64, KRS_SHAPE(B, T), ids)};
    krs_encdec_result r = {.struct_size = sizeof r};
    krs_node y = krs_encdec_forward(g, c, &call, &r);
    krs_program *p;
    must(krs_graph_check(g, &err));
    must(krs_program_new(store, &y, 1, &p, &err));
    must(krs_program_run(p, &err));
    must(krs_program_read(p, 0, logits, B * T * V * sizeof *logits, &err));
    krs_program_free(p);
    krs_graph_free(g);
}

static void
expect_row(const float *got, const float *logits, int t)
{
    for (int b = 0; b < B; b++)
        for (int v = 0; v < V; v++)
            ck_assert_double_eq_tol((double)got[b * V + v],
                                    (double)logits[(b * T + t) * V + v], 2e-5);
}

/* The decoder over a source that was read, id by id and in chunks. */
static void
expect_decoder_equal(krs_store *store, const krs_encdec_config *c)
{
    static float logits[B * T * V];
    const krs_encdec_memory memory = {c, B, S};
    const krs_decoder_options options = {.struct_size = sizeof options,
                                         .batch = B,
                                         .cache_length = T,
                                         .chunk = 3};
    whole(store, c, logits);
    must(krs_encdec_read(store, &memory, source, tokens, &err));
    krs_causal_model model = krs_encdec_decoder(&memory);
    krs_decoder *d;
    must(krs_decoder_open(store, &model, &options, &d, &err));
    int64_t prompt[B * 4], next[B];
    for (int b = 0; b < B; b++)
        memcpy(prompt + (ptrdiff_t)b * 4, ids + (ptrdiff_t)b * T,
               4 * sizeof *ids);
    must(krs_decoder_prompt(d, prompt, 4, NULL, &err));
    expect_row(krs_decoder_logits(d), logits, 3);
    for (int t = 4; t < T; t++) {
        for (int b = 0; b < B; b++)
            next[b] = ids[b * T + t];
        must(krs_decoder_step(d, next, &err));
        expect_row(krs_decoder_logits(d), logits, t);
    }
    krs_decoder_close(d);
}

START_TEST(the_decoder_over_a_source_gives_the_logits_of_the_whole)
{
    for (int i = 0; i < 2; i++) {
        krs_model_config m = small_transformer(i == 1);
        krs_store *store;
        krs_device *device = open_every(i, NULL);
        must(krs_store_new(device, &store, &err));
        must(krs_model_init(store, &m, 3, &err));
        expect_decoder_equal(store, &m.of.encdec);
        krs_store_free(store);
        krs_device_close(device);
    }
}
END_TEST

enum { C = 16 };

/* The states of a fresh encoder, [3][B,S,C], and its table of embeddings. */
static void
encode(const krs_model_config *m, float h[3][B * S * C], float table[V * C])
{
    krs_store *store;
    krs_program *p;
    krs_node hidden[3];
    krs_device *device = open_every(0, NULL);
    krs_graph *g = krs_graph_new();
    must(krs_store_new(device, &store, &err));
    must(krs_model_init(store, m, 3, &err));
    krs_encdec_call call = {
        .struct_size = sizeof call,
        .input_ids = krs_constant(g, KRS_I64, KRS_SHAPE(B, S), source),
        .decoder_input_ids = krs_constant(g, KRS_I64, KRS_SHAPE(B, T), ids),
        .encoder_hidden = hidden};
    krs_encdec_result r = {.struct_size = sizeof r};
    krs_encdec_forward(g, &m->of.encdec, &call, &r);
    must(krs_program_new(store, hidden, 3, &p, &err));
    must(krs_program_run(p, &err));
    for (size_t i = 0; i < 3; i++)
        must(krs_program_read(p, i, h[i], sizeof h[i], &err));
    must(krs_store_read(store, "model.shared.weight", table,
                        V * C * sizeof *table, &err));
    krs_program_free(p);
    krs_graph_free(g);
    krs_store_free(store);
    krs_device_close(device);
}

/* Embeddings scaled by sqrt(d_model), sines and cosines in turn. */
START_TEST(the_first_state_of_the_encoder_is_that_of_the_paper)
{
    static float table[V * C], h[3][B * S * C];
    krs_model_config m = small_transformer(false);
    encode(&m, h, table);
    for (int i = 0; i < B * S * C; i++) {
        int c = i % C, s = i / C % S;
        double angle = s / pow(10000.0, (double)(c / 2 * 2) / C);
        double want = 4.0 * (double)table[source[i / C] * C + c] +
                      (c % 2 == 0 ? sin(angle) : cos(angle));
        ck_assert_double_eq_tol((double)h[0][i], want, 1e-5);
    }
}
END_TEST

/* Channels that were normed last have the mean of the bias, 0: behind every
 * layer, or behind the last one alone. */
START_TEST(norms_stand_where_the_switch_puts_them)
{
    static float table[V * C], h[3][B * S * C];
    for (int first = 0; first < 2; first++) {
        krs_model_config m = small_transformer(first == 1);
        encode(&m, h, table);
        for (int i = 1; i < 3; i++) {
            double mean = 0;
            for (int c = 0; c < C; c++)
                mean += (double)h[i][c] / C;
            ck_assert_msg((fabs(mean) < 1e-6) == (first == 0 || i == 2),
                          "after layer %d the mean is %g", i, mean);
        }
    }
}
END_TEST

START_TEST(the_bias_of_the_logits_is_kept_and_not_trained)
{
    krs_model_config m;
    krs_graph *g;
    krs_node *all, *trained;
    size_t count, trained_count;
    must(krs_model_config_read(MODELS "bart/config.json", &m, &err));
    must(krs_model_parameters(&m, &g, &all, &count, &err));
    must(krs_nn_trainable(g, &trained, &trained_count, &err));
    ck_assert_uint_eq(count, 92);
    ck_assert_uint_eq(trained_count, 91);
    for (size_t i = 0; i < trained_count; i++)
        ck_assert_str_ne(krs_node_name(trained[i]), "final_logits_bias");
    free(all);
    free(trained);
    krs_graph_free(g);
}
END_TEST

static double
deviation_of(krs_store *store, const char *name, size_t count)
{
    static float v[1 << 15];
    double sum = 0;
    ck_assert_uint_le(count, sizeof v / sizeof *v);
    must(krs_store_read(store, name, v, count * sizeof *v, &err));
    for (size_t i = 0; i < count; i++)
        sum += (double)v[i] * (double)v[i];
    return sqrt(sum / (double)count);
}

START_TEST(fresh_weights_of_t5_are_scaled_by_what_is_summed)
{
    krs_model_config m = {.architecture = KRS_ARCHITECTURE_T5,
                          .of.encdec =
                              krs_encdec_defaults(KRS_ARCHITECTURE_T5)};
    krs_encdec_config *c = &m.of.encdec;
    krs_store *store;
    krs_device *device = open_every(0, NULL);
    c->vocab_size = 300;
    c->d_model = 64;
    c->d_kv = 16;
    c->encoder_attention_heads = c->decoder_attention_heads = 4;
    c->encoder_ffn_dim = c->decoder_ffn_dim = 128;
    c->encoder_layers = c->decoder_layers = 1;
    must(krs_store_new(device, &store, &err));
    must(krs_model_init(store, &m, 5, &err));
    /* deviations of 4096 numbers and more are within 5 % */
    const struct {
        const char *name;
        size_t count;
        double want;
    } weights[] = {
        {"shared.weight",                                    300 * 64, 1       },
        {"encoder.block.0.layer.0.SelfAttention.q.weight",   4096,     1.0 / 32},
        {"encoder.block.0.layer.0.SelfAttention.k.weight",   4096,     1.0 / 8 },
        {"decoder.block.0.layer.1.EncDecAttention.o.weight", 4096,     1.0 / 8 },
        {"decoder.block.0.layer.2.DenseReluDense.wi.weight", 8192,     1.0 / 8 },
        {"decoder.block.0.layer.2.DenseReluDense.wo.weight", 8192,
         1 / sqrt(128)                                                         },
    };
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
        double d = deviation_of(store, weights[i].name, weights[i].count);
        ck_assert_msg(fabs(d / weights[i].want - 1) < 0.05, "%s: %g, not %g",
                      weights[i].name, d, weights[i].want);
    }
    krs_store_free(store);
    krs_device_close(device);
}
END_TEST

/* ---- what is refused ---- */

static void
expect_refused(krs_graph *g, const krs_encdec_config *c, krs_encdec_call call,
               const char *reason)
{
    krs_encdec_result r = {.struct_size = sizeof r};
    krs_node y = krs_encdec_forward(g, c, &call, &r);
    ck_assert(!krs_node_is_valid(y));
    ck_assert_int_ne(krs_graph_check(g, &err), KRS_OK);
    ck_assert_msg(strstr(err.text, reason) != NULL, "%s", err.text);
    krs_graph_free(g);
}

static krs_encdec_call
small_call(krs_graph **g)
{
    *g = krs_graph_new();
    return (krs_encdec_call){
        .struct_size = sizeof(krs_encdec_call),
        .input_ids = krs_input(*g, "source", KRS_I64, KRS_SHAPE(B, S)),
        .decoder_input_ids = krs_input(*g, "ids", KRS_I64, KRS_SHAPE(B, T))};
}

START_TEST(a_call_that_does_not_fit_is_refused)
{
    krs_model_config m = small_transformer(false);
    const krs_encdec_config *c = &m.of.encdec;
    krs_graph *g;
    krs_encdec_call call = small_call(&g);
    call.struct_size--;
    expect_refused(g, c, call, "struct_size");
    call = small_call(&g);
    call.input_ids = krs_input(g, "x", KRS_F32, KRS_SHAPE(B, S));
    expect_refused(g, c, call, "input_ids must be i64 [B, S]");
    call = small_call(&g);
    call.decoder_input_ids = krs_input(g, "x", KRS_I64, KRS_SHAPE(B + 1, T));
    expect_refused(g, c, call, "decoder_input_ids must be i64 [B, T]");
    call = small_call(&g);
    call.attention_mask = krs_input(g, "x", KRS_BOOL, KRS_SHAPE(B, T));
    expect_refused(g, c, call, "attention_mask must be bool [B, S]");
    call = small_call(&g);
    call.labels = call.input_ids;
    expect_refused(g, c, call, "labels must be i64 [B, T]");
    call = small_call(&g);
    call.input_ids = krs_input(g, "x", KRS_I64, KRS_SHAPE(B, 13));
    expect_refused(g, c, call, "13 ids a row, there are from 1 to 12 places");
    call = small_call(&g);
    m.of.encdec.d_model = 15;
    expect_refused(g, c, call, "d_model: 15 is not a multiple");
}
END_TEST

START_TEST(a_source_that_does_not_fit_is_refused)
{
    krs_model_config m = small_transformer(false);
    krs_encdec_memory memory = {&m.of.encdec, B, 13};
    krs_store *store;
    krs_decoder *d;
    krs_device *device = open_every(0, NULL);
    must(krs_store_new(device, &store, &err));
    must(krs_model_init(store, &m, 3, &err));
    ck_assert_int_eq(krs_encdec_read(store, &memory, source, NULL, &err),
                     KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "2 rows of 13 ids"));
    memory.source = S;
    must(krs_encdec_read(store, &memory, source, NULL, &err));
    krs_causal_model model = krs_encdec_decoder(&memory);
    const krs_decoder_options one = {.struct_size = sizeof one, .batch = 1};
    ck_assert_int_eq(krs_decoder_open(store, &model, &one, &d, &err),
                     KRS_E_SHAPE);
    ck_assert_ptr_nonnull(strstr(err.text, "as many rows of ids"));
    krs_store_free(store);
    krs_device_close(device);
}
END_TEST

SUITE(the_decoder_over_a_source_gives_the_logits_of_the_whole,
      the_first_state_of_the_encoder_is_that_of_the_paper,
      norms_stand_where_the_switch_puts_them,
      the_bias_of_the_logits_is_kept_and_not_trained,
      fresh_weights_of_t5_are_scaled_by_what_is_summed,
      a_call_that_does_not_fit_is_refused,
      a_source_that_does_not_fit_is_refused)
