/* kb.h -- writing kernels: the builder that the templates use.
 *
 * Errors stick: after the first one every call is a no-op that returns no
 * value, and krsi_kb_finish reports it. Constants, arguments, axes and lane
 * numbers are placed once at the head of the kernel; equal pure instructions
 * in the same or an enclosing scope are one instruction; integer expressions
 * of constants fold, and x + 0, x * 1, x * 0 of integers vanish. Scalars
 * meeting vectors are broadcast.
 *
 *     krsi_kb *kb = krsi_kb_new("scale");
 *     krsi_kbuf x = krsi_kb_param(kb, "x", KRS_F32, KRS_K_READ, 64);
 *     krsi_kbuf y = krsi_kb_param(kb, "y", KRS_F32, KRS_K_WRITE, 64);
 *     krsi_kv n = krsi_kb_arg(kb, "n", KRS_I64);
 *     krsi_kv by = krsi_kb_arg(kb, "by", KRS_F32);
 *     krsi_kv i = krsi_kb_mul(kb, krsi_kb_axis(kb, 0), krsi_kb_i64(kb, 16));
 *     krsi_kv in = krsi_kb_below(kb, i, n, 16);
 *     krsi_kv v = krsi_kb_load(kb, (krsi_kmem){
 *         .buffer = x, .index = i, .lanes = 16, .mask = in});
 *     krsi_kb_store(kb, (krsi_kmem){.buffer = y, .index = i, .mask = in},
 *                   krsi_kb_mul(kb, v, by));
 *     krs_status s = krsi_kb_finish(kb, &kernel, err);   // frees kb
 */
#ifndef KRSI_KB_H
#define KRSI_KB_H

#include "../base/base.h"
#include "kernel.h"

/* kernel_types.c -- types, and the memory of a kernel. krsi_kscalar_type
 * gives NULL and *out, or the reason why not; `wanted` is the result type of
 * convert and bitcast. */
#define KRSI_KTYPE_TEXT 16
bool krsi_ktype_same(krs_ktype a, krs_ktype b);
bool krsi_ktype_valid(krs_ktype type);
int krsi_kdtype_bytes(int dtype); /* of one element; 0 for blocks */
const char *krsi_ktype_print(char text[KRSI_KTYPE_TEXT], krs_ktype type);
const char *krsi_kscalar_type(krs_kscalar op, const krs_ktype t[3],
                              krs_ktype wanted, krs_ktype *out);
/* kernel_declare.c -- everything but the instructions, which stay unread */
krs_status krsi_kernel_verify_declared(const krs_kernel *kernel,
                                       krs_error *err);
/* kernel_verify.c -- krs_kernel_verify, the sentence without the place, which
 * is instruction *where (0: the declarations) */
krs_status krsi_kernel_verify_at(const krs_kernel *kernel, uint32_t *where,
                                 krs_error *err);
/* kernel_turns.c -- turns of all loops of one item, at most: whenever the item
 * comes to a loop, its trips and one more. args: what each integer argument may
 * be, by its number; grid: groups along each axis, at most. false: no memory. */
typedef struct krsi_range {
    int64_t low, high;
} krsi_range;
bool krsi_kernel_turns(const krs_kernel *kernel, const krsi_range *args,
                       const int64_t grid[KRS_K_AXES], int64_t *out);
/* An empty kernel whose parts go into *out_arena; NULL without memory. */
krs_kernel *krsi_kernel_new(krsi_arena **out_arena);

typedef struct krsi_kb krsi_kb; /* one thread at a time */

/* A value and a buffer of the kernel being built; zeroed is none. */
typedef struct krsi_kv {
    uint32_t ref;
} krsi_kv;

typedef struct krsi_kbuf {
    uint16_t ref;
} krsi_kbuf;

#define KRSI_KV_NONE ((krsi_kv){0})

/* kernel_build.c, kernel_value.c, kernel_order.c, kernel_compose.c -- NULL when
 * memory is out; every other function takes NULL. */
krsi_kb *krsi_kb_new(const char *name);
/* The finished, verified kernel (free with krs_kernel_free), or the first
 * error. Frees kb in both cases. */
krs_status krsi_kb_finish(krsi_kb *kb, krs_kernel **out, krs_error *err);
/* Report an error of the caller's own; the first one is kept. */
void krsi_kb_fail(krsi_kb *kb, krs_status status, const char *format, ...)
    KRS_PRINTF(3, 4);
bool krsi_kb_failed(const krsi_kb *kb);
void krsi_kb_free(krsi_kb *kb); /* for giving up; finish frees too */

/* Declarations, before or between instructions. align_bytes 0: the size of
 * an element. */
