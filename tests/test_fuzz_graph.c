/* test_fuzz_graph.c -- random graphs on all devices; see fuzz_graph.h.
 *
 *     test_fuzz_graph                          2,500 graphs, as in CI
 *     test_fuzz_graph --seed 7 --count 20000 --cpu-every 10   others, by hand
 *     test_fuzz_graph --count 60 --most 3 --backend vulkan  on another backend,
 *                                              of three uses of builders each
 *     test_fuzz_graph --backend interp --cpu groups --fuse off
 *
 * A failure prints the seed, what is wrong, and the text of the smallest graph
 * in which it still is; with the data of its leaves it is written as a file.
 */
#include "fuzz_graph.h"
#include "suite.h"
#include "temp_folder.h"

#include <krs/check.h>

#include <stdio.h>
#include <string.h>

/* the second half of CI's graphs begins behind them (CMakeLists.txt); under
 * sanitizers fewer, which need not show every operation */
enum { CI_GRAPHS = 2500, SLOW_GRAPHS = 250, CPU_EVERY = 5, SLOW_EVERY = 20 };

/* The data of a leaf, as krs_check_read takes it. */
static void
add_leaf(krsi_string *s, const fuzz_case *c, uint32_t id)
{
    const krsi_node *n = c->graph->node[id];
    const char *name = krs_node_name(krsi_handle(c->graph, id));
    int64_t count = krsi_elements(n);
    char *data = calloc((size_t)count + 1, 8);
    if (!data)
        abort();
    fuzz_data(c, name, (krs_dtype)n->dtype, count, data);
    krsi_string_format(s, "#: \"%s\" %s[", name,
                       krs_dtype_name((krs_dtype)n->dtype));
    for (int a = 0; a < n->rank; a++)
        krsi_string_format(s, a ? ",%lld" : "%lld", (long long)n->dim[a]);
    krsi_string_add(s, "]");
    for (int64_t i = 0; i < count; i++) {
        krsi_string_add(s, " ");
        krsi_print_element(s, (krs_dtype)n->dtype, data, (size_t)i);
    }
    krsi_string_add(s, "\n");
    free(data);
}

/* A case as `kersey check FILE --backends ...` takes it, with the data of its
 * leaves and the runtime integers of the last run; to be freed. NULL if it has
 * no text. */
static char *
case_text(const fuzz_case *c, const char *why)
{
    krs_error err;
    krsi_string s = {0};
    char *text = NULL;
    if (krs_graph_print(c->graph, c->output, c->outputs, NULL, &text, &err))
        return NULL;
    krsi_string_format(&s, "# %s\n", why);
    for (size_t i = 0; i < c->graph->vars; i++) {
        const krsi_var *v = &c->graph->var[i];
        const char *name = c->graph->string[v->name];
        krsi_string_format(
            &s, "#: \"%s\" = %lld\n", name,
            (long long)fuzz_var(c, FUZZ_SETTINGS - 1, name, v->low, v->high));
    }
    for (uint32_t id = 1; id <= c->graph->nodes; id++)
        if (*krs_node_name(krsi_handle(c->graph, id)))
            add_leaf(&s, c, id);
    krsi_string_add(&s, text);
    free(text);
    return s.text;
}

static void
write_case(const fuzz_case *c, const char *why)
{
    char path[64], *text = case_text(c, why);
    snprintf(path, sizeof path, "fuzz-%llu.krs", (unsigned long long)c->seed);
    FILE *to = text ? fopen(path, "w") : NULL;
    if (to) {
        fputs(text, to);
        fclose(to);
    }
    printf("%s, also in %s:\n", why, to ? path : "no file");
    for (char *line = text ? strtok(text, "\n") : NULL; line;
         line = strtok(NULL, "\n"))
        if (*line != '#')
            puts(line);
    free(text);
}

/* number of wrong graphs; most: uses of builders in one, 0: any number */
static size_t
fuzz(const fuzz_devices *d, uint64_t first, uint64_t count, uint64_t cpu_every,
     int most, fuzz_counts *counts)
{
    size_t bad = 0;
    for (uint64_t seed = first; seed < first + count && bad < 5; seed++) {
        fuzz_case c;
        fuzz_devices some = *d;
        some.on_cpu = seed % cpu_every == 0;
        some.way =
            fuzz_way_of(some.on_cpu, some.on_cpu ? seed / cpu_every : seed);
        fuzz_build(seed, most, &c, counts);
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
    bool is_slow = getenv("KERSEY_SLOW") != NULL;
    size_t graphs = is_slow ? SLOW_GRAPHS : CI_GRAPHS;
    fuzz_counts counts = {0};
    fuzz_devices d;
    ck_assert(fuzz_open(temp_folder(), KERSEY_MODULE_DIR, NULL, &d));
    size_t bad =
        fuzz(&d, 1, graphs, is_slow ? SLOW_EVERY : CPU_EVERY, 0, &counts);
    print_counts(&counts);
    ck_assert_uint_eq(bad, 0);
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT && !is_slow; op++)
        ck_assert_msg(counts.op[op] > 0 || op == KRSI_PARAM, /* in bodies */
                      "%s never came up", krsi_ops[op].name);
    ck_assert_uint_gt(counts.with_gradient, graphs / 4);
    ck_assert_uint_gt(counts.with_updates, graphs / 20);
    ck_assert_uint_lt(counts.refused * 5, counts.asked);
    ck_assert_uint_lt(counts.refused_runs * 20, graphs);
    ck_assert_uint_lt(counts.unsupported * 50, graphs);
    fuzz_close(&d);
}
END_TEST

