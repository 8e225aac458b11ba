/* tile_single.c -- products on devices whose items are lanes of a processor:
 * the template single.
 *
 * An item is one register tile of C, over all of k. Nothing is packed and
 * there is no scratch: neighbours in the grid are neighbours along n, so rows
 * of B are read as they lie, and an element of A serves all lanes at once. Four
 * words of k are taken together: first their vectors of B, then row by row of
 * A, so that little is alive at a time. Where k is contiguous four words are
 * one load, and columns of B are turned in registers.
 *
 * Rows and columns beyond the end are not stored; what is read for them is the
 * last one, or zero. What becomes of the sums of a chunk is the same for items
 * of a group (tile_group.c).
 */
#include "tile.h"

enum {
    STEPS = 4, /* words of k taken together; lanes of a vector, too */
    STRIP = 4  /* rows that are stored by the same code */
};

/* vector v of lanes along m or n, at word i */
typedef krsi_kv block[STEPS][KRSI_TILE_VECTORS];

static krsi_kv
plus(krsi_tile *t, krsi_kv a, int64_t b)
{
    return krsi_kb_add(t->kb, a, krsi_kb_i64(t->kb, b));
}

/* Four elements along k, from `word` on, at one place of the other axis. */
static krsi_kv
line_of(krsi_tile *t, const krsi_tile_operand *x, krsi_kv outer, krsi_kv word)
{
    krsi_kb *kb = t->kb;
    krsi_kv k = krsi_kb_add(kb, t->first, word);
    krsi_kv at = krsi_kb_add(
        kb, x->offset, krsi_kb_add(kb, krsi_kb_mul(kb, outer, x->outer), k));
    krsi_kv v = krsi_tile_read(
        t, x,
        (krsi_kmem){.buffer = x->buffer,
                    .index = at,
                    .lanes = STEPS,
                    .align_bytes = x->aligned ? KRSI_TILE_ALIGNED : 0,
                    .flags = x->in_scratch ? 0 : KRS_K_TEXEL},
        true);
    return krsi_tile_element(
        t, x, v,
        (krsi_tile_point){
            .outer = outer, .k = k, .along_k = true, .lanes = STEPS});
}

/* x[i] lane j becomes x[j] lane i */
static void
turn(krsi_tile *t, krsi_kv x[STEPS])
{
    static const uint8_t even[] = {0, 4, 2, 6}, odd[] = {1, 5, 3, 7};
    static const uint8_t low[] = {0, 1, 4, 5}, high[] = {2, 3, 6, 7};
    krsi_kb *kb = t->kb;
    krsi_kv y[STEPS];
    for (int i = 0; i < STEPS; i += 2) {
        y[i] = krsi_kb_shuffle(kb, x[i], x[i + 1], STEPS, even);
        y[i + 1] = krsi_kb_shuffle(kb, x[i], x[i + 1], STEPS, odd);
    }
    for (int i = 0; i < 2; i++) {
        x[i] = krsi_kb_shuffle(kb, y[i], y[i + 2], STEPS, low);
        x[i + 2] = krsi_kb_shuffle(kb, y[i], y[i + 2], STEPS, high);
    }
}

/* `steps` words of `vectors` vectors, the first at `outer`; those at `end` and
 * beyond are the last one, or zero. */
static void
read_block(krsi_tile *t, const krsi_tile_operand *x, krsi_kv outer, krsi_kv end,
           bool whole, krsi_kv word, int steps, int vectors, block out)
{
    krsi_kb *kb = t->kb;
    krsi_kv last = plus(t, end, -1);
    for (int v = 0; v < vectors; v++) {
        krsi_kv first = plus(t, outer, (int64_t)v * STEPS), line[STEPS];
        if (steps == 1 || !x->along_inner) {
            for (int i = 0; i < steps; i++)
                out[i][v] = krsi_tile_across(t, x, first, end, plus(t, word, i),
                                             STEPS, whole);
            continue;
        }
        for (int j = 0; j < STEPS; j++) {
            krsi_kv at = plus(t, first, j);
            line[j] =
                line_of(t, x, whole ? at : krsi_kb_min(kb, at, last), word);
        }
        turn(t, line);
        for (int i = 0; i < steps; i++)
            out[i][v] = line[i];
    }
}

