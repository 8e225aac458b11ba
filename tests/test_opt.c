/* test_opt.c -- the optimiser: each rule of rules.def on the cases in opt/, and
 * what holds for the whole pass.
 *
 * A case is a file <rule>.<kind>[_name].krs: the text of a graph, a line
 * "---", and the text of what becomes of it. Of kind `fires` the rule is
 * applied, of kind `stays` it is not, though it looks as if it could be. All of
 * them are run as fuzz_judge runs random graphs: optimised and as they are, on
 * all devices, to the same bits, with special numbers among the data.
 *
 *     test_opt FILE    prints the text of what becomes of a case, for a new one
 */
#include "fuzz_graph.h"
#include "suite.h"
#include "temp_folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 24, CPU_SEEDS = 3, PATH = 512 };

/* ---- cases ---- */

typedef struct opt_case {
    char file[256];
    int rule;     /* -1: no rule of that name */
    bool fires;   /* or stays */
    char *before; /* texts */
    char *after;  /* NULL: not there */
} opt_case;

static char *
read_text(const char *path)
{
    FILE *in = fopen(path, "rb");
    krsi_string s = {0};
    char piece[4096];
    if (!in)
        return NULL;
    for (size_t n; (n = fread(piece, 1, sizeof piece, in)) > 0;)
        krsi_string_add_bytes(&s, piece, n);
    fclose(in);
    return s.text;
}

static int
rule_named(const char *name, size_t length)
{
    for (int r = 0; r < KRSI_RULES; r++)
        if (strlen(krsi_rules[r].name) == length &&
            strncmp(krsi_rules[r].name, name, length) == 0)
            return r;
    return -1;
}

/* false past the last file; the folder is walked in any order */
static bool
next_case(DIR *folder, opt_case *c)
{
    const struct dirent *entry;
    char path[PATH];
    do {
        entry = readdir(folder);
        if (!entry)
            return false;
    } while (entry->d_name[0] == '.');
    snprintf(c->file, sizeof c->file, "%s", entry->d_name);
    snprintf(path, sizeof path, TESTS_DIR "/opt/%s", c->file);
    const char *dot = strchr(c->file, '.');
    c->rule = dot ? rule_named(c->file, (size_t)(dot - c->file)) : -1;
    c->fires = dot && strncmp(dot, ".fires", 6) == 0;
    ck_assert_msg(c->rule >= 0 && (c->fires || !strncmp(dot, ".stays", 6)),
                  "%s: not <rule>.fires or <rule>.stays", c->file);
    c->before = read_text(path);
    ck_assert_ptr_nonnull(c->before);
    c->after = strstr(c->before, "---\n");
    ck_assert_msg(c->after, "%s has no line ---", c->file);
    *c->after = 0;
    c->after += 4;
    return true;
}

static void
case_free(opt_case *c)
{
    free(c->before);
}

#define FOR_EACH_CASE(c)                                  \
    for (DIR *folder = opendir(TESTS_DIR "/opt"); folder; \
         closedir(folder), folder = NULL)                 \
        for (; next_case(folder, c); case_free(c))

static void
parse(const char *file, const char *text, fuzz_case *out)
{
    krs_error err;
    memset(out, 0, sizeof *out);
    krs_status status = krs_graph_parse(text, &out->graph, out->output,
                                        FUZZ_OUTPUTS, &out->outputs, &err);
    ck_assert_msg(status == KRS_OK, "%s: %s", file, err.text);
}

