/* kernel.h -- the kernel language: what a backend compiles.
 *
 * A kernel is a typed loop nest in SSA form. Level 1 (the cut) is still
 * mathematics; here everything is decided: loops, vector widths, register
 * tiles, packing, masks. A backend translates one instruction at a time and
 * knows no operation of a graph. README.md in this folder shows an example.
 *
 * In: nothing but element types and statuses. Out: the data a backend walks,
 * text form, verifier, hash, and the interpreter that is the reference.
 *
 * A kernel that passed krs_kernel_verify is immutable: any number of threads
 * may read it. Tables and enumerations grow at the end only.
 */
#ifndef KRS_KERNEL_H
#define KRS_KERNEL_H

#include <krs/dtype.h>
#include <krs/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A value is `lanes` elements of a type that is not block-quantised; one
 * lane is a scalar. Arithmetic is on f32, i32, i64 and bool (masks); bf16,
 * f16, i8 and u8 are only loaded, stored, moved, selected and converted. */
typedef struct krs_ktype {
    uint8_t dtype; /* krs_dtype */
    uint8_t lanes; /* 1, 2, 4, 8, 16, 32 or 64 */
} krs_ktype;

#define KRS_K_MAX_LANES 64
#define KRS_K_AXES      3

/* The one list of scalar operations is scalar.def. */
typedef enum krs_kscalar {
#define SCALAR(NAME, name, arity, rule, flags, text) KRS_KS_##NAME,
#include "scalar.def"
#undef SCALAR
    KRS_KS_COUNT
} krs_kscalar;

/* The one list of instructions: NAME, name, result, what it means.
 * result: VALUE has one, NONE has none.
 *
 * a b c d are operands: numbers of earlier instructions, 0 for absent.
 * Element e of a buffer is the e-th from its start; offsets count elements
 * of the buffer's type. "Masked": lanes whose mask is false do not touch
 * memory; loaded, they are zero. */
#define KRS_KOP_LIST(X)                                                      \
    X(NOTHING, nothing, NONE, "instruction 0 of every kernel")               \
    X(CONST, const, VALUE, "bits, in every lane")                            \
    X(ARG, arg, VALUE, "launch argument number `slot`")                      \
    X(AXIS, axis, VALUE, "i64: index of this group along grid axis `slot`")  \
    X(LOCAL, local, VALUE, "i64: index of this item in its group, `slot`")   \
    X(LANES, lanes, VALUE, "i32: 0, 1, 2, ... by lane")                      \
    X(SCALAR, scalar, VALUE, "row `scalar` of scalar.def on a, b, c")        \
    X(BROADCAST, broadcast, VALUE, "scalar a in every lane")                 \
    X(SHUFFLE, shuffle, VALUE,                                               \
      "lane i is lane lanes[i] of a, then of b counted on")                  \
    X(LOAD, load, VALUE, "lanes a, a+1, ... of buffer `slot`; masked by c")  \
    X(GATHER, gather, VALUE, "lane i is element a + b[i]; masked by c")      \
    X(STORE, store, NONE, "d into elements a, a+1, ...; masked by c")        \
    X(SCATTER, scatter, NONE,                                                \
      "d[i] into element a + b[i], ascending i, the last wins; masked by c") \
    X(PREFETCH, prefetch, NONE, "element a may be read soon; no meaning")    \
    X(FOR, for, VALUE,                                                        \
      "i64: i = a while i < b, i += c (c > 0); runs up to its END")          \
    X(CARRY, carry, VALUE,                                                   \
      "right after FOR or CARRY: a at entry, then what NEXT gave it")        \
    X(NEXT, next, NONE,                                                      \
      "right before END or NEXT: carry a takes b, all at once")              \
    X(END, end, NONE, "end of the body of FOR a")                            \
    X(RESULT, result, VALUE,                                                 \
      "carry a after its loop; a's first value if no trip")                  \
    X(BARRIER, barrier, NONE,                                                \
      "all items of the group arrive; what any of them wrote is there for "  \
      "all")

typedef enum krs_kop {
#define KRS_KOP_ENUM(NAME, name, result, text) KRS_K_##NAME,
    KRS_KOP_LIST(KRS_KOP_ENUM)
#undef KRS_KOP_ENUM
        KRS_K_COUNT
} krs_kop;

/* Bits of krs_kinst.flags. */
enum {
    KRS_K_TEXEL = 1,    /* LOAD: reading through a texel view is allowed */
    KRS_K_STREAM = 2,   /* STORE: will not be read soon (non-temporal) */
    KRS_K_INDIRECT = 4, /* the index depends on loaded data, so an affine
                           analysis must not be expected to succeed */
};

typedef struct krs_kinst {
    uint8_t op;     /* krs_kop */
    uint8_t scalar; /* krs_kscalar, for SCALAR */
    uint8_t flags;
    uint8_t align_log2; /* memory: the address of the first element is a
                           multiple of 2^this bytes (at least the element's
                           size); a promise of the kernel */
    krs_ktype type;     /* of the result; of STORE, SCATTER: of the value */
    uint16_t slot;      /* buffer, argument or axis */
    uint32_t a, b, c, d;
    union {
        uint64_t bits;        /* CONST: the element, zero-extended; f32 NaN
                                 is 0x7fc00000; bool is 0 or 1 */
        const uint8_t *lanes; /* SHUFFLE: type.lanes indices */
    } u;
} krs_kinst;

typedef enum krs_kspace {
    KRS_K_PARAM,   /* bound at launch */
    KRS_K_SCRATCH, /* one a worker; contents undefined when an item starts */
    KRS_K_SHARED   /* one a group; contents undefined when a group starts */
} krs_kspace;

