/* fuse.c -- fewer cuts that compute the same: producers are merged into the
 * cuts that read them.
 *
 * In: a schedule of one cut or two a node. Out: the same values, without
 * those that became part of a kernel. Cuts are visited in topological order;
 * each takes in producers of what it loads, one after the other, until none
 * is left that may be taken:
 *
 *   absorb    the producer's expressions take the place of the load. The
 *             producer goes; what others read of it is stored by the merged
 *             cut, at the time of the consumer.
 *   copy      the same, but the producer stays for its other readers: only
 *             where it is cheap enough to be computed twice.
 *   epilogue  the consumer is one of what a product or a reduction gives:
 *             its expressions move into the producer, at whose time they run.
 *
 * Rules of 2b.11 and what they protect:
 *   - A merged cut never waits for something that waits for it: a value that
 *     an earlier cut has already read at some wave stays ready by then.
 *   - An epilogue must not make its producer wait, or independent reductions
 *     would queue up.
 *   - What is computed more often than before must be cheap; what varies
 *     along the last axis only costs once a row.
 *   - Rows are merged with rows of the same length only, never with columns,
 *     and not into few rows: they would run alone.
 *   - A producer is read in the order in which it lies, or is cheap.
 *   - Limits: KRSI_CUT_LOADS, EXPRS, OUTS, REDUCES; buffers that the device
 *     binds.
 *
 * Every step keeps bits: expressions are the same, and the order of a sum is
 * a function of its length.
 */
#include "fuse.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHEAP = 4,   /* operations that may be computed twice */
    READERS = 12 /* of a value that is followed; more: not fused */
};

#define NONE UINT32_MAX
#define MANY (UINT32_MAX - 1) /* writers */

typedef struct readers {
    uint32_t count; /* over READERS: not listed */
    uint32_t cut[READERS];
} readers;

typedef struct fuser {
    krsi_sched *s;
    uint32_t bindings; /* buffers of a merged cut, at most */
    uint32_t *writer;  /* by value: its only cut, NONE, MANY */
    int *ready;        /* by value: first wave that may read it */
    readers *read;     /* by value */
    bool *gone;        /* by cut */
    krsi_cut **made;   /* by cut: one merged here, in memory of its own */
    uint32_t at;       /* the cut that is visited */
    krsi_wide_cut host, merged;
    krsi_mapping mapping, inverse;
    krsi_merge merge;
} fuser;

/* ---- who reads what ---- */

static void
add_reader(fuser *f, uint32_t value, uint32_t cut)
{
    readers *r = &f->read[value];
    for (uint32_t i = 0; i < r->count && r->count <= READERS; i++)
        if (r->cut[i] == cut)
            return;
    if (r->count < READERS)
        r->cut[r->count] = cut;
    if (r->count <= READERS)
        r->count++;
}

static void
drop_reader(fuser *f, uint32_t value, uint32_t cut)
{
    readers *r = &f->read[value];
    for (uint32_t i = 0; i < r->count && r->count <= READERS; i++)
        if (r->cut[i] == cut) {
            r->cut[i] = r->cut[--r->count];
            return;
        }
}

static void
each_load(fuser *f, uint32_t cut, void (*call)(fuser *, uint32_t, uint32_t))
{
    const krsi_cut *c = f->s->cuts[cut];
    for (int i = 0; i < c->loads; i++)
        if (c->load[i].view.value != KRSI_NO_VALUE)
            call(f, c->load[i].view.value, cut);
}

/* The first wave at which all that a cut reads is there. One that follows
 * earlier writers was given a wave after theirs when it was visited. */
static int
wave_of(const fuser *f, const krsi_cut *c)
{
    int wave = c->after ? c->wave : 0;
    for (int i = 0; i < c->loads; i++) {
        uint32_t v = c->load[i].view.value;
        if (v != KRSI_NO_VALUE && f->ready[v] > wave)
            wave = f->ready[v];
    }
    for (int i = 0; c->family == KRSI_CUT_LOOP && i < c->outs; i++)
        if (f->ready[c->out[i].view.value] > wave)
            wave = f->ready[c->out[i].view.value];
    return wave;
}

static void
set_ready(fuser *f, const krsi_cut *c)
{
    for (int i = 0; i < c->outs; i++) {
        uint32_t v = c->out[i].view.value;
        if (f->writer[v] != MANY || f->ready[v] < c->wave + 1)
            f->ready[v] = c->wave + 1;
    }
}

