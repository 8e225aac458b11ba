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

/* bytes of so many elements, whole blocks */
static uint64_t
bytes_of(krs_stored stored, int64_t count)
{
    return (uint64_t)count / krs_stored_elements(stored) *
           krs_stored_bytes(stored);
}

krs_status
krsi_run_open(const krs_weights *w, size_t i, int64_t first, krsi_run *out,
              krs_error *err)
{
    const krsi_entry *e = &w->entries[i];
    krsi_run run = {.weights = w,
                    .tensor = i,
                    .stored = e->weight.stored,
                    .element = first};
    if (e->packed.is_packed) {
        KRS_TRY(krsi_inflate_open(&w->shards[e->shard].file, &e->packed,
                                  &run.inflate, err));
        krs_status status = krsi_inflate_next(
            run.inflate, NULL, e->skip + bytes_of(run.stored, first), err);
        if (status != KRS_OK) {
            krsi_inflate_close(run.inflate);
            return status;
        }
    }
    *out = run;
    return KRS_OK;
}

krs_status
krsi_run_next(krsi_run *run, int64_t count, void *out, krs_error *err)
{
    const krsi_entry *e = &run->weights->entries[run->tensor];
    uint64_t bytes = bytes_of(run->stored, count);
    uint64_t at = e->at + bytes_of(run->stored, run->element);
    run->element += count;
    if (run->inflate)
        return krsi_inflate_next(run->inflate, out, bytes, err);
    if (e->memory) {
        memcpy(out, (const char *)e->memory + at, (size_t)bytes);
        return KRS_OK;
    }
    return krsi_file_read(&run->weights->shards[e->shard].file, at, out,
                          (size_t)bytes, err);
}

void
krsi_run_close(krsi_run *run)
{
    krsi_inflate_close(run->inflate);
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

/* the values go as they are, without a look at them */
static bool
is_copied(krs_stored stored, krs_dtype dtype)
{
    krs_dtype same;
    return krs_stored_dtype(stored, &same) && same == dtype &&
           dtype != KRS_BOOL;
}

/* The next `count` elements, which end or begin inside the block that they are
 * in: `skip` of its elements are before them. */
static krs_status
read_within_block(krsi_run *run, int64_t skip, int64_t count, krs_dtype dtype,
                  void *out, krs_error *err)
{
    int64_t elements = (int64_t)krs_stored_elements(run->stored);
    uint64_t block[KRS_BLOCK_ELEMENTS / 4];
    float values[KRS_BLOCK_ELEMENTS]; /* of the widest type */
    size_t bytes = 0;
    KRS_TRY(krsi_run_next(run, elements, block, err));
    krsi_stored_convert(run->stored, block, dtype, values, (size_t)elements);
    krs_dtype_bytes(dtype, count, &bytes);
    memcpy(out, element_at(values, dtype, skip), bytes);
    return KRS_OK;
}

static krs_status
convert_run(krsi_run *run, const krs_weight *t, int64_t first, int64_t count,
            krs_dtype dtype, void *out, krs_error *err)
{
    uint64_t piece[KRSI_PIECE_BYTES / sizeof(uint64_t)];
    int64_t elements = (int64_t)krs_stored_elements(t->stored);
    int64_t most = krsi_piece_elements(t->stored), n;
    for (int64_t done = 0; done < count; done += n) {
        int64_t at = first + done, whole = (count - done) / elements * elements;
        void *to = element_at(out, dtype, done);
        if (at % elements != 0 || whole == 0) {
            n = elements - at % elements;
            n = n < count - done ? n : count - done;
            KRS_TRY(read_within_block(run, at % elements, n, dtype, to, err));
            continue;
        }
        n = whole < most ? whole : most;
        KRS_TRY(krsi_run_next(run, n, piece, err));
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

/* Elements [first, first + count) in file order. */
static krs_status
read_run(const krs_weights *w, size_t i, int64_t first, int64_t count,
         krs_dtype dtype, void *out, krs_error *err)
{
    const krs_weight *t = &w->entries[i].weight;
    int64_t elements = (int64_t)krs_stored_elements(t->stored);
    krsi_run run;
    KRS_TRY(krsi_run_open(w, i, first / elements * elements, &run, err));
    krs_status status =
        is_copied(t->stored, dtype)
            ? krsi_run_next(&run, count, out, err)
            : convert_run(&run, t, first, count, dtype, out, err);
    krsi_run_close(&run);
    return status;
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
    if (!w)
        return krs_fail(err, KRS_E_ARGUMENT, "weights: read: NULL is no model");
    KRS_TRY(check_read(w, i, first, count, dtype, out, bytes, err));
    if (count == 0)
        return KRS_OK;
    if (w->entries[i].rows == KRSI_ROWS_AS_STORED)
        return read_run(w, i, first, count, dtype, out, err);
    return read_rows(w, i, first, count, dtype, out, err);
}

/* The same in the type that they have, of rows that are turned. */
static krs_status
copy_rows(const krs_weights *w, size_t i, int64_t first, int64_t count,
          void *out, krs_error *err)
{
    const krsi_entry *e = &w->entries[i];
    int64_t row = e->weight.count / e->weight.shape[0], n;
    char *to = out;
    for (int64_t done = 0; done < count; done += n) {
        int64_t at = first + done, within = at % row;
        krsi_run run;
        n = row - within < count - done ? row - within : count - done;
        KRS_TRY(krsi_run_open(w, i, row_in_file(e, at / row) * row + within,
                              &run, err));
        krs_status status = krsi_run_next(&run, n, to, err);
        krsi_run_close(&run);
        KRS_TRY(status);
        to += bytes_of(e->weight.stored, n);
    }
    return KRS_OK;
}

krs_status
krsi_run_read(krsi_run *run, int64_t count, const krs_dtype *dtype, void *out,
              krs_error *err)
{
    const krs_weights *w = run->weights;
    const krsi_entry *e = &w->entries[run->tensor];
    int64_t first = run->element;
    if (e->rows == KRSI_ROWS_AS_STORED) {
        if (!dtype || is_copied(e->weight.stored, *dtype))
            return krsi_run_next(run, count, out, err);
        return convert_run(run, &e->weight, first, count, *dtype, out, err);
    }
    run->element += count;
    if (!dtype)
        return copy_rows(w, run->tensor, first, count, out, err);
    return read_rows(w, run->tensor, first, count, *dtype, out, err);
}

krs_status
krs_weights_read(const krs_weights *w, size_t i, krs_dtype dtype, void *out,
                 size_t bytes, krs_error *err)
{
    const krs_weight *weight = krs_weights_at(w, i);
    int64_t count = weight ? weight->count : 0;
    return krs_weights_read_part(w, i, 0, count, dtype, out, bytes, err);
}