/* s plus the products of `steps` words. */
static void
multiply_words(krsi_tile *t, krsi_kv row, krsi_kv word, int steps,
               krsi_tile_registers s)
{
    krsi_kb *kb = t->kb;
    block a, b;
    int quads = (int)krsi_tile_parts(t->rows, STEPS);
    bool late = steps > 1 && t->a.along_inner;
    krsi_kv last = plus(t, t->m1, -1);
    read_block(t, &t->b, t->n0, t->n1, t->whole_columns, word, steps,
               t->vectors, b);
    if (!late)
        read_block(t, &t->a, row, t->m1, t->whole_rows && t->rows % STEPS == 0,
                   word, steps, quads, a);
    for (int r = 0; r < t->rows; r++) {
        krsi_kv line = KRSI_KV_NONE, at = plus(t, row, r);
        if (late)
            line = line_of(
                t, &t->a, t->whole_rows ? at : krsi_kb_min(kb, at, last), word);
        for (int i = 0; i < steps; i++) {
            krsi_kv one =
                late ? krsi_kb_slice(kb, line, i, 1)
                     : krsi_kb_slice(kb, a[i][r / STEPS], r % STEPS, 1);
            for (int v = 0; v < t->vectors; v++)
                s[r][v] = krsi_tile_mad(t, one, b[i][v], s[r][v]);
        }
    }
}

void
krsi_tile_carry(krsi_tile *t, krsi_tile_registers s,
                krsi_tile_registers carried)
{
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < t->vectors; v++)
            s[r][v] = carried[r][v] = krsi_kb_carry(t->kb, s[r][v]);
}

void
krsi_tile_pass_on(krsi_tile *t, krsi_tile_registers carried,
                  krsi_tile_registers s)
{
    krsi_kb *kb = t->kb;
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < t->vectors; v++)
            krsi_kb_next(kb, carried[r][v], s[r][v]);
    krsi_kb_end(kb);
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < t->vectors; v++)
            s[r][v] = krsi_kb_result(kb, carried[r][v]);
}

/* The words low .. high of the chunk, `steps` at a time. */
static void
multiply(krsi_tile *t, krsi_kv row, krsi_kv low, krsi_kv high, int steps,
         krsi_tile_registers s)
{
    krsi_kb *kb = t->kb;
    krsi_tile_registers carried;
    krsi_kv word = krsi_kb_for(kb, low, high, krsi_kb_i64(kb, steps));
    krsi_tile_carry(t, s, carried);
    multiply_words(t, row, word, steps, s);
    krsi_tile_pass_on(t, carried, s);
}

void
krsi_tile_single_sums(krsi_tile *t, krsi_kv row, krsi_tile_registers s)
{
    krsi_kb *kb = t->kb;
    krsi_kv zero = krsi_kb_broadcast(kb, t->lanes, krsi_kb_f32(kb, 0));
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    krsi_kv low = t->low.ref ? t->low : krsi_kb_i64(kb, 0);
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < t->vectors; v++)
            s[r][v] = zero;
    if (!t->pairs) {
        krsi_kv fours = krsi_kb_and(kb, krsi_kb_sub(kb, words, low),
                                    krsi_kb_i64(kb, -STEPS));
        fours = krsi_kb_add(kb, low, fours);
        if (t->whole_words)
            fours = words;
        multiply(t, row, low, fours, STEPS, s);
        low = fours;
    }
    if (!t->whole_words)
        multiply(t, row, low, words, 1, s);
}