/* Is out i of the producer wanted by another than the consumer? */
static bool
is_wanted(const fuser *f, const krsi_cut *p, int i, uint32_t consumer)
{
    uint32_t v = p->out[i].view.value;
    const readers *r = &f->read[v];
    return f->s->values[v].kind == KRSI_STORAGE_OUTPUT || r->count > 1 ||
           (r->count == 1 && r->cut[0] != consumer);
}

/* May the out be ready only after that wave? Cuts that were visited before,
 * the consumer apart, are placed already; those to come would wait for what
 * they do not need. */
static bool
may_wait(const fuser *f, uint32_t value, uint32_t consumer, int wave)
{
    const readers *r = &f->read[value];
    if (r->count > READERS)
        return false;
    if (wave >= f->ready[value])
        return r->count == 0 || (r->count == 1 && r->cut[0] == consumer);
    for (uint32_t i = 0; i < r->count; i++)
        if (r->cut[i] != consumer && r->cut[i] < f->at &&
            f->s->cuts[r->cut[i]]->wave <= wave)
            return false;
    return true;
}

static int
out_of(const krsi_cut *p, uint32_t value)
{
    for (int i = 0; i < p->outs; i++)
        if (p->out[i].view.value == value)
            return i;
    return -1;
}

/* ---- merging ---- */

static bool
is_empty(const krsi_cut *c)
{
    return krsi_cut_points(c, c->rank) == 0;
}

/* Find the producer's points from the consumer's, for load number `load` and
 * all others that read it at the same points. Axes are split until all of
 * these go together; a split changes the mappings, so that they are found
 * again. */
static bool
locate(fuser *f, const krsi_cut *p, int load)
{
    krsi_cut *c = &f->host.cut;
    int rank;
    do {
        rank = c->rank;
        if (!krsi_compose(&f->host, load, p,
                          out_of(p, c->load[load].view.value), &f->mapping))
            return false;
        for (int i = 0; i < c->loads; i++) {
            krsi_mapping other;
            int out = out_of(p, c->load[i].view.value);
            f->merge.replaced[i] = -1;
            if (out >= 0 && c->load[i].indirect < 0 &&
                krsi_compose(&f->host, i, p, out, &other) && c->rank == rank &&
                krsi_mapping_equal(&other, &f->mapping, c, p))
                f->merge.replaced[i] = out;
        }
    } while (c->rank != rank);
    f->merge.producer = p;
    f->merge.consumer = c;
    return true;
}

/* The outs of the producer that somebody else wants stay, if they can. */
static bool
carry(fuser *f, const krsi_cut *p, uint32_t consumer, bool *any)
{
    const krsi_cut *c = &f->host.cut;
    *any = false;
    for (int i = 0; i < p->outs; i++) {
        bool reads_more = false;
        for (int k = 0; k < c->loads; k++)
            reads_more |= c->load[k].view.value == p->out[i].view.value &&
                          f->merge.replaced[k] < 0;
        if (reads_more)
            return false; /* the consumer itself, through another view */
        f->merge.carried[i] = is_wanted(f, p, i, consumer);
        *any |= f->merge.carried[i];
    }
    return true;
}

/* a cut with its arrays in one piece of memory */
static krsi_cut *
copy_cut(const krsi_cut *c, void *(*alloc)(krsi_arena *, size_t),
         krsi_arena *arena)
{
    size_t loads = (size_t)c->loads, exprs = (size_t)c->exprs,
           outs = (size_t)c->outs;
    size_t bytes = sizeof *c + loads * sizeof *c->load +
                   exprs * sizeof *c->expr + outs * sizeof *c->out;
    krsi_cut *copy = alloc(arena, bytes);
    if (!copy)
        return NULL;
    *copy = *c;
    copy->load = (krsi_load *)(copy + 1);
    copy->expr = (krsi_expr *)(copy->load + loads);
    copy->out = (krsi_out *)(copy->expr + exprs);
    memcpy(copy->load, c->load, loads * sizeof *c->load);
    memcpy(copy->expr, c->expr, exprs * sizeof *c->expr);
    memcpy(copy->out, c->out, outs * sizeof *c->out);
    return copy;
}

static void *
on_heap(krsi_arena *arena, size_t bytes)
{
    (void)arena;
    return malloc(bytes);
}

static void
forget(fuser *f, uint32_t cut)
{
    free(f->made[cut]);
    f->made[cut] = NULL;
}

/* The merged cut, if there may be such a one. */
static krsi_fusion
merge(fuser *f)
{
    return !krsi_merge_cuts(&f->merge, &f->merged)           ? KRSI_NOT_LIMITS
           : krsi_cut_bindings(&f->merged.cut) > f->bindings ? KRSI_NOT_DEVICE
                                                             : KRSI_FUSED;
}

