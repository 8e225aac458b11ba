/* tile_group.c -- products on devices whose groups of items share memory, as
 * GPUs do: the template group.
 *
 * A group is side x side items and computes a tile of C, over all of k. `side`
 * words of k at a time, its rows of A and columns of B are brought into shared
 * memory, each element by one item; a barrier; every item multiplies its rows
 * and vectors of columns from there; a barrier. So an element of A or B leaves
 * global memory once a group instead of once an item. Both panels lie as [word]
 * [row or column], so that an item reads four of its rows or columns at once,
 * and neighbours different banks; PAD keeps the items that turn a panel while
 * storing it from all falling into one bank.
 *
 * Whichever of the two axes is contiguous goes along axis 0 of the group, for
 * loads in a row. Rows, columns and words beyond the end repeat the last one in
 * shared memory; words are not multiplied, rows and columns not stored.
 *
 * Sources: Volkov and Demmel 2008 (tiles of registers fed from shared memory),
 * Nath, Tomov and Dongarra 2010 (the sizes of both), Nugteren 2018 (CLBlast:
 * such kernels by a table).
 */
#include "tile.h"

enum {
    FOURS = 4, /* lanes of a vector */
    PAD = 4    /* words from the end of one word of k to the next */
};

static krsi_kv
plus(krsi_tile *t, krsi_kv a, int64_t b)
{
    return krsi_kb_add(t->kb, a, krsi_kb_i64(t->kb, b));
}

static int
group_rows(const krsi_tile *t)
{
    return t->side * t->rows;
}

static int
group_columns(const krsi_tile *t)
{
    return t->side * t->vectors * t->lanes;
}

int64_t
krsi_tile_group_bytes(int side, int rows, int columns)
{
    enum { WORD_BYTES = 4 };
    return (int64_t)side * (rows + columns + 2 * PAD) * WORD_BYTES;
}

void
krsi_tile_declare_group(krsi_tile *t)
{
    enum { ALIGN = 16 };
    krs_dtype word = t->pairs ? KRS_I32 : KRS_F32;
    uint32_t side = (uint32_t)t->side;
    krsi_kb_group(t->kb, side, side, 1);
    t->a_pack = krsi_kb_shared(t->kb, "a_panel", word,
                               (int64_t)t->side * (group_rows(t) + PAD), ALIGN);
    t->b_pack =
        krsi_kb_shared(t->kb, "b_panel", word,
                       (int64_t)t->side * (group_columns(t) + PAD), ALIGN);
}

/* Words from `word` of the chunk on, of `width` rows of A or columns of B from
 * `outer` on; `end` is beyond the last one. */
static void
bring(krsi_tile *t, const krsi_tile_operand *x, krsi_kbuf panel, krsi_kv outer,
      krsi_kv end, bool whole, krsi_kv word, int width)
{
    krsi_kb *kb = t->kb;
    bool turns = x->along_inner || !x->along_outer;
    krsi_kv across = krsi_kb_local(kb, turns ? 1 : 0);
    krsi_kv k = krsi_kb_local(kb, turns ? 0 : 1);
    krsi_kv last_word = plus(t, krsi_kb_sub(kb, t->end, t->first), -1);
    krsi_kv at = krsi_kb_add(kb, word, k);
    krsi_kv line = krsi_kb_mul(kb, k, krsi_kb_i64(kb, width + PAD));
    if (!t->whole_words)
        at = krsi_kb_min(kb, at, last_word);
    for (int i = 0; i < width; i += t->side) {
        krsi_kv place = plus(t, across, i);
        krsi_kv o = krsi_kb_add(kb, outer, place);
        if (!whole)
            o = krsi_kb_min(kb, o, plus(t, end, -1));
        krsi_kv v = krsi_tile_across(t, x, o, end, at, 1, true);
        krsi_kb_store(
            kb,
            (krsi_kmem){.buffer = panel, .index = krsi_kb_add(kb, line, place)},
            v);
    }
}

