/* weights_read.c -- the values of tensors, converted (weights.h).
 *
 * In: an open model and the number of a tensor. Out: its elements, all or
 * some, as another type. Method: pieces of 64 KiB are read at known offsets
 * and converted from the stack; without a conversion the bytes go straight to
 * their place. Block types are read in whole blocks, of which a part is kept
 * at both ends.
 *
 * A tensor whose rows are turned (weights_file.h) is read row by row. With D
 * rows in a head, row i of a half s is row 2 i + s in pairs, s in {0, 1}.
 */
#include "stored.h"
#include "weights_file.h"

#include <inttypes.h>
#include <string.h>

#define QUOTED 96 /* bytes of a name in a message */

int64_t
krsi_piece_elements(krs_stored stored)
{
    return (int64_t)(KRSI_PIECE_BYTES / krs_stored_bytes(stored) *
                     krs_stored_elements(stored));
}

krs_status
krsi_weights_piece(const krs_weights *w, size_t i, int64_t first, int64_t count,
                   void *out, krs_error *err)
{
    const krsi_entry *e = &w->entries[i];
    uint64_t elements = krs_stored_elements(e->weight.stored);
    uint64_t bytes = krs_stored_bytes(e->weight.stored);
    return krsi_file_read(&w->shards[e->shard].file,
                          e->at + (uint64_t)first / elements * bytes, out,
                          (size_t)((uint64_t)count / elements * bytes), err);
}

/* KRS_OK if the arguments of a read make sense */
static krs_status
check_read(const krs_weights *w, size_t i, int64_t first, int64_t count,
           krs_dtype dtype, const void *out, size_t bytes, krs_error *err)
{
    char name[QUOTED], text[KRSI_SHAPE_TEXT];
    size_t need;
    if (i >= w->count)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: read: tensor %zu of %zu does not exist", w->path,
                        i, w->count);
    const krs_weight *t = &w->entries[i].weight;
    krsi_json_quote(t->name, name, sizeof name);
    krsi_weight_text(t, text);
    if (!krs_stored_converts(t->stored, dtype))
        return krs_fail(err, KRS_E_DTYPE,
                        "%s: read: tensor %s is %s, there is no conversion to "
                        "%s",
                        t->file, name, text, krs_dtype_name(dtype));
    if (krs_dtype_class_of(dtype) == KRS_CLASS_BLOCK &&
        first % (int64_t)krs_stored_elements(t->stored) != 0)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: read: tensor %s is %s, no block begins at element "
                        "%" PRId64,
                        t->file, name, text, first);
    if (first < 0 || count < 0 || first > t->count || count > t->count - first)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: read: tensor %s is %s, it has no elements "
                        "%" PRId64 " to %" PRId64,
                        t->file, name, text, first,
                        (int64_t)((uint64_t)first + (uint64_t)count));
    if (!krs_dtype_bytes(dtype, count, &need) || need != bytes ||
        (!out && bytes))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: read: tensor %s is %s, %" PRId64
                        " elements as %s need %zu bytes, the buffer has %zu",
                        t->file, name, text, count, krs_dtype_name(dtype), need,
                        out ? bytes : 0);
    return KRS_OK;
}

static krs_status
misfit(const krs_weight *t, int64_t at, const void *value, krs_dtype dtype,
       krs_error *err)
{
    char name[QUOTED];
    int64_t number;
    if (krsi_stored_int(t->stored, value, 0, &number))
        return krs_fail(err, KRS_E_RANGE,
                        "%s: read: tensor %s: element %" PRId64 " is %" PRId64
                        ", which does not fit in %s; read it as a wider type",
                        t->file, krsi_json_quote(t->name, name, sizeof name),
                        at, number, krs_dtype_name(dtype));
    return krs_fail(err, KRS_E_RANGE,
                    "%s: read: tensor %s: element %" PRId64
                    " is above 2^63 - 1, which no element type holds",
                    t->file, krsi_json_quote(t->name, name, sizeof name), at);
}

/* where element n of a row of that type begins */
static void *
element_at(void *out, krs_dtype dtype, int64_t n)
{
    size_t bytes = 0;
    krs_dtype_bytes(dtype, n, &bytes);
    return (char *)out + bytes;
}

