/* build_einsum.c -- sums of products over named axes, as permutes, matmuls and
 * sums (array.h).
 *
 * In: an equation and operands. Out: a node. A term is a node with a letter for
 * each of its axes. Letters that nobody needs any more are summed away as soon
 * as that is so; two terms meet in one product [batch, M, K] [batch, N, K]^T,
 * where batch are the letters of both that are still needed, K those of both
 * that are not.
 */
#include "ir.h"

#include <krs/array.h>

#include <ctype.h>
#include <string.h>

typedef struct term {
    krs_node x;
    char letter[KRS_MAX_RANK + 1];
} term;

typedef struct equation {
    krs_place at;
    krs_graph *g;
    const char *text;
    const krs_node *in; /* what is summed */
    int inputs;
    int count; /* operands that the text has */
    const char *operand[16];
    int letters[16]; /* of each */
    char result[KRS_MAX_RANK + 1];
} equation;

static bool
refuse(const equation *e, krs_status status, const char *what, const char *why)
{
    return krsi_refuse_use(e->g, e->at, "einsum", e->in, e->inputs, status,
                           "as \"bij,bjk->bik\", a letter an axis",
                           "\"%s\": %s%s", e->text, what, why);
}

/* letters that occur once, in order */
static void
implied_result(equation *e, const char *end)
{
    int uses[256] = {0}, made = 0;
    for (const char *p = e->text; p < end; p++)
        uses[(unsigned char)*p]++;
    for (int c = 'A'; c <= 'z' && made < KRS_MAX_RANK; c++)
        if (isalpha(c) && uses[c] == 1)
            e->result[made++] = (char)c;
}

static bool
read_equation(equation *e, int count)
{
    const char *arrow = strstr(e->text, "->");
    const char *end = arrow ? arrow : e->text + strlen(e->text);
    const char *p = e->text;
    for (e->count = 0; e->count < 16;) {
        int n = 0;
        e->operand[e->count] = p;
        while (p < end && isalpha((unsigned char)*p))
            p++, n++;
        e->letters[e->count++] = n;
        if (p == end || *p != ',')
            break;
        p++;
    }
    if (p != end)
        return refuse(e, KRS_E_ARGUMENT,
                      "letters and commas are needed before ",
                      arrow ? "the arrow" : "the end");
    if (e->count != count)
        return refuse(e, KRS_E_ARGUMENT, "it has not as many operands as given",
                      "");
    if (!arrow) {
        implied_result(e, end);
        return true;
    }
    const char *result = arrow + 2;
    size_t length = strlen(result);
    for (size_t i = 0; i < length; i++) {
        bool known = false;
        for (const char *q = e->text; q < end; q++)
            known |= *q == result[i];
        if (length > KRS_MAX_RANK || !isalpha((unsigned char)result[i]) ||
            !known || memchr(result, result[i], i))
            return refuse(e, KRS_E_ARGUMENT,
                          "each letter of the result is one of the operands', "
                          "once: ",
                          result);
    }
    memcpy(e->result, result, length);
    return true;
}

/* ---- terms ---- */

static int
place_of(const term *t, char letter)
{
    const char *p = strchr(t->letter, letter);
    return p ? (int)(p - t->letter) : -1;
}

static int64_t
size_of(const term *t, char letter)
{
    int axis = place_of(t, letter);
    return axis < 0 ? 1 : krs_node_shape(t->x).dim[axis];
}

/* the axes in the order of the letters, all of which the term has */
static void
reorder(const equation *e, term *t, const char *letter)
{
    krs_axes order = {(int)strlen(letter), {0}};
    for (int i = 0; i < order.count; i++)
        order.axis[i] = place_of(t, letter[i]);
    t->x = krs_permute_at(e->at, t->x, order);
    strcpy(t->letter, letter);
}

/* A letter twice: the axes side by side as one, every n+1st element of it. */
static void
take_diagonals(const equation *e, term *t)
{
    for (int i = 0; t->letter[i]; i++) {
        char *again = strchr(t->letter + i + 1, t->letter[i]);
        if (!again)
            continue;
        int other = (int)(again - t->letter), to = 0;
        krs_shape shape = krs_node_shape(t->x);
        krs_axes order = {shape.rank, {0}};
        int64_t n = shape.dim[i];
        for (int a = 0; a < shape.rank; a++)
            if (a != other) {
                order.axis[to++] = a;
                if (a == i)
                    order.axis[to++] = other;
            }
        t->x = krs_permute_at(e->at, t->x, order);
        memmove(again, again + 1, strlen(again));
        memmove(shape.dim + other, shape.dim + other + 1,
                sizeof *shape.dim * (size_t)(shape.rank - other - 1));
        shape.rank--;
        shape.dim[i] = n * n;
        t->x = krs_slice_at(e->at, krs_reshape_at(e->at, t->x, shape), i, 0,
                            KRS_END, n + 1);
        i--; /* it may come a third time */
    }
}

