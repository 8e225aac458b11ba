/* layout_verify.c -- is a layout right? Found out from the steps again, not
 * from how it was made.
 *
 *   - what a step reads was written in earlier waves, by all who write it
 *   - no two temporaries that live in one wave overlap, but for a value that
 *     moves in where a step reads another for the last time, by krsi_read.same
 *   - what updates a state in place does so in waves from `commit` on; who
 *     reads the old value does so before, or is who writes it, at the same
 *     element; what may report a fault comes before `commit`
 *   - a step that is gone had nothing to do
 *
 * Method: a sweep over the waves. The intervals alive are kept as two Fenwick
 * trees, of their starts and of their ends, so that those which overlap one
 * more are counted in logarithmic time.
 */
#include "layout.h"

#include <stdlib.h>
#include <string.h>

/* A temporary, or all that copies which are gone make one of it. */
typedef struct span {
    int first, last;                /* waves that use it; first -1: none */
    uint32_t first_uses, last_uses; /* in these waves */
    bool is_alive;                  /* counted in the trees */
} span;

typedef struct sweep {
    const krsi_layout *l;
    krs_error *err;
    int *written;      /* by value: last wave that writes it; -1: none */
    int *taken;        /* by state: first wave that writes it in place */
    uint32_t *taker;   /* by state: the step that does */
    uint32_t *same_as; /* by value: whose span it is of */
    span *span;
    uint32_t *by_wave;  /* steps, in the order of their waves */
    size_t *wave_start; /* in by_wave; by wave and one more */
    size_t *bound;      /* distinct starts and ends, ascending */
    size_t bounds;
    uint32_t *starts, *ends; /* the trees */
} sweep;

static krs_status
wrong(const sweep *s, const char *what, uint32_t a, uint32_t b)
{
    return krs_fail(s->err, KRS_E_INTERNAL,
                    "memory layout: %s: values %u and %u", what, a, b);
}

static bool
is_temporary(const krsi_layout *l, uint32_t value)
{
    return l->values[value].kind == KRSI_STORAGE_TEMPORARY;
}

static bool
is_in_place(const krsi_layout *l, uint32_t value)
{
    return l->values[value].kind == KRSI_STORAGE_OUTPUT &&
           l->home[value] != value;
}

/* ---- order and states ---- */

static krs_status
collect(sweep *s)
{
    const krsi_layout *l = s->l;
    for (size_t v = 0; v < l->value_count; v++) {
        s->written[v] = -1;
        s->taken[v] = l->waves;
        s->taker[v] = KRSI_NO_STEP;
        s->same_as[v] = (uint32_t)v;
    }
    for (size_t i = 0; i < l->step_count; i++) {
        const krsi_step *step = &l->steps[i];
        if (step->gone)
            continue;
        if (step->wave < 0 || step->wave >= l->waves)
            return wrong(s, "no such wave", step->node, step->node);
        s->wave_start[step->wave + 1]++;
        for (uint32_t k = 0; k < step->writes; k++) {
            uint32_t v = step->write[k], state = l->home[v];
            if (s->written[v] < step->wave)
                s->written[v] = step->wave;
            if (is_in_place(l, v) && step->wave < s->taken[state]) {
                s->taken[state] = step->wave;
                s->taker[state] = (uint32_t)i;
            }
        }
    }
    for (int w = 0; w < l->waves; w++)
        s->wave_start[w + 1] += s->wave_start[w];
    for (size_t i = 0; i < l->step_count; i++)
        if (!l->steps[i].gone)
            s->by_wave[s->wave_start[l->steps[i].wave]++] = (uint32_t)i;
    memmove(s->wave_start + 1, s->wave_start,
            (size_t)l->waves * sizeof *s->wave_start);
    s->wave_start[0] = 0;
    return KRS_OK;
}

/* A step that is not there must have copied a place onto itself. */
static krs_status
check_gone(sweep *s, const krsi_step *step)
{
    const krsi_layout *l = s->l;
    uint32_t from = step->read[0].value, to = step->write[0];
    bool same = step->copies && step->reads == 1 && step->read[0].same == 1 &&
                l->values[from].bytes == l->values[to].bytes;
    if (is_temporary(l, to)) {
        same &= is_temporary(l, from) && l->offset[from] == l->offset[to];
        s->same_as[to] = s->same_as[from];
        if (s->written[to] < 0)
            s->written[to] = s->written[from];
    } else {
        same &= is_in_place(l, to) && l->home[to] == from;
    }
    return same ? KRS_OK : wrong(s, "a copy is missing", from, to);
}

