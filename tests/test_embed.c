/* test_embed.c -- texts as vectors: pooling of golden hidden states, batches
 * that change nothing, the settings of a folder, what is refused.
 */
#include "every_device.h"
#include "fault_memory.h"
#include "temp_folder.h"

#include <krs/embed.h>
#include <krs/model.h>
#include <krs/weights.h>

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#define BERT TESTS_DIR "/golden/models/bert"

enum { B = 2, T = 13, C = 32 };

static krs_error err;
static krs_device *device;
static krs_store *store;
static krs_model_config config;

static void
must(krs_status status)
{
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

static void
open_bert(int which)
{
    const krs_device_options cached = {.struct_size = sizeof cached,
                                       .cache = temp_folder()};
    device = open_every(which, &cached);
    must(krs_store_new(device, &store, &err));
    must(krs_model_open(BERT, store, &config, &err));
}

static void
close_bert(void)
{
    krs_store_free(store);
    krs_device_close(device);
}

static void
read_tensor(const char *name, krs_dtype dtype, void *out, size_t bytes)
{
    krs_weights *w;
    must(krs_weights_open(BERT "/golden.safetensors", &w, &err));
    int64_t i = krs_weights_find(w, name);
    ck_assert_int_ge(i, 0);
    must(krs_weights_read(w, (size_t)i, dtype, out, bytes, &err));
    krs_weights_close(w);
}

/* The two rows of ids of the golden folder; the second ends in padding. */
struct rows {
    int64_t mask[B * T];
    uint32_t ids[B * T], types[B * T];
    uint8_t marks[B * T];
    krs_encoding e[B];
};

static void
read_rows(struct rows *r)
{
    int64_t ids[B * T], types[B * T];
    read_tensor("in.input_ids", KRS_I64, ids, sizeof ids);
    read_tensor("in.token_type_ids", KRS_I64, types, sizeof types);
    read_tensor("in.attention_mask", KRS_I64, r->mask, sizeof r->mask);
    for (int i = 0; i < B * T; i++) {
        r->ids[i] = (uint32_t)ids[i];
        r->types[i] = (uint32_t)types[i];
        r->marks[i] = r->mask[i] == 1 ? 0 : KRS_TOKEN_IS_PADDING;
    }
    for (int b = 0; b < B; b++)
        r->e[b] = (krs_encoding){.count = T,
                                 .ids = r->ids + (ptrdiff_t)b * T,
                                 .type_ids = r->types + (ptrdiff_t)b * T,
                                 .marks = r->marks + (ptrdiff_t)b * T};
}

static const krs_embed_options plain = {.struct_size = sizeof plain};

static void
run(const krs_embed_options *options, const krs_encoding *texts, size_t count,
    float *vectors)
{
    krs_embedder *e;
    must(krs_embedder_open(store, &config.of.bert, options, &e, &err));
    must(krs_embedder_run(e, texts, count, vectors, &err));
    krs_embedder_close(e);
}

static void
expect_near(const float *got, const double *want)
{
    for (int i = 0; i < B * C; i++)
        ck_assert_msg(fabs((double)got[i] - want[i]) <= 2e-5, "%d: %g, not %g",
                      i, (double)got[i], want[i]);
}

START_TEST(vectors_are_pooled_from_the_hidden_states_of_the_reference)
{
    static float h[B * T * C], got[B * C];
    double mean[B * C] = {0}, first[B * C], most[B * C];
    struct rows r;
    read_rows(&r);
    read_tensor("hidden.2", KRS_F32, h, sizeof h);
    for (int i = 0; i < B * C; i++)
        most[i] = -INFINITY;
    for (int b = 0; b < B; b++) {
        double tokens = 0;
        for (int t = 0; t < T; t++) {
            tokens += (double)r.mask[b * T + t];
            for (int c = 0; c < C && r.mask[b * T + t]; c++) {
                double x = (double)h[(b * T + t) * C + c];
                mean[b * C + c] += x;
                most[b * C + c] = fmax(most[b * C + c], x);
                if (t == 0)
                    first[b * C + c] = x;
            }
        }
        for (int c = 0; c < C; c++)
            mean[b * C + c] /= tokens;
    }
    for (int d = 0; d < EVERY_DEVICE; d++) {
        krs_embed_options options = plain;
        open_bert(d);
        run(&options, r.e, B, got);
        expect_near(got, mean);
        options.pooling = KRS_POOLING_FIRST;
        run(&options, r.e, B, got);
        expect_near(got, first);
        options.pooling = KRS_POOLING_MAX;
        run(&options, r.e, B, got);
        expect_near(got, most);
        close_bert();
    }
}
END_TEST

START_TEST(neither_the_batch_nor_the_order_changes_a_vector)
{
    enum { TEXTS = 11 };
    static float together[TEXTS * C], alone[C];
    struct rows r;
    krs_encoding texts[TEXTS];
    krs_embed_options options = plain;
    options.normalize = true;
    options.batch = 3;
    read_rows(&r);
    for (int i = 0; i < TEXTS; i++) { /* lengths 11, 1, 2 .. 10 */
        texts[i] = r.e[0];
        texts[i].count = (size_t)(i == 0 ? TEXTS : i);
    }
    open_bert(0);
    run(&options, texts, TEXTS, together);
    for (size_t i = 0; i < TEXTS; i++) {
        double length = 0;
        run(&options, &texts[i], 1, alone);
        for (int c = 0; c < C; c++) {
            double x = (double)together[i * C + (size_t)c];
            ck_assert_double_eq_tol(x, (double)alone[c], 1e-6);
            length += x * x;
        }
        ck_assert_double_eq_tol(length, 1, 1e-6);
    }
    close_bert();
}
END_TEST

START_TEST(no_texts_are_no_vectors)
{
    open_bert(0);
    run(&plain, NULL, 0, NULL);
    close_bert();
}
END_TEST

/* ---- what is refused ---- */

static void
expect_refused(const krs_encoding *text, const char *reason)
{
    krs_embedder *e;
    float vector[C];
    must(krs_embedder_open(store, &config.of.bert, &plain, &e, &err));
    ck_assert_int_eq(krs_embedder_run(e, text, 1, vector, &err), KRS_E_RANGE);
    ck_assert_msg(strstr(err.text, reason) != NULL, "%s", err.text);
    krs_embedder_close(e);
}

START_TEST(texts_that_the_model_cannot_read_are_refused)
{
    uint32_t ids[40] = {0}, types[40] = {0};
    uint8_t marks[40] = {0};
    krs_encoding text = {.ids = ids, .type_ids = types, .marks = marks};
    open_bert(0);
    expect_refused(&text, "text 0: 0 tokens, expected 1 to 32");
    text.count = 33;
    expect_refused(&text, "33 tokens");
    text.count = 4;
    ids[2] = 211;
    expect_refused(&text, "id 211 is outside the model's vocabulary of 211");
    ids[2] = 0;
    types[3] = 2;
    expect_refused(&text, "token type 2, there are 2");
    memset(marks, KRS_TOKEN_IS_PADDING, sizeof marks);
    expect_refused(&text, "0 tokens");
    close_bert();
}
END_TEST

START_TEST(options_out_of_bounds_are_refused)
{
    krs_embedder *e;
    krs_embed_options o = plain;
    open_bert(0);
    o.max_length = 33;
    ck_assert_int_eq(krs_embedder_open(store, &config.of.bert, &o, &e, &err),
                     KRS_E_RANGE);
    ck_assert_ptr_nonnull(strstr(err.text, "32 places"));
    o = plain;
    o.batch = 65537;
    ck_assert_int_eq(krs_embedder_open(store, &config.of.bert, &o, &e, &err),
                     KRS_E_RANGE);
    o = plain;
    o.pooling = KRS_POOLINGS;
    ck_assert_int_eq(krs_embedder_open(store, &config.of.bert, &o, &e, &err),
                     KRS_E_ARGUMENT);
    close_bert();
}
END_TEST

/* ---- settings of a folder ---- */

static void
write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

START_TEST(a_folder_without_modules_means_the_normalized_mean)
{
    krs_embed_options o;
    open_bert(0);
    must(krs_embed_settings(BERT, &config.of.bert, &o, &err));
    ck_assert_int_eq(o.pooling, KRS_POOLING_MEAN);
    ck_assert(o.normalize);
    ck_assert_int_eq(o.max_length, 32);
    close_bert();
}
END_TEST

START_TEST(modules_say_pooling_normalization_and_length)
{
    krs_embed_options o;
    open_bert(0);
    mkdir(temp_path("pool"), 0700);
    write_text("sentence_bert_config.json", "{\"max_seq_length\": 16}");
    write_text("modules.json",
               "[{\"type\": \"sentence_transformers.models.Transformer\", "
               "\"path\": \"\"}, {\"type\": \"x.Pooling\", \"path\": "
               "\"pool\"}]");
    write_text("pool/config.json", "{\"pooling_mode_cls_token\": true, "
                                   "\"pooling_mode_mean_tokens\": false}");
    must(krs_embed_settings(temp_folder(), &config.of.bert, &o, &err));
    ck_assert_int_eq(o.pooling, KRS_POOLING_FIRST);
    ck_assert(!o.normalize);
    ck_assert_int_eq(o.max_length, 16);

    static const struct {
        const char *file, *text, *reason;
    } refused[] = {
        {"pool/config.json",          "{}",                                               "0 of mean, first and largest are on"      },
        {"pool/config.json",
         "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": "
         "true}",                                                                         "2 of mean"                                },
        {"pool/config.json",
         "{\"pooling_mode_mean_tokens\": true, "
         "\"pooling_mode_mean_sqrt_len_tokens\": true}",                                  "$.pooling_mode_mean_sqrt_len_tokens: true"},
        {"sentence_bert_config.json", "{\"max_seq_length\": 33}",
         "$.max_seq_length: expected a whole number from 1 to 32"                                                                    },
        {"modules.json",              "[{\"type\": \"x.Dense\"}]",
         "$[0]: expected the type Transformer"                                                                                       },
        {"modules.json",              "[{\"type\": \"Pooling\", \"path\": \"../pool\"}]",
         "$[0]: path: expected the name of a folder"                                                                                 },
        {"modules.json",              "{}",                                               "expected a list of modules"               },
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        size_t bytes;
        char *before = read_file(refused[i].file, &bytes);
        write_text(refused[i].file, refused[i].text);
        ck_assert_int_ne(
            krs_embed_settings(temp_folder(), &config.of.bert, &o, &err),
            KRS_OK);
        ck_assert_msg(strstr(err.text, refused[i].reason) != NULL, "%s",
                      err.text);
        write_text(refused[i].file, before);
        free(before);
    }
    unlink(temp_path("pool/config.json"));
    close_bert();
}
END_TEST

/* ---- memory ---- */

START_TEST(every_allocation_that_fails_is_a_status)
{
    struct rows r;
    float vectors[B * C];
    long n = 1;
    read_rows(&r);
    open_bert(0);
    for (;; n++) {
        krs_embedder *e = NULL;
        long before = memory_alive();
        memory_fail_at(n);
        krs_status status =
            krs_embedder_open(store, &config.of.bert, &plain, &e, &err);
        if (status == KRS_OK)
            status = krs_embedder_run(e, r.e, B, vectors, &err);
        krs_embedder_close(e);
        if (!memory_struck()) {
            must(status);
            break;
        }
        ck_assert(status == KRS_E_MEMORY || status == KRS_OK);
        ck_assert_int_eq(memory_alive(), before);
    }
    ck_assert_int_gt(n, 10);
    close_bert();
}
END_TEST

SUITE(vectors_are_pooled_from_the_hidden_states_of_the_reference,
      neither_the_batch_nor_the_order_changes_a_vector, no_texts_are_no_vectors,
      texts_that_the_model_cannot_read_are_refused,
      options_out_of_bounds_are_refused,
      a_folder_without_modules_means_the_normalized_mean,
      modules_say_pooling_normalization_and_length,
      every_allocation_that_fails_is_a_status)
