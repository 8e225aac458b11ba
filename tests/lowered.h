/* lowered.h -- a node as kernels for devices of every kind, run by the kernel
 * interpreter and compared with plain C, bit for bit.
 *
 * In: a node, the data of its leaves, what C gives. A node is lowered for each
 * width of vectors, with small code and without; memory is full of a known byte
 * before, and exactly as large as the views reach. stated_sum and stated_max
 * are the orders of lower_rows.h.
 */
#ifndef TESTS_LOWERED_H
#define TESTS_LOWERED_H

#include "graph/kernel/lower.h"
#include "graph/opt/opt.h"
#include "suite.h"

#include <math.h>
#include <string.h>

enum { MAX_LEAVES = 4, POISON_BYTE = 0xA5 };

/* f32 in a vector; those of a device whose items are lanes, too, which may
 * bound the turns of an item's loops */
static const struct {
    uint32_t lanes;
    bool are_items;
    int64_t turns;
    bool is_dear;         /* code is: small kernels */
    uint32_t group_items; /* that share memory; 0: no groups */
} widths[] = {
    {1,  false, 0,   false, 0  },
    {4,  false, 0,   false, 0  },
    {8,  false, 0,   false, 0  },
    {16, false, 0,   false, 0  },
    {4,  true,  0,   false, 0  },
    {4,  true,  600, false, 0  },
    {4,  true,  0,   false, 256},
    {4,  true,  600, false, 64 },
    {1,  false, 0,   true,  0  },
    {4,  false, 0,   true,  0  },
    {16, false, 0,   true,  0  }
};
static const int64_t lengths[] = {0, 1, 2, 63, 64, 65, 129};
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Data of leaves, by the order in which they were made. */
typedef struct leaves {
    uint32_t id[MAX_LEAVES];
    const void *data[MAX_LEAVES];
    int count;
} leaves;

static inline void
give(leaves *l, krs_node x, const void *data)
{
    l->id[l->count] = x.id;
    l->data[l->count++] = data;
}

static inline void *
memory(size_t bytes)
{
    size_t room = (bytes + 64) / 64 * 64;
    void *p = aligned_alloc(64, room);
    ck_assert_ptr_nonnull(p);
    memset(p, POISON_BYTE, room);
    return p;
}

/* The buffers of all values: leaves filled, all others poisoned. */
static inline void **
buffers_of(const krsi_sched *s, const leaves *given)
{
    void **buffer = calloc(s->value_count + 1, sizeof *buffer);
    ck_assert_ptr_nonnull(buffer);
    for (size_t i = 0; i < s->value_count; i++) {
        const krsi_storage *v = &s->values[i];
        const krsi_node *n = s->graph->node[v->node];
        buffer[i] = memory(v->bytes);
        if (v->kind == KRSI_STORAGE_CONSTANT)
            memcpy(buffer[i], s->graph->blob[krsi_int(n, 2)].data, v->bytes);
        for (int k = 0; v->kind == KRSI_STORAGE_INPUT && k < given->count; k++)
            if (given->id[k] == v->node)
                memcpy(buffer[i], given->data[k], v->bytes);
    }
    return buffer;
}

static inline void
launch(const krsi_plan *plan, const krsi_launch *from, void **values,
       int64_t *fault)
{
    const krs_kernel *kernel = plan->kernels[from->kernel];
    krs_kfacts facts = {.struct_size = sizeof facts, .has_fma = true};
    krs_kargument args[KRSI_MAX_ARGS];
    void *buffers[KRSI_MAX_BINDINGS];
    size_t bytes[KRSI_MAX_BINDINGS];
    krs_klaunch run = {.struct_size = sizeof run,
                       .buffers = buffers,
                       .buffer_bytes = bytes,
                       .args = args};
    krs_error err;
    krs_keval *keval;
    for (int i = 0; i < from->bindings; i++) {
        uint32_t value = from->binding[i];
        bool faults = value == KRSI_FAULTS;
        buffers[i] = faults ? fault : values[value];
        bytes[i] = faults ? plan->sched.fault_count * sizeof *fault
                          : plan->sched.values[value].bytes;
    }
    for (int i = 0; i < from->args; i++)
        if (from->arg[i].is_float)
            args[i].f = from->arg[i].number;
        else
            args[i].i = from->arg[i].index.base;
    for (int a = 0; a < KRS_K_AXES; a++)
        run.grid[a] = (from->grid[a].extent.base + from->grid[a].per - 1) /
                      from->grid[a].per;
    ck_assert_msg(krs_keval_open(kernel, &facts, &keval, &err) == KRS_OK, "%s",
                  err.text);
    ck_assert_msg(krs_keval_run(keval, &run, &err) == KRS_OK, "%s", err.text);
    krs_keval_close(keval);
}