krsi_kbuf krsi_kb_param(krsi_kb *kb, const char *name, krs_dtype dtype,
                        int access, size_t align_bytes);
/* count elements, times the i64 argument `times` unless that is none */
krsi_kbuf krsi_kb_scratch(krsi_kb *kb, const char *name, krs_dtype dtype,
                          int64_t count, krsi_kv times, size_t align_bytes);
krsi_kbuf krsi_kb_shared(krsi_kb *kb, const char *name, krs_dtype dtype,
                         int64_t count, size_t align_bytes);
krsi_kv krsi_kb_arg(krsi_kb *kb, const char *name, krs_dtype dtype);
void krsi_kb_group(krsi_kb *kb, uint32_t x, uint32_t y, uint32_t z);

/* Leaves */
krsi_kv krsi_kb_axis(krsi_kb *kb, int axis);
krsi_kv krsi_kb_local(krsi_kb *kb, int axis);
krsi_kv krsi_kb_lanes(krsi_kb *kb, int lanes); /* i32 */
krsi_kv krsi_kb_const(krsi_kb *kb, krs_ktype type, uint64_t bits);
krsi_kv krsi_kb_f32(krsi_kb *kb, float value);
krsi_kv krsi_kb_i32(krsi_kb *kb, int32_t value);
krsi_kv krsi_kb_i64(krsi_kb *kb, int64_t value);
krsi_kv krsi_kb_bool(krsi_kb *kb, bool value);
krs_ktype krsi_kb_type(const krsi_kb *kb, krsi_kv value);

/* Scalar operations. krsi_kb_add(kb, a, b) and so on, one for each row of
 * scalar.def, are below; these two name their result type. */
krsi_kv krsi_kb_scalar(krsi_kb *kb, krs_kscalar op, krsi_kv a, krsi_kv b,
                       krsi_kv c);
krsi_kv krsi_kb_convert(krsi_kb *kb, krs_dtype to, krsi_kv a);
krsi_kv krsi_kb_bitcast(krsi_kb *kb, krs_dtype to, krsi_kv a);

/* Lanes */
krsi_kv krsi_kb_broadcast(krsi_kb *kb, int lanes, krsi_kv a);
/* b may be none; `lanes` indices, values as in SHUFFLE */
krsi_kv krsi_kb_shuffle(krsi_kb *kb, krsi_kv a, krsi_kv b, int lanes,
                        const uint8_t *indices);
/* lanes first .. first + count - 1 */
krsi_kv krsi_kb_slice(krsi_kb *kb, krsi_kv a, int first, int count);
/* mask: lane j holds if first + j < end (i64 scalars) */
krsi_kv krsi_kb_below(krsi_kb *kb, krsi_kv first, krsi_kv end, int lanes);

/* Memory: name what is used, the rest stays zero. */
typedef struct krsi_kmem {
    krsi_kbuf buffer;
    krsi_kv index;      /* i64 scalar, in elements */
    krsi_kv offsets;    /* none: contiguous; i32 or i64 by lane: gather */
    krsi_kv mask;       /* none: all lanes */
    int lanes;          /* loads; 0 means 1 */
    size_t align_bytes; /* promised; 0: the size of an element */
    int flags;          /* KRS_K_TEXEL, KRS_K_STREAM, KRS_K_INDIRECT */
} krsi_kmem;
krsi_kv krsi_kb_load(krsi_kb *kb, krsi_kmem at);
void krsi_kb_store(krsi_kb *kb, krsi_kmem at, krsi_kv value);
void krsi_kb_prefetch(krsi_kb *kb, krsi_kmem at);
void krsi_kb_barrier(krsi_kb *kb);

/* Loops: for, its carries (their first values are computed before the for),
 * the body, next for every carry (one without keeps its value), end, results.
 * for returns the index. */
krsi_kv krsi_kb_for(krsi_kb *kb, krsi_kv low, krsi_kv high, krsi_kv step);
krsi_kv krsi_kb_carry(krsi_kb *kb, krsi_kv first);
void krsi_kb_next(krsi_kb *kb, krsi_kv carry, krsi_kv value);
void krsi_kb_end(krsi_kb *kb);
krsi_kv krsi_kb_result(krsi_kb *kb, krsi_kv carry);
/* an if: the body between this and krsi_kb_end runs if low < high */
void krsi_kb_if_below(krsi_kb *kb, krsi_kv low, krsi_kv high);

/* The sum (or min, max, ...) of a row in its stated order. The row has 64
 * virtual lanes; lane j took the elements j, j + 64, ... in ascending order.
 * parts[p] holds the virtual lanes p * lanes .. p * lanes + lanes - 1 of
 * 64 / lanes vectors; then lane j meets lane j + 32, 16, 8, 4, 2, 1. So the
 * bits depend on the length of the row alone, not on the vector width. */
