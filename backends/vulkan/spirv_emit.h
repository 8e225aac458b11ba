/* spirv_emit.h -- a kernel while it becomes SPIR-V, one instruction at a time.
 *
 * A value of n lanes is n scalars: processors of this kind run an item a lane
 * and have no vectors of their own. Lanes that are equal by construction are
 * one id and are computed once. f32 is a float, bool a bool, i64 a 64-bit
 * word, or two of 32 bits in a vector where the device has none; bf16, f16, i8
 * (sign-extended), u8 and i32 are 32-bit words.
 *
 * An i64 also has a low word: addresses are taken modulo 2^32, so whatever
 * only makes addresses is computed in 32 bits. spirv_need.c says of each
 * instruction which of the two is asked for.
 *
 * Layout that code and launches share:
 *   binding 0        words of the launch: KRSI_WORD_*, for each buffer that is
 *                    no parameter its start, for each argument its words (i64:
 *                    2, f32: 1)
 *   binding 1 ...    krsi_spv_binding, in their order; all scratch is one
 *   push constants   KRSI_PUSH_*
 *   specialisation   KRSI_SPECIAL_*
 */
#ifndef KRSI_SPIRV_EMIT_H
#define KRSI_SPIRV_EMIT_H

#include "spirv_module.h"

#include <krs/kernel.h>

enum {
    KRSI_WORD_ZERO,    /* 0: a zero that no compiler knows */
    KRSI_WORD_SCRATCH, /* of one item, in units */
    KRSI_WORD_LAUNCH,  /* number of the launch in its work, from 1 on */
    KRSI_WORDS
};
enum {
    KRSI_PUSH_FIRST, /* number of the first item (group) of the dispatch */
    KRSI_PUSH_END,   /* items beyond it do nothing */
    KRSI_PUSH_GRID,  /* groups along axis 0, 1 */
    KRSI_PUSH_WORDS = KRSI_PUSH_GRID + 2
};
enum {
    KRSI_SPECIAL_LOCAL /* items of a work-group, of kernels without groups */
};
enum {
    KRSI_UNIT_BYTES = 16 /* of starts of scratch: the widest access */
};

/* What code may use. */
typedef struct krsi_spv_target {
    bool keeps_nans, rounds_even, keeps_denormals; /* as execution modes */
    bool has_bytes, has_shorts;                    /* 8- and 16-bit storage */
    bool has_wide;                                 /* 64-bit integers */
    bool has_texels;  /* loads through texel views are faster */
    bool keeps_loops; /* the driver is to unroll none: it is slow with code, and
                         what gains by it is unrolled already */
    bool wide_quads; /* 16 bytes of storage are two integers of 64 bits: drivers
                        that take the parts of a vector one by one have less
                        to do, and less to compile */
} krsi_spv_target;

typedef enum krsi_spv_view {
    KRSI_VIEW_BYTE,
    KRSI_VIEW_SHORT,
    KRSI_VIEW_WORD,
    KRSI_VIEW_PAIR,
    KRSI_VIEW_QUAD,
    KRSI_VIEWS
} krsi_spv_view;

typedef struct krsi_spv_memory {
    uint32_t view[KRSI_VIEWS];  /* variables, made when first used */
    uint32_t image[KRSI_VIEWS]; /* texel views, loaded */
    uint32_t start[KRSI_VIEWS]; /* scratch: where it begins, in elements */
    uint32_t binding;           /* of all storage views; 0: none yet */
} krsi_spv_memory;

/* What a binding is: storage, or a texel view of this kind. */
typedef struct krsi_spv_binding {
    uint16_t slot;  /* buffer; param_count: scratch; one more: the flag */
    uint16_t texel; /* 0, or a krsi_spv_view: words, pairs or quads */
} krsi_spv_binding;

/* What comes before the module in code. */
typedef struct krsi_spv_header {
    uint64_t hash[2]; /* of the kernel */
    uint32_t bindings;
    uint32_t cache_bytes; /* behind the module: what the driver keeps */
} krsi_spv_header;

enum { KRSI_NEED_FULL = 1, KRSI_NEED_LOW = 2 };

enum { KRSI_SPV_DEPTH = 64 }; /* loops in loops: what the language allows */

typedef struct krsi_spv_loop {
    uint32_t inst, carries; /* the FOR; how many CARRYs follow it */
    bool is_branch;
    uint32_t before, head, again, after; /* labels */
    size_t first_phi;
} krsi_spv_loop;

typedef struct krsi_spv_emit {
    krsi_spv *m;
    const krs_kernel *kernel;
    const krsi_spv_target *target;
    uint8_t *need;    /* of each instruction: KRSI_NEED_* */
    uint32_t **value; /* of each instruction: its lanes */
    uint32_t **low;   /* of each i64: low words of its lanes */
    krsi_spv_memory *memory;
    krsi_spv_binding *binding; /* from 1 on in the shader */
    uint32_t binding_count;
    uint32_t zero_f32;    /* from the words of the launch */
    uint32_t item, place; /* number of the item (group); of its scratch */
    uint32_t words, push; /* variables */
    uint32_t short_loops; /* a variable, not 0 after a loop that was cut short;
                             0 where there are no loops */
    uint32_t axis[KRS_K_AXES], local[KRS_K_AXES]; /* 32-bit words */
    krsi_spv_loop loops[KRSI_SPV_DEPTH];
    size_t depth;
    size_t *phis; /* words of the body that open phis wait for */
    size_t phi_count;
    uint32_t *next;      /* of a CARRY: its NEXT's instruction, or 0 */
    uint32_t *pool;      /* the lanes of all values */
    const char *failure; /* what cannot be translated, or NULL */
} krsi_spv_emit;

