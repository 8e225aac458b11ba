/* corpus.h -- texts out of files, document by document, and token ids into
 * shards for data.h.
 *
 *     krs_corpus *c;
 *     const char *text;
 *     size_t bytes;
 *     KRS_TRY(krs_corpus_open("web.jsonl.zst", NULL, &c, err));
 *     while ((status = krs_corpus_next(c, &text, &bytes, err)) == KRS_OK && text)
 *         ...
 *     krs_corpus_close(c);
 */
#ifndef KRS_CORPUS_H
#define KRS_CORPUS_H

#include <krs/data.h>
#include <krs/token.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum krs_corpus_kind {
    KRS_CORPUS_BY_NAME, /* JSONL for .jsonl and .ndjson, else TEXT */
    KRS_CORPUS_TEXT,    /* the file is one document */
    KRS_CORPUS_LINES,   /* each line that is not empty is one */
    KRS_CORPUS_JSONL    /* each line is an object with the document in it */
} krs_corpus_kind;

typedef struct krs_corpus_options {
    size_t struct_size;
    krs_corpus_kind kind;
    const char *field;          /* of a JSONL object; NULL: "text" */
    size_t most_document_bytes; /* 0: 64 MiB */
} krs_corpus_options;

/* One thread at a time. */
typedef struct krs_corpus krs_corpus;

/* krs_corpus_open(path, options, &c, err) -- a file, which may be compressed by
 * zstd (known by its first bytes; frames with a window of up to 8 MiB).
 * Errors     IO, MEMORY, ARGUMENT; UNSUPPORTED: zstd in a build without it. */
KRS_API krs_status krs_corpus_open(const char *path,
                                   const krs_corpus_options *options,
                                   krs_corpus **out, krs_error *err);

/* krs_corpus_next(c, &text, &bytes, err) -- the next document, borrowed until
 * the next call, with a NUL behind it; NULL at the end. Bytes as they are in a
 * text, UTF-8 in JSONL. Lines end at "\n" or "\r\n".
 * Errors     FORMAT with file and line: no JSON, no such field, a document
 *            that is too long, damaged or truncated zstd; IO, MEMORY. */
KRS_API krs_status krs_corpus_next(krs_corpus *c, const char **out_text,
                                   size_t *out_bytes, krs_error *err);
KRS_API void krs_corpus_close(krs_corpus *c); /* NULL is fine */

/* krs_data_encode(paths, count, t, corpus, options, &data, &bytes_per_token,
 * err) -- the documents of files, one after the other, as the ids of a
 * tokenizer with its eos (if it has one) behind each.
 *
 *   corpus            how documents lie in the files; NULL: by their names
 *   options           of the windows (data.h)
 *   bytes_per_token   of the validation part's labels; 0 if there is none
 *
 * Errors     those of krs_corpus_next, krs_tokenizer_encode and krs_data_new.
 * Cost       memory of 16 bytes a token while it works, 4 afterwards. */
KRS_API krs_status krs_data_encode(const char *const *paths, size_t count,
                                   const krs_tokenizer *t,
                                   const krs_corpus_options *corpus,
                                   const krs_data_options *options,
                                   krs_data **out, double *out_bytes_per_token,
                                   krs_error *err);

/* ---- token ids in shards ---- */

/* Files <prefix>-00000.bin, <prefix>-00001.bin, ... of ids without a header,
 * which krs_data_open reads in that order. One thread at a time. */
typedef struct krs_shards krs_shards;

/* krs_shards_open(prefix, kind, tokens, &s, err) -- begin; `tokens` ids go
 * into each file but the last.
 * krs_shards_add(s, ids, count, err) -- RANGE for an id that the kind does not
 * hold; nothing of these ids is kept then.
 * krs_shards_encode(s, paths, count, t, corpus, err) -- the documents of files as
 * krs_data_encode takes them. Errors: those of krs_corpus_next,
 * krs_tokenizer_encode and krs_shards_add.
 * krs_shards_close(s, &files, err) -- write what is left; files: how many there
 * are. A file appears whole or not at all. s is freed in any case. */
KRS_API krs_status krs_shards_open(const char *prefix, krs_token_kind kind,
                                   size_t tokens, krs_shards **out,
                                   krs_error *err);
KRS_API krs_status krs_shards_add(krs_shards *s, const int64_t *ids,
                                  size_t count, krs_error *err);
KRS_API krs_status krs_shards_encode(krs_shards *s, const char *const *paths,
                                     size_t count, const krs_tokenizer *t,
                                     const krs_corpus_options *corpus,
                                     krs_error *err);
KRS_API krs_status krs_shards_close(krs_shards *s, size_t *out_files,
                                    krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
