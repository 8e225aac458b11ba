/* debug.c -- KRS_DEBUG: what a command does inside, on stderr.
 *
 *   1  the device: target, threads, cache
 *   2  after its last run, the kernels of a program and their times
 *   3  what fusion decided, and why
 *   4  the kernels, in the kernel language
 *   5  the graph of primitives, the schedule and the launches
 *   6  LLVM IR
 *   7  machine code
 *
 * Every level includes those below it. What a device has no stage for is left
 * out. All programs of a device are observed (krs_device_options), so that the
 * commands need not know.
 *
 * A row of the table sums the launches of one kernel asked for by one line of
 * C, in all runs but the first, which touches memory for the first time.
 * Operations and bytes are those of krs_launch_info; `of most` is the share of
 * what the device could do at most with so many operations a byte.
 */
#include "debug.h"

#include "command.h"
#include "roofline.h"

#include <stdlib.h>
#include <string.h>

enum { LEVEL_DEVICE = 1, LEVEL_TIMES = 2, LEVEL_MOST = 7, ROWS_SHOWN = 40 };

/* A program between its first and its last event. */
struct watched {
    struct watched *next;
    krs_program *program;
    int number;
    size_t launches;
    uint64_t *time_ns; /* by launch, over the runs */
    long long runs;    /* summed */
    bool is_warm;      /* the first run is left out */
};

struct row {
    krs_launch_info first; /* of the launches summed */
    size_t launches;       /* in one run */
    double ns, bytes, operations;
};

static int level;
static struct watched *all_watched;
static struct roofline roofline;
static bool measures; /* programs of the roofline are not shown */

static const struct {
    int level;
    const char *stage;
} stages[] = {
    {3, "fusion"},
    {5, "expand"}, /* under KRS_OPT=off; else: */
    {5, "opt"   },
    {5, "sched" },
    {5, "launch"},
    {5, "memory"},
    {4, "kernel"},
    {6, "llvm"  },
    {7, "asm"   },
};

/* ---- the table of kernels ---- */

static bool
get_launch(const krs_program *program, size_t i, krs_launch_info *out)
{
    out->struct_size = sizeof *out;
    return krs_program_launch(program, i, out, NULL) == KRS_OK;
}

static int
compare_origin(const void *a, const void *b)
{
    const krs_launch_info *x = &((const struct row *)a)->first,
                          *y = &((const struct row *)b)->first;
    if (x->kernel != y->kernel)
        return x->kernel < y->kernel ? -1 : 1;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    int order = strcmp(x->file, y->file);
    return order ? order : strcmp(x->op, y->op);
}

static int
compare_time(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return (x->ns < y->ns) - (x->ns > y->ns);
}

/* A row a launch, then a row a kernel and line; the number of the latter. */
static size_t
fill_rows(const struct watched *w, struct row *rows)
{
    size_t count = 0;
    double runs = (double)w->runs;
    for (size_t i = 0; i < w->launches; i++) {
        krs_launch_info *info = &rows[i].first;
        get_launch(w->program, i, info);
        rows[i].launches = 1;
        rows[i].ns = (double)w->time_ns[i];
        rows[i].bytes = runs * info->bytes;
        rows[i].operations = runs * info->operations;
    }
    qsort(rows, w->launches, sizeof *rows, compare_origin);
    for (size_t i = 0; i < w->launches; i++) {
        if (count == 0 || compare_origin(&rows[count - 1], &rows[i]) != 0) {
            rows[count++] = rows[i];
            continue;
        }
        struct row *sum = &rows[count - 1];
        sum->launches++;
        sum->ns += rows[i].ns;
        sum->bytes += rows[i].bytes;
        sum->operations += rows[i].operations;
    }
    qsort(rows, count, sizeof *rows, compare_time);
    return count;
}

/* What the kernel reaches of what the device could do at most with so many
 * operations a byte, in percent; caches may lift it over 100. */
static double
share_of_roofline(const struct row *r)
{
    double by_bytes = roofline.bytes > 0 ? r->bytes / roofline.bytes : 0;
    double by_operations =
        roofline.operations > 0 ? r->operations / roofline.operations : 0;
    double least = by_bytes > by_operations ? by_bytes : by_operations;
    return r->ns > 0 ? 100 * least * 1e9 / r->ns : 0;
}

static void
print_row(const struct row *r, double all_ns)
{
    const char *slash = strrchr(r->first.file, '/');
    double ns = r->ns > 0 ? r->ns : 1;
    talk("%6zu %8zu %10.2f %5.1f%% %7.1f %8.1f %6.0f%%  %s:%d %s: %s",
         r->first.kernel, r->launches, r->ns * 1e-6,
         all_ns > 0 ? 100 * r->ns / all_ns : 0, r->bytes / ns,
         r->operations / ns, share_of_roofline(r),
         slash ? slash + 1 : r->first.file, r->first.line, r->first.scope,
         r->first.primitives);
}

