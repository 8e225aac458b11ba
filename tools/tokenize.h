/* tokenize.h -- what the files of kersey tokenize share. */
#ifndef KERSEY_TOKENIZE_H
#define KERSEY_TOKENIZE_H

#include "command.h"

/* tokenize_cases.c: run_cases(t, path) -- golden cases, one JSON object a line;
 * prints what differs and "N passed, N failed". The exit code. */
int run_cases(const krs_tokenizer *t, const char *path);

/* read_text(path, &text, &bytes, err) -- a whole file, "-" for stdin; free it.
 */
krs_status read_text(const char *path, char **out, size_t *bytes,
                     krs_error *err);

#endif
