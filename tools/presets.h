/* presets.h -- models that have a name and no folder. */
#ifndef KERSEY_PRESETS_H
#define KERSEY_PRESETS_H

#include <krs/model.h>

/* find_preset(name, seq, config) -- a fresh model of that name for texts of
 * seq tokens; false if there is none. */
bool find_preset(const char *name, int64_t seq, krs_model_config *out);

/* refuse_preset(name, what) -- EXIT_USAGE after a complaint that suggests one;
 * what: "a preset", "neither a file nor a preset". */
int refuse_preset(const char *name, const char *what);

/* read_folder_config(folder, config, err) -- the config.json of a model. */
krs_status read_folder_config(const char *folder, krs_model_config *out,
                              krs_error *err);

/* the i-th name, NULL past the last */
const char *preset_name(int i);

#endif
