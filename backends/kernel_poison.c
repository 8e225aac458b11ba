/* kernel_poison.c -- a run in which reading what is no longer there shows
 * (KRS_MEMORY_POISONED).
 *
 * Before the first wave the whole arena, and after each wave every place that
 * nobody uses later, is filled with bytes 0xFF: NaN as floats, -1 as integers,
 * which is an index outside of every axis. A plan that lets a value be
 * overwritten or read too early gives results that a test tells from those of
 * KRS_MEMORY_SEPARATE.
 */
#include "kernel_device.h"

#include <stdlib.h>

enum { POISON = 0xFF };

static int
by_last(const void *a, const void *b)
{
    const krsi_room *x = a, *y = b;
    return (x->last > y->last) - (x->last < y->last);
}

/* The places of the arena, each with the last wave of all who have it. */
krs_status
krsi_poison_prepare(krsi_ready *r, krs_error *err)
{
    const krsi_layout *l = &r->plan.layout;
    uint32_t *number = calloc(l->value_count + 1, sizeof *number);
    r->dead = calloc(l->value_count + 1, sizeof *r->dead);
    if (!number || !r->dead) {
        free(number);
        return krs_fail(err, KRS_E_MEMORY, "no memory to poison memory");
    }
    for (uint32_t v = 0; v < l->value_count; v++) {
        if (l->values[v].kind != KRSI_STORAGE_TEMPORARY || l->first[v] < 0)
            continue;
        uint32_t *of = &number[l->home[v]];
        if (!*of) {
            *of = (uint32_t)++r->dead_count;
            r->dead[*of - 1] = (krsi_room){.bytes = l->values[v].bytes,
                                           .offset = l->offset[v]};
        }
        if (r->dead[*of - 1].last < l->last[v])
            r->dead[*of - 1].last = l->last[v];
    }
    free(number);
    qsort(r->dead, r->dead_count, sizeof *r->dead, by_last);
    return KRS_OK;
}

krs_status
krsi_poison_all(krsi_ready *r, krs_error *err)
{
    return krsi_machine_fill(r->m, r->arena, r->arena_offset,
                             r->plan.layout.arena_bytes, POISON, err);
}

krs_status
krsi_poison_after(krsi_ready *r, int wave, krs_error *err)
{
    for (size_t i = 0; i < r->dead_count && r->dead[i].last <= wave; i++)
        if (r->dead[i].last == wave)
            KRS_TRY(krsi_machine_fill(r->m, r->arena,
                                      r->arena_offset + r->dead[i].offset,
                                      r->dead[i].bytes, POISON, err));
    return KRS_OK;
}