/* The merged cut takes the number of the consumer. */
static bool
commit(fuser *f, uint32_t pi, uint32_t ci, bool producer_goes)
{
    krsi_cut *m = &f->merged.cut;
    krsi_cut_simplify(m);
    krsi_cut *made = copy_cut(m, on_heap, NULL);
    if (!made)
        return false;
    each_load(f, ci, drop_reader);
    if (producer_goes) {
        const krsi_cut *p = f->s->cuts[pi];
        each_load(f, pi, drop_reader);
        for (int i = 0; i < p->outs; i++)
            if (f->writer[p->out[i].view.value] != MANY)
                f->writer[p->out[i].view.value] = NONE;
        f->gone[pi] = true;
        forget(f, pi);
    }
    forget(f, ci);
    f->made[ci] = f->s->cuts[ci] = made;
    each_load(f, ci, add_reader);
    for (int i = 0; i < made->outs; i++) {
        uint32_t v = made->out[i].view.value;
        if (f->writer[v] != MANY)
            f->writer[v] = ci;
    }
    made->wave = wave_of(f, made);
    set_ready(f, made);
    return true;
}

/* What others want of the producer: the merged cut stores it, or the producer
 * stays and what is cheap is computed twice. FUSED, or why neither will do. */
static krsi_fusion
share(fuser *f, uint32_t ci, bool cheap, bool *stays)
{
    const krsi_cut *p = f->merge.producer, *c = f->merge.consumer;
    bool wanted = false,
         takes_outs = c->family == KRSI_CUT_MAP || c->family == KRSI_CUT_ROWS;
    bool carries = carry(f, p, ci, &wanted);
    *stays = false;
    if (carries && !wanted)
        return KRSI_FUSED;
    if (cheap && c->family != KRSI_CUT_CONTRACT) {
        memset(f->merge.carried, 0, sizeof f->merge.carried);
        *stays = true;
        return KRSI_FUSED;
    }
    return !carries                               ? KRSI_NOT_OTHER_POINTS
           : !takes_outs                          ? KRSI_NOT_WANTED
           : !krsi_fuse_covers(c, p, &f->mapping) ? KRSI_NOT_WANTED
                                                  : KRSI_FUSED;
}

/* Producer into consumer: FUSED, or why not; NO_MEMORY. */
static krsi_fusion
absorb(fuser *f, uint32_t pi, uint32_t ci, int load)
{
    const krsi_cut *p = f->s->cuts[pi], *c = &f->host.cut;
    const krsi_mapping *m = &f->mapping;
    krsi_wide_copy(&f->host, f->s->cuts[ci]);
    if (is_empty(c) || is_empty(p))
        return KRSI_NOT_EMPTY;
    if (c->family == KRSI_CUT_ATTENTION)
        return KRSI_NOT_FAMILY;
    if (p->family == KRSI_CUT_CONTRACT)
        return KRSI_NOT_PRODUCT;
    if (!locate(f, p, load))
        return KRSI_NOT_AFFINE;
    bool rows = p->family == KRSI_CUT_ROWS;
    bool product = c->family == KRSI_CUT_CONTRACT;
    if (rows &&
        (product || c->family == KRSI_CUT_PREFIX ||
         c->family == KRSI_CUT_SCATTER || !krsi_fuse_rows_agree(c, p, m)))
        return KRSI_NOT_SAME_ROWS;
    if ((rows || c->family == KRSI_CUT_ROWS) && !krsi_fuse_has_rows_enough(c) &&
        (rows || krsi_cut_cost(p) > CHEAP))
        return KRSI_NOT_PARALLEL;
    if (product && !krsi_fuse_fits_operand(c, p, load, m))
        return KRSI_NOT_OPERAND;
    bool cheap = !rows && krsi_cut_cost(p) <= CHEAP &&
                 krsi_cut_large_loads(p) <= 1 && p->outs == 1;
    if (!cheap && !product &&
        krsi_fuse_evaluations(c, p, m) > krsi_cut_points(p, p->rank))
        return KRSI_NOT_REPEATED;
    if (!cheap && !product && !krsi_fuse_keeps_order(c, p, m))
        return KRSI_NOT_ACROSS;
    bool stays;
    krsi_fusion why = share(f, ci, cheap, &stays);
    if (why != KRSI_FUSED)
        return why;
    f->merge.into_producer = false;
    f->merge.mapping = m;
    krsi_fusion fits = merge(f);
    if (fits != KRSI_FUSED)
        return fits;
    if (krsi_fuse_is_awkward(&f->merged.cut))
        return KRSI_NOT_ACROSS;
    int wave = wave_of(f, &f->merged.cut);
    for (int i = 0; i < p->outs; i++)
        if (f->merge.carried[i] && !may_wait(f, p->out[i].view.value, ci, wave))
            return KRSI_NOT_WAITING;
    return commit(f, pi, ci, !stays) ? KRSI_FUSED : KRSI_NO_MEMORY;
}

