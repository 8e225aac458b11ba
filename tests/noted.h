/* noted.h -- warnings of a cache: how many, and the last.
 *
 *     noted notes = {0};
 *     krsi_cache_open(folder, 0, note, &notes, &cache, &err)
 */
#ifndef TESTS_NOTED_H
#define TESTS_NOTED_H

#include <stdio.h>

typedef struct noted {
    int count;
    char text[512];
} noted;

static inline void
note(void *context, const char *text)
{
    noted *n = context;
    n->count++;
    snprintf(n->text, sizeof n->text, "%s", text);
}

#endif