/* settings of a factor as numbers */
static int
setting(const fuzz_way *w, int factor)
{
    switch (factor) {
    case 0: return strcmp(w->stage, "opt") == 0;
    case 1: return w->unfused;
    case 2: return w->threads > 1;
    case 3: return (int)w->memory;
    default: return w->effort[0] == 'n' ? w->effort[2] == 'n' : 2;
    }
}

START_TEST(any_two_settings_come_together_in_a_way)
{
    static const int settings[] = {2, 2, 2, 3, 3};
    for (int a = 0; a < 5; a++)
        for (int b = a + 1; b < 5; b++)
            for (int s = 0; s < settings[a] * settings[b]; s++) {
                bool found = false;
                for (int w = 0; w < FUZZ_WAYS; w++)
                    found |= setting(&fuzz_ways[w], a) == s / settings[b] &&
                             setting(&fuzz_ways[w], b) == s % settings[b];
                ck_assert_msg(found, "factors %d and %d, pair %d", a, b, s);
            }
    for (int w = 0; w < FUZZ_WAYS; w++) {
        size_t turns = 0;
        for (uint64_t n = 0; n < 33; n++)
            turns += fuzz_way_of(true, n) == w;
        ck_assert_uint_eq(turns, (size_t)fuzz_ways[w].share);
    }
}
END_TEST

/* The fuzzer finds a faulty device, and what it leaves of the graph still shows
 * the fault to who reads the file. */
static void
find_fault(const char *fault)
{
    krs_error err;
    fuzz_counts counts = {0};
    fuzz_devices d = {.on_cpu = true};
    krs_device_options o = {
        .struct_size = sizeof o, .cpu = fault, .modules = OTHER_MODULES_DIR};
    krs_device_open("eval", &d.eval, &err);
    krs_device_open("interp", &d.interp, &err);
    krs_device_open("interp", &d.interp_way[0], &err);
    ck_assert_msg(krs_device_open_with("mutant", &o, &d.cpu_way[0], &err) ==
                      KRS_OK,
                  "%s", err.text);
    fuzz_case c;
    char *why = NULL;
    for (uint64_t seed = 1; !why; seed++) {
        ck_assert_uint_le(seed, 200);
        fuzz_build(seed, 0, &c, &counts);
        why = fuzz_judge(&c, &d, &counts);
        if (!why)
            fuzz_free(&c);
    }
    why = fuzz_shrink(&c, &d, why);
    ck_assert_ptr_nonnull(strstr(why, "cpu, opt, fused"));
    ck_assert_uint_eq(c.outputs, 1);
    ck_assert_uint_le(c.graph->nodes, 8);
    char *text = case_text(&c, why);
    krs_check_data *data;
    krs_graph *g;
    krs_node output[FUZZ_OUTPUTS];
    size_t count;
    ck_assert_msg(krs_check_read(text, &data, &err) == KRS_OK, "%s", err.text);
    ck_assert_int_eq(
        krs_graph_parse(text, &g, output, FUZZ_OUTPUTS, &count, &err), KRS_OK);
    krs_check_options check = {.struct_size = sizeof check, .data = data};
    ck_assert_int_eq(
        krs_check(d.cpu_way[0], d.eval, output, count, &check, NULL, &err),
        KRS_E_CHECK);
    krs_check_data_free(data);
    krs_graph_free(g);
    free(text);
    free(why);
    fuzz_free(&c);
    fuzz_close(&d);
}

START_TEST(a_planted_fault_is_found_and_shrunk_to_a_few_lines)
{
    find_fault("sub_swapped");
    find_fault("tail_dropped");
    find_fault("carry_stays");
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
            fuzz_build(seed, 0, &c, &counts);
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
    int most = 0;
    fuzz_only only = {NULL, NULL, false};
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
            only.backend = argv[i + 1];
        else if (strcmp(argv[i], "--cpu") == 0)
            only.cpu = argv[i + 1];
        else if (strcmp(argv[i], "--fuse") == 0)
            only.unfused = strcmp(argv[i + 1], "off") == 0;
        else if (strcmp(argv[i], "--most") == 0 && value <= 40)
            most = (int)value;
        else
            return 2;
    }
    fuzz_devices d;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!fuzz_open(temp_folder(), KERSEY_MODULE_DIR,
                   only.backend ? &only : NULL, &d))
        return only.backend ? 77 : 1;
    size_t bad = fuzz(&d, seed, count, every, most, &counts);
    print_counts(&counts);
    for (int op = KRSI_POISON + 1; op < KRSI_OP_COUNT; op++)
        if (!counts.op[op])
            printf("%s never came up\n", krsi_ops[op].name);
    for (int r = 0; !only.backend && r < KRSI_RULES; r++)
        printf("%6zu %s\n", counts.rewrites.fired[r], krsi_rules[r].name);
    fuzz_close(&d);
    return bad ? 1 : 0;
}

RUN_SUITE(run_all, any_two_settings_come_together_in_a_way,
          a_seed_gives_one_graph,
          a_planted_fault_is_found_and_shrunk_to_a_few_lines,
          random_graphs_give_what_each_primitive_gives_alone)

int
main(int argc, char **argv)
{
    return argc > 1 ? by_hand(argc, argv) : run_all();
}