static krs_status
check_reads(const sweep *s, uint32_t number)
{
    const krsi_layout *l = s->l;
    const krsi_step *step = &l->steps[number];
    for (uint32_t k = 0; k < step->reads; k++) {
        const krsi_read *read = &step->read[k];
        uint32_t v = read->value;
        if (s->written[v] >= step->wave)
            return wrong(s, "read before it is written", v, step->write[0]);
        if (l->values[v].kind != KRSI_STORAGE_STATE || step->wave < s->taken[v])
            continue;
        bool over = number == s->taker[v];
        for (uint32_t i = 0; over && i < step->writes; i++)
            over = l->home[step->write[i]] != v || (read->same >> i & 1);
        if (!over)
            return wrong(s, "the old value of a state is gone", v,
                         step->write[0]);
    }
    return KRS_OK;
}

static krs_status
check_step(sweep *s, uint32_t number)
{
    const krsi_layout *l = s->l;
    const krsi_step *step = &l->steps[number];
    if (step->gone)
        return check_gone(s, step);
    if (step->faults && step->wave >= l->commit)
        return wrong(s, "a fault may come too late", step->write[0],
                     step->write[0]);
    for (uint32_t k = 0; k < step->writes; k++) {
        uint32_t v = step->write[k];
        if (is_in_place(l, v) && step->wave < l->commit)
            return wrong(s, "a state is written too early", v, l->home[v]);
        if (is_in_place(l, v) &&
            (l->values[l->home[v]].kind != KRSI_STORAGE_STATE ||
             l->values[l->home[v]].bytes != l->values[v].bytes))
            return wrong(s, "not the memory of its state", v, l->home[v]);
    }
    return check_reads(s, number);
}

/* ---- overlaps ---- */

static size_t
room_of(const krsi_layout *l, uint32_t value)
{
    return l->values[value].bytes + l->tail_bytes;
}

static size_t
end_of(const krsi_layout *l, uint32_t value)
{
    return l->offset[value] + room_of(l, value);
}

