/* trie.c -- strings of bytes in a tree, one byte an edge, for all prefixes of
 * a text that are among them (Fredkin 1960).
 *
 * In: strings with values. Out: one step along a text at a time. Node 0 is the
 * root; no edge leads to it, so 0 says that there is none. All edges lie in
 * one table, found by (node, byte) with open addressing at most half full: a
 * step is one look-up, and the memory is proportional to the bytes put in.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

static size_t
place(uint32_t from, uint8_t byte)
{
    uint64_t key = (uint64_t)from << 8 | byte;
    return (size_t)(key * 0x9E3779B97F4A7C15u >> 24);
}

static struct krsi_edge *
edge_of(const krsi_trie *t, uint32_t from, uint8_t byte)
{
    size_t i = place(from, byte) & (t->edge_count - 1);
    while (t->edges[i].from != UINT32_MAX &&
           (t->edges[i].from != from || t->edges[i].byte != byte))
        i = (i + 1) & (t->edge_count - 1);
    return &t->edges[i];
}

static bool
grow(krsi_trie *t)
{
    krsi_trie larger = *t;
    larger.edge_count = t->edge_count ? 2 * t->edge_count : 64;
    larger.edges = malloc(larger.edge_count * sizeof *larger.edges);
    if (!larger.edges)
        return false;
    for (size_t i = 0; i < larger.edge_count; i++)
        larger.edges[i] = (struct krsi_edge){UINT32_MAX, 0, 0};
    for (size_t i = 0; i < t->edge_count; i++)
        if (t->edges[i].from != UINT32_MAX)
            *edge_of(&larger, t->edges[i].from, t->edges[i].byte) = t->edges[i];
    free(t->edges);
    *t = larger;
    return true;
}

static bool
new_node(krsi_trie *t)
{
    if (t->nodes >= UINT32_MAX - 1 ||
        !krsi_room(&t->values, &t->capacity, t->nodes + 1, sizeof *t->values))
        return false;
    t->values[t->nodes++] = KRSI_NO_ID;
    return true;
}

bool
krsi_trie_add(krsi_trie *t, const char *text, size_t bytes, uint32_t value)
{
    uint32_t node = 0;
    if (t->nodes == 0 && !new_node(t))
        return false;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (t->nodes * 2 >= t->edge_count && !grow(t))
            return false;
        struct krsi_edge *edge = edge_of(t, node, byte);
        if (edge->from == UINT32_MAX) {
            if (!new_node(t))
                return false;
            *edge = (struct krsi_edge){node, (uint32_t)(t->nodes - 1), byte};
        }
        node = edge->to;
    }
    t->values[node] = value;
    return true;
}

uint32_t
krsi_trie_step(const krsi_trie *t, uint32_t node, uint8_t byte)
{
    if (t->edge_count == 0)
        return 0;
    const struct krsi_edge *edge = edge_of(t, node, byte);
    return edge->from == UINT32_MAX ? 0 : edge->to;
}

void
krsi_trie_free(krsi_trie *t)
{
    free(t->edges);
    free(t->values);
    *t = (krsi_trie){0};
}
