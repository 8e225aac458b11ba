/* test_table.c -- what holds for every row of ops.def, on every sample: it
 * builds, verifies, prints, parses, is one node however often it is asked
 * for, and, if it is a composite, has a definition of the same type.
 */
#include "samples.h"
#include "suite.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Every sample of every row: `which` counts within a row. */
#define FOR_EACH_SAMPLE(op, which, s)                                    \
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++)             \
        for (int which = 0; sample_build((enum krsi_op)op, which, &(s)); \
             which++, sample_free(&(s)))

static void
assert_ok(krs_status status, const krs_error *err, int op, int which)
{
    ck_assert_msg(status == KRS_OK, "%s, sample %d: %s", krsi_ops[op].name,
                  which, err->text);
}

static char *
print(const krs_graph *g, const krs_node *outputs, size_t count)
{
    krs_error err;
    char *text = NULL;
    krs_status status = krs_graph_print(g, outputs, count, NULL, &text, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return text;
}

START_TEST(every_row_has_a_sample_a_text_and_sound_counts)
{
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++) {
        const krsi_op_info *row = &krsi_ops[op];
        sample s;
        ck_assert_msg(sample_build((enum krsi_op)op, 0, &s), "%s has no sample",
                      row->name);
        sample_free(&s);
        ck_assert_msg(row->text && *row->text, "%s has no text", row->name);
        ck_assert_int_le(row->min_count, row->max_count);
        ck_assert(row->shape != NULL);
        ck_assert_int_eq(krsi_op_by_name(row->name), op);
        ck_assert_msg(row->composite == (krsi_expansions[op] != NULL),
                      "%s: a definition belongs to a composite", row->name);
    }
    ck_assert_int_eq(krsi_op_by_name("no such row"), KRSI_POISON);
}
END_TEST

START_TEST(samples_build_a_node_of_their_row)
{
    sample s;
    FOR_EACH_SAMPLE(op, which, s)
    {
        const krs_error *error = krs_graph_error(s.graph);
        ck_assert_msg(!error, "%s, sample %d: %s", krsi_ops[op].name, which,
                      error ? error->text : "");
        ck_assert_msg(strcmp(krs_node_op(s.use), krsi_ops[op].name) == 0,
                      "%s, sample %d gives a node of %s", krsi_ops[op].name,
                      which, krs_node_op(s.use));
    }
}
END_TEST

START_TEST(samples_verify)
{
    sample s;
    FOR_EACH_SAMPLE(op, which, s)
    {
        krs_error err = {KRS_OK, ""};
        assert_ok(krsi_verify(s.graph, &err), &err, op, which);
    }
}
END_TEST

START_TEST(building_twice_gives_the_same_node)
{
    sample s;
    FOR_EACH_SAMPLE(op, which, s)
    {
        uint32_t size = krs_graph_size(s.graph);
        krs_node again = sample_again((enum krsi_op)op, which, &s);
        if (op == KRSI_DROPOUT && which == 1) { /* an automatic stream */
            ck_assert_uint_ne(again.id, s.use.id);
            continue;
        }
        if (op == KRSI_PARAM) { /* every scan has its own */
            ck_assert_uint_ne(again.id, s.use.id);
            continue;
        }
        /* nodes of a body under construction stay behind */
        bool is_scan = op == KRSI_SCAN || op == KRSI_RESULT;
        ck_assert_msg(again.id == s.use.id &&
                          (is_scan || size == krs_graph_size(s.graph)),
                      "%s, sample %d: %%%u, then %%%u", krsi_ops[op].name,
                      which, s.use.id, again.id);
    }
}
END_TEST

START_TEST(text_reads_back_to_the_same_text)
{
    sample s;
    FOR_EACH_SAMPLE(op, which, s)
    {
        for (size_t count = 0; count < 2; count++) {
            krs_error err = {KRS_OK, ""};
            krs_graph *back;
            krs_node output;
            size_t outputs;
            char *text = print(s.graph, &s.use, count);
            krs_status status =
                krs_graph_parse(text, &back, &output, 1, &outputs, &err);
            ck_assert_msg(status == KRS_OK, "%s\n%s", err.text, text);
            assert_ok(krsi_verify(back, &err), &err, op, which);
            ck_assert_uint_eq(outputs, count);
            if (count)
                ck_assert_str_eq(krs_node_op(output), krsi_ops[op].name);
            char *again = print(back, &output, count);
            ck_assert_str_eq(again, text);
            free(text);
            free(again);
            krs_graph_free(back);
        }
    }
}
END_TEST

START_TEST(json_and_drawings_name_every_node)
{
    sample s;
    const krs_print_options options = {sizeof options, 4, true};
    FOR_EACH_SAMPLE(op, which, s)
    {
        krs_error err = {KRS_OK, ""};
        char *text;
        json_error_t where;
        assert_ok(
            krs_graph_print_json(s.graph, &s.use, 1, &options, &text, &err),
            &err, op, which);
        json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &where);
        ck_assert_msg(root, "%s in %s", where.text, text);
        const json_t *nodes = json_object_get(root, "nodes");
        const json_t *last = json_array_get(nodes, json_array_size(nodes) - 1);
        ck_assert_str_eq(json_string_value(json_object_get(last, "op")),
                         krsi_ops[op].name);
        ck_assert_uint_eq(json_array_size(json_object_get(last, "operands")),
                          (size_t)krs_node_operand_count(s.use));
        size_t count = json_array_size(nodes);
        json_decref(root);
        free(text);
        assert_ok(
            krs_graph_print_dot(s.graph, &s.use, 1, &options, &text, &err),
            &err, op, which);
        for (size_t i = 1; i <= count; i++) {
            char node[32];
            snprintf(node, sizeof node, "  n%zu [label=\"", i);
            ck_assert_ptr_nonnull(strstr(text, node));
        }
        free(text);
    }
}
END_TEST

