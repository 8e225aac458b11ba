/* config_json.h -- what the config.json files of all architectures share.
 *
 * In: an open config.json. Out: typed settings, or FORMAT or UNSUPPORTED with
 * file, JSON path and values.
 */
#ifndef KRSI_CONFIG_JSON_H
#define KRSI_CONFIG_JSON_H

#include "json_file.h"

#include <krs/architecture.h>

/* krsi_config_architecture(root, family, absent, &a, err) -- the row that
 * model_type and architectures name, among those of one family; `absent` if
 * both are absent. Quantised weights are refused here too. */
krs_status krsi_config_architecture(const krsi_json *root, krs_family family,
                                    krs_architecture absent,
                                    krs_architecture *out, krs_error *err);

/* krsi_config_type(root, family, absent, &a, err) -- the first row with the
 * model_type that stands there, of a family or, NULL, of any. */
krs_status krsi_config_type(const krsi_json *root, const krs_family *family,
                            krs_architecture absent, krs_architecture *out,
                            krs_error *err);

/* krsi_config_word(root, key, wanted, err) -- the key is absent or says
 * `wanted`; anything else is UNSUPPORTED. */
krs_status krsi_config_word(const krsi_json *root, const char *key,
                            const char *wanted, krs_error *err);

/* krsi_config_never(root, key, why, err) -- the key is absent or false; true is
 * UNSUPPORTED, because of `why`. */
krs_status krsi_config_never(const krsi_json *root, const char *key,
                             const char *why, krs_error *err);

/* krsi_config_says_none(root, key) -- the key is there and null: "none", where
 * an absent id has the default of the format. */
bool krsi_config_says_none(const krsi_json *root, const char *key);

/* krsi_config_stop_ids(root, ids, most, &count, err) -- eos_token_id: one id, a
 * list or null; *count stays as it is if the key is absent. */
krs_status krsi_config_stop_ids(const krsi_json *root, int64_t *ids, int most,
                                int *count, krs_error *err);

#endif
