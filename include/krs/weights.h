/* weights.h -- tensors in files: list, read, write, convert, compare, describe.
 * Formats: safetensors, GGUF, .npy and .npz of NumPy.
 *
 *     krs_weights *w;
 *     KRS_TRY(krs_weights_open("llama/", &w, err));
 *     int64_t i = krs_weights_find(w, "model.norm.weight");
 *     float norm[288];                               // [C]
 *     status = krs_weights_read(w, i, KRS_F32, norm, sizeof norm, err);
 *     krs_weights_close(w);
 *
 * Opening checks everything the header says (names, types, shapes, sizes,
 * that the tensors cover the data without gap or overlap) before any of it
 * is used; reading touches only the tensor asked for. Every refusal is one
 * sentence with file, place, values and reason.
 *
 * All are little-endian. huggingface.co/docs/safetensors;
 * github.com/ggml-org/ggml/blob/master/docs/gguf.md; numpy.lib.format.
 */
#ifndef KRS_WEIGHTS_H
#define KRS_WEIGHTS_H

#include <krs/block.h>
#include <krs/dtype.h>
#include <krs/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KRS_WEIGHT_RANK 8 /* most dimensions */

/* The one list of types that files hold: NAME, elements of a block (1: no
 * blocks), bytes of a block, kind. The kind says what a value may be converted
 * to: FLOAT and BLOCK to f32, f16, bf16; INT and BOOL to every type that holds
 * the value; COMPLEX to none (listed only). */
#define KRS_STORED_LIST(X)  \
    X(F64, 1, 8, FLOAT)     \
    X(F32, 1, 4, FLOAT)     \
    X(F16, 1, 2, FLOAT)     \
    X(BF16, 1, 2, FLOAT)    \
    X(F8_E4M3, 1, 1, FLOAT) \
    X(F8_E5M2, 1, 1, FLOAT) \
    X(F8_E8M0, 1, 1, FLOAT) \
    X(I64, 1, 8, INT)       \
    X(I32, 1, 4, INT)       \
    X(I16, 1, 2, INT)       \
    X(I8, 1, 1, INT)        \
    X(U64, 1, 8, INT)       \
    X(U32, 1, 4, INT)       \
    X(U16, 1, 2, INT)       \
    X(U8, 1, 1, INT)        \
    X(BOOL, 1, 1, BOOL)     \
    X(C64, 1, 8, COMPLEX)   \
    KRS_BLOCK_LIST(X)

typedef enum krs_stored {
#define KRS_STORED_ENUM(NAME, elements, bytes, kind) KRS_STORED_##NAME,
    KRS_STORED_LIST(KRS_STORED_ENUM)
#undef KRS_STORED_ENUM
        KRS_STORED_COUNT
} krs_stored;

/* "F32"; "?" outside the list. Bytes of one block, which is one element of
 * most types, and its elements; 0 outside the list. */
KRS_API const char *krs_stored_name(krs_stored stored);
KRS_API size_t krs_stored_bytes(krs_stored stored);
KRS_API size_t krs_stored_elements(krs_stored stored);
/* krs_stored_parse("q8_0", &s) -- the type of that name in any case. */
KRS_API bool krs_stored_parse(const char *name, krs_stored *out);
/* krs_stored_block(s, &b) -- the format of a block type; false for others. */
KRS_API bool krs_stored_block(krs_stored stored, krs_block *out);
/* krs_stored_dtype(s, &t) -- the element type of the same meaning and
 * layout; false if there is none (F64, I16, U16, U32, U64, F8, C64). */
KRS_API bool krs_stored_dtype(krs_stored stored, krs_dtype *out);
/* krs_stored_converts(s, t) -- krs_weights_read can give s as t. */
KRS_API bool krs_stored_converts(krs_stored stored, krs_dtype dtype);

/* A tensor as the file lists it. Borrowed from its krs_weights. */
typedef struct krs_weight {
    const char *name; /* UTF-8 without NUL; may hold control characters */
    const char *file; /* path of the file it lies in */
    krs_stored stored;
    int rank;
    int64_t shape[KRS_WEIGHT_RANK];
    int64_t count; /* elements, product of shape; 1 for rank 0 */
    uint64_t bytes;
} krs_weight;

/* Immutable after open; any number of threads may read. */
typedef struct krs_weights krs_weights;