static void
store_row(krsi_tile *t, krsi_kv m, const krsi_kv *sums)
{
    krsi_kb *kb = t->kb;
    bool is_open =
        !t->whole_rows && (t->rows > 1 || t->template == KRSI_TILE_GROUP);
    if (is_open)
        krsi_kb_if_below(kb, m, t->m1);
    for (int v = 0; v < t->vectors; v++) {
        krsi_kv n = plus(t, t->column, (int64_t)v * t->apart);
        krsi_tile_store(t, m, n,
                        t->whole_columns
                            ? KRSI_KV_NONE
                            : krsi_kb_below(kb, n, t->n1, t->lanes),
                        sums[v]);
    }
    if (is_open)
        krsi_kb_end(kb);
}

void
krsi_tile_single_row(krsi_tile *t, krsi_kv row, int step, int r,
                     krsi_tile_registers s, krsi_kv *out)
{
    krsi_kb *kb = t->kb;
    krsi_kv from[KRSI_TILE_ROWS];
    for (int v = 0; v < t->vectors; v++) {
        for (int i = 0; i < t->rows / step; i++)
            from[i] = s[i * step + r][v];
        for (int apart = step; apart < t->rows; apart *= 2) {
            krsi_kv bit = krsi_kb_and(kb, row, krsi_kb_i64(kb, apart));
            krsi_kv is_low = krsi_kb_eq(kb, bit, krsi_kb_i64(kb, 0));
            for (int i = 0; i < t->rows / apart / 2; i++)
                from[i] =
                    krsi_kb_select(kb, is_low, from[2 * i], from[2 * i + 1]);
        }
        out[v] = from[0];
    }
}

/* A few rows at a time, in a loop: every access of memory is dear code, but for
 * groups, whose items have little of it. Fewer where much is made of the sums. */
static void
store_tile(krsi_tile *t, krsi_kv row, krsi_tile_registers s)
{
    krsi_kb *kb = t->kb;
    int rows = t->finishes ? STRIP / 2 : STRIP;
    if (t->rows <= rows || t->template == KRSI_TILE_GROUP) {
        for (int r = 0; r < t->rows; r++)
            store_row(t, plus(t, row, r), s[r]);
        return;
    }
    krsi_kv strip =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), krsi_kb_i64(kb, t->rows),
                    krsi_kb_i64(kb, rows));
    for (int r = 0; r < rows; r++) {
        krsi_kv sums[KRSI_TILE_VECTORS];
        krsi_tile_single_row(t, strip, rows, r, s, sums);
        store_row(t, plus(t, krsi_kb_add(kb, row, strip), r), sums);
    }
    krsi_kb_end(kb);
}

static void
sum_chunk(krsi_tile *t, krsi_kv row, krsi_tile_registers s)
{
    if (t->template == KRSI_TILE_GROUP)
        krsi_tile_group_sums(t, s);
    else
        krsi_tile_single_sums(t, row, s);
}

/* Sums of chunks are added up; -0 is what no chunk is. */
void
krsi_tile_registers_of(krsi_tile *t, krsi_kv row)
{
    krsi_kb *kb = t->kb;
    krsi_tile_registers s, c;
    if (t->one_chunk) {
        t->first = krsi_kb_i64(kb, 0);
        t->end = t->words;
        sum_chunk(t, row, s);
        store_tile(t, row, s);
        return;
    }
    krsi_kv none = krsi_kb_broadcast(kb, t->lanes, krsi_kb_f32(kb, -0.0F));
    krsi_tile_chunks(t);
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < t->vectors; v++)
            c[r][v] = krsi_kb_carry(kb, none);
    krsi_tile_bounds(t);
    sum_chunk(t, row, s);
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < t->vectors; v++)
            krsi_kb_next(kb, c[r][v], krsi_kb_add(kb, c[r][v], s[r][v]));
    krsi_kb_end(kb);
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < t->vectors; v++)
            s[r][v] = krsi_kb_result(kb, c[r][v]);
    store_tile(t, row, s);
}

void
krsi_tile_single(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    t->column = t->n0;
    if (!t->all_rows) {
        krsi_tile_registers_of(t, t->m0);
        return;
    }
    krsi_kv row = krsi_kb_for(kb, t->m0, t->m1, krsi_kb_i64(kb, t->rows));
    krsi_tile_registers_of(t, row);
    krsi_kb_end(kb);
}
