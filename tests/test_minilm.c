/* test_minilm.c -- all-MiniLM-L6-v2 from its folder: the tokenizer gives the
 * ids and the mask of golden/real for a batch padded to its longest text, and
 * the encoder its vectors, pooled in each way.
 */
#include <krs/check.h>
#include <krs/embed.h>
#include <krs/model.h>
#include <krs/weights.h>

#include "every_device.h"
#include "temp_folder.h"

#include "real_models.h"

#include <jansson.h>
#include <string.h>

enum { MOST_TEXTS = 32 };

static krs_error err;

static void
must(krs_status status)
{
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

/* An integer tensor of the golden file, [rows, columns]; free it. */
static int64_t *
golden_tensor(const char *name, size_t rows, size_t *columns)
{
    krs_weights *w;
    must(krs_weights_open(TESTS_DIR "/golden/real/minilm.safetensors", &w,
                          &err));
    int64_t i = krs_weights_find(w, name);
    ck_assert_int_ge(i, 0);
    const krs_weight *tensor = krs_weights_at(w, (size_t)i);
    ck_assert_int_eq(tensor->rank, 2);
    ck_assert_uint_eq((size_t)tensor->shape[0], rows);
    *columns = (size_t)tensor->shape[1];
    int64_t *values = malloc((size_t)tensor->bytes);
    must(krs_weights_read(w, (size_t)i, KRS_I64, values, (size_t)tensor->bytes,
                          &err));
    krs_weights_close(w);
    return values;
}

static size_t
golden_texts(const json_t *root, krs_text texts[MOST_TEXTS])
{
    const json_t *list = json_object_get(root, "texts");
    size_t count = json_array_size(list);
    ck_assert_uint_ge(count, 10);
    ck_assert_uint_le(count, MOST_TEXTS);
    for (size_t i = 0; i < count; i++) {
        const json_t *text = json_array_get(list, i);
        texts[i] =
            (krs_text){json_string_value(text), json_string_length(text)};
    }
    return count;
}

START_TEST(ids_and_mask_are_those_of_the_reference)
{
    char model[4096];
    krs_tokenizer *t;
    krs_text texts[MOST_TEXTS];
    krs_encoding encodings[MOST_TEXTS] = {{0}};
    size_t columns;
    ck_assert(find_real_model(MINILM, model));
    json_t *root =
        json_load_file(TESTS_DIR "/golden/real/minilm.json", 0, NULL);
    size_t count = golden_texts(root, texts);
    int64_t *ids = golden_tensor("input_ids", count, &columns);
    int64_t *mask = golden_tensor("attention_mask", count, &columns);
    const krs_truncation truncation = {
        .max_length = json_integer_value(json_object_get(root, "max_length"))};
    ck_assert_int_gt(truncation.max_length, 0);
    krs_encode_options options = {
        .struct_size = sizeof options, .truncation = &truncation, .pad_to = -2};
    must(krs_tokenizer_open(model, &t, &err));
    must(krs_tokenizer_encode_batch(t, texts, NULL, count, &options, encodings,
                                    &err));
    for (size_t row = 0; row < count; row++) {
        const krs_encoding *e = &encodings[row];
        ck_assert_uint_eq(e->count, columns);
        for (size_t i = 0; i < columns; i++) {
            ck_assert_int_eq(e->ids[i], ids[row * columns + i]);
            ck_assert_int_eq(!(e->marks[i] & KRS_TOKEN_IS_PADDING),
                             mask[row * columns + i]);
            ck_assert_uint_eq(e->type_ids[i], 0);
        }
        krs_encoding_free(&encodings[row]);
    }
    krs_tokenizer_free(t);
    free(ids);
    free(mask);
    json_decref(root);
}
END_TEST

/* ---- vectors ---- */

/* The texts of the golden file as ids. */
struct batch {
    json_t *root;
    krs_text texts[MOST_TEXTS];
    krs_encoding encodings[MOST_TEXTS];
    size_t count;
    krs_tolerance tolerance;
};

static void
open_batch(struct batch *b, const char *model, int64_t max_length)
{
    krs_tokenizer *t;
    const krs_truncation truncation = {.max_length = max_length};
    krs_encode_options options = {
        .struct_size = sizeof options, .truncation = &truncation, .pad_to = -2};
    *b = (struct batch){
        .root = json_load_file(TESTS_DIR "/golden/real/minilm.json", 0, NULL)};
    b->count = golden_texts(b->root, b->texts);
    const json_t *tol = json_object_get(b->root, "tol");
    b->tolerance.rtol = json_number_value(json_object_get(tol, "rtol"));
    b->tolerance.atol = json_number_value(json_object_get(tol, "atol"));
    ck_assert(b->tolerance.rtol > 0 && b->tolerance.rtol < 1e-4);
    must(krs_tokenizer_open(model, &t, &err));
    must(krs_tokenizer_encode_batch(t, b->texts, NULL, b->count, &options,
                                    b->encodings, &err));
    krs_tokenizer_free(t);
}

static void
close_batch(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        krs_encoding_free(&b->encodings[i]);
    json_decref(b->root);
}

/* All vectors of one kind, against those of that name. */
static void
expect_vectors(krs_store *store, const krs_model_config *config,
               const krs_embed_options *options, const struct batch *b,
               const char *name)
{
    enum { WIDTH = 384 };
    static float got[MOST_TEXTS * WIDTH], want[MOST_TEXTS * WIDTH];
    krs_embedder *e;
    krs_weights *w;
    krs_comparison comparison;
    size_t bytes = b->count * WIDTH * sizeof *got;
    must(krs_embedder_open(store, &config->of.bert, options, &e, &err));
    ck_assert_int_eq(krs_embedder_width(e), WIDTH);
    must(krs_embedder_run(e, b->encodings, b->count, got, &err));
    must(krs_weights_open(TESTS_DIR "/golden/real/minilm.safetensors", &w,
                          &err));
    int64_t i = krs_weights_find(w, name);
    ck_assert_int_ge(i, 0);
    must(krs_weights_read(w, (size_t)i, KRS_F32, want, bytes, &err));
    krs_shape shape = KRS_SHAPE((int64_t)b->count, WIDTH);
    const krs_view got_view = {KRS_F32, shape, got, bytes},
                   want_view = {KRS_F32, shape, want, bytes};
    krs_status status = krs_compare(&got_view, &want_view, NULL, b->tolerance,
                                    &comparison, &err);
    ck_assert_msg(status == KRS_OK, "%s: %s", name, err.text);
    printf("%s: worst %.3f of its tolerance\n", name, comparison.ratio);
    krs_weights_close(w);
    krs_embedder_close(e);
}

START_TEST(vectors_are_those_of_the_reference_pooled_in_each_way)
{
    char model[4096];
    struct batch b;
    krs_model_config config;
    krs_embed_options options;
    krs_store *store;
    ck_assert(find_real_model(MINILM, model));
    const krs_device_options cached = {.struct_size = sizeof cached,
                                       .cache = temp_folder()};
    krs_device *device = open_every(EVERY_DEVICE - 1, &cached);
    must(krs_store_new(device, &store, &err));
    must(krs_model_open(model, store, &config, &err));
    ck_assert_int_eq(config.architecture, KRS_ARCHITECTURE_BERT_ENCODER);
    must(krs_embed_settings(model, &config.of.bert, &options, &err));
    ck_assert_int_eq(options.pooling, KRS_POOLING_MEAN);
    ck_assert(options.normalize);
    ck_assert_int_eq(options.max_length, 256);
    open_batch(&b, model, options.max_length);
    expect_vectors(store, &config, &options, &b, "mean_normalised");
    options.batch = 4; /* batches of other sizes and lengths */
    options.normalize = false;
    expect_vectors(store, &config, &options, &b, "mean");
    options.pooling = KRS_POOLING_FIRST;
    expect_vectors(store, &config, &options, &b, "cls");
    close_batch(&b);
    krs_store_free(store);
    krs_device_close(device);
}
END_TEST

REAL_MODEL_SUITE(MINILM, ids_and_mask_are_those_of_the_reference,
                 vectors_are_those_of_the_reference_pooled_in_each_way)
