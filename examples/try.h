/* try.h -- how these programs end when something fails: the sentence that the
 * library gave, and exit code 1. A program of yours would pass the status on
 * (KRS_TRY) instead.
 */
#ifndef TRY_H
#define TRY_H

#include <krs/krs.h>
#include <stdio.h>
#include <stdlib.h>

static krs_error err;

#define TRY(call)                                         \
    do {                                                  \
        if ((call) != KRS_OK)                             \
            exit((fprintf(stderr, "%s\n", err.text), 1)); \
    } while (0)

#endif
