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
 *   - Limits: KRSI_CUT_LOADS, EXPRS, OUTS, REDUCES.
 *
 * Every step keeps bits: expressions are the same, and the order of a sum is
 * a function of its length.
 */
#include "fuse.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHEAP = 4,         /* operations that may be computed twice */
    READERS = 12,      /* of a value that is followed; more: not fused */
    FEW_ROWS = 16,     /* too few to keep workers busy */
    SMALL = 1 << 15,   /* points that one worker does at once */
    OPERAND_COST = 48, /* of an element of a product's operand */
    OPERAND_USES = 64  /* products that an element takes part in, at least */
};

#define NONE UINT32_MAX
#define MANY (UINT32_MAX - 1) /* writers */

typedef struct readers {
    uint32_t count; /* over READERS: not listed */
    uint32_t cut[READERS];
} readers;

typedef struct fuser {
    krsi_sched *s;
    uint32_t *writer; /* by value: its only cut, NONE, MANY */
    int *ready;       /* by value: first wave that may read it */
    readers *read;    /* by value */
    bool *gone;       /* by cut */
    krsi_cut **made;  /* by cut: one merged here, in memory of its own */
    uint32_t at;      /* the cut that is visited */
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

/* ---- what may be merged ---- */

static int
out_of(const krsi_cut *p, uint32_t value)
{
    for (int i = 0; i < p->outs; i++)
        if (p->out[i].view.value == value)
            return i;
    return -1;
}

/* The axis that vectors will lie along, in most kernels of the family. */
static int
vector_axis(const krsi_cut *c)
{
    bool before = c->family == KRSI_CUT_PREFIX ||
                  c->family == KRSI_CUT_SCATTER ||
                  (c->family == KRSI_CUT_ROWS && krsi_cut_is_across(c));
    return c->rank - (before ? 2 : 1);
}

/* How often the merged cut computes a point of the guest, all added up: once
 * for a vector axis along which it stays the same, and elements of a
 * product's operand once. */
static int64_t
evaluations(const krsi_cut *host, const krsi_cut *guest, const krsi_mapping *m)
{
    int64_t points = 1;
    for (int h = 0; h < host->rank; h++) {
        bool moves = false;
        for (int g = 0; g < guest->rank; g++)
            moves |= m->step[g][h] != 0;
        if (!moves &&
            (h == vector_axis(host) || host->family == KRSI_CUT_CONTRACT))
            continue;
        if (__builtin_mul_overflow(points, host->max[h], &points))
            return INT64_MAX;
    }
    return points;
}

/* The guest's last axis is the host's, whole and alone. */
static bool
rows_agree(const krsi_cut *host, const krsi_cut *guest, const krsi_mapping *m)
{
    int row = host->rank - 1, last = guest->rank - 1;
    if (row < 0 || host->max[row] != guest->max[last] ||
        !krs_index_equal(host->extent[row], guest->extent[last]) ||
        m->offset[last])
        return false;
    for (int h = 0; h < host->rank; h++)
        if (m->step[last][h] != (h == row))
            return false;
    for (int g = 0; g < last; g++)
        if (m->step[g][row])
            return false;
    return true;
}

/* Few long rows leave workers idle. */
static bool
has_rows_enough(const krsi_cut *host)
{
    return krsi_cut_points(host, host->rank - 1) >= FEW_ROWS ||
           krsi_cut_points(host, host->rank) <= SMALL;
}

/* The vector axis, if it moves the guest, moves its innermost axis. */
static bool
keeps_order(const krsi_cut *host, const krsi_cut *guest, const krsi_mapping *m)
{
    int axis = vector_axis(host);
    for (int g = 0; g < guest->rank - 1 && axis >= 0; g++)
        if (m->step[g][axis] && guest->max[g] > 1)
            return false;
    return true;
}

/* The axes of the host that move axis g count through it, like the digits of
 * a number: every value once. */
static bool
counts_through(const krsi_cut *host, const krsi_cut *guest,
               const krsi_mapping *m, int g)
{
    int64_t reached = 1;
    while (reached < guest->max[g]) {
        int next = -1;
        for (int h = 0; h < host->rank; h++)
            if (host->max[h] > 1 && llabs(m->step[g][h]) == reached)
                next = next < 0 ? h : host->rank; /* two: not once each */
        if (next < 0 || next == host->rank)
            return false;
        reached *= host->max[next];
    }
    return reached == guest->max[g];
}

/* Does the host visit all points of the guest, once each? */
static bool
covers(const krsi_cut *host, const krsi_cut *guest, const krsi_mapping *m)
{
    for (int h = 0; h < host->rank; h++) {
        bool same = !host->extent[h].terms;
        for (int g = 0; g < guest->rank; g++)
            same |= m->step[g][h] == 1 &&
                    krs_index_equal(host->extent[h], guest->extent[g]);
        if (!same)
            return false;
    }
    for (int g = 0; g < guest->rank; g++)
        if (!counts_through(host, guest, m, g))
            return false;
    return krsi_cut_points(host, host->rank) ==
           krsi_cut_points(guest, guest->rank);
}

static bool
stores_points(const krsi_cut *c)
{
    for (int i = 0; i < c->outs; i++)
        if (c->out[i].view.stride[c->rank - 1])
            return true;
    return false;
}

static int
count_reductions(const krsi_cut *c, bool *argmax)
{
    int count = 0;
    *argmax = false;
    for (int i = 0; i < c->exprs; i++) {
        count += c->expr[i].kind == KRSI_X_REDUCE;
        *argmax |=
            c->expr[i].kind == KRSI_X_REDUCE && c->expr[i].op == KRSI_ARGMAX;
    }
    return count;
}

static bool
has_argmax(const krsi_cut *c)
{
    bool argmax;
    count_reductions(c, &argmax);
    return argmax;
}

/* What no template of rows does well: to pass over rows more than once, or
 * store along them, where the loads lie across; or beside an argmax. */
static bool
is_awkward(const krsi_cut *c)
{
    bool argmax;
    int level[KRSI_CUT_EXPRS] = {0}, highest = 0;
    if (c->family != KRSI_CUT_ROWS)
        return false;
    if (count_reductions(c, &argmax) > 1 && argmax)
        return true;
    if (!argmax && !krsi_cut_is_across(c))
        return false;
    for (int i = 0; i < c->exprs; i++) {
        for (int k = 0; k < krsi_expr_operands(&c->expr[i]); k++)
            if (level[c->expr[i].in[k]] > level[i])
                level[i] = level[c->expr[i].in[k]];
        level[i] += c->expr[i].kind == KRSI_X_REDUCE;
        highest = level[i] > highest ? level[i] : highest;
    }
    return highest > 1 || stores_points(c);
}

/* Which operand of the product a load belongs to: its axes are b.. m k or
 * b.. n k. An epilogue's loads have no axis k. */
static bool
is_operand(const krsi_cut *c, int load)
{
    for (int i = 0; i < c->exprs; i++)
        if (c->expr[i].kind == KRSI_X_PRODUCT)
            for (int k = 0; k < 2; k++) {
                const krsi_expr *e = &c->expr[c->expr[i].in[k]];
                if (e->kind == KRSI_X_LOAD && e->load == load)
                    return e->dtype == KRS_F32;
            }
    return false;
}

/* a load of the cut that gives every point an element of its own, which the
 * templates of products can read and pack */
static bool
has_main_load(const krsi_cut *p)
{
    for (int i = 0; i < p->exprs; i++) {
        if (p->expr[i].kind != KRSI_X_LOAD ||
            !krs_dtype_is_float(p->expr[i].dtype) ||
            krs_dtype_class_of(p->expr[i].dtype) == KRS_CLASS_BLOCK)
            continue;
        const krsi_load *load = &p->load[p->expr[i].load];
        bool moves = load->indirect < 0;
        for (int a = 0; a < p->rank; a++)
            moves &= load->view.stride[a] != 0 || p->max[a] == 1;
        if (moves)
            return true;
    }
    return false;
}

/* An element of an operand is computed where it is packed: once for each of
 * the few times that a row of A or a column of B is. */
static bool
fits_operand(const krsi_cut *c, const krsi_cut *p, int load,
             const krsi_mapping *m)
{
    int n = c->rank - 2, row = c->rank - 3;
    bool is_a = c->load[load].view.stride[n] == 0;
    int other = is_a ? n : row;
    for (int g = 0; g < p->rank; g++)
        if (m->step[g][other])
            return false;
    return is_operand(c, load) && krsi_cut_cost(p) <= OPERAND_COST &&
           c->max[other] >= OPERAND_USES && p->outs == 1 && has_main_load(p) &&
           p->expr[p->out[0].root].dtype == KRS_F32;
}

/* ---- merging ---- */

static bool
is_empty(const krsi_cut *c)
{
    return krsi_cut_points(c, c->rank) == 0;
}

/* all loads of the consumer that read the producer through the same mapping */
static void
find_replaced(fuser *f, const krsi_cut *p, bool all)
{
    krsi_cut *c = &f->host.cut;
    krsi_mapping other;
    for (int i = 0; i < c->loads; i++) {
        int out = out_of(p, c->load[i].view.value);
        int rank = c->rank;
        f->merge.replaced[i] = -1;
        if (out < 0 || c->load[i].indirect >= 0 || !all)
            continue;
        /* an axis that had to be split for this one changes the mapping */
        if (krsi_compose(&f->host, i, p, out, &other) && c->rank == rank &&
            krsi_mapping_equal(&other, &f->mapping, c, p))
            f->merge.replaced[i] = out;
    }
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

typedef enum verdict { REFUSED, MERGED, FAILED } verdict;

/* Producer into consumer. */
static verdict
absorb(fuser *f, uint32_t pi, uint32_t ci, int load)
{
    const krsi_cut *p = f->s->cuts[pi], *c = &f->host.cut;
    bool others = false;
    krsi_wide_copy(&f->host, f->s->cuts[ci]);
    int out = out_of(p, f->host.load[load].view.value);
    if (is_empty(c) || is_empty(p) ||
        !krsi_compose(&f->host, load, p, out, &f->mapping))
        return REFUSED;
    bool has_rows = p->family == KRSI_CUT_ROWS;
    bool takes_rows = c->family == KRSI_CUT_MAP || c->family == KRSI_CUT_ROWS;
    if (has_rows && !(takes_rows && rows_agree(c, p, &f->mapping)))
        return REFUSED;
    if ((has_rows || c->family == KRSI_CUT_ROWS) && !has_rows_enough(c) &&
        (has_rows || krsi_cut_cost(p) > CHEAP))
        return REFUSED;
    if (c->family == KRSI_CUT_CONTRACT &&
        !fits_operand(c, p, load, &f->mapping))
        return REFUSED;
    bool cheap = !has_rows && krsi_cut_cost(p) <= CHEAP &&
                 krsi_cut_large_loads(p) <= 1 && p->outs == 1;
    bool repeated =
        evaluations(c, p, &f->mapping) > krsi_cut_points(p, p->rank);
    if (!cheap && (repeated || !keeps_order(c, p, &f->mapping)) &&
        c->family != KRSI_CUT_CONTRACT)
        return REFUSED;
    find_replaced(f, p, true);
    f->merge.replaced[load] = out;
    f->merge.producer = p;
    f->merge.consumer = c;
    f->merge.into_producer = false;
    f->merge.mapping = &f->mapping;
    bool can_carry = carry(f, p, ci, &others);
    if (others || !can_carry) {
        /* stored by the merged cut, once each; or computed twice */
        bool joins = can_carry && takes_rows && !cheap && !repeated &&
                     covers(c, p, &f->mapping);
        if (!joins && !(cheap && c->family != KRSI_CUT_CONTRACT))
            return REFUSED;
        if (!joins)
            memset(f->merge.carried, 0, sizeof f->merge.carried);
        others = !joins;
    }
    if (!krsi_merge_cuts(&f->merge, &f->merged) || is_awkward(&f->merged.cut))
        return REFUSED;
    int wave = wave_of(f, &f->merged.cut);
    for (int i = 0; i < p->outs; i++)
        if (f->merge.carried[i] && !may_wait(f, p->out[i].view.value, ci, wave))
            return REFUSED;
    return commit(f, pi, ci, !others) ? MERGED : FAILED;
}

/* Consumer, a map of what the producer gives, into the producer; the merged
 * cut keeps the consumer's number, and runs when the producer did. */
static verdict
append(fuser *f, uint32_t pi, uint32_t ci, int load)
{
    const krsi_cut *p = f->s->cuts[pi], *c = &f->host.cut;
    bool others = false;
    krsi_wide_copy(&f->host, f->s->cuts[ci]);
    int out = out_of(p, f->host.load[load].view.value);
    if (c->family != KRSI_CUT_MAP || c->after || is_empty(c) || is_empty(p) ||
        p->out[out].view.stride[p->rank - 1] || has_argmax(p) ||
        (p->family == KRSI_CUT_CONTRACT && p->outs > 1) ||
        !krsi_compose(&f->host, load, p, out, &f->mapping) ||
        !krsi_mapping_invert(&f->mapping, c, p, 1, &f->inverse))
        return REFUSED;
    find_replaced(f, p, true);
    f->merge.replaced[load] = out;
    f->merge.producer = p;
    f->merge.consumer = c;
    f->merge.into_producer = true;
    f->merge.mapping = &f->inverse;
    if (!carry(f, p, ci, &others) || !krsi_merge_cuts(&f->merge, &f->merged))
        return REFUSED;
    krsi_cut *m = &f->merged.cut;
    if (wave_of(f, m) > p->wave)
        return REFUSED;
    if (p->family == KRSI_CUT_CONTRACT)
        m->node = p->node;
    return commit(f, pi, ci, true) ? MERGED : FAILED;
}

static bool
is_fusible(const fuser *f, uint32_t cut)
{
    const krsi_cut *c = f->s->cuts[cut];
    for (int i = 0; i < c->outs; i++)
        if (f->writer[c->out[i].view.value] == MANY)
            return false; /* the order of the writers matters */
    return !f->gone[cut] && !c->after &&
           (c->family == KRSI_CUT_MAP || c->family == KRSI_CUT_ROWS ||
            c->family == KRSI_CUT_CONTRACT) &&
           !has_argmax(c);
}

static verdict
take_producer(fuser *f, uint32_t ci)
{
    const krsi_cut *c = f->s->cuts[ci];
    if (c->family == KRSI_CUT_ATTENTION)
        return REFUSED;
    for (int i = 0; i < c->loads; i++) {
        uint32_t v = c->load[i].view.value;
        if (v == KRSI_NO_VALUE || c->load[i].indirect >= 0)
            continue;
        uint32_t pi = f->writer[v];
        if (pi >= MANY || pi == ci || !is_fusible(f, pi))
            continue;
        verdict is = f->s->cuts[pi]->family == KRSI_CUT_CONTRACT
                         ? REFUSED
                         : absorb(f, pi, ci, i);
        if (is == REFUSED && f->s->cuts[pi]->family != KRSI_CUT_MAP)
            is = append(f, pi, ci, i);
        if (is != REFUSED)
            return is;
    }
    return REFUSED;
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

static verdict
visit(fuser *f, uint32_t i)
{
    krsi_cut *c = f->s->cuts[i];
    verdict is;
    f->at = i;
    if (c->after)
        c->wave = f->ready[c->out[0].view.value];
    c->wave = wave_of(f, c);
    set_ready(f, c);
    do
        is = take_producer(f, i);
    while (is == MERGED);
    return is;
}

krs_status
krsi_sched_fuse(krsi_sched *s, krs_error *err)
{
    size_t count = s->cut_count;
    fuser *f = calloc(1, sizeof *f);
    bool fine = f != NULL;
    if (fine) {
        f->s = s;
        fine = start(f);
    }
    for (uint32_t i = 0; fine && i < count; i++)
        fine = visit(f, i) != FAILED;
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
