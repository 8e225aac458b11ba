/* keval_race.c -- do two items of a group meet at an element that one of them
 * writes, with no barrier between?
 *
 * In: every access of a kernel with groups to what its items share: shared
 * memory, parameters that are written, and parameters that lie over these. Out:
 * the item that was there before, if the two are a race. It is how a machine
 * without a GPU shows that a schedule has all its barriers: the interpreter runs
 * items in turn, so that a missing one would not change its bits.
 *
 * Method: a hash table by address of the elements touched since the last
 * barrier, each with its writer and its reader (or "several"). What an earlier
 * interval left behind counts as empty, so a barrier clears the table by
 * counting on. Two items may write the same bits into a parameter, as many do
 * into the place of a fault; into shared memory they may not. Groups are not
 * compared with each other.
 */
#include "keval.h"

#include "kb.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 1024 };

static size_t
home_of(uintptr_t at, size_t slots)
{
    return (size_t)(((uint64_t)at * UINT64_C(0x9E3779B97F4A7C15)) >> 32) &
           (slots - 1);
}

/* The entry of an address, or the empty one where it belongs. */
static struct keval_touch *
find(const struct keval_races *races, uintptr_t at)
{
    size_t i = home_of(at, races->slots);
    while (races->touch[i].interval == races->interval &&
           races->touch[i].at != at)
        i = (i + 1) & (races->slots - 1);
    return &races->touch[i];
}

static bool
grow(struct keval_races *races)
{
    struct keval_races grown = *races;
    size_t bytes;
    if (races->used < races->slots / 2)
        return true;
    grown.slots = races->slots ? 2 * races->slots : FIRST_SLOTS;
    if (__builtin_mul_overflow(grown.slots, sizeof *grown.touch, &bytes))
        return false;
    grown.touch = calloc(grown.slots, sizeof *grown.touch);
    if (!grown.touch)
        return false;
    for (size_t i = 0; i < races->slots; i++)
        if (races->touch[i].interval == races->interval)
            *find(&grown, races->touch[i].at) = races->touch[i];
    free(races->touch);
    *races = grown;
    return true;
}

void
krsi_keval_barrier(struct keval_races *races)
{
    races->interval++;
    races->used = 0;
}

enum keval_meeting
krsi_keval_touch(struct keval_races *races, const void *element, int32_t item,
                 enum keval_access access, int32_t *out_other)
{
    if (!grow(races))
        return KEVAL_NO_MEMORY;
    struct keval_touch *t = find(races, (uintptr_t)element);
    if (t->interval != races->interval) {
        *t = (struct keval_touch){(uintptr_t)element, races->interval,
                                  KEVAL_NOBODY, KEVAL_NOBODY};
        races->used++;
    }
    bool writes = access != KEVAL_READS;
    bool met_writer = t->writer != KEVAL_NOBODY && t->writer != item &&
                      access != KEVAL_WRITES_THE_SAME;
    bool met_reader = writes && t->reader != KEVAL_NOBODY && t->reader != item;
    *out_other = met_writer ? t->writer : t->reader;
    if (writes)
        t->writer = item;
    else if (t->reader == KEVAL_NOBODY)
        t->reader = item;
    else if (t->reader != item)
        t->reader = KEVAL_SEVERAL;
    return met_writer || met_reader ? KEVAL_RACE : KEVAL_FINE;
}

/* May the bytes of a buffer be written by the kernel: itself, or as part of
 * another one? */
static bool
is_written(const krs_kernel *kernel, const krs_klaunch *launch, uint32_t i)
{
    const char *from = launch->buffers[i];
    const char *end = from + launch->buffer_bytes[i];
    if (kernel->buffers[i].access & KRS_K_WRITE)
        return true;
    for (uint32_t k = 0; k < kernel->param_count; k++) {
        const char *other = launch->buffers[k];
        if (kernel->buffers[k].access & KRS_K_WRITE && other < end &&
            from < other + launch->buffer_bytes[k])
            return true;
    }
    return false;
}

void
krsi_keval_watch(krs_keval *keval, const krs_klaunch *launch)
{
    const krs_kernel *kernel = keval->kernel;
    for (uint32_t i = 0; i < kernel->buffer_count; i++)
        keval->watched[i] = keval->items > 1 &&
                            (kernel->buffers[i].space == KRS_K_PARAM
                                 ? is_written(kernel, launch, i)
                                 : kernel->buffers[i].space == KRS_K_SHARED);
}