/* Consumer, a map of what the producer gives, into the producer; the merged
 * cut keeps the consumer's number, and runs when the producer did. */
static krsi_fusion
append(fuser *f, uint32_t pi, uint32_t ci, int load)
{
    const krsi_cut *p = f->s->cuts[pi], *c = &f->host.cut;
    bool wanted;
    krsi_wide_copy(&f->host, f->s->cuts[ci]);
    int out = out_of(p, f->host.load[load].view.value);
    if (is_empty(c) || is_empty(p))
        return KRSI_NOT_EMPTY;
    if (c->family != KRSI_CUT_MAP || c->after)
        return KRSI_NOT_MAP;
    if (p->out[out].view.stride[p->rank - 1] || krsi_fuse_has_argmax(p))
        return KRSI_NOT_SAME_ROWS;
    if (p->family == KRSI_CUT_CONTRACT && p->outs > 1)
        return KRSI_NOT_LIMITS;
    if (!locate(f, p, load) ||
        !krsi_mapping_invert(&f->mapping, c, p, 1, &f->inverse))
        return KRSI_NOT_AFFINE;
    f->merge.into_producer = true;
    f->merge.mapping = &f->inverse;
    if (!carry(f, p, ci, &wanted))
        return KRSI_NOT_OTHER_POINTS;
    krsi_fusion fits = merge(f);
    if (fits != KRSI_FUSED)
        return fits;
    krsi_cut *m = &f->merged.cut;
    if (wave_of(f, m) > p->wave)
        return KRSI_NOT_WAITING;
    if (p->family == KRSI_CUT_CONTRACT)
        m->node = p->node;
    return commit(f, pi, ci, true) ? KRSI_FUSED : KRSI_NO_MEMORY;
}

/* May the cut become part of another? */
static krsi_fusion
is_fusible(const fuser *f, uint32_t cut)
{
    const krsi_cut *c = f->s->cuts[cut];
    for (int i = 0; i < c->outs; i++)
        if (f->writer[c->out[i].view.value] == MANY)
            return KRSI_NOT_PIECES;
    return c->after ? KRSI_NOT_PIECES
           : c->family != KRSI_CUT_MAP && c->family != KRSI_CUT_ROWS &&
                   c->family != KRSI_CUT_CONTRACT
               ? KRSI_NOT_FAMILY
           : krsi_fuse_has_argmax(c) ? KRSI_NOT_FAMILY
                                     : KRSI_FUSED;
}

static bool
note(fuser *f, uint32_t producer, uint32_t consumer, krsi_fusion what)
{
    krsi_sched *s = f->s;
    if (!krsi_reserve(&s->notes, &s->note_capacity, s->note_count + 1,
                      sizeof *s->notes))
        return false;
    s->notes[s->note_count++] = (krsi_note){producer, consumer, what};
    return true;
}

/* One producer of what the cut loads: FUSED if one was taken in; else the
 * reasons are noted. */
static krsi_fusion
take_producer(fuser *f, uint32_t ci)
{
    const krsi_cut *c = f->s->cuts[ci];
    krsi_fusion refused[KRSI_CUT_LOADS];
    for (int i = 0; i < c->loads; i++) {
        uint32_t v = c->load[i].view.value;
        uint32_t pi = v == KRSI_NO_VALUE ? NONE : f->writer[v];
        refused[i] = KRSI_FUSED;
        if (pi == NONE || pi == ci)
            continue;
        if (c->load[i].indirect >= 0) {
            refused[i] = KRSI_NOT_INDIRECT;
            continue;
        }
        refused[i] = pi == MANY ? KRSI_NOT_PIECES : is_fusible(f, pi);
        if (refused[i] != KRSI_FUSED)
            continue;
        uint32_t from = f->s->cuts[pi]->node, into = c->node;
        krsi_fusion is = absorb(f, pi, ci, i);
        if (is > KRSI_NO_MEMORY && f->s->cuts[pi]->family != KRSI_CUT_MAP) {
            krsi_fusion other = append(f, pi, ci, i);
            is = other == KRSI_NOT_MAP ? is : other;
        }
        if (is == KRSI_FUSED && !note(f, from, into, is))
            return KRSI_NO_MEMORY;
        if (is <= KRSI_NO_MEMORY)
            return is;
        refused[i] = is;
    }
    for (int i = 0; i < c->loads; i++)
        if (refused[i] != KRSI_FUSED &&
            !note(f, f->s->values[c->load[i].view.value].node, c->node,
                  refused[i]))
            return KRSI_NO_MEMORY;
    return KRSI_NOT_FAMILY;
}