/* spirv_need.c */
void krsi_spv_find_needs(const krs_kernel *kernel, uint8_t *need);
/* the low word of its result is that of the operands' low words */
bool krsi_spv_is_low(const krs_kinst *inst);

/* spirv_kernel.c -- a header, its bindings, the words of a module; to free() */
krs_status krsi_spv_kernel(const krs_kernel *kernel,
                           const krsi_spv_target *target, void **out_data,
                           size_t *out_bytes, krs_error *err);
/* word i of the launch; the first word of an argument among these */
uint32_t krsi_spv_launch_word(krsi_spv_emit *e, uint32_t i);
uint32_t krsi_spv_argument_word(const krs_kernel *kernel, uint32_t arg);

/* spirv_loop.c -- drivers may end loops before their end (lavapipe does, after
 * 65,535 turns of all loops of an invocation): the flag then gets the number of
 * the launch */
void krsi_spv_watch_loops(krsi_spv_emit *e);
void krsi_spv_report_loops(krsi_spv_emit *e);
void krsi_spv_begin_loop(krsi_spv_emit *e, uint32_t inst);
void krsi_spv_end_loop(krsi_spv_emit *e);

/* spirv_scalar.c -- one lane of a row of scalar.def; wide: i64, not its low
 * word */
uint32_t krsi_spv_scalar(krsi_spv_emit *e, const krs_kinst *inst, bool wide,
                         uint32_t a, uint32_t b, uint32_t c);
/* f32 operations, which nothing contracts */
uint32_t krsi_spv_float_op(krsi_spv_emit *e, SpvOp op, uint32_t a, uint32_t b);
uint32_t krsi_spv_is_nan(krsi_spv_emit *e, uint32_t f32);
uint32_t krsi_spv_as_bits(krsi_spv_emit *e, uint32_t f32);
uint32_t krsi_spv_as_float(krsi_spv_emit *e, uint32_t bits);
/* the type of a lane */
uint32_t krsi_spv_lane_type(krsi_spv_emit *e, krs_dtype dtype);
/* operations on 32-bit words */
uint32_t krsi_spv_word_op(krsi_spv_emit *e, SpvOp op, uint32_t a, uint32_t b);
uint32_t krsi_spv_word_number(krsi_spv_emit *e, SpvOp op, uint32_t a,
                              uint32_t number);
uint32_t krsi_spv_select(krsi_spv_emit *e, uint32_t type, uint32_t condition,
                         uint32_t yes, uint32_t no);
uint32_t krsi_spv_compare(krsi_spv_emit *e, SpvOp op, uint32_t a, uint32_t b);
/* of two words, all 64 bits: a struct of the low word and the high one */
uint32_t krsi_spv_wide_product(krsi_spv_emit *e, uint32_t a, uint32_t b);

/* spirv_pair.c -- i64 in the form that the device has; the low word of one */
uint32_t krsi_spv_wide_type(krsi_spv_emit *e);
uint32_t krsi_spv_wide_number(krsi_spv_emit *e, uint64_t bits);
uint32_t krsi_spv_wide_of(krsi_spv_emit *e, uint32_t word, bool is_signed);
uint32_t krsi_spv_wide_add(krsi_spv_emit *e, uint32_t a, uint32_t b);
uint32_t krsi_spv_wide_is_less(krsi_spv_emit *e, uint32_t a, uint32_t b);
uint32_t krsi_spv_low_of(krsi_spv_emit *e, uint32_t wide);
/* where it has none: a row of scalar.def (b is 0 of rows with one operand), and
 * conversions; from_f32 of what an i64 can hold */
uint32_t krsi_spv_pair_scalar(krsi_spv_emit *e, krs_kscalar row, uint32_t a,
                              uint32_t b);
uint32_t krsi_spv_pair_to_f32(krsi_spv_emit *e, uint32_t i64);
uint32_t krsi_spv_pair_from_f32(krsi_spv_emit *e, uint32_t f32);

/* spirv_convert.c */
uint32_t krsi_spv_convert(krsi_spv_emit *e, krs_dtype to, krs_dtype from,
                          uint32_t a);

/* spirv_pack.c -- lanes as the words they fill in memory, and back. Fewer
 * bytes than a word are the low ones of one. */
size_t krsi_spv_to_words(krsi_spv_emit *e, krs_dtype dtype,
                         const uint32_t *lanes, size_t count, uint32_t *words);
void krsi_spv_from_words(krsi_spv_emit *e, krs_dtype dtype,
                         const uint32_t *words, size_t count, uint32_t *lanes);
enum { KRSI_SPV_MAX_WORDS = 2 * KRS_K_MAX_LANES };

/* spirv_memory.c */
void krsi_spv_load(krsi_spv_emit *e, uint32_t inst);
void krsi_spv_store(krsi_spv_emit *e, uint32_t inst);
/* the number of a new binding */
uint32_t krsi_spv_add_binding(krsi_spv_emit *e, uint32_t slot,
                              krsi_spv_view texel);

#endif
