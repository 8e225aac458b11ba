/* attr.c -- attributes of a node as a row of 64-bit words.
 *
 * The order and kinds come from the row's spec in ops.def, so hashing,
 * comparing, printing and parsing are the same code for every operation:
 *
 *   i b s d D G e one word
 *   f             one word, the bits of a double (-0 and 0 differ)
 *   I             count, values
 *   X             count, then for each base, terms, variables, coefficients
 */
#include "ir.h"

#include <string.h>

void
krsi_put_int(krsi_words *w, int64_t value)
{
    w->word[w->count++] = value;
}

void
krsi_put_float(krsi_words *w, double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    krsi_put_int(w, bits);
}

void
krsi_put_ints(krsi_words *w, const int64_t *value, int count)
{
    krsi_put_int(w, count);
    for (int i = 0; i < count; i++)
        krsi_put_int(w, value[i]);
}

void
krsi_put_indices(krsi_words *w, const krs_index *value, int count)
{
    krsi_put_int(w, count);
    for (int i = 0; i < count; i++) {
        int terms = value[i].terms;
        krsi_put_int(w, value[i].base);
        krsi_put_int(w, terms);
        for (int t = 0; t < KRS_INDEX_TERMS; t++)
            krsi_put_int(w, t < terms ? value[i].var[t] : 0);
        for (int t = 0; t < KRS_INDEX_TERMS; t++)
            krsi_put_int(w, t < terms ? value[i].coefficient[t] : 0);
    }
}

const char *
krsi_attr_next(const char *spec, krsi_attr *out)
{
    while (*spec == ' ')
        spec++;
    if (!*spec)
        return NULL;
    size_t name = strcspn(spec, ":");
    memcpy(out->name, spec, name);
    out->name[name] = 0;
    out->kind = spec[name + 1];
    out->names = out->kind == 'e' ? spec + name + 3 : NULL;
    return spec + strcspn(spec, " ");
}

/* words taken by an attribute of that kind */
static int
extent(char kind, const int64_t *word)
{
    switch (kind) {
    case 'I': return 1 + (int)word[0];
    case 'X': return 1 + (int)word[0] * KRSI_INDEX_WORDS;
    default: return 1;
    }
}

static const int64_t *
find(enum krsi_op op, const int64_t *word, int k)
{
    const char *spec = krsi_ops[op].attributes;
    krsi_attr attr;
    while ((spec = krsi_attr_next(spec, &attr)) && k-- > 0)
        word += extent(attr.kind, word);
    return word;
}

const int64_t *
krsi_attr_words(const krsi_node *n, int k, int *out_words)
{
    const char *spec = krsi_ops[n->op].attributes;
    krsi_attr attr;
    const int64_t *word = n->word;
    while ((spec = krsi_attr_next(spec, &attr)) && k-- > 0)
        word += extent(attr.kind, word);
    *out_words = extent(attr.kind, word);
    return word;
}

int64_t
krsi_attr_int(enum krsi_op op, const int64_t *word, int k)
{
    return *find(op, word, k);
}

double
krsi_attr_float(enum krsi_op op, const int64_t *word, int k)
{
    double value;
    memcpy(&value, find(op, word, k), sizeof value);
    return value;
}

int
krsi_attr_ints(enum krsi_op op, const int64_t *word, int k, const int64_t **out)
{
    const int64_t *at = find(op, word, k);
    *out = at + 1;
    return (int)at[0];
}

int
krsi_attr_index(enum krsi_op op, const int64_t *word, int k, int i,
                krs_index *out)
{
    const int64_t *at = find(op, word, k);
    int count = (int)at[0];
    if (i < count) {
        at += 1 + i * KRSI_INDEX_WORDS;
        *out = KRS_INDEX(at[0]);
        out->terms = (int32_t)at[1];
        for (int t = 0; t < KRS_INDEX_TERMS; t++) {
            out->var[t] = (int32_t)at[2 + t];
            out->coefficient[t] = at[2 + KRS_INDEX_TERMS + t];
        }
    }
    return count;
}

static int
count_names(const char *names)
{
    int count = 1;
    for (; *names && *names != '}'; names++)
        count += *names == '|';
    return count;
}

