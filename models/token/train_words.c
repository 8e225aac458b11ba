/* train_words.c -- vocabularies of whole words, or characters (train.h).
 *
 * In: different words with their counts. Out: special tokens, then the words
 * that occur most; of equal counts the one whose bytes are smaller comes first,
 * as in the trainer of Hugging Face tokenizers, and for UTF-8 that is the order
 * of code points.
 */
#include "train.h"

#include <stdlib.h>
#include <string.h>

struct ranked {
    const char *text;
    size_t bytes;
    uint64_t count;
};

static int
compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    size_t common = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = memcmp(x->text, y->text, common);
    return order ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static krs_status
add_ranked(const krs_tokenizer_training *options, const struct ranked *all,
           size_t count, krsi_trained *out, krs_error *err)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t id;
        if (all[i].count < options->min_frequency ||
            out->vocabulary.ids >= options->vocabulary)
            break;
        KRS_TRY(krsi_train_token(out, all[i].text, all[i].bytes, &id, err));
    }
    return KRS_OK;
}

krs_status
krsi_train_words(const krsi_training *training, const krsi_counted *words,
                 krsi_trained *out, krs_error *err)
{
    size_t count = words->words.ids;
    KRS_TRY(krsi_train_special(training, out, err));
    if (out->vocabulary.ids > training->options->vocabulary)
        return krs_fail(err, KRS_E_RANGE,
                        "train: the special tokens alone are %zu tokens, the "
                        "vocabulary shall have %zu",
                        (size_t)out->vocabulary.ids,
                        training->options->vocabulary);
    struct ranked *all = calloc(count + 1, sizeof *all);
    if (!all)
        return krsi_no_memory(err, "words");
    for (uint32_t id = 0; id < count; id++) {
        all[id].text = krsi_vocabulary_text(&words->words, id, &all[id].bytes);
        all[id].count = words->counts[id];
    }
    qsort(all, count, sizeof *all, compare_ranked);
    krs_status status = add_ranked(training->options, all, count, out, err);
    free(all);
    return status;
}
