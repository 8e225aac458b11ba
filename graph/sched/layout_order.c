/* layout_order.c -- an order of the steps in which states can be updated where
 * they lie.
 *
 * In: steps in the order of the schedule. Out: an order that respects it, with
 * home[output] = state for the updates that are in place in that order.
 *
 * Method: topological sorting (Kahn 1962) with a heap. A step that would write
 * a state is held back until nothing else is ready, so that who reads the old
 * value, and all that may report a fault, gets before it. Then one is let go,
 * by preference one whose state has no reader left; if there is none, its
 * update is done the other way: in memory of its own, exchanged after the
 * run. So a state is never updated early, and exchanging the values of two
 * states costs one copy. Linear but for the heap.
 *
 * An update of one block of a state (set_slice) is a copy of the whole and a
 * write of the block; in place the copy has nothing to do and goes.
 */
#include "layout.h"

#include <stdlib.h>

typedef struct lists {
    size_t *start; /* by value, and one more */
    uint32_t *step;
} lists;

/* The update of a state that may be in place; by the state's value. */
typedef struct candidate {
    bool open;      /* may still be in place */
    uint32_t copy;  /* step that would go; KRSI_NO_STEP */
    uint32_t first; /* step that writes first, the copy aside */
    size_t readers; /* steps to come that read the old value, not these */
} candidate;

typedef struct sorting {
    krsi_layout *l;
    lists readers, writers;
    uint32_t *missing;       /* by step: what it waits for */
    uint32_t *unwritten;     /* by value: writers to come */
    candidate *update;       /* by value of a state */
    bool *is_held, *is_done; /* by step */
    uint64_t *heap;
    size_t in_heap, heap_room;
    size_t faults; /* steps to come that may report one */
    bool failed;
} sorting;

/* ---- who uses a value ---- */

static bool
make_lists(krsi_layout *l, bool of_writers, lists *out)
{
    size_t total = 0;
    out->start = calloc(l->value_count + 2, sizeof *out->start);
    for (size_t i = 0; i < l->step_count; i++)
        total += of_writers ? l->steps[i].writes : l->steps[i].reads;
    out->step = calloc(total + 1, sizeof *out->step);
    if (!out->start || !out->step)
        return false;
    size_t *end = out->start + 2; /* shifted: filling moves it into place */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < l->step_count; i++) {
            const krsi_step *s = &l->steps[i];
            uint32_t count = of_writers ? s->writes : s->reads;
            for (uint32_t k = 0; k < count; k++) {
                uint32_t v = of_writers ? s->write[k] : s->read[k].value;
                if (pass == 0)
                    end[v]++;
                else
                    out->step[out->start[v + 1]++] = (uint32_t)i;
            }
        }
        for (size_t v = 1; pass == 0 && v < l->value_count; v++)
            end[v] += end[v - 1];
    }
    return true;
}

static size_t
length(const lists *of, uint32_t value)
{
    return of->start[value + 1] - of->start[value];
}

static const uint32_t *
members(const lists *of, uint32_t value)
{
    return of->step + of->start[value];
}

/* ---- which updates could be in place ---- */

static const krsi_read *
read_of(const krsi_step *s, uint32_t value)
{
    for (uint32_t k = 0; k < s->reads; k++)
        if (s->read[k].value == value)
            return &s->read[k];
    return NULL;
}

/* Does the step write `value` where it reads `from`, or not read it at all? */
static bool
writes_over(const krsi_step *s, uint32_t from, uint32_t value)
{
    const krsi_read *read = read_of(s, from);
    bool over = true;
    for (uint32_t k = 0; read && k < s->writes; k++)
        over &= s->write[k] != value || (read->same >> k & 1);
    return over;
}

static void
consider(sorting *t, uint32_t state)
{
    const krsi_layout *l = t->l;
    uint32_t output = l->values[state].partner;
    candidate *u = &t->update[state];
    const uint32_t *writer = members(&t->writers, output);
    size_t writers = length(&t->writers, output), k = 0;
    u->copy = u->first = KRSI_NO_STEP;
    if (writers == 0 || l->values[state].bytes != l->values[output].bytes)
        return;
    const krsi_step *s = &l->steps[writer[0]];
    if (s->copies && s->read[0].value == state)
        u->copy = writer[k++];
    if (k < writers)
        u->first = writer[k];
    for (; k < writers; k++) {
        s = &l->steps[writer[k]];
        bool is_first = writer[k] == u->first;
        if (s->faults || (is_first ? !writes_over(s, state, output)
                                   : !s->after || read_of(s, state)))
            return;
    }
    for (size_t i = 0; i < length(&t->readers, state); i++) {
        uint32_t reader = members(&t->readers, state)[i];
        u->readers += reader != u->copy && reader != u->first;
    }
    u->open = true;
    if (u->first != KRSI_NO_STEP)
        t->is_held[u->first] = true;
}

/* ---- the heap: what is ready, in the order of the schedule; held steps after
 * all others, those that would spoil an update last ---- */

enum { READY, HELD, SPOILS };

static void
push(sorting *t, int class, uint32_t step)
{
    if (!krsi_reserve(&t->heap, &t->heap_room, t->in_heap + 1,
                      sizeof *t->heap)) {
        t->failed = true;
        return;
    }
    uint64_t key = (uint64_t) class << 32 | step;
    size_t at = t->in_heap++;
    for (; at && t->heap[(at - 1) / 2] > key; at = (at - 1) / 2)
        t->heap[at] = t->heap[(at - 1) / 2];
    t->heap[at] = key;
}

