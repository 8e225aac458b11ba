/* text.c -- files of text or token ids as windows of a language model.
 *
 * In: files (or an array) of bytes, uint16 or int32. Out: batches of inputs
 * and labels, int64 [B, T]. Invariant: after opening, every window that can
 * be asked for lies inside one part and holds ids in range, so drawing needs
 * no check but those of its arguments.
 *
 * The border between the parts: with W training windows the training part is
 * exactly W*T + 1 tokens, so no window is cut by the border and none crosses
 * it; W is the largest for which the validation part is not smaller than the
 * fraction asked for.
 *
 * Tokens are kept at the width of the file (a byte a token for text) and
 * widened when drawn. Files are read, not mapped: a file that is cut short by
 * another process must not kill a training run.
 */
#include "../load/file_read.h"
#include "order.h"

#include <krs/data.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES ((uint64_t)4 << 30) /* of one file, unless options say */
#define WHERE_TEXT 320

struct krs_data {
    void *tokens;
    krs_token_kind kind;
    int64_t count;      /* tokens */
    int64_t window;     /* T */
    int64_t windows;    /* for training */
    int64_t validation; /* windows for validation */
    int64_t border;     /* first token of the validation part */
};

static size_t
token_bytes(krs_token_kind kind)
{
    switch (kind) {
    case KRS_TOKENS_BYTES: return 1;
    case KRS_TOKENS_U16: return 2;
    case KRS_TOKENS_I32: return 4;
    }
    return 0;
}

static int64_t
token(const krs_data *data, int64_t i)
{
    switch (data->kind) {
    case KRS_TOKENS_BYTES: return ((const uint8_t *)data->tokens)[i];
    case KRS_TOKENS_U16: return ((const uint16_t *)data->tokens)[i];
    case KRS_TOKENS_I32: break;
    }
    return ((const int32_t *)data->tokens)[i];
}

static krs_status
check_options(krs_token_kind kind, const krs_data_options *o, krs_error *err)
{
    if (!o || o->struct_size < sizeof *o)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "data: options must be given, with struct_size %zu",
                        sizeof *o);
    if (token_bytes(kind) == 0)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "data: token kind %d does not exist", (int)kind);
    if (o->window < 1 || o->window > INT64_MAX / 16)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "data: a window has %" PRId64
                        " tokens, at least 1 is needed",
                        o->window);
    if (!(o->validation >= 0 && o->validation < 1))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "data: the validation part is %g of the text, it must "
                        "be at least 0 and less than 1",
                        o->validation);
    if (o->vocabulary < 0)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "data: the vocabulary has %" PRId64 " tokens",
                        o->vocabulary);
    return KRS_OK;
}

static krs_status
check_tokens(const krs_data *data, const char *where, int64_t vocabulary,
             krs_error *err)
{
    int64_t limit = vocabulary ? vocabulary : INT64_MAX;
    for (int64_t i = 0; i < data->count; i++) {
        int64_t id = token(data, i);
        if (id >= 0 && id < limit)
            continue;
        if (id < 0)
            return krs_fail(err, KRS_E_FORMAT,
                            "%s: token %" PRId64 " is %" PRId64
                            ", ids are not negative; the file may be of "
                            "another kind",
                            where, i, id);
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: token %" PRId64 " is %" PRId64
                        ", the vocabulary has %" PRId64
                        " tokens; tokenizer and model may not belong together",
                        where, i, id, vocabulary);
    }
    return KRS_OK;
}

/* Place the border. `where` names the source in messages. */
static krs_status
split(krs_data *data, const char *where, double fraction, krs_error *err)
{
    int64_t t = data->window;
    int64_t held = (int64_t)ceil((double)data->count * fraction);
    int64_t train = data->count > held ? data->count - held : 0;
    data->windows = train > t ? (train - 1) / t : 0;
    data->border = data->count;
    if (data->windows < 1)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: %" PRId64 " tokens for training are fewer than "
                        "one window of %" PRId64
                        "; use more text or a shorter window",
                        where, train, t + 1);
    if (fraction == 0)
        return KRS_OK;
    data->border = data->windows * t + 1;
    int64_t rest = data->count - data->border;
    data->validation = rest > t ? (rest - 1) / t : 0;
    if (data->validation < 1)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: %" PRId64 " tokens for validation are fewer than "
                        "one window of %" PRId64
                        "; use more text, a larger part or a shorter window",
                        where, rest, t + 1);
    return KRS_OK;
}

