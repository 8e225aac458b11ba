/* gguf_write.c -- settings and tensors to a GGUF file, version 3, atomically.
 *
 * In: settings sorted by key, tensors in the order in which they are to lie.
 * Out: a file that is complete, or the old one; its bytes are a function of
 * the arguments. Tensors begin at multiples of 32, the header's padding and
 * theirs is zero, and general.alignment is left out: 32 is what its absence
 * means.
 */
#include "gguf_file.h"
#include "tensor_out.h"

#include <inttypes.h>
#include <string.h>

#define QUOTED 96

static const struct {
    krs_stored stored;
    uint32_t number;
} types[] = {
#define ROW(NAME, number) {KRS_STORED_##NAME, number},
    KRSI_GGUF_TENSOR_LIST(ROW)
#undef ROW
};

static const size_t value_bytes[] = {
#define ROW(NAME, name, bytes, kind) bytes,
    KRS_GGUF_TYPE_LIST(ROW)
#undef ROW
};

static krs_status
put_u32(krsi_writer *w, uint32_t number, krs_error *err)
{
    return krsi_writer_put(w, &number, sizeof number, err);
}

static krs_status
put_u64(krsi_writer *w, uint64_t number, krs_error *err)
{
    return krsi_writer_put(w, &number, sizeof number, err);
}

static krs_status
put_text(krsi_writer *w, const char *text, size_t bytes, krs_error *err)
{
    KRS_TRY(put_u64(w, bytes, err));
    return krsi_writer_put(w, text, bytes, err);
}

static krs_status
put_setting(krsi_writer *w, const krs_gguf_value *v, krs_error *err)
{
    KRS_TRY(put_text(w, v->key, strlen(v->key), err));
    if (v->is_array)
        KRS_TRY(put_u32(w, KRS_GGUF_ARRAY, err));
    KRS_TRY(put_u32(w, (uint32_t)v->type, err));
    if (v->is_array)
        KRS_TRY(put_u64(w, v->count, err));
    if (v->type != KRS_GGUF_TEXT)
        return krsi_writer_put(w, v->data, v->count * value_bytes[v->type],
                               err);
    const krs_gguf_text *texts = v->data;
    for (size_t i = 0; i < v->count; i++)
        KRS_TRY(put_text(w, texts[i].text, texts[i].bytes, err));
    return KRS_OK;
}

/* the number of the type in the file */
static bool
find_number(krs_stored stored, uint32_t *out)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].stored == stored) {
            *out = types[i].number;
            return true;
        }
    return false;
}

bool
krsi_gguf_has(krs_stored stored)
{
    uint32_t number;
    return find_number(stored, &number);
}

static krs_status
find_type(const char *path, const krs_weight *t, uint32_t *out, krs_error *err)
{
    char name[QUOTED];
    if (find_number(t->stored, out))
        return KRS_OK;
    return krs_fail(err, KRS_E_DTYPE,
                    "%s: write: tensor %s is %s, which GGUF has no type for; "
                    "convert it to F32 or F16",
                    path, krsi_json_quote(t->name, name, sizeof name),
                    krs_stored_name(t->stored));
}

static krs_status
put_tensor(krsi_writer *w, const krs_weight *t, uint64_t at, krs_error *err)
{
    uint32_t number = 0;
    KRS_TRY(find_type(w->path, t, &number, err));
    KRS_TRY(put_text(w, t->name, strlen(t->name), err));
    KRS_TRY(put_u32(w, (uint32_t)t->rank, err));
    for (int i = t->rank - 1; i >= 0; i--) /* innermost first */
        KRS_TRY(put_u64(w, (uint64_t)t->shape[i], err));
    KRS_TRY(put_u32(w, number, err));
    return put_u64(w, at, err);
}

static krs_status
put_all(krsi_writer *w, const krsi_out *list, size_t count,
        const krs_gguf_value *settings, size_t setting_count, krs_error *err)
{
    uint64_t at = 0;
    KRS_TRY(krsi_writer_put(w, "GGUF", 4, err));
    KRS_TRY(put_u32(w, 3, err));
    KRS_TRY(put_u64(w, count, err));
    KRS_TRY(put_u64(w, setting_count, err));
    for (size_t i = 0; i < setting_count; i++)
        KRS_TRY(put_setting(w, &settings[i], err));
    for (size_t i = 0; i < count; i++) {
        KRS_TRY(put_tensor(w, &list[i].weight, at, err));
        at += (list[i].weight.bytes + KRSI_GGUF_ALIGNMENT - 1) /
              KRSI_GGUF_ALIGNMENT * KRSI_GGUF_ALIGNMENT;
    }
    KRS_TRY(krsi_writer_pad(w, KRSI_GGUF_ALIGNMENT, err));
    for (size_t i = 0; i < count; i++) {
        KRS_TRY(krsi_out_put(&list[i], w, NULL, err));
        KRS_TRY(krsi_writer_pad(w, KRSI_GGUF_ALIGNMENT, err));
    }
    return KRS_OK;
}

krs_status
krsi_gguf_write(const char *path, const krsi_out *list, size_t count,
                const krs_gguf_value *settings, size_t setting_count,
                krs_error *err)
{
    krsi_writer w;
    KRS_TRY(krsi_writer_open(path, &w, err));
    krs_status status = put_all(&w, list, count, settings, setting_count, err);
    return krsi_writer_close(&w, status, err);
}