static int
by_size(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* Distinct starts and ends of all that has bytes in the arena. */
static krs_status
list_bounds(sweep *s)
{
    const krsi_layout *l = s->l;
    size_t count = 0;
    for (size_t v = 0; v < l->value_count; v++) {
        if (!is_temporary(l, (uint32_t)v) || l->first[v] < 0)
            continue;
        if (l->offset[v] % KRSI_PLACE_ALIGN != 0 ||
            room_of(l, (uint32_t)v) > l->arena_bytes ||
            l->offset[v] > l->arena_bytes - room_of(l, (uint32_t)v))
            return wrong(s, "outside the arena", (uint32_t)v, (uint32_t)v);
        s->bound[count++] = l->offset[v];
        s->bound[count++] = end_of(l, (uint32_t)v);
    }
    qsort(s->bound, count, sizeof *s->bound, by_size);
    for (size_t i = 0; i < count; i++)
        if (s->bounds == 0 || s->bound[s->bounds - 1] != s->bound[i])
            s->bound[s->bounds++] = s->bound[i];
    return KRS_OK;
}

/* How many bounds are at most `at`. */
static size_t
rank_of(const sweep *s, size_t at)
{
    size_t low = 0, high = s->bounds;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->bound[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void
count_in(uint32_t *tree, size_t bounds, size_t rank, bool enters)
{
    for (size_t i = rank; i <= bounds; i += i & -i)
        tree[i] += enters ? 1U : (uint32_t)-1;
}

static uint32_t
count_up_to(const uint32_t *tree, size_t rank)
{
    uint32_t sum = 0;
    for (size_t i = rank; i > 0; i -= i & -i)
        sum += tree[i];
    return sum;
}

static void
set_alive(sweep *s, uint32_t value, bool alive)
{
    s->span[s->same_as[value]].is_alive = alive;
    count_in(s->starts, s->bounds, rank_of(s, s->l->offset[value]), alive);
    count_in(s->ends, s->bounds, rank_of(s, end_of(s->l, value)), alive);
}

/* the span of a value with bytes in the arena, or NULL */
static span *
span_of(const sweep *s, uint32_t value)
{
    return is_temporary(s->l, value) && s->l->values[value].bytes > 0
               ? &s->span[s->same_as[value]]
               : NULL;
}

static uint32_t
used_value(const krsi_step *step, uint32_t i)
{
    return i < step->reads ? step->read[i].value : step->write[i - step->reads];
}

static void
find_spans(sweep *s)
{
    const krsi_layout *l = s->l;
    for (size_t v = 0; v < l->value_count; v++)
        s->span[v].first = -1;
    for (size_t i = 0; i < s->wave_start[l->waves]; i++) {
        const krsi_step *step = &l->steps[s->by_wave[i]];
        for (uint32_t k = 0; k < step->reads + step->writes; k++) {
            span *at = span_of(s, used_value(step, k));
            if (!at)
                continue;
            if (at->first < 0)
                at->first = at->last = step->wave;
            if (at->last < step->wave) {
                at->last = step->wave;
                at->last_uses = 0;
            }
            at->first_uses += at->first == step->wave;
            at->last_uses++;
        }
    }
}

/* What the step reads for the last time makes room for what it writes there. */
static void
hand_over(sweep *s, const krsi_step *step)
{
    const krsi_layout *l = s->l;
    for (uint32_t k = 0; k < step->writes; k++) {
        uint32_t to = step->write[k];
        const span *in = span_of(s, to);
        for (uint32_t r = 0; in && r < step->reads; r++) {
            uint32_t from = step->read[r].value;
            const span *out = span_of(s, from);
            if (out && out->is_alive && l->offset[from] == l->offset[to] &&
                end_of(l, from) == end_of(l, to) &&
                (step->read[r].same >> k & 1) && out->last == step->wave &&
                in->first == step->wave && out->last_uses == 1 &&
                in->first_uses == 1)
                set_alive(s, from, false);
        }
    }
}

static krs_status
enter(sweep *s, uint32_t value)
{
    const krsi_layout *l = s->l;
    size_t start = l->offset[value], end = end_of(l, value);
    uint32_t begun = count_up_to(s->starts, rank_of(s, end) - 1);
    uint32_t ended = count_up_to(s->ends, rank_of(s, start));
    uint32_t other = 0;
    if (begun == ended) {
        set_alive(s, value, true);
        return KRS_OK;
    }
    while (!s->span[other].is_alive || l->offset[other] >= end ||
           end_of(l, other) <= start)
        other++;
    return wrong(s, "two that live at once overlap", other, value);
}

static krs_status
check_wave(sweep *s, int wave)
{
    const krsi_layout *l = s->l;
    size_t begin = s->wave_start[wave], end = s->wave_start[wave + 1];
    for (size_t i = begin; i < end; i++)
        hand_over(s, &l->steps[s->by_wave[i]]);
    for (size_t i = begin; i < end; i++) {
        const krsi_step *step = &l->steps[s->by_wave[i]];
        for (uint32_t k = 0; k < step->writes; k++) {
            const span *at = span_of(s, step->write[k]);
            if (at && at->first == wave && !at->is_alive)
                KRS_TRY(enter(s, step->write[k]));
        }
    }
    for (size_t i = begin; i < end; i++) {
        const krsi_step *step = &l->steps[s->by_wave[i]];
        for (uint32_t k = 0; k < step->reads + step->writes; k++) {
            const span *at = span_of(s, used_value(step, k));
            if (at && at->last == wave && at->is_alive)
                set_alive(s, used_value(step, k), false);
        }
    }
    return KRS_OK;
}

static krs_status
check_all(sweep *s)
{
    const krsi_layout *l = s->l;
    KRS_TRY(collect(s));
    KRS_TRY(list_bounds(s));
    for (size_t i = 0; i < l->step_count; i++)
        KRS_TRY(check_step(s, l->order[i]));
    find_spans(s);
    for (int w = 0; w < l->waves; w++)
        KRS_TRY(check_wave(s, w));
    return KRS_OK;
}

krs_status
krsi_layout_verify(const krsi_layout *l, krs_error *err)
{
    size_t values = l->value_count + 1, waves = (size_t)l->waves + 2;
    sweep s = {.l = l,
               .err = err,
               .written = calloc(values, sizeof *s.written),
               .taken = calloc(values, sizeof *s.taken),
               .taker = calloc(values, sizeof *s.taker),
               .by_wave = calloc(l->step_count + 1, sizeof *s.by_wave),
               .wave_start = calloc(waves, sizeof *s.wave_start),
               .same_as = calloc(values, sizeof *s.same_as),
               .span = calloc(values, sizeof *s.span),
               .bound = calloc(2 * values, sizeof *s.bound),
               .starts = calloc(2 * values, sizeof *s.starts),
               .ends = calloc(2 * values, sizeof *s.ends)};
    krs_status status =
        s.written && s.taken && s.taker && s.by_wave && s.wave_start &&
                s.same_as && s.span && s.bound && s.starts && s.ends
            ? check_all(&s)
            : krs_fail(err, KRS_E_MEMORY, "no memory to verify a layout");
    free(s.written);
    free(s.taken);
    free(s.taker);
    free(s.by_wave);
    free(s.wave_start);
    free(s.same_as);
    free(s.span);
    free(s.bound);
    free(s.starts);
    free(s.ends);
    return status;
}