/* Make *out of data whose tokens are in place; data is taken over. */
static krs_status
finish(krs_data *data, const char *where, const krs_data_options *options,
       krs_data **out, krs_error *err)
{
    data->window = options->window;
    krs_status status = check_tokens(data, where, options->vocabulary, err);
    if (status == KRS_OK)
        status = split(data, where, options->validation, err);
    if (status == KRS_OK)
        *out = data;
    else
        krs_data_free(data);
    return status;
}

/* Append one file to data->tokens, which has data->count tokens. */
static krs_status
append_file(krs_data *data, const krsi_file *file, krs_error *err)
{
    size_t size = token_bytes(data->kind), used = (size_t)data->count * size;
    size_t total;
    if (file->bytes == 0)
        return krs_fail(err, KRS_E_FORMAT, "%s: is empty, text is expected",
                        file->path);
    if (file->bytes % size != 0)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: is %" PRIu64
                        " bytes long, not a whole number of %zu-byte ids",
                        file->path, file->bytes, size);
    void *tokens = NULL;
    if (!__builtin_add_overflow(used, file->bytes, &total) &&
        total <= INT64_MAX)
        tokens = realloc(data->tokens, total);
    if (!tokens)
        return krs_fail(err, KRS_E_MEMORY,
                        "%s: out of memory for its %" PRIu64 " bytes",
                        file->path, file->bytes);
    data->tokens = tokens;
    KRS_TRY(krsi_file_read(file, 0, (char *)tokens + used, (size_t)file->bytes,
                           err));
    data->count = (int64_t)(total / size);
    return KRS_OK;
}

static krs_status
append_path(krs_data *data, const char *path, uint64_t most_bytes,
            krs_error *err)
{
    krsi_file file;
    if (!path)
        return krs_fail(err, KRS_E_ARGUMENT, "data: a path is NULL");
    KRS_TRY(krsi_file_open(path, most_bytes, &file, err));
    krs_status status = append_file(data, &file, err);
    krsi_file_close(&file);
    return status;
}

krs_status
krs_data_open(const char *const *paths, size_t count, krs_token_kind kind,
              const krs_data_options *options, krs_data **out, krs_error *err)
{
    KRS_TRY(check_options(kind, options, err));
    if (!paths || count == 0 || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "data: open: at least one path and out must be given");
    krs_data *data = calloc(1, sizeof *data);
    if (!data)
        return krs_fail(err, KRS_E_MEMORY, "data: open: out of memory");
    data->kind = kind;
    krs_status status = KRS_OK;
    for (size_t i = 0; status == KRS_OK && i < count; i++)
        status = append_path(
            data, paths[i],
            options->most_bytes ? options->most_bytes : MOST_BYTES, err);
    if (status != KRS_OK) {
        krs_data_free(data);
        return status;
    }
    char where[WHERE_TEXT];
    if (count == 1)
        snprintf(where, sizeof where, "%s", paths[0]);
    else
        snprintf(where, sizeof where, "%.280s and %zu more", paths[0],
                 count - 1);
    return finish(data, where, options, out, err);
}

krs_status
krs_data_new(const void *tokens, size_t count, krs_token_kind kind,
             const krs_data_options *options, krs_data **out, krs_error *err)
{
    size_t bytes;
    KRS_TRY(check_options(kind, options, err));
    if (!tokens || count == 0 || !out ||
        __builtin_mul_overflow(count, token_bytes(kind), &bytes) ||
        bytes > INT64_MAX)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "data: new: tokens and out must be given, and at "
                        "least one token");
    krs_data *data = calloc(1, sizeof *data);
    if (data)
        data->tokens = malloc(bytes);
    if (!data || !data->tokens) {
        krs_data_free(data);
        return krs_fail(err, KRS_E_MEMORY,
                        "data: new: out of memory for %zu bytes", bytes);
    }
    memcpy(data->tokens, tokens, bytes);
    data->kind = kind;
    data->count = (int64_t)count;
    return finish(data, "data", options, out, err);
}

void
krs_data_free(krs_data *data)
{
    if (!data)
        return;
    free(data->tokens);
    free(data);
}

