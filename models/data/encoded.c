/* encoded.c -- documents of text files as ids of a tokenizer, in windows or in
 * shards (krs_data_encode and krs_shards_encode in corpus.h).
 *
 * In: files and a tokenizer. Out: the ids of all documents in order, an eos
 * behind each; as a krs_data, with how many bytes of text a token of its
 * validation part stands for, so that losses of different vocabularies can be
 * compared (bits a byte).
 *
 * For that the place in the text where each token ends is kept until the
 * windows are known: eight bytes a token while the files are read.
 */
#include <krs/corpus.h>

#include <stdlib.h>
#include <string.h>

/* Takes a document of `bytes` as it was encoded; eos: the id to put behind it,
 * -1 if it ends so or there is none. */
typedef krs_status take_document(void *user, const krs_encoding *e,
                                 size_t bytes, int64_t eos, krs_error *err);

static krs_status
encode_file(const char *path, const krs_tokenizer *t,
            const krs_corpus_options *options, krs_encoding *e,
            take_document *take, void *user, krs_error *err)
{
    static const krs_truncation whole = {.max_length = 0};
    const krs_encode_options how = {
        .struct_size = sizeof how, .truncation = &whole, .pad_to = -1};
    krs_corpus *corpus;
    const char *text;
    size_t bytes;
    KRS_TRY(krs_corpus_open(path, options, &corpus, err));
    krs_status status = krs_corpus_next(corpus, &text, &bytes, err);
    while (status == KRS_OK && text) {
        krs_error inner;
        int64_t eos = krs_tokenizer_eos(t);
        status = krs_tokenizer_encode(t, text, bytes, &how, e, &inner);
        if (status != KRS_OK)
            krs_fail(err, status, "%s: %s", path, inner.text);
        else if (e->count > 0 && e->ids[e->count - 1] == eos)
            status = take(user, e, bytes, -1, err);
        else
            status = take(user, e, bytes, eos, err);
        if (status == KRS_OK)
            status = krs_corpus_next(corpus, &text, &bytes, err);
    }
    krs_corpus_close(corpus);
    return status;
}

static krs_status
encode_files(const char *const *paths, size_t count, const krs_tokenizer *t,
             const krs_corpus_options *options, take_document *take, void *user,
             krs_error *err)
{
    krs_encoding e = {0};
    krs_status status = KRS_OK;
    for (size_t i = 0; status == KRS_OK && i < count; i++)
        status = encode_file(paths[i], t, options, &e, take, user, err);
    krs_encoding_free(&e);
    return status;
}

/* ---- windows ---- */

/* Ids so far, and the byte of the whole text where each ends. */
struct row {
    int32_t *ids;
    int64_t *ends;
    size_t count, room;
    int64_t bytes; /* of all documents so far */
};

static krs_status
make_room(struct row *r, size_t more, krs_error *err)
{
    size_t room = r->room ? r->room : 4096;
    while (room < r->count + more)
        if (__builtin_mul_overflow(room, 2, &room) || room > SIZE_MAX / 8)
            return krs_fail(err, KRS_E_RANGE, "text: too many tokens");
    if (room == r->room)
        return KRS_OK;
    int32_t *ids = realloc(r->ids, room * sizeof *ids);
    if (ids)
        r->ids = ids;
    int64_t *ends = ids ? realloc(r->ends, room * sizeof *ends) : NULL;
    if (!ends)
        return krs_fail(err, KRS_E_MEMORY, "text: no memory for %zu tokens",
                        room);
    r->ends = ends;
    r->room = room;
    return KRS_OK;
}

/* A token outside the text ends where the one before it does. */
static krs_status
add_document(void *user, const krs_encoding *e, size_t bytes, int64_t eos,
             krs_error *err)
{
    struct row *r = user;
    KRS_TRY(make_room(r, e->count + 1, err));
    int64_t end = r->bytes;
    for (size_t i = 0; i < e->count; i++) {
        if (e->ids[i] > INT32_MAX)
            return krs_fail(err, KRS_E_RANGE, "text: the id %u is too large",
                            e->ids[i]);
        if (r->bytes + e->spans[i].end > end)
            end = r->bytes + e->spans[i].end;
        r->ids[r->count] = (int32_t)e->ids[i];
        r->ends[r->count++] = end;
    }
    r->bytes += (int64_t)bytes;
    if (eos >= 0) {
        r->ids[r->count] = (int32_t)eos;
        r->ends[r->count++] = r->bytes;
    }
    if (e->count > 0)
        r->ends[r->count - 1] = r->bytes;
    return KRS_OK;
}

/* Bytes a label of the validation part; 0 without one. */
static double
bytes_per_label(const struct row *r, const krs_data *data)
{
    int64_t labels = krs_data_validation_windows(data) * krs_data_window(data);
    int64_t first = krs_data_validation_start(data);
    if (labels == 0)
        return 0;
    return (double)(r->ends[first + labels] - r->ends[first]) / (double)labels;
}

krs_status
krs_data_encode(const char *const *paths, size_t count, const krs_tokenizer *t,
                const krs_corpus_options *corpus,
                const krs_data_options *options, krs_data **out,
                double *out_bytes_per_token, krs_error *err)
{
    if (!paths || count == 0 || !t || !out || !out_bytes_per_token)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "data: encode: at least one path, a tokenizer and both "
                        "results must be given");
    struct row r = {.count = 0};
    krs_status status =
        encode_files(paths, count, t, corpus, add_document, &r, err);
    if (status == KRS_OK && r.count == 0)
        status = krs_fail(err, KRS_E_FORMAT, "%s: no tokens in %zu files",
                          paths[0], count);
    if (status == KRS_OK)
        status =
            krs_data_new(r.ids, r.count, KRS_TOKENS_I32, options, out, err);
    if (status == KRS_OK)
        *out_bytes_per_token = bytes_per_label(&r, *out);
    free(r.ids);
    free(r.ends);
    return status;
}

/* ---- shards ---- */

struct feed {
    krs_shards *shards;
    int64_t *ids;
    size_t room;
};

static krs_status
feed_document(void *user, const krs_encoding *e, size_t bytes, int64_t eos,
              krs_error *err)
{
    struct feed *f = user;
    size_t count = e->count;
    (void)bytes;
    if (f->room < count + 1) {
        size_t room = 2 * (count + 1);
        int64_t *ids = realloc(f->ids, room * sizeof *ids);
        if (!ids)
            return krs_fail(err, KRS_E_MEMORY, "text: no memory for %zu tokens",
                            room);
        f->ids = ids;
        f->room = room;
    }
    for (size_t i = 0; i < count; i++)
        f->ids[i] = e->ids[i];
    if (eos >= 0)
        f->ids[count++] = eos;
    return krs_shards_add(f->shards, f->ids, count, err);
}

krs_status
krs_shards_encode(krs_shards *shards, const char *const *paths, size_t count,
                  const krs_tokenizer *t, const krs_corpus_options *corpus,
                  krs_error *err)
{
    if (!shards || !paths || !t)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "shards: encode: shards, paths and a tokenizer must be "
                        "given");
    struct feed f = {.shards = shards};
    krs_status status =
        encode_files(paths, count, t, corpus, feed_document, &f, err);
    free(f.ids);
    return status;
}