/* Run the graph of primitives with vectors of a width; the output into `out`.
 * Gives what the first fault slot holds: INT64_MIN for none. */
static inline int64_t
run(krs_node y, size_t width, const leaves *given, void *out)
{
    krsi_plan plan;
    krsi_facts facts = {
        .lanes = widths[width].lanes,
        .items_are_lanes = widths[width].are_items,
        .item_turns = widths[width].turns,
        .group_items = widths[width].group_items,
        .shared_bytes = 16 << 10,
        .code_is_dear = widths[width].is_dear,
        .registers = 32,
        .workers = 1,
        .cache_bytes = {32 << 10, 1 << 20, 8 << 20}
    };
    krs_error err;
    ck_assert_msg(krsi_plan_make(&plan, y.graph, &y, 1, &facts, KRSI_SHARE,
                                 &err) == KRS_OK,
                  "%s", err.text);
    _Alignas(64) int64_t fault[8];
    for (size_t i = 0; i < COUNT(fault); i++)
        fault[i] = INT64_MIN;
    void **values = buffers_of(&plan.sched, given);
    for (size_t i = 0; i < plan.launch_count; i++)
        launch(&plan, &plan.launches[i], values, fault);
    uint32_t made = plan.sched.outputs[0];
    memcpy(out, values[made], plan.sched.values[made].bytes);
    for (size_t i = 0; i < plan.sched.value_count; i++)
        free(values[i]);
    free(values);
    krsi_plan_free(&plan);
    return fault[0];
}

/* The same bits for every width; NaN by class. */
static inline void
assert_floats(krs_node y, const leaves *given, const float *want, int64_t count,
              const char *what)
{
    float *got = memory((size_t)count * sizeof *got);
    for (size_t w = 0; w < COUNT(widths); w++) {
        run(y, w, given, got);
        for (int64_t i = 0; i < count; i++)
            if (memcmp(&got[i], &want[i], 4) != 0 &&
                !(isnan(got[i]) && isnan(want[i])))
                ck_abort_msg("%s, %u lanes: element %lld is %a, not %a", what,
                             widths[w].lanes, (long long)i, (double)got[i],
                             (double)want[i]);
    }
    free(got);
}

static inline void
assert_bytes(krs_node y, const leaves *given, const void *want, size_t bytes,
             const char *what)
{
    unsigned char *got = memory(bytes);
    for (size_t w = 0; w < COUNT(widths); w++) {
        run(y, w, given, got);
        for (size_t i = 0; i < bytes; i++)
            if (got[i] != ((const unsigned char *)want)[i])
                ck_abort_msg("%s, %u lanes: byte %zu is %u, not %u", what,
                             widths[w].lanes, i, got[i],
                             ((const unsigned char *)want)[i]);
    }
    free(got);
}

/* numbers whose sums depend on the order */
static inline float
uneven(int64_t i)
{
    return (float)((double)((i * 7919 + 13) % 1009) / 97.0 - 5.1) *
           (i % 5 == 0 ? 1e4F : 1);
}

enum { ROOM = 160 * 40 };

static inline void
fill_uneven(float *x)
{
    for (int64_t i = 0; i < ROOM; i++)
        x[i] = uneven(i);
}

#endif