#define KRSI_ROW_LANES 64
krsi_kv krsi_kb_row_tree(krsi_kb *kb, krs_kscalar op, const krsi_kv *parts,
                         int lanes);
/* parts of that tree: `count` vectors, a power of two up to 64, become one, the
 * first half meeting the second; and the lanes of one a scalar, likewise */
krsi_kv krsi_kb_join(krsi_kb *kb, krs_kscalar op, const krsi_kv *parts,
                     int count);
krsi_kv krsi_kb_fold(krsi_kb *kb, krs_kscalar op, krsi_kv v);

#define KRSI_KB_OPERANDS_1 krsi_kv a
#define KRSI_KB_OPERANDS_2 krsi_kv a, krsi_kv b
#define KRSI_KB_OPERANDS_3 krsi_kv a, krsi_kv b, krsi_kv c
#define KRSI_KB_PASSED_1   a, KRSI_KV_NONE, KRSI_KV_NONE
#define KRSI_KB_PASSED_2   a, b, KRSI_KV_NONE
#define KRSI_KB_PASSED_3   a, b, c
#define KRSI_KB_TYPED_CONVERT(...)
#define KRSI_KB_TYPED_BITCAST(...)
#define KRSI_KB_INLINE(NAME, name, arity)                                 \
    static inline krsi_kv krsi_kb_##name(krsi_kb *kb,                     \
                                         KRSI_KB_OPERANDS_##arity)        \
    {                                                                     \
        return krsi_kb_scalar(kb, KRS_KS_##NAME, KRSI_KB_PASSED_##arity); \
    }
#define KRSI_KB_TYPED_F32     KRSI_KB_INLINE
#define KRSI_KB_TYPED_NUMBER  KRSI_KB_INLINE
#define KRSI_KB_TYPED_INT     KRSI_KB_INLINE
#define KRSI_KB_TYPED_WORD    KRSI_KB_INLINE
#define KRSI_KB_TYPED_BITS    KRSI_KB_INLINE
#define KRSI_KB_TYPED_COMPARE KRSI_KB_INLINE
#define KRSI_KB_TYPED_SELECT  KRSI_KB_INLINE
#define KRSI_KB_TYPED_DOT2    KRSI_KB_INLINE
#define SCALAR(NAME, name, arity, rule, flags, text) \
    KRSI_KB_TYPED_##rule(NAME, name, arity)
#include "scalar.def"
#undef SCALAR

/* kernel_math.c -- transcendental functions as polynomials of scalar rows,
 * for f32 scalars and vectors: NAME, name, arity, largest error in units in
 * the last place with FMA and without, text. test_kernel_math.c measures the
 * errors over 2^20 samples and all bf16 and f16 values; the maxima it found
 * stand in kernel_math.c. */
#define KRSI_KMATH_LIST(X)                                  \
    X(EXP, exp, 1, 1.05, 1.05, "e^a")                       \
    X(EXP_FALL, exp_fall, 1, 1.05, 1.05,                    \
      "e^a for a up to 88, 0 where that is below 2^-126")   \
    X(EXP2, exp2, 1, 1, 1.25, "2^a")                        \
    X(LOG, log, 1, 1, 1, "ln a")                            \
    X(LOG2, log2, 1, 1, 1, "log2 a")                        \
    X(LOG1P, log1p, 1, 1.5, 1.5, "ln (1 + a)")              \
    X(TANH, tanh, 1, 1.5, 1.5, "tanh a")                    \
    X(ERF, erf, 1, 1.25, 1.5, "2/sqrt(pi) int_0^a e^-t^2")  \
    X(ERFC, erfc, 1, 2, 3.5, "1 - erf a, also in the tail") \
    X(SIN, sin, 1, 1.05, 1.05, "sin a")                     \
    X(COS, cos, 1, 1.05, 1.05, "cos a")                     \
    X(SIGMOID, sigmoid, 1, 1.5, 1.5, "1 / (1 + e^-a)")      \
    X(RSQRT, rsqrt, 1, 1.5, 1.5, "a^(-1/2)")                \
    X(POW, pow, 2, 1.25, 1.25, "a^b")
#define KRSI_KMATH_PROTOTYPE(NAME, name, arity, ulp, plain_ulp, text) \
    krsi_kv krsi_kmath_##name(krsi_kb *kb, KRSI_KB_OPERANDS_##arity);
KRSI_KMATH_LIST(KRSI_KMATH_PROTOTYPE)
#undef KRSI_KMATH_PROTOTYPE

#endif
