/* layout_wave.c -- which steps run at once, and which wait.
 *
 * In: steps in an order that works. Out: a wave for each.
 *
 * First every step is as early as what it needs allows: one wave after the
 * latest of what wrote its operands, of who read the old value of a state that
 * it writes, and, if it writes a state, of all that may report a fault. Then,
 * from the last step to the first, a step that keeps nobody waiting is delayed
 * to just before its first user, if by that the bytes that it makes live
 * shorter by more than the bytes it reads live longer (bytes times waves):
 * tables, masks, zeros to be added to, and what a backward pass computes from
 * values that are kept for it anyway. On a tie it is delayed too, so that a
 * whole chain can follow. The number of waves does not change.
 */
#include "layout.h"

#include <limits.h>
#include <stdlib.h>

/* by value */
typedef struct user {
    int ready;          /* first wave that may read it */
    int limit;          /* first wave that must find it written */
    int latest, second; /* of its readers */
    uint32_t by;        /* a reader in wave `latest` */
    int writers;        /* that were not preceded by others */
} user;

typedef struct waves {
    krsi_layout *l;
    user *user;
} waves;

static bool
is_written_in_place(const krsi_layout *l, uint32_t value)
{
    return l->values[value].kind == KRSI_STORAGE_OUTPUT &&
           l->home[value] != value;
}

static void
note_reader(user *u, uint32_t step, int wave)
{
    if (u->latest < wave) {
        if (u->by != step)
            u->second = u->latest;
        u->latest = wave;
        u->by = step;
    } else if (u->by != step && u->second < wave) {
        u->second = wave;
    }
}

static int
most(int a, int b)
{
    return a > b ? a : b;
}

static int
least(int a, int b)
{
    return a < b ? a : b;
}

/* As early as can be. */
static void
hurry(waves *w, uint32_t number, int *last_fault)
{
    krsi_layout *l = w->l;
    krsi_step *s = &l->steps[number];
    for (uint32_t k = 0; k < s->reads; k++)
        s->wave = most(s->wave, w->user[s->read[k].value].ready);
    for (uint32_t k = 0; k < s->writes; k++) {
        user *u = &w->user[s->write[k]];
        if (s->after)
            s->wave = most(s->wave, u->ready);
        else
            u->writers++;
        if (!is_written_in_place(l, s->write[k]))
            continue;
        const user *state = &w->user[l->home[s->write[k]]];
        int reader = state->by == number ? state->second : state->latest;
        s->wave = most(s->wave, most(reader, *last_fault) + 1);
    }
    for (uint32_t k = 0; k < s->writes; k++) {
        user *u = &w->user[s->write[k]];
        u->ready = most(u->ready, s->wave + 1);
    }
    for (uint32_t k = 0; k < s->reads; k++)
        note_reader(&w->user[s->read[k].value], number, s->wave);
    if (s->faults)
        *last_fault = most(*last_fault, s->wave);
    l->waves = most(l->waves, s->wave + 1);
}

/* The last wave in which the step would keep nobody waiting. */
static int
latest_wave(const waves *w, const krsi_step *s)
{
    const krsi_layout *l = w->l;
    int wave = l->waves - 1;
    for (uint32_t k = 0; k < s->writes; k++)
        wave = least(wave, w->user[s->write[k]].limit - 1);
    for (uint32_t k = 0; k < s->reads; k++) {
        uint32_t v = s->read[k].value, taker = l->values[v].partner;
        if (l->values[v].kind == KRSI_STORAGE_STATE && taker != KRSI_NO_VALUE &&
            l->home[taker] == v)
            wave = least(wave, w->user[v].limit - 1);
    }
    return s->faults ? least(wave, l->commit - 1) : wave;
}

static bool
is_temporary(const krsi_layout *l, uint32_t value)
{
    return l->values[value].kind == KRSI_STORAGE_TEMPORARY;
}

/* Is it worth waiting from s->wave to `wave`? */
static bool
pays(const waves *w, const krsi_step *s, uint32_t number, int wave)
{
    const krsi_layout *l = w->l;
    double saved = 0, cost = 0;
    for (uint32_t k = 0; k < s->writes; k++) {
        uint32_t v = s->write[k];
        if (is_temporary(l, v) && !s->after && w->user[v].writers == 1)
            saved += (double)l->values[v].bytes * (wave - s->wave);
    }
    for (uint32_t k = 0; k < s->reads; k++) {
        uint32_t v = s->read[k].value;
        const user *u = &w->user[v];
        int others = u->by == number ? u->second : u->latest;
        if (is_temporary(l, v) && wave > others)
            cost += (double)l->values[v].bytes * (wave - most(s->wave, others));
    }
    return saved > 0 && saved >= cost;
}

/* Note where the step has come to be, for those before it. */
static void
settle(waves *w, const krsi_step *s)
{
    krsi_layout *l = w->l;
    for (uint32_t k = 0; k < s->reads; k++) {
        user *u = &w->user[s->read[k].value];
        if (l->values[s->read[k].value].kind != KRSI_STORAGE_STATE)
            u->limit = least(u->limit, s->wave);
    }
    for (uint32_t k = 0; k < s->writes; k++) {
        uint32_t v = s->write[k];
        if (s->after)
            w->user[v].limit = least(w->user[v].limit, s->wave);
        if (!is_written_in_place(l, v))
            continue;
        user *state = &w->user[l->home[v]];
        state->limit = least(state->limit, s->wave);
        l->commit = least(l->commit, s->wave);
    }
}

static void
delay(waves *w, uint32_t number)
{
    krsi_step *s = &w->l->steps[number];
    int wave = latest_wave(w, s);
    if (wave > s->wave && pays(w, s, number, wave)) {
        s->wave = wave;
        for (uint32_t k = 0; k < s->reads; k++)
            note_reader(&w->user[s->read[k].value], number, wave);
    }
    settle(w, s);
}

bool
krsi_layout_waves(krsi_layout *l, krsi_sharing sharing)
{
    waves w = {.l = l, .user = calloc(l->value_count + 1, sizeof *w.user)};
    int last_fault = -1;
    if (!w.user)
        return false;
    for (size_t v = 0; v < l->value_count; v++)
        w.user[v] = (user){
            .limit = INT_MAX, .latest = -1, .second = -1, .by = KRSI_NO_STEP};
    l->waves = 0;
    for (size_t i = 0; i < l->step_count; i++)
        if (!l->steps[l->order[i]].gone)
            hurry(&w, l->order[i], &last_fault);
    l->commit = l->waves;
    for (size_t i = l->step_count; i-- > 0;) {
        uint32_t number = l->order[i];
        if (l->steps[number].gone)
            continue;
        if (sharing == KRSI_SHARE)
            delay(&w, number);
        else
            settle(&w, &l->steps[number]);
    }
    free(w.user);
    return true;
}