/* The optimised graph, its roots and what was done. */
static krs_graph *
optimise(const krs_graph *g, const krs_node *output, size_t count,
         uint32_t *roots, krsi_rewrites *done)
{
    krs_graph *made;
    krs_error err;
    for (size_t i = 0; i < count; i++)
        roots[i] = output[i].id;
    memset(done, 0, sizeof *done);
    krs_status status = krsi_rewrite(g, roots, count, done, &made, roots, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return made;
}

static char *
print(const krs_graph *g, const uint32_t *roots, size_t count)
{
    krs_node output[FUZZ_OUTPUTS];
    krs_error err;
    char *text;
    for (size_t i = 0; i < count; i++)
        output[i] = krsi_handle(g, roots[i]);
    krs_status status = krs_graph_print(g, output, count, NULL, &text, &err);
    ck_assert_msg(status == KRS_OK, "%s", err.text);
    return text;
}

START_TEST(every_rule_has_a_case_that_it_changes_and_one_that_it_leaves)
{
    size_t fires[KRSI_RULES] = {0}, stays[KRSI_RULES] = {0};
    opt_case c;
    FOR_EACH_CASE(&c)
    (c.fires ? fires : stays)[c.rule]++;
    for (int r = 0; r < KRSI_RULES; r++) {
        const char *name = krsi_rules[r].name;
        ck_assert_msg(fires[r] > 0, "opt/%s.fires.krs is missing", name);
        ck_assert_msg(stays[r] > 0, "opt/%s.stays.krs is missing", name);
    }
}
END_TEST

START_TEST(cases_become_what_their_file_says)
{
    opt_case c;
    FOR_EACH_CASE(&c)
    {
        fuzz_case f;
        uint32_t roots[FUZZ_OUTPUTS];
        krsi_rewrites done;
        krs_error err;
        parse(c.file, c.before, &f);
        krs_graph *made = optimise(f.graph, f.output, f.outputs, roots, &done);
        char *text = print(made, roots, f.outputs);
        ck_assert_msg(krsi_verify(made, &err) == KRS_OK, "%s", err.text);
        ck_assert_msg((done.fired[c.rule] > 0) == c.fires,
                      "%s: applied %zu times", c.file, done.fired[c.rule]);
        ck_assert_msg(strcmp(text, c.after) == 0, "%s becomes\n%s", c.file,
                      text);
        ck_assert_uint_eq(done.exhausted, 0);
        free(text);
        krs_graph_free(made);
        krs_graph_free(f.graph);
    }
}
END_TEST

START_TEST(cases_keep_every_bit_on_every_device)
{
    fuzz_devices d, some;
    fuzz_counts counts = {0};
    opt_case c;
    /* a third under a sanitizer, where cpu compiles slowly */
    uint64_t fewer = getenv("KERSEY_SLOW") ? CPU_SEEDS : 1;
    ck_assert(fuzz_open(temp_folder(), KERSEY_MODULE_DIR, NULL, &d));
    FOR_EACH_CASE(&c)
    {
        fuzz_case f;
        parse(c.file, c.before, &f);
        some = d;
        for (f.seed = 1; f.seed <= SEEDS / fewer; f.seed++) {
            some.way = (int)(f.seed % FUZZ_WAYS);
            if (f.seed > CPU_SEEDS / fewer)
                some.on_cpu = false;
            char *why = fuzz_judge(&f, &some, &counts);
            ck_assert_msg(!why, "%s, seed %llu: %s", c.file,
                          (unsigned long long)f.seed, why);
        }
        krs_graph_free(f.graph);
    }
    fuzz_close(&d);
}
END_TEST

/* ---- the argument for termination ---- */

/* numbers of rules.def, of all roots together */
typedef struct measure {
    double work, nodes, size;
} measure;

#define SECOND_(a, b, ...) b
#define SECOND(...)        SECOND_(__VA_ARGS__)
#define IS_reshape         0, true
#define IS_permute         0, true
#define IS_expand          0, true
#define IS_slice           0, true
#define IS_live            0, true
#define IS_alias           0, true
#define IS_update          0, true
static const bool is_view[KRSI_OP_COUNT] = {
#define PRIMITIVE(ID, name, min, max, attrs, types, shape, live, vjp, cut, \
                  ...)                                                     \
    [KRSI_##ID] = SECOND(IS_##cut, false, ),
#define COMPOSITE(...)
#include "graph/ir/ops.def"
#undef PRIMITIVE
#undef COMPOSITE
};

/* of the trees below the roots: a node counts once for each use */
static measure
measure_of(const krs_graph *g, const uint32_t *roots, size_t count)
{
    measure all = {0, 0, 0};
    measure *tree = calloc(g->nodes + 1, sizeof *tree);
    ck_assert_ptr_nonnull(tree);
    for (size_t id = 1; id <= g->nodes; id++) {
        const krsi_node *n = g->node[id];
        tree[id] = (measure){0, 1, (double)krsi_elements(n)};
        for (uint32_t i = 0; i < n->count; i++) {
            double constant;
            tree[id].work += tree[n->in[i]].work;
            tree[id].nodes += tree[n->in[i]].nodes;
            tree[id].size += tree[n->in[i]].size;
            if (!is_view[n->op] && !krsi_number(g, n->in[i], &constant))
                tree[id].work += (double)krsi_elements(g->node[n->in[i]]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        all.work += tree[roots[i]].work;
        all.nodes += tree[roots[i]].nodes;
        all.size += tree[roots[i]].size;
    }
    free(tree);
    return all;
}

/* is a before b in lexicographic order, down to the number `last`? */
static bool
is_lower(measure a, measure b, krsi_measure last)
{
    if (a.work != b.work || last == KRSI_LOWERS_WORK)
        return a.work < b.work;
    if (a.nodes != b.nodes || last == KRSI_LOWERS_NODES)
        return a.nodes < b.nodes;
    return a.size < b.size;
}

START_TEST(rules_lower_the_number_that_their_row_names)
{
    opt_case c;
    FOR_EACH_CASE(&c)
    {
        fuzz_case f;
        uint32_t before[FUZZ_OUTPUTS], roots[FUZZ_OUTPUTS];
        krsi_rewrites done;
        krsi_measure lowers = krsi_rules[c.rule].lowers;
        if (!c.fires)
            continue;
        parse(c.file, c.before, &f);
        for (size_t i = 0; i < f.outputs; i++)
            before[i] = f.output[i].id;
        krs_graph *made = optimise(f.graph, f.output, f.outputs, roots, &done);
        measure old = measure_of(f.graph, before, f.outputs),
                new = measure_of(made, roots, f.outputs);
        bool good = lowers <= KRSI_LOWERS_SIZE
                        ? is_lower(new, old, lowers)
                        : !is_lower(old, new, KRSI_LOWERS_SIZE);
        ck_assert_msg(good,
                      "%s: work %g, then %g; nodes %g, then %g; size %g, "
                      "then %g",
                      c.file, old.work, new.work, old.nodes, new.nodes,
                      old.size, new.size);
        krs_graph_free(made);
        krs_graph_free(f.graph);
    }
}
END_TEST

/* ---- the pass ---- */

START_TEST(what_remains_keeps_its_place_scope_and_variables)
{
    krs_graph *g = krs_graph_new();
    krs_index a = krs_var(g, "a", 0, 4), b = krs_var(g, "b", 1, 2);
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(8));
    krs_scope_push(g, "head");
    krs_node w = krs_state(g, "w", KRS_F32, KRS_SHAPE(8));
    krs_place here = KRS_HERE, there = {"elsewhere.c", 7}, found;
    krs_node y = krs_mul_at(here, krs_scale(x, 1), w);
    krs_mul_at(there, krs_scale(x, 1), w);
    krs_scope_pop(g);
    krs_node z = krs_narrow(x, 0, krs_index_plus(a, b), 1);
    krs_exp(y); /* nobody needs it */
    const krs_node output[2] = {y, z};
    uint32_t roots[2];
    krsi_rewrites done;
    krs_graph *made = optimise(g, output, 2, roots, &done);
    krs_graph_free(g);
    ck_assert_uint_eq(krs_graph_size(made), 4);
    ck_assert_uint_eq(made->vars, 2);
    ck_assert_str_eq(made->string[made->var[1].name], "b");
    const krsi_node *n = made->node[roots[0]];
    ck_assert_uint_eq(n->op, KRSI_MUL);
    ck_assert_str_eq(made->string[n->scope], "head");
    ck_assert(krsi_node_place(made, roots[0], 0, &found));
    ck_assert_int_eq(found.line, here.line);
    ck_assert_str_eq(found.file, "test_opt.c");
    ck_assert_str_eq(krs_node_name(krsi_handle(made, n->in[1])), "head.w");
    krs_graph_free(made);
}
END_TEST

START_TEST(a_copy_keeps_all_places_of_a_node)
{
    krs_graph *g = krs_graph_new(), *made;
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(8));
    const krs_place first = {"a.c", 1}, second = {"b.c", 2};
    uint32_t root = krs_exp_at(first, x).id;
    krs_place found;
    krs_error err;
    krs_exp_at(second, x);
    ck_assert_int_eq(krsi_copy(g, &root, 1, &made, &root, &err), KRS_OK);
    ck_assert(krsi_node_place(made, root, 0, &found));
    ck_assert_str_eq(found.file, "a.c");
    ck_assert(krsi_node_place(made, root, 1, &found));
    ck_assert_str_eq(found.file, "b.c");
    ck_assert_int_eq(found.line, 2);
    ck_assert(!krsi_node_place(made, root, 2, &found));
    krs_graph_free(made);
    krs_graph_free(g);
}
END_TEST

/* 100 different constants of 1 KiB would be made; 64 KiB are */
START_TEST(folding_makes_a_graph_larger_by_64_kib_at_most)
{
    enum { MANY = 100, ELEMENTS = 128 };
    krs_graph *g = krs_graph_new();
    int64_t data[ELEMENTS] = {0};
    krs_node part[MANY];
    for (int i = 0; i < MANY; i++) {
        data[0] = i;
        part[i] = krs_neg(krs_constant(g, KRS_I64, KRS_SHAPE(ELEMENTS), data));
    }
    krs_node y = krs_concat(part, MANY, 0);
    uint32_t root;
    krsi_rewrites done;
    krs_graph *made = optimise(g, &y, 1, &root, &done);
    ck_assert_uint_eq(done.fired[KRSI_RULE_fold], 64);
    krs_graph_free(made);
    krs_graph_free(g);
}
END_TEST

/* a site takes 64 rules at most: blocks beside the one that is read */
START_TEST(a_chain_of_blocks_is_looked_through_so_far_and_no_further)
{
    enum { LONG = 200 };
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(LONG + 1));
    krs_node y = x;
    for (int i = 0; i < LONG; i++) {
        char name[16];
        snprintf(name, sizeof name, "v%d", i);
        krs_index start = KRS_INDEX(i);
        y = krs_set_slice(y, krs_input(g, name, KRS_F32, KRS_SHAPE(1)), &start);
    }
    y = krs_slice(y, 0, LONG, LONG + 1, 1);
    uint32_t root;
    krsi_rewrites done;
    krs_graph *made = optimise(g, &y, 1, &root, &done);
    ck_assert_uint_eq(done.exhausted, 1);
    ck_assert_uint_eq(done.fired[KRSI_RULE_slice_set_slice], 64);
    ck_assert_uint_eq(made->node[root]->op, KRSI_SLICE);
    krs_graph_free(made);
    krs_graph_free(g);
}
END_TEST

