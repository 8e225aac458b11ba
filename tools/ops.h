/* ops.h -- the two halves of kersey ops. */
#ifndef KERSEY_OPS_H
#define KERSEY_OPS_H

#include "command.h"

#include <jansson.h>

/* ops_ulp.c: --ulp; the exit code */
int print_ulps(const struct command_line *line);

#endif
