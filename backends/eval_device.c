/* eval_device.c -- the graph interpreter (graph/ir/eval.h) as a device. Its
 * memory is the host's: krsi_memory is a krs_backend_memory here.
 */
#include "host_memory.h"
#include "program.h"

#include "../graph/ir/eval.h"

#include <stdlib.h>
#include <string.h>

/* A graph made ready, and where its roots go. */
typedef struct prepared {
    krsi_eval *eval;
    krsi_memory **root;
    size_t roots;
} prepared;

static krs_status
open_eval(const char *name, const krs_device_options *options, void **out_state,
          krs_error *err)
{
    if (strcmp(name, "eval") != 0)
        return krs_fail(err, KRS_E_DEVICE,
                        "device_open: no device '%s'; there is: eval", name);
    krs_allocator *allocator = calloc(1, sizeof *allocator);
    if (!allocator)
        return krs_fail(err, KRS_E_MEMORY, "device_open: no memory for eval");
    if (options->allocator)
        *allocator = *options->allocator;
    *out_state = allocator;
    return KRS_OK;
}

static void
close_eval(void *state)
{
    free(state);
}

static void
describe(const void *state, krs_device_info *out)
{
    (void)state;
    *out = (krs_device_info){.struct_size = sizeof *out,
                             .model = "",
                             .target = "",
                             .threads = 1,
                             .memory_align = KRSI_HOST_ALIGN};
}

static const krs_allocator *
allocator_of(const void *state)
{
    const krs_allocator *allocator = state;
    return allocator->allocate ? allocator : NULL;
}

static krs_backend_memory *
host(const krsi_memory *memory)
{
    return (krs_backend_memory *)memory;
}

static krs_status
alloc(void *state, size_t bytes, krsi_memory **out, krs_error *err)
{
    krs_backend_memory *memory;
    *out = NULL;
    KRS_TRY(krsi_host_alloc("eval", allocator_of(state), KRSI_HOST_ALIGN, bytes,
                            &memory, err));
    memset(memory->data, 0, bytes);
    *out = (krsi_memory *)memory;
    return KRS_OK;
}

static krs_status
wrap(void *state, void *data, size_t bytes, krsi_memory **out, krs_error *err)
{
    krs_backend_memory *memory;
    (void)state;
    *out = NULL;
    KRS_TRY(krsi_host_wrap("eval", data, bytes, &memory, err));
    *out = (krsi_memory *)memory;
    return KRS_OK;
}

static void
free_memory(void *state, krsi_memory *memory)
{
    krsi_host_free(allocator_of(state), host(memory));
}

static krs_status
write_memory(void *state, krsi_memory *memory, const void *data, size_t bytes,
             krs_error *err)
{
    (void)state;
    return krsi_host_write("eval", host(memory), 0, data, bytes, err);
}

static krs_status
read_memory(void *state, const krsi_memory *memory, void *data, size_t bytes,
            krs_error *err)
{
    (void)state;
    return krsi_host_read("eval", host(memory), 0, data, bytes, err);
}

static void
discard(void *p)
{
    prepared *ready = p;
    if (!ready)
        return;
    krsi_eval_free(ready->eval);
    free(ready->root);
    free(ready);
}

static krs_status
prepare(void *state, const krs_graph *g, const uint32_t *roots, size_t count,
        void **out, krs_error *err)
{
    (void)state;
    prepared *ready = calloc(1, sizeof *ready);
    krsi_memory **root = calloc(count, sizeof(krsi_memory *));
    krs_status status = ready && root
                            ? krsi_eval_new(g, roots, count, &ready->eval, err)
                            : krs_fail(err, KRS_E_MEMORY,
                                       "no memory to prepare a "
                                       "program");
    if (status != KRS_OK) {
        free(ready);
        free(root);
        return status;
    }
    ready->root = root;
    ready->roots = count;
    *out = ready;
    return KRS_OK;
}

static krs_status
equip(void *p, krs_error *err)
{
    (void)p;
    (void)err;
    return KRS_OK;
}

/* Nothing is compiled, so nothing is shared. */
static krs_status
clone(void *state, const void *p, const krs_graph *g, const uint32_t *roots,
      size_t count, void **out, krs_error *err)
{
    (void)p;
    return prepare(state, g, roots, count, out, err);
}

static krs_status
no_plan(const void *p, krs_memory_info *out, krs_error *err)
{
    (void)p;
    (void)out;
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "program_memory: eval plans no memory");
}

static void
bind_leaf(void *p, uint32_t id, krsi_memory *memory)
{
    krsi_eval_bind(((prepared *)p)->eval, id, host(memory)->data, KRSI_NATIVE);
}

static void
bind_root(void *p, size_t root, krsi_memory *memory)
{
    ((prepared *)p)->root[root] = memory;
}

static bool
is_in_place(const void *p, size_t root)
{
    (void)p;
    (void)root;
    return false;
}

static krs_status
run(void *p, const int64_t *var, const atomic_int *cancel, krs_error *err)
{
    prepared *ready = p;
    KRS_TRY(krsi_eval_run(ready->eval, var, cancel, err));
    for (size_t i = 0; i < ready->roots; i++)
        krsi_eval_read(ready->eval, i, host(ready->root[i])->data, KRSI_NATIVE);
    return KRS_OK;
}

static krs_status
print_stage(void *p, const char *stage, char **out_text, krs_error *err)
{
    (void)p;
    (void)out_text;
    return krs_fail(err, KRS_E_NAME,
                    "program_print: eval has no stage '%s': it runs the graph "
                    "as it is after the passes over graphs",
                    stage);
}

static void
profile(void *p, bool on)
{
    (void)p; /* no launches to measure */
    (void)on;
}

static bool
launch(const void *p, size_t i, krs_launch_info *out)
{
    (void)p;
    (void)i;
    (void)out;
    return false;
}

const krsi_device_kind krsi_eval_device = {
    .open = open_eval,
    .close = close_eval,
    .describe = describe,
    .alloc = alloc,
    .wrap = wrap,
    .free = free_memory,
    .write = write_memory,
    .read = read_memory,
    .prepare = prepare,
    .equip = equip,
    .clone = clone,
    .memory = no_plan,
    .discard = discard,
    .bind_leaf = bind_leaf,
    .bind_root = bind_root,
    .is_in_place = is_in_place,
    .run = run,
    .print = print_stage,
    .profile = profile,
    .launch = launch,
};
