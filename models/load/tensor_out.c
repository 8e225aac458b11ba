/* tensor_out.c -- the bytes of a tensor for a file, converted on the way.
 *
 * In: a tensor in memory, or one of an open file and the type it shall have.
 * Out: its bytes to a writer, 64 Ki elements at a time, so that a model of any
 * size is converted in little memory. The type itself is copied bit for bit;
 * to another it goes by krs_convert's rounding, to blocks by way of f32.
 */
#include "tensor_out.h"

#include "stored.h"

#include <inttypes.h>
#include <stdlib.h>
#include <zlib.h>

#define QUOTED 96

enum { ELEMENTS = 65536, BYTES = ELEMENTS * 8 };

static bool
block_written(krs_stored stored, krs_block *format)
{
    return krs_stored_block(stored, format) && krs_block_writes(*format);
}

static krs_status
refuse(const krs_weight *t, krs_stored stored, krs_error *err)
{
    char name[QUOTED], text[KRSI_SHAPE_TEXT];
    return krs_fail(err, KRS_E_DTYPE,
                    "%s: tensor %s is %s, which is not converted to %s",
                    t->file, krsi_json_quote(t->name, name, sizeof name),
                    krsi_weight_text(t, text), krs_stored_name(stored));
}

krs_status
krsi_out_convert(const krs_weights *w, size_t i, krs_stored stored,
                 krsi_out *out, krs_error *err)
{
    const krs_weight *t = krs_weights_at(w, i);
    krs_block format;
    krs_dtype dtype;
    if (stored != t->stored) {
        bool blocks = block_written(stored, &format);
        if (blocks ? !krs_stored_converts(t->stored, KRS_F32)
                   : !krs_stored_dtype(stored, &dtype) ||
                         !krs_stored_converts(t->stored, dtype))
            return refuse(t, stored, err);
    }
    *out = (krsi_out){.weight = *t, .from = w, .tensor = i};
    uint64_t elements = krs_stored_elements(stored);
    int64_t row = t->rank > 0 ? t->shape[t->rank - 1] : 1;
    char name[QUOTED];
    if (row % (int64_t)elements != 0)
        return krs_fail(err, KRS_E_SHAPE,
                        "%s: tensor %s has rows of %" PRId64
                        " elements; %s needs a multiple of %" PRIu64,
                        t->file, krsi_json_quote(t->name, name, sizeof name),
                        row, krs_stored_name(stored), elements);
    out->weight.stored = stored;
    if (__builtin_mul_overflow((uint64_t)t->count / elements,
                               krs_stored_bytes(stored), &out->weight.bytes) ||
        out->weight.bytes > INT64_MAX)
        return krs_fail(err, KRS_E_SHAPE,
                        "%s: tensor %s has more than 2^63 "
                        "bytes as %s",
                        t->file, krsi_json_quote(t->name, name, sizeof name),
                        krs_stored_name(stored));
    return KRS_OK;
}

/* The next n elements in the type of the file to be: `bytes` has them then. */
static krs_status
next_elements(const krsi_out *t, krsi_run *run, int64_t n, void *bytes,
              float *wide, krs_error *err)
{
    krs_stored to = t->weight.stored;
    krs_block format;
    krs_dtype dtype = KRS_F32;
    if (run->stored == to)
        return krsi_run_read(run, n, NULL, bytes, err);
    if (!block_written(to, &format)) {
        krs_stored_dtype(to, &dtype);
        return krsi_run_read(run, n, &dtype, bytes, err);
    }
    KRS_TRY(krsi_run_read(run, n, &dtype, wide, err));
    char name[QUOTED];
    krs_error inner;
    if (krs_block_write(format, wide, (size_t)n / krs_stored_elements(to),
                        bytes, &inner) != KRS_OK)
        return krs_fail(
            err, KRS_E_RANGE, "%s: tensor %s, from element %" PRId64 " on: %s",
            t->from->path, krsi_json_quote(t->weight.name, name, sizeof name),
            run->element - n, inner.text);
    return KRS_OK;
}

static krs_status
put(krsi_writer *writer, const void *data, size_t bytes, uint32_t *crc,
    krs_error *err)
{
    if (crc)
        *crc = (uint32_t)crc32_z(*crc, data, bytes);
    return krsi_writer_put(writer, data, bytes, err);
}

static krs_status
put_converted(const krsi_out *t, krsi_writer *writer, char *bytes,
              uint32_t *crc, krs_error *err)
{
    krs_stored to = t->weight.stored;
    krsi_run run;
    KRS_TRY(krsi_run_open(t->from, t->tensor, 0, &run, err));
    krs_status status = KRS_OK;
    while (status == KRS_OK && run.element < t->weight.count) {
        int64_t left = t->weight.count - run.element;
        int64_t n = left < ELEMENTS ? left : ELEMENTS;
        status =
            next_elements(t, &run, n, bytes, (float *)(bytes + BYTES), err);
        if (status == KRS_OK)
            status =
                put(writer, bytes,
                    (size_t)n / krs_stored_elements(to) * krs_stored_bytes(to),
                    crc, err);
    }
    krsi_run_close(&run);
    return status;
}

krs_status
krsi_out_put(const krsi_out *t, krsi_writer *writer, uint32_t *crc,
             krs_error *err)
{
    if (!t->from)
        return put(writer, t->data, (size_t)t->weight.bytes, crc, err);
    char *bytes = malloc(BYTES + ELEMENTS * sizeof(float));
    if (!bytes)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory to convert",
                        writer->path);
    krs_status status = put_converted(t, writer, bytes, crc, err);
    free(bytes);
    return status;
}