/* Elements [first, first + count) of the block that they are a part of. */
static krs_status
read_within_block(const krs_weights *w, size_t i, int64_t first, int64_t count,
                  krs_dtype dtype, void *out, krs_error *err)
{
    krs_stored stored = w->entries[i].weight.stored;
    int64_t elements = (int64_t)krs_stored_elements(stored);
    int64_t skip = first % elements;
    uint64_t block[KRS_BLOCK_ELEMENTS / 8 * 2];
    float values[KRS_BLOCK_ELEMENTS]; /* of the widest type */
    KRS_TRY(krsi_weights_piece(w, i, first - skip, elements, block, err));
    krsi_stored_convert(stored, block, dtype, values, (size_t)elements);
    size_t bytes = 0;
    krs_dtype_bytes(dtype, count, &bytes);
    memcpy(out, element_at(values, dtype, skip), bytes);
    return KRS_OK;
}

/* Elements [first, first + count) in file order. */
static krs_status
read_run(const krs_weights *w, size_t i, int64_t first, int64_t count,
         krs_dtype dtype, void *out, krs_error *err)
{
    const krs_weight *t = &w->entries[i].weight;
    krs_dtype same;
    if (krs_stored_dtype(t->stored, &same) && same == dtype &&
        dtype != KRS_BOOL)
        return krsi_weights_piece(w, i, first, count, out, err);

    uint64_t piece[KRSI_PIECE_BYTES / sizeof(uint64_t)];
    int64_t elements = (int64_t)krs_stored_elements(t->stored);
    int64_t most = krsi_piece_elements(t->stored), n;
    for (int64_t done = 0; done < count; done += n) {
        int64_t at = first + done, whole = (count - done) / elements * elements;
        void *to = element_at(out, dtype, done);
        if (at % elements != 0 || whole == 0) {
            n = elements - at % elements;
            n = n < count - done ? n : count - done;
            KRS_TRY(read_within_block(w, i, at, n, dtype, to, err));
            continue;
        }
        n = whole < most ? whole : most;
        KRS_TRY(krsi_weights_piece(w, i, at, n, piece, err));
        size_t good =
            krsi_stored_convert(t->stored, piece, dtype, to, (size_t)n);
        if (good < (size_t)n)
            return misfit(t, at + (int64_t)good,
                          (const char *)piece +
                              good * krs_stored_bytes(t->stored),
                          dtype, err);
    }
    return KRS_OK;
}

/* The row of the file that is row r of the tensor. */
static int64_t
row_in_file(const krsi_entry *e, int64_t r)
{
    int64_t D = e->head_rows, head = r / D * D, row = r % D;
    switch (e->rows) {
    case KRSI_ROWS_AS_STORED: break;
    case KRSI_ROWS_PAIRS_TO_HALVES:
        return head + row % (D / 2) * 2 + row / (D / 2);
    case KRSI_ROWS_HALVES_TO_PAIRS: return head + row % 2 * (D / 2) + row / 2;
    }
    return r;
}

static krs_status
read_rows(const krs_weights *w, size_t i, int64_t first, int64_t count,
          krs_dtype dtype, void *out, krs_error *err)
{
    const krsi_entry *e = &w->entries[i];
    int64_t row = e->weight.count / e->weight.shape[0], n;
    for (int64_t done = 0; done < count; done += n) {
        int64_t at = first + done, within = at % row;
        n = row - within < count - done ? row - within : count - done;
        KRS_TRY(read_run(w, i, row_in_file(e, at / row) * row + within, n,
                         dtype, element_at(out, dtype, done), err));
    }
    return KRS_OK;
}

krs_status
krs_weights_read_part(const krs_weights *w, size_t i, int64_t first,
                      int64_t count, krs_dtype dtype, void *out, size_t bytes,
                      krs_error *err)
{
    KRS_TRY(check_read(w, i, first, count, dtype, out, bytes, err));
    if (count == 0)
        return KRS_OK;
    if (w->entries[i].rows == KRSI_ROWS_AS_STORED)
        return read_run(w, i, first, count, dtype, out, err);
    return read_rows(w, i, first, count, dtype, out, err);
}

krs_status
krs_weights_read(const krs_weights *w, size_t i, krs_dtype dtype, void *out,
                 size_t bytes, krs_error *err)
{
    int64_t count = i < w->count ? w->entries[i].weight.count : 0;
    return krs_weights_read_part(w, i, 0, count, dtype, out, bytes, err);
}