static bool
is_needed(const equation *e, int from, char letter)
{
    if (strchr(e->result, letter))
        return true;
    for (int i = from; i < e->count; i++)
        if (memchr(e->operand[i], letter, (size_t)e->letters[i]))
            return true;
    return false;
}

/* Sum over what neither the other term, nor operands from `from` on, nor the
 * result has. */
static void
sum_away(const equation *e, term *t, const term *other, int from)
{
    krs_axes gone = {0, {0}};
    char kept[KRS_MAX_RANK + 1] = "";
    int keeps = 0;
    for (int i = 0; t->letter[i]; i++) {
        bool stays = (other && strchr(other->letter, t->letter[i])) ||
                     is_needed(e, from, t->letter[i]);
        if (stays)
            kept[keeps++] = t->letter[i];
        else
            gone.axis[gone.count++] = i;
    }
    if (gone.count)
        t->x = krs_sum_at(e->at, t->x, gone);
    strcpy(t->letter, kept);
}

/* both terms become one */
static void
join(const equation *e, term *a, term *b, int from)
{
    char both[KRS_MAX_RANK + 1] = "", k[KRS_MAX_RANK + 1] = "",
                             m[KRS_MAX_RANK + 1] = "", n[KRS_MAX_RANK + 1] = "",
                             order[2 * KRS_MAX_RANK + 1];
    krs_shape rows = KRS_SHAPE(1, 1, 1), columns = rows, result = {0, {0}};
    sum_away(e, a, b, from);
    sum_away(e, b, a, from);
    for (const char *p = a->letter; *p; p++) {
        bool shared = place_of(b, *p) >= 0, needed = is_needed(e, from, *p);
        char *list = !shared ? m : needed ? both : k;
        list[strlen(list)] = *p;
        rows.dim[!shared ? 1 : needed ? 0 : 2] *= size_of(a, *p);
    }
    for (const char *p = b->letter; *p; p++)
        if (place_of(a, *p) < 0) {
            n[strlen(n)] = *p;
            columns.dim[1] *= size_of(b, *p);
        }
    columns.dim[0] = rows.dim[0];
    columns.dim[2] = rows.dim[2];
    for (const char *p = both; *p; p++)
        result.dim[result.rank++] = size_of(a, *p);
    for (const char *p = m; *p; p++)
        result.dim[result.rank++] = size_of(a, *p);
    for (const char *p = n; *p && result.rank < KRS_MAX_RANK; p++)
        result.dim[result.rank++] = size_of(b, *p);
    if (strlen(both) + strlen(m) + strlen(n) > KRS_MAX_RANK) {
        refuse(e, KRS_E_SHAPE, "a product on the way has too many axes", "");
        a->x = krsi_poison(e->g);
        return;
    }
    strcat(strcat(strcpy(order, both), m), k);
    reorder(e, a, order);
    strcat(strcat(strcpy(order, both), n), k);
    reorder(e, b, order);
    krs_node y = krs_matmul_nt_at(e->at, krs_reshape_at(e->at, a->x, rows),
                                  krs_reshape_at(e->at, b->x, columns));
    a->x = krs_reshape_at(e->at, y, result);
    strcat(strcat(strcpy(a->letter, both), m), n);
}

/* operand i with its letters; false: ranks or sizes do not fit */
static bool
read_term(const equation *e, const krs_node *operands, int i, int64_t size[256],
          term *t)
{
    krs_shape shape = krs_node_shape(operands[i]);
    if (shape.rank != e->letters[i])
        return refuse(e, KRS_E_SHAPE, "ranks differ from the letters of ",
                      e->operand[i]);
    *t = (term){.x = operands[i]};
    memcpy(t->letter, e->operand[i], (size_t)e->letters[i]);
    for (int a = 0; a < shape.rank; a++) {
        int64_t *known = &size[(unsigned char)t->letter[a]];
        if (*known >= 0 && *known != shape.dim[a])
            return refuse(e, KRS_E_SHAPE, "a letter has two sizes in ",
                          e->operand[i]);
        *known = shape.dim[a];
    }
    take_diagonals(e, t);
    return true;
}

krs_node
krs_einsum_at(krs_place at, const char *text, const krs_node *operands,
              int count)
{
    if (count < 1 || !krsi_operands_ok(at, KRSI_MATMUL, operands, count))
        return count < 1 ? KRS_NONE : krsi_poison(operands[0].graph);
    equation e = {.at = at,
                  .g = operands[0].graph,
                  .text = text,
                  .in = operands,
                  .inputs = count};
    int64_t size[256];
    term y, next;
    memset(size, -1, sizeof size);
    if (!read_equation(&e, count) || !read_term(&e, operands, 0, size, &y))
        return krsi_poison(e.g);
    for (int i = 1; i < count; i++) {
        if (!read_term(&e, operands, i, size, &next))
            return krsi_poison(e.g);
        join(&e, &y, &next, i + 1);
    }
    sum_away(&e, &y, NULL, count);
    reorder(&e, &y, e.result);
    return y.x;
}