/* ---- the schedule ---- */

static bool
start(fuser *f)
{
    krsi_sched *s = f->s;
    f->writer = malloc((s->value_count + 1) * sizeof *f->writer);
    f->ready = calloc(s->value_count + 1, sizeof *f->ready);
    f->read = calloc(s->value_count + 1, sizeof *f->read);
    f->gone = calloc(s->cut_count + 1, sizeof *f->gone);
    f->made = calloc(s->cut_count + 1, sizeof(krsi_cut *));
    if (!f->writer || !f->ready || !f->read || !f->gone || !f->made)
        return false;
    for (size_t v = 0; v < s->value_count; v++)
        f->writer[v] = NONE;
    for (uint32_t i = 0; i < s->cut_count; i++) {
        for (int k = 0; k < s->cuts[i]->outs; k++) {
            uint32_t *w = &f->writer[s->cuts[i]->out[k].view.value];
            *w = *w == NONE ? i : MANY;
        }
        each_load(f, i, add_reader);
    }
    return true;
}

static int
by_wave(const void *a, const void *b)
{
    const krsi_cut *const *x = a, *const *y = b;
    if ((*x)->wave != (*y)->wave)
        return (*x)->wave < (*y)->wave ? -1 : 1;
    return ((*x)->node > (*y)->node) - ((*x)->node < (*y)->node);
}

/* Cuts that are left, in order; waves without gaps. */
static bool
finish(fuser *f)
{
    krsi_sched *s = f->s;
    size_t kept = 0;
    for (uint32_t i = 0; i < s->cut_count; i++) {
        if (f->made[i]) {
            s->cuts[i] = copy_cut(f->made[i], krsi_arena_alloc, &s->arena);
            if (!s->cuts[i])
                return false;
        }
        if (!f->gone[i])
            s->cuts[kept++] = s->cuts[i];
    }
    s->cut_count = kept;
    if (kept)
        qsort(s->cuts, kept, sizeof *s->cuts, by_wave);
    for (size_t v = 0; v < s->value_count; v++)
        if (s->values[v].kind == KRSI_STORAGE_TEMPORARY && f->writer[v] == NONE)
            s->values[v].kind = KRSI_STORAGE_FUSED;
    int wave = -1, last = -1;
    for (size_t i = 0; i < kept; i++) {
        if (s->cuts[i]->wave != last)
            wave++;
        last = s->cuts[i]->wave;
        s->cuts[i]->wave = wave;
    }
    s->waves = wave + 1;
    return true;
}

/* false: no memory */
static bool
visit(fuser *f, uint32_t i)
{
    krsi_cut *c = f->s->cuts[i];
    krsi_fusion is;
    f->at = i;
    if (c->after)
        c->wave = f->ready[c->out[0].view.value];
    c->wave = wave_of(f, c);
    set_ready(f, c);
    if (c->family == KRSI_CUT_LOOP)
        return true; /* nothing crosses its boundary */
    do
        is = take_producer(f, i);
    while (is == KRSI_FUSED);
    return is != KRSI_NO_MEMORY;
}

krs_status
krsi_sched_fuse(krsi_sched *s, uint32_t bindings, krs_error *err)
{
    size_t count = s->cut_count;
    fuser *f = calloc(1, sizeof *f);
    bool fine = f != NULL;
    if (fine) {
        f->s = s;
        f->bindings = bindings;
        fine = start(f);
    }
    for (uint32_t i = 0; fine && i < count; i++)
        fine = visit(f, i);
    fine = fine && finish(f);
    for (size_t i = 0; f && f->made && i < count; i++)
        free(f->made[i]);
    if (f) {
        free(f->writer);
        free(f->ready);
        free(f->read);
        free(f->gone);
        free(f->made);
        free(f);
    }
    return fine ? KRS_OK
                : krs_fail(err, KRS_E_MEMORY,
                           "out of memory while fusing %zu cuts", count);
}
