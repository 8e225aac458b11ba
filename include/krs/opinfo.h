/* opinfo.h -- a walk over the table of operations.
 *
 *     krs_op_info op;
 *     for (int i = 0; krs_op_info_at(i, &op); i++)
 *         puts(op.name);
 */
#ifndef KRS_OPINFO_H
#define KRS_OPINFO_H

#include <krs/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One row. The strings live as long as the library. */
typedef struct krs_op_info {
    const char *name;       /* as in krs_node_op and in the text form */
    const char *definition; /* for people: "2/sqrt(pi) int_0^x e^(-t^2) dt" */
    const char *attributes; /* "axes:I keep:b", kinds as in ops.def */
    const char *types;      /* rule of operand types: "float", "number", ... */
    int least_operands;
    int most_operands;   /* -1: any number */
    bool composite;      /* expands into other operations */
    bool differentiable; /* krs_grad passes through it */
} krs_op_info;

/* krs_op_count() -- operations in the library.
 * krs_op_info_at(i, &op) -- row i, in the order of the table; false outside
 * [0, count). Thread-safe. */
KRS_API int krs_op_count(void);
KRS_API bool krs_op_info_at(int i, krs_op_info *out);

#ifdef __cplusplus
}
#endif
#endif
