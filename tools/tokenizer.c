/* tokenizer.c -- kersey tokenizer train: a vocabulary out of texts.
 *
 * In: a text, a line a document. Out: DIR/tokenizer.json, which this program
 * and Hugging Face tokenizers read; equal texts give equal files.
 */
#include "tokenize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static krs_status
write_json(const char *folder, const char *text, size_t bytes, krs_error *err)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    if (n < 0 || n >= PATH_BYTES)
        return krs_fail(err, KRS_E_ARGUMENT, "--out is too long");
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return krs_fail(err, KRS_E_IO, "%s: cannot make the folder: %s", folder,
                        strerror(errno));
    FILE *file = fopen(path, "wb");
    bool written = file && fwrite(text, 1, bytes, file) == bytes;
    int error = errno;
    if (file && fclose(file) != 0) {
        error = errno;
        written = false;
    }
    if (!written)
        return krs_fail(err, KRS_E_IO, "%s: cannot write: %s", path,
                        strerror(error));
    return KRS_OK;
}

static krs_status
train(const struct flags *f, krs_train_kind kind, krs_error *err)
{
    krs_tokenizer_training training = {
        .struct_size = sizeof training,
        .kind = kind,
        .vocabulary = (size_t)f->vocab,
        .min_frequency = (size_t)f->min_frequency,
        .limit_alphabet = (size_t)f->limit_alphabet};
    krs_text text;
    char *data, *json;
    size_t bytes;
    KRS_TRY(read_text(f->data, &data, &text.bytes, err));
    text.text = data;
    krs_status status =
        krs_tokenizer_train(&training, &text, 1, &json, &bytes, err);
    free(data);
    if (status != KRS_OK)
        return status;
    status = write_json(f->out, json, bytes, err);
    krs_tokenizer *t;
    if (status == KRS_OK)
        status = krs_tokenizer_read("tokenizer.json", json, bytes, &t, err);
    if (status == KRS_OK) {
        talk("%s/tokenizer.json: %zu tokens", f->out, krs_tokenizer_size(t));
        krs_tokenizer_free(t);
    }
    free(json);
    return status;
}

int
command_tokenizer(const struct command_line *line)
{
    const struct flags *f = &line->flags;
    krs_train_kind kind;
    krs_error err;
    if (strcmp(line->operands[0], "train") != 0)
        return complain_usage("kersey tokenizer can train, not \"%s\"",
                              line->operands[0]);
    if (!f->data)
        return complain_usage("which text? --data FILE");
    if (!krs_train_parse(f->kind, &kind))
        return complain_usage(
            "--kind %s: expected bpe, bpe-chars, wordpiece, unigram, word or "
            "char",
            f->kind);
    if (!f->out)
        return complain_usage("where to? -o FOLDER");
    if (train(f, kind, &err) != KRS_OK)
        return complain(&err);
    return EXIT_OK;
}
