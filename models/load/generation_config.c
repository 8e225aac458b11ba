/* generation_config.c -- generation_config.json to krs_generation_config
 * (pretrained.h).
 *
 * In: the settings as Hugging Face writes them. Out: values in their ranges,
 * or one sentence with file, JSON path and value. A null is an absent key.
 */
#include "json_file.h"
#include "path.h"

#include <krs/pretrained.h>

#include <stdlib.h>
#include <string.h>

/* Fields that are one whole number: key, least value, value if absent. */
#define INT_LIST(X)               \
    X(max_length, 0, 20)          \
    X(max_new_tokens, 1, 0)       \
    X(top_k, 0, 50)               \
    X(no_repeat_ngram_size, 0, 0) \
    X(num_beams, 1, 1)            \
    X(num_return_sequences, 1, 1) \
    X(bos_token_id, 0, -1)        \
    X(pad_token_id, 0, -1)        \
    X(decoder_start_token_id, 0, -1)

/* Fields that are one number: key, least and greatest value, value if absent.
 */
#define DOUBLE_LIST(X)                  \
    X(temperature, 0, 1e6, 1)           \
    X(top_p, 0, 1, 1)                   \
    X(min_p, 0, 1, 0)                   \
    X(typical_p, 0, 1, 1)               \
    X(epsilon_cutoff, 0, 1, 0)          \
    X(repetition_penalty, 1e-6, 1e6, 1) \
    X(length_penalty, -1e6, 1e6, 1)

krs_generation_config
krs_generation_defaults(void)
{
    krs_generation_config c = {0};
#define ABSENT_INT(key, least, absent)          c.key = absent;
#define ABSENT_DOUBLE(key, least, most, absent) c.key = absent;
    INT_LIST(ABSENT_INT)
    DOUBLE_LIST(ABSENT_DOUBLE)
#undef ABSENT_INT
#undef ABSENT_DOUBLE
    return c;
}

static krs_status
read_double(const krsi_json *root, const char *key, double least, double most,
            double *out, krs_error *err)
{
    double value = *out;
    krsi_json member;
    KRS_TRY(
        krsi_json_double_or(root, key, KRSI_ANY_NUMBER, value, &value, err));
    if (value < least || value > most) {
        KRS_TRY(krsi_json_member(root, key, &member, err));
        return krsi_json_wrong(&member, err, "%g is not in [%g, %g]", value,
                               least, most);
    }
    *out = value;
    return KRS_OK;
}

/* One id, or a list of them. */
static krs_status
read_stop_ids(const krsi_json *root, krs_generation_config *c, krs_error *err)
{
    krsi_json value, item;
    if (!krsi_json_has(root, "eos_token_id"))
        return KRS_OK;
    KRS_TRY(krsi_json_member(root, "eos_token_id", &value, err));
    size_t count = krsi_json_is_array(&value) ? krsi_json_count(&value) : 1;
    if (count > KRS_GENERATION_STOP_IDS)
        return krsi_json_wrong(&value, err, "%zu ids; at most %d are possible",
                               count, KRS_GENERATION_STOP_IDS);
    for (size_t i = 0; i < count; i++) {
        item = value;
        if (krsi_json_is_array(&value))
            KRS_TRY(krsi_json_item(&value, i, &item, err));
        KRS_TRY(
            krsi_json_as_int(&item, 0, INT32_MAX, &c->eos_token_id[i], err));
    }
    c->eos_count = (int)count;
    return KRS_OK;
}

static krs_status
read_config(const krsi_json *root, krs_generation_config *out, krs_error *err)
{
    krs_generation_config c = krs_generation_defaults();
    if (!krsi_json_is_object(root))
        return krsi_json_wrong(root, err, "expected an object of settings");
#define READ_INT(key, least, absent) \
    KRS_TRY(                         \
        krsi_json_int_or(root, #key, least, INT32_MAX, absent, &c.key, err));
    INT_LIST(READ_INT)
#undef READ_INT
#define READ_DOUBLE(key, least, most, absent) \
    KRS_TRY(read_double(root, #key, least, most, &c.key, err));
    DOUBLE_LIST(READ_DOUBLE)
#undef READ_DOUBLE
    KRS_TRY(krsi_json_bool_or(root, "do_sample", false, &c.do_sample, err));
    KRS_TRY(read_stop_ids(root, &c, err));
    *out = c;
    return KRS_OK;
}

static krs_status
read_and_close(krsi_json_file *file, krs_generation_config *out, krs_error *err)
{
    krsi_json root = krsi_json_root(file);
    krs_status status = read_config(&root, out, err);
    krsi_json_close(file);
    return status;
}

krs_status
krs_generation_config_read(const char *path, krs_generation_config *out,
                           krs_error *err)
{
    krsi_json_file *file;
    KRS_TRY(krsi_json_open(path, &file, err));
    return read_and_close(file, out, err);
}

krs_status
krs_generation_config_parse(const char *name, const char *text, size_t bytes,
                            krs_generation_config *out, krs_error *err)
{
    krsi_json_file *file;
    KRS_TRY(krsi_json_parse(name, text, bytes, &file, err));
    return read_and_close(file, out, err);
}

krs_status
krs_generation_config_open(const char *model, krs_generation_config *out,
                           krs_error *err)
{
    char *path;
    KRS_TRY(krsi_path(&path, err, "%s/generation_config.json", model));
    krs_status status = KRS_OK;
    if (krsi_is_file(path))
        status = krs_generation_config_read(path, out, err);
    else
        *out = krs_generation_defaults();
    free(path);
    return status;
}
