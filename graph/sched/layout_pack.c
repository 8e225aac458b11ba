/* layout_pack.c -- byte offsets for rooms that are used for some waves each.
 *
 * Two rooms with a wave in common must not overlap; the sum of all should end
 * as low as possible (dynamic storage allocation, NP-hard; Robson 1974).
 *
 * Largest first (Pisarchyk and Lee 2020): each room goes into the smallest
 * gap between those placed before with which it shares a wave. That compares
 * every pair, so only the LARGEST rooms are placed so; smaller ones, of which
 * a long graph has many, are placed above them, one wave after the other, each
 * where one of the same size has ended. If the first is more than a hundredth
 * above what the fullest wave needs, other orders are tried too, and the best
 * is kept. The result depends on the rooms alone.
 */
#include "layout.h"

#include <stdlib.h>
#include <string.h>

enum {
    LARGEST = 8192, /* rooms that are compared pair by pair */
    RETRY = 2048    /* rooms up to which other orders are tried */
};

/* ---- pair by pair ---- */

static int
compare(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static size_t
waves_of(const krsi_room *r)
{
    return (size_t)(r->last - r->first) + 1;
}

typedef int order_function(const void *a, const void *b);

/* Room before room in memory decides ties: sorting is on pointers. */
static int
tie(const krsi_room *x, const krsi_room *y)
{
    return (x > y) - (x < y);
}

static int
by_bytes(const void *a, const void *b)
{
    const krsi_room *x = *(const krsi_room *const *)a,
                    *y = *(const krsi_room *const *)b;
    int order = compare(y->bytes, x->bytes);
    order = order ? order : compare(waves_of(y), waves_of(x));
    return order ? order : tie(x, y);
}

static int
by_waves(const void *a, const void *b)
{
    const krsi_room *x = *(const krsi_room *const *)a,
                    *y = *(const krsi_room *const *)b;
    int order = compare(waves_of(y), waves_of(x));
    order = order ? order : compare(y->bytes, x->bytes);
    return order ? order : tie(x, y);
}

static int
by_area(const void *a, const void *b)
{
    const krsi_room *x = *(const krsi_room *const *)a,
                    *y = *(const krsi_room *const *)b;
    double area_x = (double)x->bytes * (double)waves_of(x);
    double area_y = (double)y->bytes * (double)waves_of(y);
    int order = (area_x < area_y) - (area_x > area_y);
    return order ? order : tie(x, y);
}

/* One room more: placed holds `count` others in the order of their offsets. */
static void
place_one(krsi_room **placed, size_t count, krsi_room *room)
{
    size_t end = 0, best = SIZE_MAX, at = count;
    for (size_t i = 0; i < count; i++) {
        const krsi_room *other = placed[i];
        if (other->last < room->first || room->last < other->first)
            continue;
        if (other->offset > end && other->offset - end >= room->bytes &&
            other->offset - end < best) {
            best = other->offset - end;
            room->offset = end;
        }
        if (other->offset + other->bytes > end)
            end = other->offset + other->bytes;
    }
    if (best == SIZE_MAX)
        room->offset = end;
    while (at > 0 && placed[at - 1]->offset > room->offset)
        at--;
    memmove(placed + at + 1, placed + at, (count - at) * sizeof *placed);
    placed[at] = room;
}

/* All of them in an order; where the highest ends. */
static size_t
place_all(krsi_room **sorted, krsi_room **placed, size_t count,
          order_function *order)
{
    size_t top = 0;
    qsort(sorted, count, sizeof *sorted, order);
    for (size_t i = 0; i < count; i++) {
        place_one(placed, i, sorted[i]);
        size_t end = sorted[i]->offset + sorted[i]->bytes;
        top = end > top ? end : top;
    }
    return top;
}

/* ---- wave by wave ---- */

static int
by_start(const void *a, const void *b)
{
    const krsi_room *x = *(const krsi_room *const *)a,
                    *y = *(const krsi_room *const *)b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return by_bytes(a, b);
}

static int
by_end(const void *a, const void *b)
{
    const krsi_room *x = *(const krsi_room *const *)a,
                    *y = *(const krsi_room *const *)b;
    if (x->last != y->last)
        return x->last < y->last ? -1 : 1;
    return tie(x, y);
}

/* Where rooms of one size have ended. */
typedef struct stretch {
    size_t bytes;
    size_t *offset; /* stack */
    size_t count, room;
} stretch;

typedef struct stretches {
    stretch *of; /* ascending sizes */
    size_t count;
} stretches;

static int
by_size(const void *a, const void *b)
{
    return compare(((const stretch *)a)->bytes, ((const stretch *)b)->bytes);
}

static stretch *
of_size(const stretches *s, size_t bytes)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->of[middle].bytes < bytes)
            low = middle + 1;
        else
            high = middle;
    }
    return &s->of[low];
}