/* what becomes of the case in a file */
static int
show(const char *path)
{
    char *text = read_text(path), *end = text ? strstr(text, "---\n") : NULL;
    char *after = NULL;
    fuzz_case f = {.outputs = 0};
    krs_graph *made = NULL;
    krs_error err = {KRS_OK, "no such file"};
    uint32_t roots[FUZZ_OUTPUTS];
    if (end)
        *end = 0;
    bool good = text && krs_graph_parse(text, &f.graph, f.output, FUZZ_OUTPUTS,
                                        &f.outputs, &err) == KRS_OK;
    for (size_t i = 0; good && i < f.outputs; i++)
        roots[i] = f.output[i].id;
    good = good && krsi_optimise(f.graph, roots, f.outputs, &made, roots,
                                 &err) == KRS_OK;
    for (size_t i = 0; good && i < f.outputs; i++)
        f.output[i] = krsi_handle(made, roots[i]);
    good = good && krs_graph_print(made, f.output, f.outputs, NULL, &after,
                                   &err) == KRS_OK;
    if (good)
        fputs(after, stdout);
    else
        fprintf(stderr, "%s: %s\n", path, err.text);
    free(after);
    free(text);
    krs_graph_free(made);
    krs_graph_free(f.graph);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

RUN_SUITE(run_all, every_rule_has_a_case_that_it_changes_and_one_that_it_leaves,
          cases_become_what_their_file_says,
          cases_keep_every_bit_on_every_device,
          rules_lower_the_number_that_their_row_names,
          what_remains_keeps_its_place_scope_and_variables,
          a_copy_keeps_all_places_of_a_node,
          folding_makes_a_graph_larger_by_64_kib_at_most,
          a_chain_of_blocks_is_looked_through_so_far_and_no_further)

int
main(int argc, char **argv)
{
    return argc > 1 ? show(argv[1]) : run_all();
}