static uint32_t
pop(sorting *t)
{
    uint64_t least = t->heap[0], key = t->heap[--t->in_heap];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < t->in_heap) {
        if (child + 1 < t->in_heap && t->heap[child + 1] < t->heap[child])
            child++;
        if (t->heap[child] >= key)
            break;
        t->heap[at] = t->heap[child];
        at = child;
    }
    t->heap[at] = key;
    return (uint32_t)least;
}

/* the candidate that a step would be the first to write in place, or NULL */
static candidate *
update_by(const sorting *t, uint32_t step, uint32_t value)
{
    const krsi_storage *v = &t->l->values[value];
    if (v->kind != KRSI_STORAGE_OUTPUT || v->partner == KRSI_NO_VALUE)
        return NULL;
    candidate *u = &t->update[v->partner];
    return u->open && u->first == step ? u : NULL;
}

static bool
is_early(const sorting *t, const candidate *u)
{
    return u->readers > 0 || t->faults > 0;
}

static int
class_of(const sorting *t, uint32_t step)
{
    const krsi_step *s = &t->l->steps[step];
    if (!t->is_held[step])
        return READY;
    for (uint32_t k = 0; k < s->writes; k++) {
        const candidate *u = update_by(t, step, s->write[k]);
        if (u && is_early(t, u))
            return SPOILS;
    }
    return HELD;
}

static void
wait_less(sorting *t, uint32_t step)
{
    if (--t->missing[step] == 0)
        push(t, class_of(t, step), step);
}

/* It may be better placed now; the older entry is passed over when it comes. */
static void
push_again(sorting *t, uint32_t step)
{
    if (step != KRSI_NO_STEP && !t->is_done[step] && t->missing[step] == 0 &&
        class_of(t, step) != SPOILS)
        push(t, HELD, step);
}

/* ---- sorting ---- */

static void
finish(sorting *t, uint32_t step)
{
    krsi_layout *l = t->l;
    const krsi_step *s = &l->steps[step];
    for (uint32_t k = 0; k < s->writes; k++) {
        candidate *u = update_by(t, step, s->write[k]);
        if (u && is_early(t, u))
            u->open = false;
    }
    for (uint32_t k = 0; k < s->writes; k++) {
        uint32_t v = s->write[k];
        size_t writers = length(&t->writers, v);
        if (--t->unwritten[v] > 0) {
            uint32_t next = members(&t->writers, v)[writers - t->unwritten[v]];
            if (l->steps[next].after)
                wait_less(t, next);
            continue;
        }
        for (size_t i = 0; i < length(&t->readers, v); i++)
            wait_less(t, members(&t->readers, v)[i]);
    }
    for (uint32_t k = 0; k < s->reads; k++) {
        candidate *u = &t->update[s->read[k].value];
        if (u->open && step != u->copy && step != u->first && --u->readers == 0)
            push_again(t, u->first);
    }
    if (s->faults && --t->faults == 0)
        for (size_t v = 0; v < l->value_count; v++)
            if (t->update[v].open)
                push_again(t, t->update[v].first);
}

static void
start(sorting *t, krsi_sharing sharing)
{
    const krsi_layout *l = t->l;
    for (size_t v = 0; v < l->value_count; v++) {
        t->unwritten[v] = (uint32_t)length(&t->writers, (uint32_t)v);
        if (sharing == KRSI_SHARE && l->values[v].kind == KRSI_STORAGE_STATE &&
            l->values[v].partner != KRSI_NO_VALUE)
            consider(t, (uint32_t)v);
    }
    for (size_t i = 0; i < l->step_count; i++) {
        const krsi_step *s = &l->steps[i];
        t->faults += s->faults;
        for (uint32_t k = 0; k < s->reads; k++)
            t->missing[i] += t->unwritten[s->read[k].value] > 0;
        for (uint32_t k = 0; k < s->writes; k++)
            t->missing[i] +=
                s->after && members(&t->writers, s->write[k])[0] != i;
    }
    for (size_t i = 0; i < l->step_count; i++)
        if (t->missing[i] == 0)
            push(t, class_of(t, (uint32_t)i), (uint32_t)i);
}

static bool
sort(sorting *t, krsi_sharing sharing)
{
    krsi_layout *l = t->l;
    size_t sorted = 0;
    start(t, sharing);
    while (t->in_heap && !t->failed) {
        uint32_t step = pop(t);
        if (t->is_done[step])
            continue;
        t->is_done[step] = true;
        l->order[sorted++] = step;
        finish(t, step);
    }
    for (size_t v = 0; v < l->value_count; v++) {
        const candidate *u = &t->update[v];
        if (!u->open)
            continue;
        l->home[l->values[v].partner] = (uint32_t)v;
        if (u->copy != KRSI_NO_STEP)
            l->steps[u->copy].gone = true;
    }
    return !t->failed && sorted == l->step_count;
}

bool
krsi_layout_order(krsi_layout *l, krsi_sharing sharing)
{
    sorting t = {.l = l};
    t.missing = calloc(l->step_count + 1, sizeof *t.missing);
    t.is_held = calloc(l->step_count + 1, sizeof *t.is_held);
    t.is_done = calloc(l->step_count + 1, sizeof *t.is_done);
    t.unwritten = calloc(l->value_count + 1, sizeof *t.unwritten);
    t.update = calloc(l->value_count + 1, sizeof *t.update);
    bool ok = t.missing && t.is_held && t.is_done && t.unwritten && t.update &&
              make_lists(l, false, &t.readers) &&
              make_lists(l, true, &t.writers) && sort(&t, sharing);
    free(t.readers.start);
    free(t.readers.step);
    free(t.writers.start);
    free(t.writers.step);
    free(t.missing);
    free(t.is_held);
    free(t.is_done);
    free(t.unwritten);
    free(t.update);
    free(t.heap);
    return ok;
}