static bool
list_sizes(stretches *s, krsi_room *const *rooms, size_t count)
{
    s->of = calloc(count + 1, sizeof *s->of);
    if (!s->of)
        return false;
    for (size_t i = 0; i < count; i++)
        s->of[i].bytes = rooms[i]->bytes;
    qsort(s->of, count, sizeof *s->of, by_size);
    for (size_t i = 0; i < count; i++)
        if (s->count == 0 || s->of[s->count - 1].bytes != s->of[i].bytes)
            s->of[s->count++].bytes = s->of[i].bytes;
    return true;
}

static bool
give_back(stretches *s, const krsi_room *room)
{
    stretch *to = of_size(s, room->bytes);
    if (!krsi_reserve(&to->offset, &to->room, to->count + 1,
                      sizeof *to->offset))
        return false;
    to->offset[to->count++] = room->offset;
    return true;
}

static bool
place_in_time(krsi_room **rooms, size_t count, size_t *top)
{
    stretches free_ones = {0};
    krsi_room **ending = calloc(count + 1, sizeof(krsi_room *));
    bool ok = ending && list_sizes(&free_ones, rooms, count);
    if (ok)
        memcpy(ending, rooms, count * sizeof *ending);
    if (ok)
        qsort(ending, count, sizeof *ending, by_end);
    qsort(rooms, count, sizeof *rooms, by_start);
    for (size_t i = 0, ended = 0; ok && i < count; i++) {
        while (ok && ending[ended]->last < rooms[i]->first)
            ok = give_back(&free_ones, ending[ended++]);
        stretch *from = of_size(&free_ones, rooms[i]->bytes);
        if (from->count > 0) {
            rooms[i]->offset = from->offset[--from->count];
            continue;
        }
        rooms[i]->offset = *top;
        *top += rooms[i]->bytes;
    }
    for (size_t i = 0; i < free_ones.count; i++)
        free(free_ones.of[i].offset);
    free(free_ones.of);
    free(ending);
    return ok;
}

/* ---- both ---- */

/* At least so much is needed: the fullest wave. */
static size_t
fullest_wave(krsi_room *const *rooms, size_t count)
{
    size_t most = 0;
    for (size_t i = 0; i < count; i++) { /* some room begins in it */
        size_t live = 0;
        for (size_t k = 0; k < count; k++)
            if (rooms[k]->first <= rooms[i]->first &&
                rooms[i]->first <= rooms[k]->last)
                live += rooms[k]->bytes;
        most = live > most ? live : most;
    }
    return most;
}

static size_t
place_largest(krsi_room **sorted, krsi_room **placed, size_t count)
{
    static order_function *const orders[] = {by_bytes, by_area, by_waves};
    size_t best = place_all(sorted, placed, count, orders[0]);
    size_t chosen = 0, tried = 0;
    size_t least = count > RETRY ? best : fullest_wave(sorted, count);
    while (best > least + least / 100 && ++tried < 3) {
        size_t top = place_all(sorted, placed, count, orders[tried]);
        if (top < best) {
            best = top;
            chosen = tried;
        }
    }
    return tried == chosen ? best
                           : place_all(sorted, placed, count, orders[chosen]);
}

bool
krsi_layout_pack(krsi_room *rooms, size_t count, size_t *out_bytes)
{
    krsi_room **sorted = calloc(count + 1, sizeof(krsi_room *));
    krsi_room **placed = calloc(count + 1, sizeof(krsi_room *));
    size_t total = 0;
    bool ok = sorted && placed;
    for (size_t i = 0; ok && i < count; i++) {
        sorted[i] = &rooms[i];
        ok = total <= SIZE_MAX / 2 - rooms[i].bytes;
        total += rooms[i].bytes;
    }
    *out_bytes = 0;
    if (ok && count > 0) {
        qsort(sorted, count, sizeof *sorted, by_bytes);
        size_t largest = count < LARGEST ? count : LARGEST;
        *out_bytes = place_largest(sorted, placed, largest);
        ok = place_in_time(sorted + largest, count - largest, out_bytes);
    }
    free(sorted);
    free(placed);
    return ok;
}
