/* test_fuzz_graph.c -- random graphs on all devices; see fuzz_graph.h.
 *
 *     test_fuzz_graph                          1,000 graphs, as in CI
 *     test_fuzz_graph --seed 7 --count 20000   others, by hand
 *     test_fuzz_graph --count 5000 --cpu-every 5   the long run (ctest -L long)
 *     test_fuzz_graph --count 60 --backend vulkan  on another backend
 *
 * A failure prints the seed, what is wrong, and the text of the smallest graph
 * in which it still is; with the data of its leaves it is written as a file.
 */
#include "fuzz_graph.h"
#include "suite.h"
#include "temp_folder.h"

#include <stdio.h>
#include <string.h>

enum { CI_GRAPHS = 1000, CPU_EVERY = 10 };

/* The data of a leaf, as krs_check_read takes it. */
static void
write_leaf(FILE *to, const fuzz_case *c, uint32_t id)
{
    const krsi_node *n = c->graph->node[id];
    const char *name = krs_node_name(krsi_handle(c->graph, id));
    int64_t count = krsi_elements(n);
    char *data = calloc((size_t)count + 1, 8);
    krsi_string s = {0};
    if (!data)
        return;
    fuzz_data(c, name, (krs_dtype)n->dtype, count, data);
    krsi_string_format(&s, "#: \"%s\" %s[", name,
                       krs_dtype_name((krs_dtype)n->dtype));
    for (int a = 0; a < n->rank; a++)
        krsi_string_format(&s, a ? ",%lld" : "%lld", (long long)n->dim[a]);
    krsi_string_add(&s, "]");
    for (int64_t i = 0; i < count; i++) {
        krsi_string_add(&s, " ");
        krsi_print_element(&s, (krs_dtype)n->dtype, data, (size_t)i);
    }
    fprintf(to, "%s\n", s.text ? s.text : "");
    krsi_string_free(&s);
    free(data);
}

/* The smallest graph as a file that `kersey check FILE --backends ...` takes;
 * runtime integers as in the last run. */
static void
write_case(const fuzz_case *c, const char *why)
{
    krs_error err;
    char *text = NULL, path[64];
    snprintf(path, sizeof path, "fuzz-%llu.krs", (unsigned long long)c->seed);
    if (krs_graph_print(c->graph, c->output, c->outputs, NULL, &text, &err))
        return;
    FILE *to = fopen(path, "w");
    printf("%s, also in %s:\n%s", why, to ? path : "no file", text);
    if (to) {
        fprintf(to, "# %s\n", why);
        for (size_t i = 0; i < c->graph->vars; i++) {
            const krsi_var *v = &c->graph->var[i];
            const char *name = c->graph->string[v->name];
            fprintf(to, "#: \"%s\" = %lld\n", name,
                    (long long)fuzz_var(c, FUZZ_SETTINGS - 1, name, v->low,
                                        v->high));
        }
        for (uint32_t id = 1; id <= c->graph->nodes; id++)
            if (*krs_node_name(krsi_handle(c->graph, id)))
                write_leaf(to, c, id);
        fputs(text, to);
        fclose(to);
    }
    free(text);
}

/* number of wrong graphs */
static size_t
fuzz(const fuzz_devices *d, uint64_t first, uint64_t count, uint64_t cpu_every,
     fuzz_counts *counts)
{
    size_t bad = 0;
    for (uint64_t seed = first; seed < first + count && bad < 5; seed++) {
        fuzz_case c;
        fuzz_devices some = *d;
        some.on_cpu = seed % cpu_every == 0;
        some.way = (int)(seed / cpu_every % FUZZ_WAYS);
        if (!some.on_cpu)
            some.way = (int)(seed % FUZZ_WAYS);
        fuzz_build(seed, &c, counts);
        char *why = fuzz_judge(&c, &some, counts);
        if (why) {
            printf("seed %llu: %s\n", (unsigned long long)seed, why);
            why = fuzz_shrink(&c, &some, why);
            write_case(&c, why);
            fflush(stdout);
            free(why);
            bad++;
        }
        fuzz_free(&c);
    }
    return bad;
}

static void
print_counts(const fuzz_counts *n)
{
    printf("%zu graphs: %zu with gradients, %zu with updates, %zu refused at "
           "the run, %zu not supported, %zu on cpu; %zu of %zu uses refused; "
           "%zu values judged, "
           "%zu exactly\n",
           n->cases, n->with_gradient, n->with_updates, n->refused_runs,
           n->unsupported, n->on_cpu, n->refused, n->asked, n->values,
           n->exact);
}

START_TEST(random_graphs_give_what_each_primitive_gives_alone)
{
    fuzz_counts counts = {0};
    fuzz_devices d;
    ck_assert(fuzz_open(temp_folder(), KERSEY_MODULE_DIR, NULL, &d));
    size_t bad = fuzz(&d, 1, CI_GRAPHS, CPU_EVERY, &counts);
    print_counts(&counts);
    ck_assert_uint_eq(bad, 0);
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++)
        ck_assert_msg(counts.op[op] > 0 || op == KRSI_PARAM, /* in bodies */
                      "%s never came up", krsi_ops[op].name);
    ck_assert_uint_gt(counts.with_gradient, CI_GRAPHS / 4);
    ck_assert_uint_gt(counts.with_updates, CI_GRAPHS / 20);
    ck_assert_uint_lt(counts.refused * 5, counts.asked);
    ck_assert_uint_lt(counts.refused_runs * 20, CI_GRAPHS);
    ck_assert_uint_lt(counts.unsupported * 50, CI_GRAPHS);
    fuzz_close(&d);
}
END_TEST

START_TEST(a_seed_gives_one_graph)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        fuzz_counts counts = {0};
        char *text[2];
        for (int i = 0; i < 2; i++) {
            fuzz_case c;
            krs_error err;
            fuzz_build(seed, &c, &counts);
            ck_assert_int_eq(krs_graph_print(c.graph, c.output, c.outputs, NULL,
                                             &text[i], &err),
                             KRS_OK);
            fuzz_free(&c);
        }
        ck_assert_str_eq(text[0], text[1]);
        free(text[0]);
        free(text[1]);
    }
}
END_TEST

static int
by_hand(int argc, char **argv)
{
    unsigned long long seed = 1, count = 1000, every = CPU_EVERY;
    const char *only = NULL;
    fuzz_counts counts = {0};
    for (int i = 1; i + 1 < argc; i += 2) {
        unsigned long long value = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--seed") == 0)
            seed = value;
        else if (strcmp(argv[i], "--count") == 0)
            count = value;
        else if (strcmp(argv[i], "--cpu-every") == 0 && value > 0)
            every = value;
        else if (strcmp(argv[i], "--backend") == 0)
            only = argv[i + 1];
        else
            return 2;
    }
    fuzz_devices d;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!fuzz_open(only ? temp_folder() : NULL, KERSEY_MODULE_DIR, only, &d))
        return only ? 77 : 1;
    size_t bad = fuzz(&d, seed, count, every, &counts);
    print_counts(&counts);
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++)
        if (!counts.op[op])
            printf("%s never came up\n", krsi_ops[op].name);
    for (int r = 0; !only && r < KRSI_RULES; r++)
        printf("%6zu %s\n", counts.rewrites.fired[r], krsi_rules[r].name);
    fuzz_close(&d);
    return bad ? 1 : 0;
}

RUN_SUITE(run_all, a_seed_gives_one_graph,
          random_graphs_give_what_each_primitive_gives_alone)

int
main(int argc, char **argv)
{
    return argc > 1 ? by_hand(argc, argv) : run_all();
}
