/* test_minilm.c -- all-MiniLM-L6-v2 from its folder: the tokenizer gives the
 * ids and the mask of golden/real for a batch padded to its longest text.
 */
#include <krs/token.h>
#include <krs/weights.h>

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

REAL_MODEL_SUITE(MINILM, ids_and_mask_are_those_of_the_reference)
