/* eval_device.c -- the graph interpreter (graph/ir/eval.h) as a device. */
#include "program.h"

#include "../graph/ir/eval.h"

static krs_status
prepare(const krs_graph *g, const uint32_t *roots, size_t count, void **out,
        krs_error *err)
{
    krsi_eval *eval;
    KRS_TRY(krsi_eval_new(g, roots, count, &eval, err));
    *out = eval;
    return KRS_OK;
}

static void
discard(void *prepared)
{
    krsi_eval_free(prepared);
}

static void
bind(void *prepared, uint32_t id, const void *data)
{
    krsi_eval_bind(prepared, id, data, KRSI_NATIVE);
}

static krs_status
run(void *prepared, const int64_t *var, const atomic_bool *cancel,
    krs_error *err)
{
    return krsi_eval_run(prepared, var, cancel, err);
}

static void
read_root(const void *prepared, size_t root, void *data)
{
    krsi_eval_read(prepared, root, data, KRSI_NATIVE);
}

const krsi_device_kind krsi_eval_device = {
    .name = "eval",
    .prepare = prepare,
    .discard = discard,
    .bind = bind,
    .run = run,
    .read = read_root,
};
