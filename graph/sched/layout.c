/* layout.c -- lifetimes of temporaries, and which of them share a place.
 *
 * In: steps and values. Out: krsi_layout. A value lives from the wave that
 * writes it first to the last one that uses it. A value that a step writes
 * where it reads another for the last time moves into that one's place, of the
 * same size; a chain of such values has one place. What is left are places
 * with a first and a last wave, which layout_pack.c puts into the arena.
 */
#include "layout.h"

#include <stdlib.h>

static bool
is_temporary(const krsi_layout *l, uint32_t value)
{
    return l->values[value].kind == KRSI_STORAGE_TEMPORARY;
}

bool
krsi_layout_in_place(const krsi_layout *l, uint32_t value)
{
    return l->values[value].kind == KRSI_STORAGE_OUTPUT &&
           l->home[value] != value;
}

static void
use(krsi_layout *l, uint32_t value, int wave)
{
    if (l->first[value] < 0 || wave < l->first[value])
        l->first[value] = wave;
    if (wave > l->last[value])
        l->last[value] = wave;
}

static void
find_lifetimes(krsi_layout *l)
{
    for (size_t v = 0; v < l->value_count; v++)
        l->first[v] = l->last[v] = -1;
    for (size_t i = 0; i < l->step_count; i++) {
        const krsi_step *s = &l->steps[i];
        for (uint32_t k = 0; !s->gone && k < s->reads; k++)
            use(l, s->read[k].value, s->wave);
        for (uint32_t k = 0; !s->gone && k < s->writes; k++)
            use(l, s->write[k], s->wave);
    }
}

/* How often a value is used in its first and its last wave. */
typedef struct ends {
    uint32_t first, last;
} ends;

static void
count_ends(const krsi_layout *l, ends *of)
{
    for (size_t i = 0; i < l->step_count; i++) {
        const krsi_step *s = &l->steps[i];
        for (uint32_t k = 0; !s->gone && k < s->reads + s->writes; k++) {
            uint32_t v =
                k < s->reads ? s->read[k].value : s->write[k - s->reads];
            of[v].first += s->wave == l->first[v];
            of[v].last += s->wave == l->last[v];
        }
    }
}

/* Write k of the step moves into the place of what the step reads there for
 * the last time, if nobody else uses either in this wave. */
static void
move_in(krsi_layout *l, const ends *of, krsi_step *s, uint32_t k)
{
    uint32_t to = s->write[k];
    if (!is_temporary(l, to) || l->first[to] != s->wave || of[to].first != 1)
        return;
    for (uint32_t r = 0; r < s->reads; r++) {
        uint32_t from = s->read[r].value;
        bool is_taken = false;
        for (uint32_t other = 0; other < k; other++)
            is_taken |= l->home[s->write[other]] == l->home[from];
        if (!is_temporary(l, from) || !(s->read[r].same >> k & 1) ||
            l->last[from] != s->wave || of[from].last != 1 || is_taken ||
            l->values[from].bytes != l->values[to].bytes)
            continue;
        l->home[to] = l->home[from];
        s->gone |= s->copies;
        return;
    }
}

static bool
share_places(krsi_layout *l)
{
    ends *of = calloc(l->value_count + 1, sizeof *of);
    if (!of)
        return false;
    count_ends(l, of);
    for (size_t i = 0; i < l->step_count; i++) { /* operands come first */
        krsi_step *s = &l->steps[l->order[i]];
        for (uint32_t k = 0; !s->gone && k < s->writes; k++)
            move_in(l, of, s, k);
    }
    free(of);
    return true;
}

/* ---- the arena ---- */

static bool
find_room(size_t bytes, size_t tail, size_t *out)
{
    if (bytes > SIZE_MAX / 2 || tail > SIZE_MAX / 4)
        return false;
    *out = (bytes + tail + KRSI_PLACE_ALIGN - 1) / KRSI_PLACE_ALIGN *
           KRSI_PLACE_ALIGN;
    return true;
}

