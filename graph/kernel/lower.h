/* lower.h -- from cuts to kernels and launches.
 *
 * In: a cut (level 1) and the facts of a device. Out: kernels of the kernel
 * language and launches that say what their arguments, buffers and grids are.
 * Sizes, strides, offsets and constants are arguments, so layers and shapes
 * share kernels.
 */
#ifndef KRSI_LOWER_H
#define KRSI_LOWER_H

#include "../sched/cut.h"
#include "kb.h"

/* Facts from which templates and their parameters are chosen. */
typedef struct krsi_facts {
    uint32_t lanes;     /* f32 in a vector register: 1, 4, 8, 16 */
    uint32_t registers; /* vector registers */
    uint32_t workers;
    uint64_t cache_bytes[3];
    bool has_dot2_bf16;
} krsi_facts;

/* An argument of a launch, known when the runtime integers are. */
typedef struct krsi_arg {
    bool is_float;
    float number;
    krs_index index;
} krsi_arg;

/* Groups along a grid axis: extent / per, rounded up. */
typedef struct krsi_grid {
    krs_index extent;
    int64_t per;
} krsi_grid;

#define KRSI_FAULTS (UINT32_MAX - 1) /* the value of the fault buffer */

typedef struct krsi_launch {
    size_t kernel; /* number among the kernels of the plan */
    uint32_t node; /* for names and times */
    int wave;
    int args, bindings;
    krsi_arg *arg;     /* in the plan's arena */
    uint32_t *binding; /* values; KRSI_FAULTS */
    krsi_grid grid[KRS_K_AXES];
} krsi_launch;

/* Everything a program runs. */
typedef struct krsi_plan {
    krsi_sched sched;
    krs_kernel **kernels; /* different ones only */
    size_t kernel_count, kernel_capacity;
    krsi_launch *launches; /* ascending waves */
    size_t launch_count, launch_capacity;
    size_t *offset; /* bytes, of each temporary value in the arena */
    size_t arena_bytes;
    krsi_arena arena;
} krsi_plan;

/* plan.c -- schedule, lower and place what the outputs need (nodes of a graph
 * of primitives, which must outlive the plan).
 * Errors: UNSUPPORTED (a node that no family takes, named), MEMORY. */
krs_status krsi_plan_make(krsi_plan *plan, const krs_graph *g,
                          const krs_node *outputs, size_t count,
                          const krsi_facts *facts, krs_error *err);
void krsi_plan_free(krsi_plan *plan);

/* ---- lower_*.c: one kernel and one launch for a cut ---- */

enum { KRSI_MAX_ARGS = 96, KRSI_MAX_BINDINGS = KRSI_CUT_LOADS + 2 };

/* A kernel being made for a cut. */
typedef struct krsi_lowering {
    krsi_kb *kb;
    const krsi_cut *cut;
    const krsi_facts *facts;
    int lanes; /* of the vector axis */
    int args, bindings;
    krsi_arg arg[KRSI_MAX_ARGS];
    uint32_t binding[KRSI_MAX_BINDINGS];
    krsi_grid grid[KRS_K_AXES];
    krsi_kbuf load[KRSI_CUT_LOADS], out, faults;
    krsi_kv extent[KRSI_CUT_AXES];
    krsi_kv load_offset[KRSI_CUT_LOADS], out_offset;
    krsi_kv load_stride[KRSI_CUT_LOADS][KRSI_CUT_AXES];
    krsi_kv out_stride[KRSI_CUT_AXES];
    krsi_kv indirect_stride[KRSI_CUT_LOADS], indirect_bound[KRSI_CUT_LOADS];
    krsi_kv fault_slot;
    krsi_kv constant[KRSI_CUT_EXPRS];
    int vector_axis;              /* of the iteration space; -1: none */
    krsi_kv coord[KRSI_CUT_AXES]; /* i64; of the vector axis: its lane 0 */
    krsi_kv mask;                 /* of the vector axis; none if no axis */
    int loops;                    /* open ones, for end_points */
} krsi_lowering;

/* declare buffers and arguments of the cut */
void krsi_lower_declare(krsi_lowering *l);
/* Open loops over the axes 0 .. axes-1, the last `per` elements an item and
 * vectorised if vector_axis names it; grid axes take the innermost three. */
void krsi_lower_points(krsi_lowering *l, int axes, int64_t per);
void krsi_lower_end_points(krsi_lowering *l);
/* value of the root expression at the point; scalar if it does not vary along
 * the vector axis */
krsi_kv krsi_lower_root(krsi_lowering *l);
/* the same of any expression */
krsi_kv krsi_lower_expr(krsi_lowering *l, int expr);
/* Address of the store at the point, and store of a value in the type of the
 * kernel (lower_expr.c), narrowed to the output's. `moved` is added to the
 * address: none, a scalar or lanes. */
krsi_kmem krsi_lower_out(krsi_lowering *l, krsi_kv moved);
void krsi_lower_store(krsi_lowering *l, krsi_kmem at, krsi_kv value);
/* an index that was loaded, checked: false lanes are reported as a fault of
 * the cut; *inside is its mask and the point's */
krsi_kv krsi_lower_index(krsi_lowering *l, int load, krsi_kv index,
                         krsi_kv *inside);

/* lower_expr.c */
/* the type values of a dtype have in expressions: i8 and u8 count in i32 */
krs_dtype krsi_lower_type(krs_dtype dtype);
/* back into the range of the dtype, for i8 and u8 */
krsi_kv krsi_lower_wrap(krsi_kb *kb, krs_dtype dtype, krsi_kv value);
krsi_kv krsi_lower_op(krsi_kb *kb, enum krsi_op op, krs_dtype from,
                      krs_dtype to, const krsi_kv *in);
krsi_kv krsi_lower_random(krsi_kb *kb, krsi_kv seed, krsi_kv step,
                          krsi_kv stream, krsi_kv element);

/* the families */
typedef void krsi_lower_rule(krsi_lowering *l);
krsi_lower_rule krsi_lower_map, krsi_lower_reduce, krsi_lower_prefix,
    krsi_lower_scatter, krsi_lower_contract;

#endif