/* Bits of krs_kbuffer.access. Scratch and shared buffers have both. */
enum { KRS_K_READ = 1, KRS_K_WRITE = 2 };

typedef struct krs_kbuffer {
    const char *name;
    uint8_t dtype;      /* krs_dtype, not a block type (blocks come as u8) */
    uint8_t space;      /* krs_kspace */
    uint8_t access;     /* KRS_K_READ | KRS_K_WRITE */
    uint8_t align_log2; /* of its start, 2^this bytes */
    /* SCRATCH and SHARED: elements = count, times argument number
     * count_arg if that is not negative (SCRATCH only). PARAM: 0, -1. */
    int64_t count;
    int32_t count_arg;
} krs_kbuffer;

typedef struct krs_karg {
    const char *name;
    uint8_t dtype; /* KRS_I64 or KRS_F32 */
} krs_karg;

/* Parameters come first among the buffers: buffer i < params is the i-th
 * pointer of a launch. Distinct parameters may be one memory only where each
 * item reads an element before it writes it (in place, by the planner). */
typedef struct krs_kernel {
    const char *name;
    const krs_kbuffer *buffers;
    uint32_t buffer_count, param_count;
    const krs_karg *args;
    uint32_t arg_count;
    uint32_t axes;              /* grid axes in use, 0 to 3 */
    uint32_t group[KRS_K_AXES]; /* items in a group; 1 1 1 without groups */
    const krs_kinst *insts;     /* insts[0] is NOTHING */
    uint32_t inst_count;
    uint64_t hash[2]; /* of all but names: equal kernels are equal here */
} krs_kernel;

/* kernel_table.c -- names and facts of the tables */
KRS_API const char *krs_kop_name(krs_kop op);
KRS_API bool krs_kop_has_result(krs_kop op);
KRS_API const char *krs_kscalar_name(krs_kscalar op);
KRS_API const char *krs_kscalar_text(krs_kscalar op);
KRS_API int krs_kscalar_arity(krs_kscalar op);
KRS_API bool krs_kscalar_commutes(krs_kscalar op);

/* A mathematical function of the language. The strings live as long as the
 * library. */
typedef struct krs_kmath_info {
    const char *name; /* "exp" */
    const char *text; /* "e^a" */
    int arity;
    double ulp;       /* largest error in units in the last place, mad fused */
    double plain_ulp; /* the same where mad is a product and a sum */
} krs_kmath_info;

/* kernel_math.c -- the i-th function; false past the last. */
KRS_API bool krs_kmath_info_at(int i, krs_kmath_info *out);

/* kernel_verify.c -- KRS_OK, or FORMAT and one sentence: types, scopes,
 * masks, index forms, constant scratch bounds, barriers in uniform control.
 * Every backend may rely on what it checks. Any instructions may be given;
 * only pointers and counts must be true. */
KRS_API krs_status krs_kernel_verify(const krs_kernel *kernel, krs_error *err);

/* kernel_hash.c -- structure without names; krs_kernel_equal compares
 * everything that is hashed. */
KRS_API void krs_kernel_hash(const krs_kernel *kernel, uint64_t out[2]);
KRS_API bool krs_kernel_equal(const krs_kernel *a, const krs_kernel *b);

/* kernel_print.c, kernel_parse.c -- the text form. krs_kernel_print takes a
 * verified kernel and returns a string to free(), or NULL without memory.
 * krs_kernel_parse reads one kernel, verifies it, and says line and column of
 * the first fault; free with krs_kernel_free. */
KRS_API char *krs_kernel_print(const krs_kernel *kernel);
KRS_API krs_status krs_kernel_parse(const char *text, krs_kernel **out,
                                    krs_error *err);
KRS_API void krs_kernel_free(krs_kernel *kernel);

typedef union krs_kargument {
    int64_t i;
    float f;
} krs_kargument;

/* kernel_table.c -- bytes of a scratch buffer at a launch, rounded up so that
 * the next one is aligned; false on overflow. */
enum { KRS_K_SCRATCH_ALIGN = 64 };
KRS_API bool krs_kscratch_bytes(const krs_kbuffer *buffer,
                                const krs_kargument *args, size_t *out);

typedef struct krs_klaunch {
    size_t struct_size;
    int64_t grid[KRS_K_AXES]; /* groups along each axis; unused axes: 1 */
    void *const *buffers;     /* param_count pointers */
    const size_t *buffer_bytes;
    const krs_kargument *args; /* arg_count values */
} krs_klaunch;

/* What differs between targets: part of every cache key. */
typedef struct krs_kfacts {
    size_t struct_size;
    bool has_fma;      /* mad rounds once */
    bool dot2_flushes; /* dot2_bf16 takes and gives subnormals as zeros, the
                          smallest normal number perhaps too */
} krs_kfacts;

/* keval.c -- krs_keval_open decodes a kernel (verified by it) for a target;
 * krs_keval_run runs a whole grid. Every access is checked against the sizes
 * of the buffers: RANGE with a sentence, never a crash; FORMAT where items of a
 * group race for an element (not those of different groups). A bool in memory is
 * false if its byte is zero. One thread at a time for one krs_keval; the
 * kernel must outlive it. Groups run in ascending order, axis 0 fastest. */
typedef struct krs_keval krs_keval;
KRS_API krs_status krs_keval_open(const krs_kernel *kernel,
                                  const krs_kfacts *facts, krs_keval **out,
                                  krs_error *err);
KRS_API krs_status krs_keval_run(krs_keval *keval, const krs_klaunch *launch,
                                 krs_error *err);
KRS_API void krs_keval_close(krs_keval *keval);

#ifdef __cplusplus
}
#endif
#endif
