/* prompt.h -- what a model is given to continue, and where it stops. */
#ifndef KERSEY_PROMPT_H
#define KERSEY_PROMPT_H

#include "command.h"

#include <krs/model.h>

enum { MOST_STOP_IDS = 2 * KRS_STOP_IDS + 2 };

struct prompt {
    krs_tokenizer *tokenizer;
    char *text; /* what the ids are of */
    size_t bytes;
    int64_t *ids;
    int64_t count;
    bool chats; /* the text is a conversation: the answer alone is shown */
    int64_t stop_ids[MOST_STOP_IDS];
    size_t stop_count;
};

/* prompt_open(model, flags, config, &prompt, err) -- --prompt as ids of the
 * model's tokenizer or that of --tokenizer, as a conversation with --chat,
 * --template or --system. Close it even after an error.
 * Errors     those of the tokenizer and of its chat template; ARGUMENT for a
 *            template of no known name; RANGE for an id that the model does
 *            not have, or none at all. */
krs_status prompt_open(const char *model, const struct flags *flags,
                       const krs_model_config *config, struct prompt *out,
                       krs_error *err);
void prompt_close(struct prompt *prompt);

#endif