static void
print_table(const struct watched *w)
{
    struct row *rows = calloc(w->launches + 1, sizeof *rows);
    double all_ns = 0;
    if (!rows)
        return;
    size_t count = fill_rows(w, rows);
    for (size_t i = 0; i < count; i++)
        all_ns += rows[i].ns;
    talk("program %d: %lld run%s%s of %zu launches, %.3f ms in kernels a run",
         w->number, w->runs, w->runs == 1 ? "" : "s",
         w->is_warm ? " after the first" : "", w->launches,
         all_ns * 1e-6 / (double)w->runs);
    talk("of what %.1f GFLOP/s and %.1f GB/s, as measured now, allow",
         roofline.operations * 1e-9, roofline.bytes * 1e-9);
    talk("%6s %8s %10s %6s %7s %8s %7s  %s", "kernel", "launches", "ms in all",
         "share", "GB/s", "GFLOP/s", "of most", "asked for at: primitives");
    for (size_t i = 0; i < count && i < ROWS_SHOWN; i++)
        print_row(&rows[i], all_ns);
    if (count > ROWS_SHOWN)
        talk("%6s  and %zu rows with less time", "", count - ROWS_SHOWN);
    free(rows);
}

/* ---- events ---- */

static void
print_stages(const struct watched *w)
{
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        char *text;
        if (level < stages[i].level ||
            krs_program_print(w->program, stages[i].stage, &text, NULL) !=
                KRS_OK)
            continue;
        talk("program %d, %s:\n%s", w->number, stages[i].stage, text);
        free(text);
    }
}

static void
watch(krs_program *program)
{
    static int number;
    krs_launch_info info;
    struct watched *w = calloc(1, sizeof *w);
    if (!w)
        return;
    w->program = program;
    w->number = ++number;
    while (get_launch(program, w->launches, &info))
        w->launches++;
    w->time_ns = calloc(w->launches + 1, sizeof *w->time_ns);
    if (!w->time_ns) {
        free(w);
        return;
    }
    w->next = all_watched;
    all_watched = w;
    krs_program_profile(program, true);
    print_stages(w);
}

static void
add_run(struct watched *w)
{
    krs_launch_info info;
    if (w->runs == 1 && !w->is_warm) { /* the first run warmed up */
        memset(w->time_ns, 0, w->launches * sizeof *w->time_ns);
        w->runs = 0;
        w->is_warm = true;
    }
    w->runs++;
    for (size_t i = 0; i < w->launches; i++)
        if (get_launch(w->program, i, &info))
            w->time_ns[i] += info.time_ns;
}

static void
observe(void *context, krs_program *program, krs_program_event event)
{
    (void)context;
    if (measures)
        return;
    if (event == KRS_PROGRAM_MADE) {
        watch(program);
        return;
    }
    struct watched **at = &all_watched;
    while (*at && (*at)->program != program)
        at = &(*at)->next;
    struct watched *w = *at;
    if (!w)
        return;
    if (event == KRS_PROGRAM_RAN) {
        add_run(w);
        return;
    }
    *at = w->next;
    if (w->runs > 0 && w->launches > 0)
        print_table(w);
    free(w->time_ns);
    free(w);
}

/* Interpreters have no rates to speak of, and would take minutes. */
static bool
is_compiled(const krs_device *device)
{
    const char *name = krs_device_name(device);
    return strncmp(name, "eval", 4) != 0 && strncmp(name, "interp", 6) != 0;
}

int
start_debug(krs_device_options *options)
{
    const char *text = getenv("KRS_DEBUG");
    if (!text || !text[0])
        return EXIT_OK;
    if (text[0] < '0' || text[0] > '0' + LEVEL_MOST || text[1])
        return complain_usage("KRS_DEBUG=%.20s: expected a level from 0 to %d",
                              text, LEVEL_MOST);
    level = text[0] - '0';
    if (level >= LEVEL_TIMES)
        options->observe = observe;
    return EXIT_OK;
}

void
debug_device(krs_device *device, const krs_device_options *options)
{
    krs_device_info info = {.struct_size = sizeof info};
    if (level < LEVEL_DEVICE ||
        krs_device_describe(device, &info, NULL) != KRS_OK)
        return;
    /* a target ends with a long list of features: "+avx,+avx2" */
    int length = (int)strcspn(info.target, "+");
    talk("device %s: %s%s%u thread%s, cache %s%s%.*s", krs_device_name(device),
         info.model, info.model[0] ? ", " : "", (unsigned)info.threads,
         info.threads == 1 ? "" : "s", options->cache ? options->cache : "off",
         length ? "; code for " : "", length, info.target);
    if (level < LEVEL_TIMES || !is_compiled(device))
        return;
    measures = true;
    roofline = measure_roofline(device);
    measures = false;
}
