/* tokenized.h -- texts as the ids of a tokenizer, written so that they can be
 * compared; and vocabularies made in memory.
 */
#ifndef TESTS_TOKENIZED_H
#define TESTS_TOKENIZED_H

#include "suite.h"

#include <krs/token.h>

#include <stdio.h>
#include <string.h>

static krs_error err;

/* ids, and with | behind it the types: "101 7592|0 0" */
static inline const char *
print(const krs_encoding *e, bool types)
{
    static char text[2048];
    size_t at = 0;
    text[0] = 0;
    for (size_t i = 0; i < e->count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%u",
                               i ? " " : "", e->ids[i]);
    for (size_t i = 0; types && i < e->count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%u",
                               i ? " " : "|", e->type_ids[i]);
    return text;
}

static inline void
encode(const krs_tokenizer *t, const char *text,
       const krs_encode_options *options, krs_encoding *e)
{
    krs_status status =
        krs_tokenizer_encode(t, text, strlen(text), options, e, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
}

/* of these tokens, no id being special */
static inline krs_vocabulary
vocabulary(krs_vocabulary_kind kind, const krs_text *tokens, size_t count)
{
    return (krs_vocabulary){.struct_size = sizeof(krs_vocabulary),
                            .kind = kind,
                            .count = count,
                            .tokens = tokens,
                            .bos = -1,
                            .eos = -1,
                            .unk = -1,
                            .sep = -1,
                            .pad = -1,
                            .cls = -1,
                            .mask = -1};
}

#define TEXT(s)          \
    {                    \
        s, sizeof(s) - 1 \
    }

#endif