/* krs_weights_open(path, &w, err) -- list the tensors of a model.
 *
 *   path   a .safetensors, .gguf, .npy or .npz file, known by its first bytes;
 *          an .index.json beside its shards; or a folder with
 *          model.safetensors or model.safetensors.index.json (the first wins
 *          if both are there)
 *
 * Shards are opened too. They lie in the folder of the index: a shard name
 * with '/' or ".." is refused, and index and shards must agree on every
 * tensor.
 *
 * Errors     IO, MEMORY; FORMAT with file and offset or JSON path.
 * Cost       reads the headers only; one file descriptor a shard. Parsing
 *            takes up to 45 times the bytes of a header (4.4 GB for a
 *            hostile one of 100 MB; an honest one is a few hundred kB). */
KRS_API krs_status krs_weights_open(const char *path, krs_weights **out,
                                    krs_error *err);
KRS_API void krs_weights_close(krs_weights *w); /* NULL is fine */

/* Tensors are numbered in the order of their names (bytewise). NULL is a model
 * without tensors and notes. */
KRS_API size_t krs_weights_count(const krs_weights *w);
/* NULL past the end */
KRS_API const krs_weight *krs_weights_at(const krs_weights *w, size_t i);
/* number of the tensor, -1 if there is none */
KRS_API int64_t krs_weights_find(const krs_weights *w, const char *name);
KRS_API const char *krs_weights_path(const krs_weights *w); /* as opened */

/* krs_weights_read(w, i, dtype, out, bytes, err) -- all elements of tensor i
 * as dtype, row-major, in file order.
 *
 *   bytes  size of out; must be exactly count * element size
 *
 * Floats round to nearest, ties to even, once; overflow gives infinity.
 * Integers must fit: nothing wraps. To bool: not equal to zero. Float to
 * integer is refused: rounding there is the caller's decision.
 *
 * Errors     ARGUMENT if bytes differ or i is past the end; DTYPE without a
 *            conversion; RANGE for an integer that does not fit; IO, also if
 *            the file became shorter since it was opened. out may be partly
 *            written then. Cost: one pass, 64 KiB of stack. */
KRS_API krs_status krs_weights_read(const krs_weights *w, size_t i,
                                    krs_dtype dtype, void *out, size_t bytes,
                                    krs_error *err);

/* krs_weights_read_part(w, i, first, count, dtype, out, bytes, err) -- only
 * elements [first, first + count), e.g. some rows of an embedding. */
KRS_API krs_status krs_weights_read_part(const krs_weights *w, size_t i,
                                         int64_t first, int64_t count,
                                         krs_dtype dtype, void *out,
                                         size_t bytes, krs_error *err);

/* A line of the __metadata__ of a file. */
typedef struct krs_weights_note {
    const char *key, *value;
} krs_weights_note;

/* krs_weights_note_at(w, i) -- notes in the order of their keys; of several
 * shards, the first that has the key counts. NULL past the end. */
KRS_API const krs_weights_note *krs_weights_note_at(const krs_weights *w,
                                                    size_t i);
/* value of the key, NULL if there is none */
KRS_API const char *krs_weights_note_find(const krs_weights *w,
                                          const char *key);

/* A tensor to write. */
typedef struct krs_weight_source {
    const char *name; /* UTF-8, unique, not "__metadata__" */
    krs_dtype dtype;  /* not a block type */
    int rank;         /* 0..KRS_WEIGHT_RANK */
    const int64_t *shape;
    const void *data; /* row-major, borrowed; NULL if it has no elements */
} krs_weight_source;

/* krs_weights_write(path, tensors, count, notes, note_count, err) -- write a
 * safetensors file.
 *
 * Equal arguments in any order give equal bytes: tensors are laid out by
 * falling element size, then name, so every tensor is aligned to its element
 * size; the data begins at a multiple of 8, the header padded with spaces.
 *
 * The bytes go to a new file in the same folder, are flushed, and take the
 * place of path by rename; then the folder is flushed. On any error before
 * the rename the old file is intact and the new one removed; an error of the
 * last flush means that the new file may not outlive a power failure.
 *
 * Errors     NAME for a missing, double or malformed name; DTYPE, SHAPE,
 *            ARGUMENT, MEMORY; IO (disk full, input/output error). */
KRS_API krs_status krs_weights_write(const char *path,
                                     const krs_weight_source *tensors,
                                     size_t count,
                                     const krs_weights_note *notes,
                                     size_t note_count, krs_error *err);

/* The formats of files that hold tensors: NAME, ending. */
#define KRS_WEIGHTS_FORMAT_LIST(X) \
    X(SAFETENSORS, ".safetensors") \
    X(GGUF, ".gguf")               \
    X(NPZ, ".npz")                 \
    X(NPY, ".npy")

typedef enum krs_weights_format {
#define KRS_WEIGHTS_FORMAT_ENUM(NAME, ending) KRS_WEIGHTS_##NAME,
    KRS_WEIGHTS_FORMAT_LIST(KRS_WEIGHTS_FORMAT_ENUM)
#undef KRS_WEIGHTS_FORMAT_ENUM
        KRS_WEIGHTS_FORMAT_COUNT
} krs_weights_format;