/* A room for each place; number, by value, is that of the room. */
static bool
list_rooms(const krsi_layout *l, krsi_room *rooms, uint32_t *number,
           size_t *out_count)
{
    size_t count = 0;
    for (size_t v = 0; v < l->value_count; v++) {
        if (!is_temporary(l, (uint32_t)v) || l->home[v] != v || l->first[v] < 0)
            continue;
        krsi_room *room = &rooms[count];
        *room = (krsi_room){.first = l->first[v], .last = l->last[v]};
        if (!find_room(l->values[v].bytes, l->tail_bytes, &room->bytes))
            return false;
        number[v] = (uint32_t)count++;
    }
    for (size_t v = 0; v < l->value_count; v++) {
        if (!is_temporary(l, (uint32_t)v) || l->home[v] == v)
            continue;
        krsi_room *room = &rooms[number[l->home[v]]];
        if (l->last[v] > room->last)
            room->last = l->last[v];
    }
    *out_count = count;
    return true;
}

/* Largest sum of rooms in a wave, and which wave that is. */
static bool
find_peak(krsi_layout *l, const krsi_room *rooms, size_t count)
{
    size_t live = 0;
    /* by wave: bytes that come and bytes that have gone */
    size_t *come = calloc((size_t)l->waves + 1, sizeof *come);
    size_t *gone = calloc((size_t)l->waves + 1, sizeof *gone);
    for (size_t i = 0; come && gone && i < count; i++) {
        come[rooms[i].first] += rooms[i].bytes;
        gone[rooms[i].last + 1] += rooms[i].bytes;
    }
    for (int w = 0; come && gone && w < l->waves; w++) {
        live += come[w] - gone[w];
        if (live > l->live_bytes) {
            l->live_bytes = live;
            l->peak = w;
        }
    }
    bool ok = come && gone;
    free(come);
    free(gone);
    return ok;
}

/* All in the order of their numbers. */
static bool
place_apart(krsi_room *rooms, size_t count, size_t *out_bytes)
{
    for (size_t i = 0; i < count; i++) {
        rooms[i].offset = *out_bytes;
        if (*out_bytes > SIZE_MAX / 2 - rooms[i].bytes)
            return false;
        *out_bytes += rooms[i].bytes;
    }
    return true;
}

static bool
fill_arena(krsi_layout *l, krsi_sharing sharing)
{
    krsi_room *rooms = calloc(l->value_count + 1, sizeof *rooms);
    uint32_t *number = calloc(l->value_count + 1, sizeof *number);
    size_t count = 0;
    bool ok =
        rooms && number && list_rooms(l, rooms, number, &count) &&
        (sharing == KRSI_SHARE ? krsi_layout_pack(rooms, count, &l->arena_bytes)
                               : place_apart(rooms, count, &l->arena_bytes)) &&
        find_peak(l, rooms, count);
    for (size_t v = 0; ok && v < l->value_count; v++)
        if (is_temporary(l, (uint32_t)v) && l->first[v] >= 0)
            l->offset[v] = rooms[number[l->home[v]]].offset;
    free(rooms);
    free(number);
    return ok;
}

bool
krsi_layout_make(krsi_layout *l, krsi_sharing sharing)
{
    size_t count = l->value_count + 1;
    l->order = krsi_arena_array(&l->arena, l->step_count + 1, sizeof *l->order);
    l->home = krsi_arena_array(&l->arena, count, sizeof *l->home);
    l->first = krsi_arena_array(&l->arena, count, sizeof *l->first);
    l->last = krsi_arena_array(&l->arena, count, sizeof *l->last);
    l->offset = krsi_arena_array(&l->arena, count, sizeof *l->offset);
    if (!l->order || !l->home || !l->first || !l->last || !l->offset)
        return false;
    for (size_t v = 0; v < l->value_count; v++)
        l->home[v] = (uint32_t)v;
    if (!krsi_layout_order(l, sharing) || !krsi_layout_waves(l, sharing))
        return false;
    find_lifetimes(l);
    if (sharing == KRSI_SHARE && !share_places(l))
        return false;
    return fill_arena(l, sharing);
}

void
krsi_layout_free(krsi_layout *l)
{
    krsi_arena_free(&l->arena);
    *l = (krsi_layout){0};
}
