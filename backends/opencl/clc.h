/* clc.h -- a kernel while it becomes OpenCL C 1.2 text, one instruction at a
 * time.
 *
 * Instruction i is the constant v<i>; of more than 16 lanes, which OpenCL C
 * does not have, the constants v<i>_0, v<i>_1, ... of 16 lanes each. f16 and
 * bf16 values are held as ushort; a bool as int, 0 or -1 in every lane, so
 * that it is what comparisons of vectors give. In memory a bool is a byte.
 *
 * A kernel takes its parameters as memories, and all else in one block of
 * 8-byte words, which the host writes once a submission:
 *
 *     0          number of the next item; items are taken by atomic_inc
 *     1          items
 *     2 3 4      extents of the grid
 *     5 ...      byte offset of each parameter
 *     ...        with scratch: bytes of an item, then offset of each buffer
 *     ...        arguments; an f32 in the low half
 */
#ifndef KRSI_CLC_H
#define KRSI_CLC_H

#include <krs/backend.h>

#include "../../graph/base/base.h"

enum {
    KRSI_CLC_PART = 16,  /* most lanes of a vector of OpenCL C */
    KRSI_CLC_SLACK = 128 /* bytes around every memory: a masked load reads the
                            whole vector if any of its lanes is on, on
                            processors */
};

/* Words of the block. */
enum {
    KRSI_CLC_NEXT,
    KRSI_CLC_ITEMS,
    KRSI_CLC_GRID,
    KRSI_CLC_OFFSETS = KRSI_CLC_GRID + KRS_K_AXES
};

/* Parameters of a kernel function before its memories: block, at, scratch. */
enum { KRSI_CLC_ARGUMENTS = 3 };

/* How items of a grid become work-items. */
typedef enum krsi_clc_walk {
    KRSI_CLC_TAKE,   /* few work-items, each takes items until none is left:
                       kernels with scratch */
    KRSI_CLC_CALLED, /* the same on processors, in a function that the one
                       kernel KRSI_CLC_ENTRY of the program calls: their
                       drivers compile a kernel in several forms and link each
                       by itself, but what kernels call once */
    KRSI_CLC_SPREAD, /* a work-item each, KRSI_CLC_LOCAL in a group */
    KRSI_CLC_GROUPS  /* groups are the kernel's own */
} krsi_clc_walk;

enum { KRSI_CLC_LOCAL = 64 };

typedef struct krsi_clc {
    const krs_kernel *kernel;
    krsi_clc_walk walk;
    krsi_string out;
    int depth;           /* of indentation */
    const char *failure; /* what cannot be translated, or NULL */
} krsi_clc;

/* Places of the block for a kernel. */
typedef struct krsi_clc_block {
    size_t scratch; /* first word of what describes scratch */
    size_t args;    /* the same of arguments */
    size_t words;
} krsi_clc_block;

/* clc_prelude.c -- what a program begins with */
const char *krsi_clc_prelude(bool is_processor, bool has_fma);

/* clc_kernel.c -- the text of one kernel, to stand behind the prelude; free()
 * it. Errors: INTERNAL (no translation), MEMORY. */
krs_status krsi_clc_print(const krs_kernel *kernel, krsi_clc_walk walk,
                          char **out, krs_error *err);
/* what its function is called */
enum { KRSI_CLC_SYMBOL = 40 };
void krsi_clc_symbol(const krs_kernel *kernel, char out[KRSI_CLC_SYMBOL]);
/* The kernel of the functions that are called, to stand behind them; NULL if
 * there is none. Besides memories, as many as any function has, its last
 * parameter is the place among `kernels` of the one that runs. */
#define KRSI_CLC_ENTRY "entry"
krs_status krsi_clc_print_entry(const krs_kernel *const *kernels,
                                const krsi_clc_walk *walks, size_t count,
                                char **out, uint32_t *out_params,
                                krs_error *err);
krsi_clc_block krsi_clc_block_of(const krs_kernel *kernel);
/* does the kernel have a buffer of its own in this space? */
bool krsi_clc_has(const krs_kernel *kernel, uint8_t space);

/* clc_value.c -- names and types. A part is a vector of at most 16 lanes. */
#define KRSI_CLC_TEXT 24
typedef struct krsi_clc_name {
    char text[KRSI_CLC_TEXT];
} krsi_clc_name;

int krsi_clc_parts(krs_ktype type);
int krsi_clc_width(krs_ktype type); /* lanes of a part */
/* "float16": element type as held, of so many lanes */
krsi_clc_name krsi_clc_type(krs_dtype dtype, int lanes);
krsi_clc_name krsi_clc_stored(krs_dtype dtype, int lanes); /* in memory */
krsi_clc_name krsi_clc_integer(int bytes, bool is_signed, int lanes);
krsi_clc_name krsi_clc_value(const krsi_clc *c, uint32_t inst, int part);
/* lane of a value: "v7.s3", "v7_1.sf", or "v7" */
krsi_clc_name krsi_clc_lane(const krsi_clc *c, uint32_t inst, int lane);
/* an element as held: "0x1.8p+0f", "-1L" */
krsi_clc_name krsi_clc_constant(krs_dtype dtype, uint64_t bits);
int krsi_clc_bytes(krs_dtype dtype); /* of an element as held */
/* a line of the text, indented */
void krsi_clc_line(krsi_clc *c, const char *format, ...) KRS_PRINTF(2, 3);
/* what declares part p of instruction `inst`: "const float16 v7_1 = " */
void krsi_clc_begin(krsi_clc *c, uint32_t inst, int part);
void krsi_clc_end(krsi_clc *c); /* ";\n" */
/* SHUFFLE, BROADCAST, LANES, CONST */
void krsi_clc_lanes(krsi_clc *c, uint32_t inst);

/* clc_scalar.c, clc_convert.c -- rows of scalar.def */
void krsi_clc_scalar(krsi_clc *c, uint32_t inst);
void krsi_clc_convert(krsi_clc *c, uint32_t inst);
void krsi_clc_bitcast(krsi_clc *c, uint32_t inst);
/* A template with the operands and types of part p of an instruction put in:
 * $a $b $c operands; $t the result's type, $i $u the signed and unsigned
 * integers of its size; $r the result's name; $n its lanes ("" for one);
 * $v converts values of as many lanes: $v(float$n, x). */
void krsi_clc_expand(krsi_clc *c, uint32_t inst, int part,
                     const char *template);

/* clc_memory.c */
void krsi_clc_load(krsi_clc *c, uint32_t inst);
void krsi_clc_store(krsi_clc *c, uint32_t inst);

#endif
