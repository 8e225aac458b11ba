/* config_fields.h -- the settings of a model as a table, from which they are
 * given defaults, read, checked and written.
 *
 *     static const krsi_field fields[] = {
 *         KRSI_INT(krs_gpt2_config, n_layer, 1, 4096, 12),
 *         KRSI_POSITIVE_REAL(krs_gpt2_config, layer_norm_epsilon, 1e-5),
 *     };
 *
 * A row is named as the key in config.json and as the member of the struct; the
 * _AS forms have a key of its own.
 */
#ifndef KRSI_CONFIG_FIELDS_H
#define KRSI_CONFIG_FIELDS_H

#include "config_json.h"

#include <krs/llama.h>
#include <krs/nn.h>

typedef enum krsi_field_kind {
    KRSI_FIELD_INT,  /* int64_t in [least, most] */
    KRSI_FIELD_REAL, /* double in (least, most] */
    KRSI_FIELD_BOOL, /* bool */
    KRSI_FIELD_NAME  /* an enum, by the name of its place in a list */
} krsi_field_kind;

typedef struct krsi_field {
    const char *key;
    krsi_field_kind kind;
    size_t offset;
    double least, most, absent;
    const char *const *names; /* of a NAME: most + 1 of them */
} krsi_field;

/* config_json.c: of krs_activation */
extern const char *const krsi_activation_names[KRS_ACTIVATIONS];

/* Sizes above the limit are no model; layers: low enough that a config.json
 * made to harm cannot have a graph without end built. */
#define KRSI_SIZE_MAX   2147483647
#define KRSI_LAYERS_MAX 4096

#define KRSI_INT_AS(key, type, member, least, most, absent)                    \
    {                                                                          \
        key, KRSI_FIELD_INT, offsetof(type, member), least, most, absent, NULL \
    }
#define KRSI_INT(type, member, least, most, absent) \
    KRSI_INT_AS(#member, type, member, least, most, absent)
#define KRSI_SIZE_AS(key, type, member, absent) \
    KRSI_INT_AS(key, type, member, 1, KRSI_SIZE_MAX, absent)
#define KRSI_SIZE(type, member, absent) \
    KRSI_SIZE_AS(#member, type, member, absent)
#define KRSI_POSITIVE_REAL_AS(key, type, member, absent)                   \
    {                                                                      \
        key, KRSI_FIELD_REAL, offsetof(type, member), 0, 1e6, absent, NULL \
    }
#define KRSI_POSITIVE_REAL(type, member, absent) \
    KRSI_POSITIVE_REAL_AS(#member, type, member, absent)
#define KRSI_SWITCH(type, member, absent)                                    \
    {                                                                        \
#member, KRSI_FIELD_BOOL, offsetof(type, member), 0, 1, absent, NULL \
    }
#define KRSI_NAME(type, member, names, count, absent)                   \
    {                                                                   \
#member, KRSI_FIELD_NAME, offsetof(type, member), 0, (count)-1, \
            absent, names                                               \
    }
#define KRSI_ACTIVATION(type, member, absent)                       \
    KRSI_NAME(type, member, krsi_activation_names, KRS_ACTIVATIONS, \
              KRS_ACTIVATION_##absent)

/* krsi_fields_default(fields, count, config) -- the values for absence.
 * krsi_fields_read(root, fields, count, config, err) -- those of a config.json;
 * what it does not say stays as it is.
 * krsi_fields_check(fields, count, config, err) -- all in their bounds: RANGE
 * with a text that begins with the key. */
void krsi_fields_default(const krsi_field *fields, size_t count, void *config);
krs_status krsi_fields_read(const krsi_json *root, const krsi_field *fields,
                            size_t count, void *config, krs_error *err);
krs_status krsi_fields_check(const krsi_field *fields, size_t count,
                             const void *config, krs_error *err);

/* krsi_ids_read(root, ids, err) -- the special ids that a config.json names;
 * null is none, what it does not say stays as it is.
 * krsi_ids_check(ids, vocab_size, err) -- each in the vocabulary.
 * krsi_llama_ids(config) -- those of a LLaMA, which has them one by one. */
krs_status krsi_ids_read(const krsi_json *root, krs_special_ids *ids,
                         krs_error *err);
krs_status krsi_ids_check(const krs_special_ids *ids, int64_t vocab_size,
                          krs_error *err);
krs_special_ids krsi_llama_ids(const krs_llama_config *config);

/* krsi_config_read(path, read, config, err) -- a config.json by a function that
 * fills settings from its root. */
typedef krs_status krsi_config_reader(const krsi_json *root, void *config,
                                      krs_error *err);
krs_status krsi_config_read(const char *path, krsi_config_reader *read,
                            void *config, krs_error *err);

/* krsi_config_write(path, architecture, fields, count, config, ids, err) -- a
 * config.json with all of it, in the order of the fields.
 * Errors     IO, MEMORY. */
krs_status krsi_config_write(const char *path, krs_architecture architecture,
                             const krsi_field *fields, size_t count,
                             const void *config, const krs_special_ids *ids,
                             krs_error *err);

/* krsi_config_print(object, path, err) -- the members of an object as a
 * config.json, numbers with the fewest digits that read back to the same. */
krs_status krsi_config_print(const struct json_t *object, const char *path,
                             krs_error *err);

#endif