/* krs_weights_format_of(path, &f) -- the format that the ending of a path
 * names; false if it names none. */
KRS_API bool krs_weights_format_of(const char *path, krs_weights_format *out);

typedef struct krs_convert_options {
    size_t struct_size;
    krs_weights_format format; /* NPY: of a single tensor */
    const char *tensor;        /* only the one of that name; NULL: all */
    /* of the float tensors; NULL: as they are, but F32 where the format has not
     * their type. In GGUF, tensors of rank 0 and 1 become F32, and so do those whose
     * rows are no whole blocks. */
    const krs_stored *dtype;
    /* largest shard of safetensors, with an index; path is a folder then. 0:
     * one file */
    uint64_t shard_bytes;
    /* settings of a GGUF file, besides those of w if that is one; one of the
     * same key counts instead of that of w */
    const struct krs_gguf_value *settings;
    size_t setting_count;
} krs_convert_options;

/* krs_weights_convert(w, path, options, err) -- write the tensors of an open
 * model in another format, or with other types.
 *
 * Bytes are a function of tensors, notes and options. Files are replaced as by
 * krs_weights_write; of shards, the index comes last. Names stay as they are:
 * krs_llama_convert turns those of a LLaMA too. Notes go from safetensors to
 * safetensors, settings from GGUF to GGUF.
 *
 * Errors     DTYPE for a type that the format or the conversion has not;
 *            SHAPE, RANGE, ARGUMENT, IO, FORMAT, MEMORY.
 * Cost       one pass over the data in 1 MiB of memory. */
KRS_API krs_status krs_weights_convert(const krs_weights *w, const char *path,
                                       const krs_convert_options *options,
                                       krs_error *err);

/* What the values of a tensor are like. */
typedef struct krs_weight_stats {
    int64_t count, zeros, nans, infinities;
    /* of the finite values; NaN if there are none. std is that of the whole
     * population (divided by the number of values). */
    double min, max, mean, std;
} krs_weight_stats;

/* krs_weights_stats(w, i, &stats, err) -- in one pass over the file, in f64
 * (I64 and U64 beyond 2^53 are rounded). DTYPE for a type without order. */
KRS_API krs_status krs_weights_stats(const krs_weights *w, size_t i,
                                     krs_weight_stats *out, krs_error *err);

/* krs_line_sink -- takes a line of text (no newline at its end); false
 * stops, and the function that called it returns KRS_E_CANCELLED. */
typedef bool (*krs_line_sink)(void *user, const char *line);

typedef enum krs_describe_format {
    KRS_DESCRIBE_TEXT, /* aligned columns */
    KRS_DESCRIBE_JSON  /* one JSON document over several lines */
} krs_describe_format;

typedef struct krs_describe_options {
    size_t struct_size;
    krs_describe_format format;
    bool stats;         /* reads all data */
    const char *tensor; /* only the one of that name; NULL: all */
} krs_describe_options;

/* krs_weights_describe(w, options, sink, user, err) -- what `kersey inspect`
 * prints: metadata, settings and tokenizer (of a GGUF file, or from the
 * config.json and tokenizer.json of a folder); per tensor name, type, shape,
 * bytes (and statistics); totals per type; number of parameters.
 *
 * JSON: {"path", "metadata": {}, "config": {}, "tokenizer": {"kind", "tokens",
 * "merges"}, "tensors": [{"name", "dtype", "shape",
 * "bytes", "file", "stats": {"min", "max", "mean", "std", "nan", "inf",
 * "zero"}}], "dtypes": {"F32": {"tensors", "parameters", "bytes"}},
 * "parameters", "bytes"}; numbers that JSON cannot write are null.
 *
 *   options   NULL: text without statistics */
KRS_API krs_status krs_weights_describe(const krs_weights *w,
                                        const krs_describe_options *options,
                                        krs_line_sink sink, void *user,
                                        krs_error *err);

/* krs_weights_diff(a, b, sink, user, &differing, err) -- what is not the same
 * in two models: a line for each tensor that only one of them has, or whose
 * type, shape or values differ, with the largest difference and its place.
 * Values of different types are compared as numbers; all NaNs are one.
 * differing: such tensors; 0 if the models are the same. */
KRS_API krs_status krs_weights_diff(const krs_weights *a, const krs_weights *b,
                                    krs_line_sink sink, void *user,
                                    size_t *out_differing, krs_error *err);

#ifdef __cplusplus
}
#endif
#endif
