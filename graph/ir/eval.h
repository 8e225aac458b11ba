/* eval.h -- the plain interpreter of a graph of primitives, in f64.
 *
 * A krsi_eval is a graph and roots made ready: the list of nodes that the
 * roots need, where each value dies, the constants. krsi_eval_run computes
 * all of them in id order.
 *
 * Values: every element takes 8 bytes. Floats are doubles: f32 is never
 * rounded between nodes (so central differences can resolve), f16 and bf16
 * are rounded to their type at each node. Integers are int64, wrapped to
 * their width at each node; bool is 0 or 1. Block types stay as bytes, and
 * only matmul and take look inside.
 *
 * Extents: an axis with a live length has only that many elements at run
 * time. Values are compact, row-major, with run-time extents.
 */
#ifndef KRSI_EVAL_H
#define KRSI_EVAL_H

#include "ir.h"

#include <stdatomic.h>

typedef union krsi_element {
    double f;
    int64_t i;
} krsi_element;

typedef struct krsi_value {
    union {
        krsi_element *e;
        double *f;
        int64_t *i;
        const void *block; /* block types */
    };
    int64_t dim[KRS_MAX_RANK]; /* at run time */
    int64_t elements;
    struct krsi_buffer *buffer; /* NULL: the memory is another's */
    uint8_t rank, dtype;
} krsi_value;

/* ---- eval.c ---- */

typedef struct krsi_eval krsi_eval;

/* Prepare to compute roots, ids of nodes of g, which has no composite among
 * the nodes they need and outlives the result. */
krs_status krsi_eval_new(const krs_graph *g, const uint32_t *roots,
                         size_t count, krsi_eval **out, krs_error *err);
void krsi_eval_free(krsi_eval *eval);

/* How the caller holds a tensor: as the type says, or each float as a double
 * and each other element as an int64 (block types: always their bytes). */
typedef enum krsi_form { KRSI_NATIVE, KRSI_WIDE } krsi_form;

/* Give an input or state its data (the maximal shape, row-major), borrowed
 * until another is given. A leaf that no root needs is ignored. */
void krsi_eval_bind(krsi_eval *eval, uint32_t id, const void *data,
                    krsi_form form);

/* Compute all roots under var[number of the variable], within their bounds.
 * cancel (NULL is fine) is looked at between nodes.
 * Errors: NAME (a leaf without data), RANGE, MEMORY, CANCELLED. */
krs_status krsi_eval_run(krsi_eval *eval, const int64_t *var,
                         const atomic_int *cancel, krs_error *err);

/* The i-th root after a run: borrowed until the next one. */
const krsi_value *krsi_eval_root(const krsi_eval *eval, size_t i);
/* The same in its maximal shape, zero beyond the live lengths. */
void krsi_eval_read(const krsi_eval *eval, size_t i, void *data,
                    krsi_form form);

/* ---- for the operations ---- */

/* One node at one run. */
typedef struct krsi_call {
    krsi_eval *eval;
    const krsi_node *node;
    const int64_t *var;
    uint32_t step;
    krsi_value *out; /* type and extents are set; the data is to be made */
    krs_error *err;
} krsi_call;

const krsi_value *krsi_in(const krsi_call *call, uint32_t i);
const krs_graph *krsi_call_graph(const krsi_call *call);
/* room for the result */
krs_status krsi_out_new(krsi_call *call);
/* the result is operand i's memory, of the same number of elements */
krs_status krsi_out_alias(krsi_call *call, uint32_t i);
/* room for the result of a map: the memory of an operand of that many
 * elements that nobody reads after this node, if there is one, so element k
 * may be written once it was read */
krs_status krsi_out_reuse(krsi_call *call);
/* operand i's elements, in memory that may be written */
krs_status krsi_out_copy(krsi_call *call, uint32_t i);
/* room for that many elements, though the result has others (row scan) */
krs_status krsi_out_room(krsi_call *call, int64_t elements);
/* the result is a part of what operand i has room for, from that element */
krs_status krsi_out_part(krsi_call *call, uint32_t i, int64_t from);
/* memory until krsi_scratch_free; NULL (error recorded) when it is out */
krsi_element *krsi_scratch(krsi_call *call, int64_t elements);
void krsi_scratch_free(krsi_call *call, krsi_element *scratch);
/* the data bound to a leaf, NULL if none */
const void *krsi_bound(const krsi_call *call, krsi_form *out_form);
/* what stops the run; NULL is fine */
const atomic_int *krsi_call_cancel(const krsi_call *call);
/* "scope: op: text (file:line)" */
krs_status krsi_call_fail(const krsi_call *call, krs_status status,
                          const char *format, ...) KRS_PRINTF(3, 4);

static inline bool
krsi_is_float(const krsi_value *v)
{
    return krs_dtype_is_float((krs_dtype)v->dtype);
}

/* ---- eval_type.c ---- */

/* the nearest f16 or bf16; other types as they are */
double krsi_round_float(krs_dtype dtype, double value);
/* value in the interpreter's form, saturating for integers */
krsi_element krsi_element_of(krs_dtype dtype, double value);
/* the low bits of an integer type; bool: not 0 */
int64_t krsi_wrap_int(krs_dtype dtype, int64_t value);
/* count elements of a type into the interpreter's form, and back */
void krsi_from_native(krs_dtype dtype, krsi_element *dst, const void *src,
                      int64_t count);
void krsi_to_native(krs_dtype dtype, void *dst, const krsi_element *src,
                    int64_t count);

/* ---- eval_copy.c ---- */

/* dst[sum p_a dst_stride_a] = src[sum p_a src_stride_a] for every position p
 * of an array of these sizes; strides in elements, 0 and negative allowed */
void krsi_strided_copy(int rank, const int64_t *dim, krsi_element *dst,
                       const int64_t *dst_stride, const krsi_element *src,
                       const int64_t *src_stride);
/* of a compact array */
void krsi_strides(int rank, const int64_t *dim, int64_t *stride);
/* "[3,0]", the coordinates of a position in row-major order, for messages */
#define KRSI_POSITION_TEXT 176
const char *krsi_position_text(char text[KRSI_POSITION_TEXT], int rank,
                               const int64_t *dim, int64_t position);

/* ---- eval_scan.c ---- */

/* The body of a scan node, ready to run. asked: for each of the results that
 * the row result has. */
typedef struct krsi_eval_body krsi_eval_body;
krs_status krsi_eval_body_new(const krs_graph *g, const krsi_node *scan,
                              const bool *asked, krsi_eval_body **out,
                              krs_error *err);
void krsi_eval_body_free(krsi_eval_body *body);
/* of the scan that is called, or whose result is */
krsi_eval_body *krsi_call_body(const krsi_call *call);

/* ---- eval_block.c ---- */

/* elements first, first + 1, ... of a tensor of blocks */
void krsi_dequantise(krs_dtype dtype, double *out, const void *blocks,
                     int64_t first, int64_t count);

/* ---- eval_*.c: one function a primitive row ---- */

typedef krs_status krsi_eval_rule(krsi_call *call);
#define PRIMITIVE(ID, name, ...) krs_status krsi_eval_##name(krsi_call *call);
#define COMPOSITE(...)
#include "ops.def"
#undef PRIMITIVE
#undef COMPOSITE

#endif
