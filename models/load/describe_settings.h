/* describe_settings.h -- what a model says about itself, as JSON. */
#ifndef KRSI_DESCRIBE_SETTINGS_H
#define KRSI_DESCRIBE_SETTINGS_H

#include <krs/weights.h>

struct json_t;

/* krsi_describe_config(w, &config, err) -- the settings of a GGUF file, its
 * arrays as {"type", "count", "first"}; of a folder its config.json; NULL if
 * there are none.
 * krsi_describe_tokenizer(w, &tokenizer, err) -- {"kind", "tokens", "merges"}
 * of the tokenizer that goes with them; NULL if there is none. */
krs_status krsi_describe_config(const krs_weights *w, struct json_t **out,
                                krs_error *err);
krs_status krsi_describe_tokenizer(const krs_weights *w, struct json_t **out,
                                   krs_error *err);

#endif