/* Four elements of a panel, or as many as there are, at `place` of a word. */
static krsi_kv
read_panel(krsi_tile *t, krsi_kbuf panel, krsi_kv word, int width,
           krsi_kv place, int lanes)
{
    krsi_kb *kb = t->kb;
    krsi_kv line = krsi_kb_mul(kb, word, krsi_kb_i64(kb, width + PAD));
    return krsi_kb_load(
        kb, (krsi_kmem){.buffer = panel,
                        .index = krsi_kb_add(kb, line, place),
                        .lanes = lanes,
                        .align_bytes = lanes == FOURS ? KRSI_TILE_ALIGNED : 0});
}

/* s plus the products of the first `words` words of the panels. */
static void
multiply(krsi_tile *t, krsi_kv words, krsi_tile_registers s)
{
    krsi_kb *kb = t->kb;
    krsi_tile_registers carried;
    krsi_kv b[KRSI_TILE_VECTORS], a = KRSI_KV_NONE;
    int step = t->rows < FOURS ? t->rows : FOURS;
    krsi_kv row =
        krsi_kb_mul(kb, krsi_kb_local(kb, 1), krsi_kb_i64(kb, t->rows));
    krsi_kv column =
        krsi_kb_mul(kb, krsi_kb_local(kb, 0), krsi_kb_i64(kb, t->lanes));
    krsi_kv word =
        krsi_kb_for(kb, krsi_kb_i64(kb, 0), words, krsi_kb_i64(kb, 1));
    krsi_tile_carry(t, s, carried);
    for (int v = 0; v < t->vectors; v++)
        b[v] = read_panel(t, t->b_pack, word, group_columns(t),
                          plus(t, column, (int64_t)v * t->apart), t->lanes);
    for (int r = 0; r < t->rows; r++) {
        if (r % step == 0)
            a = read_panel(t, t->a_pack, word, group_rows(t), plus(t, row, r),
                           step);
        krsi_kv one = krsi_kb_slice(kb, a, r % step, 1);
        for (int v = 0; v < t->vectors; v++)
            s[r][v] = krsi_tile_mad(t, one, b[v], carried[r][v]);
    }
    krsi_tile_pass_on(t, carried, s);
}

void
krsi_tile_group_sums(krsi_tile *t, krsi_tile_registers s)
{
    krsi_kb *kb = t->kb;
    krsi_tile_registers carried;
    krsi_kv zero = krsi_kb_broadcast(kb, t->lanes, krsi_kb_f32(kb, 0));
    krsi_kv words = krsi_kb_sub(kb, t->end, t->first);
    krsi_kv side = krsi_kb_i64(kb, t->side);
    for (int r = 0; r < t->rows; r++)
        for (int v = 0; v < t->vectors; v++)
            s[r][v] = zero;
    krsi_kv word = krsi_kb_for(kb, krsi_kb_i64(kb, 0), words, side);
    krsi_tile_carry(t, s, carried);
    krsi_kb_barrier(kb);
    bring(t, &t->a, t->a_pack, t->m0, t->m1, t->whole_rows, word,
          group_rows(t));
    bring(t, &t->b, t->b_pack, t->n0, t->n1, t->whole_columns, word,
          group_columns(t));
    krsi_kb_barrier(kb);
    multiply(t,
             t->whole_words
                 ? side
                 : krsi_kb_min(kb, krsi_kb_sub(kb, words, word), side),
             s);
    krsi_tile_pass_on(t, carried, s);
}

void
krsi_tile_group(krsi_tile *t)
{
    krsi_kb *kb = t->kb;
    krsi_kv x = krsi_kb_local(kb, 0), y = krsi_kb_local(kb, 1);
    t->column =
        krsi_kb_add(kb, t->n0, krsi_kb_mul(kb, x, krsi_kb_i64(kb, t->lanes)));
    krsi_tile_registers_of(
        t,
        krsi_kb_add(kb, t->m0, krsi_kb_mul(kb, y, krsi_kb_i64(kb, t->rows))));
}