/* Follow a definition through composites in it, without recursion: ids only
 * grow, and each composite met is expanded once. */
static void
expand_all(sample *s, krs_node first, int op, int which)
{
    const krsi_node *use = krsi_get(first);
    for (uint32_t id = first.id; id <= krs_graph_size(s->graph); id++) {
        krs_node x = krs_graph_node(s->graph, id), in[16];
        const krsi_node *n = krsi_get(x);
        if (!krsi_ops[n->op].composite)
            continue;
        ck_assert_uint_le(n->count, 16);
        for (uint32_t i = 0; i < n->count; i++)
            in[i] = krs_graph_node(s->graph, n->in[i]);
        krsi_use parts = {KRS_HERE, s->graph, n, in, (int)n->count};
        krs_node y = krsi_expansions[n->op](&parts);
        const krs_error *error = krs_graph_error(s->graph);
        ck_assert_msg(krs_node_is_valid(y), "%s, sample %d: %s: %s",
                      krsi_ops[op].name, which, krsi_ops[n->op].name,
                      error ? error->text : "no node");
        const krsi_node *d = krsi_get(y);
        ck_assert_uint_ne(y.id, x.id);
        ck_assert_uint_eq(d->dtype, n->dtype);
        ck_assert_uint_eq(d->rank, n->rank);
        ck_assert_msg(d->live_axes == n->live_axes,
                      "%s, sample %d: live axes of the definition",
                      krsi_ops[n->op].name, which);
        for (int axis = 0; axis < n->rank; axis++) {
            ck_assert_int_eq(d->dim[axis], n->dim[axis]);
            ck_assert(!(n->live_axes >> axis & 1) ||
                      krs_index_equal(d->live[axis], n->live[axis]));
        }
        ck_assert_msg(krs_graph_size(s->graph) < first.id + 1000,
                      "%s does not end", krsi_ops[use->op].name);
    }
}

START_TEST(composites_are_made_of_primitives_in_the_end)
{
    sample s;
    FOR_EACH_SAMPLE(op, which, s)
    {
        krs_error err = {KRS_OK, ""};
        if (!krsi_ops[op].composite)
            continue;
        expand_all(&s, s.use, op, which);
        assert_ok(krsi_verify(s.graph, &err), &err, op, which);
    }
}
END_TEST

static void
rehash(krs_graph *g)
{
    memset(g->table, 0, g->table_capacity * sizeof *g->table);
    for (uint32_t id = 1; id <= g->nodes; id++) {
        size_t slot = g->node[id]->hash;
        while (g->table[slot &= g->table_capacity - 1])
            slot++;
        g->table[slot] = id;
    }
}

/* The verifier is no yes-man: damage each field of a node in turn. */
START_TEST(verifier_sees_damage)
{
    static const char *const seen[] = {
        "verify: node %3 ?: operation 60000 is not a row",
        "verify: node %3 add: type i32, the rule says f32",
        "verify: node %3 add: axis 0 has size 7, the rule says 2",
        "verify: node %3 add: operand 0 is %3, not before its user",
        "verify: node %3 add: 1 operands, the row says 2 to 2",
        "verify: node %3 add: the hash is not that of the node",
        "verify: node %3 add: scope 999 or file ",
        "verify: node %3 add: live axes 0x01, the rule says 0x00",
        "verify: node %3 add: rank 1, the rule says 2",
        "verify: the table holds 2 of 3 nodes",
        "verify: node %2 input: the table does not find it",
        "verify: two nodes are the same input",
        "verify: two leaves are called \"x\"",
    };
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        krs_graph *g = krs_graph_new();
        krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2, 3));
        krs_node y = krs_input(g, "y", KRS_F32, KRS_SHAPE(2, 3));
        krsi_node *n = g->node[krs_add(x, x).id], *two = g->node[y.id];
        int64_t dim[] = {7, 3};
        uint32_t in[] = {3, 1};
        int64_t word[5];
        krs_error err = {KRS_OK, ""};
        ck_assert_int_eq(krsi_verify(g, &err), KRS_OK);
        switch (i) {
        case 0: n->op = 60000; break;
        case 1: n->dtype = KRS_I32; break;
        case 2: n->dim = dim; break;
        case 3: n->in = in; break;
        case 4: n->count = 1; break;
        case 5: n->hash++; break;
        case 6: n->scope = 999; break;
        case 7: n->live_axes = 1; break;
        case 8: n->rank = 1; break;
        case 9:
            for (size_t k = 0; k < g->table_capacity; k++)
                if (g->table[k] == 3)
                    g->table[k] = 0;
            break;
        case 10: /* found under a hash that is not its own */
        case 11:
        case 12:
            memcpy(word, g->node[x.id]->word, sizeof word);
            word[1] = i == 12 ? KRS_I32 : KRS_F32;
            two->word = word;
            two->dtype = (uint8_t)word[1];
            two->hash = krsi_node_hash(two);
            if (i > 10)
                rehash(g);
            break;
        }
        ck_assert_int_eq(krsi_verify(g, &err), KRS_E_INTERNAL);
        ck_assert_msg(strncmp(err.text, seen[i], strlen(seen[i])) == 0, "%s",
                      err.text);
        krs_graph_free(g);
    }
}
END_TEST

SUITE(every_row_has_a_sample_a_text_and_sound_counts,
      samples_build_a_node_of_their_row, samples_verify,
      building_twice_gives_the_same_node, text_reads_back_to_the_same_text,
      json_and_drawings_name_every_node,
      composites_are_made_of_primitives_in_the_end, verifier_sees_damage)
