/* conform_build.h -- the functions that conform_ops.def names. */
#ifndef KERSEY_CONFORM_BUILD_H
#define KERSEY_CONFORM_BUILD_H

#include "conform.h"

#define UNARY(op)
#define BINARY(op)
#define BUILD(op, build) conform_build build;
#include "conform_ops.def"

#endif