int64_t
krs_data_tokens(const krs_data *data)
{
    return data->count;
}

int64_t
krs_data_window(const krs_data *data)
{
    return data->window;
}

int64_t
krs_data_windows(const krs_data *data)
{
    return data->windows;
}

int64_t
krs_data_validation_windows(const krs_data *data)
{
    return data->validation;
}

int64_t
krs_data_validation_start(const krs_data *data)
{
    return data->border;
}

krs_data_cursor
krs_data_start(const krs_data *data, int64_t seed)
{
    return (krs_data_cursor){
        .seed = seed, .windows = data->windows, .window = data->window};
}

/* T + 1 tokens from `first` on as row b of inputs and labels, [B, T]. */
static void
copy_window(const krs_data *data, int64_t first, int64_t b, int64_t *inputs,
            int64_t *labels)
{
    int64_t t = data->window;
    for (int64_t i = 0; i < t; i++) {
        inputs[b * t + i] = token(data, first + i);
        labels[b * t + i] = token(data, first + i + 1);
    }
}

static krs_status
check_batch(const krs_data *data, int64_t batch, const int64_t *inputs,
            const int64_t *labels, krs_error *err)
{
    int64_t bytes;
    if (batch < 1 || !inputs || !labels ||
        __builtin_mul_overflow(batch, data->window * 8, &bytes))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "data: a batch of %" PRId64
                        " windows; at least one, and room for inputs and "
                        "labels must be given",
                        batch);
    return KRS_OK;
}

static krs_status
check_cursor(const krs_data *data, const krs_data_cursor *c, krs_error *err)
{
    if (c->windows != data->windows || c->window != data->window)
        return krs_fail(err, KRS_E_RANGE,
                        "data: the cursor belongs to %" PRId64
                        " windows of %" PRId64 " tokens, the data has %" PRId64
                        " of %" PRId64
                        "; resume with the text and window of the first run",
                        c->windows, c->window, data->windows, data->window);
    if (c->epoch < 0 || c->position < 0 || c->position >= c->windows)
        return krs_fail(err, KRS_E_RANGE,
                        "data: the cursor is at epoch %" PRId64
                        ", position %" PRId64 " of %" PRId64,
                        c->epoch, c->position, c->windows);
    return KRS_OK;
}

krs_status
krs_data_skip(const krs_data *data, krs_data_cursor *cursor, int64_t windows,
              krs_error *err)
{
    int64_t position, epoch;
    KRS_TRY(check_cursor(data, cursor, err));
    if (windows < 0 ||
        __builtin_add_overflow(cursor->position, windows, &position) ||
        __builtin_add_overflow(cursor->epoch, position / data->windows, &epoch))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "data: cannot skip %" PRId64 " windows", windows);
    cursor->epoch = epoch;
    cursor->position = position % data->windows;
    return KRS_OK;
}

krs_status
krs_data_next(const krs_data *data, krs_data_cursor *cursor, int64_t batch,
              int64_t *inputs, int64_t *labels, krs_error *err)
{
    krs_data_cursor c = *cursor;
    KRS_TRY(check_batch(data, batch, inputs, labels, err));
    KRS_TRY(check_cursor(data, &c, err));
    for (int64_t b = 0; b < batch; b++) {
        int64_t i = krsi_shuffled(c.seed, c.epoch, c.windows, c.position);
        copy_window(data, i * data->window, b, inputs, labels);
        KRS_TRY(krs_data_skip(data, &c, 1, err));
    }
    *cursor = c;
    return KRS_OK;
}

krs_status
krs_data_validation(const krs_data *data, int64_t first, int64_t batch,
                    int64_t *inputs, int64_t *labels, krs_error *err)
{
    KRS_TRY(check_batch(data, batch, inputs, labels, err));
    if (first < 0 || first > data->validation ||
        batch > data->validation - first)
        return krs_fail(err, KRS_E_RANGE,
                        "data: validation windows %" PRId64 " to %" PRId64
                        " were asked for, there are %" PRId64,
                        first, (int64_t)((uint64_t)first + (uint64_t)batch),
                        data->validation);
    for (int64_t b = 0; b < batch; b++)
        copy_window(data, data->border + (first + b) * data->window, b, inputs,
                    labels);
    return KRS_OK;
}