static bool
index_valid(const krs_graph *g, const int64_t *at)
{
    if (at[1] < 0 || at[1] > KRS_INDEX_TERMS)
        return false;
    for (int t = 0; t < KRS_INDEX_TERMS; t++) {
        int64_t var = at[2 + t], k = at[2 + KRS_INDEX_TERMS + t];
        if (t >= at[1] ? var != 0 || k != 0
                       : var < 0 || (size_t)var >= g->vars || k == 0 ||
                             (t > 0 && var <= at[1 + t]))
            return false;
    }
    return true;
}

bool
krsi_words_valid(const krs_graph *g, enum krsi_op op, const int64_t *word,
                 int words)
{
    const char *spec = krsi_ops[op].attributes;
    krsi_attr attr;
    const int64_t *end = word + words;
    while ((spec = krsi_attr_next(spec, &attr))) {
        if (word >= end)
            return false;
        int64_t first = *word;
        switch (attr.kind) {
        case 'b':
            if (first != 0 && first != 1)
                return false;
            break;
        case 'e':
            if (first < 0 || first >= count_names(attr.names))
                return false;
            break;
        case 'd':
            if (first < 0 || first >= KRS_DTYPE_COUNT)
                return false;
            break;
        case 's':
            if (first < 0 || (size_t)first >= g->strings)
                return false;
            break;
        case 'D':
            if (first < 0 || (size_t)first >= g->blobs)
                return false;
            break;
        case 'G':
            if (first < 0 || (size_t)first >= g->bodies)
                return false;
            break;
        case 'I':
            if (first < 0 || first > KRS_MAX_RANK || end - word < 1 + first)
                return false;
            break;
        case 'X':
            if (first < 0 || first > KRS_MAX_RANK ||
                end - word < 1 + first * KRSI_INDEX_WORDS)
                return false;
            for (int64_t i = 0; i < first; i++)
                if (!index_valid(g, word + 1 + i * KRSI_INDEX_WORDS))
                    return false;
            break;
        default: break; /* i and f: any value */
        }
        word += extent(attr.kind, word);
    }
    return word == end;
}

bool
krsi_words_copy(const krs_graph *from, const krsi_node *n, krs_graph *to,
                krsi_words *out)
{
    const char *spec = krsi_ops[n->op].attributes;
    krsi_attr attr;
    memcpy(out->word, n->word, n->words * sizeof *n->word);
    out->count = n->words;
    int64_t *word = out->word;
    for (; (spec = krsi_attr_next(spec, &attr));
         word += extent(attr.kind, word)) {
        uint32_t number;
        if (attr.kind == 's') {
            number = krsi_intern(to, from->string[*word]);
        } else if (attr.kind == 'D') {
            const krsi_blob *blob = &from->blob[*word];
            number = krsi_blob_add(to, blob->data, blob->bytes);
        } else if (attr.kind == 'G') {
            number = krsi_body_share(to, from->body[*word]);
        } else {
            continue;
        }
        if (number == UINT32_MAX)
            return krsi_refuse_memory(to);
        *word = number;
    }
    return true;
}

static void
mark_index(krs_index index, bool *used)
{
    for (int t = 0; t < index.terms; t++)
        used[index.var[t]] = true;
}

void
krsi_mark_vars(const krs_graph *g, const krsi_node *n, bool *used)
{
    const char *spec = krsi_ops[n->op].attributes;
    krsi_attr attr;
    for (int a = 0; a < n->rank; a++)
        if (n->live_axes >> a & 1)
            mark_index(n->live[a], used);
    for (int k = 0; (spec = krsi_attr_next(spec, &attr)) != NULL; k++) {
        krs_index index = KRS_INDEX(0);
        int count = attr.kind == 'X' ? krsi_attr_index((enum krsi_op)n->op,
                                                       n->word, k, 0, &index)
                                     : 0;
        for (int i = 0; i < count; i++)
            mark_index(krsi_index(n, k, i), used);
        if (attr.kind != 'G')
            continue;
        const krs_graph *inner = g->body[krsi_int(n, k)]->graph;
        for (size_t id = 1; id <= inner->nodes; id++)
            krsi_mark_vars(inner, inner->node[id], used);
    }
}
