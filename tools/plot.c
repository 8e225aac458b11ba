/* plot.c -- kersey plot: the curves of runs, side by side.
 *
 * In: folders of runs, or files like their metrics.jsonl. Out: with -o an SVG
 * file; with --json the points; else a plot in characters on stdout, as wide as
 * the terminal, coloured on one. Of "loss" the validation is drawn too.
 */
#include "plot.h"
#include "command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_RUNS = PLOT_COLORS, MOST_CURVES = 3 * MOST_RUNS, ROWS = 18 };

/* A curve of the run, taken over; dropped if it is empty. */
static krs_status
add(struct plot *plot, struct plot_curve curve, int color,
    enum plot_style style, const char *run, const char *suffix, krs_error *err)
{
    char name[256];
    if (curve.count == 0) {
        plot_curve_free(&curve);
        return KRS_OK;
    }
    snprintf(name, sizeof name, "%s%s", run, suffix);
    curve.color = color;
    curve.style = style;
    curve.name = style == PLOT_FAINT ? NULL : strdup(name);
    plot->curves[plot->count++] = curve;
    return curve.name || style == PLOT_FAINT
               ? KRS_OK
               : krs_fail(err, KRS_E_MEMORY, "no memory for a name");
}

static krs_status
add_run(struct plot *plot, const char *run, int color, double smooth,
        krs_error *err)
{
    struct plot_curve curve, mean;
    KRS_TRY(plot_read(run, plot->metric, &curve, err));
    if (curve.count == 0) {
        plot_curve_free(&curve);
        return krs_fail(err, KRS_E_NAME,
                        "%s: no step has a \"%s\"; a run has loss, grad_norm, "
                        "lr, tok_s, seconds, tokens, and val_loss, "
                        "val_bits_per_byte where it was evaluated",
                        run, plot->metric);
    }
    if (smooth > 0) {
        krs_status status = plot_smooth(&curve, smooth, &mean, err);
        if (status != KRS_OK) {
            plot_curve_free(&curve);
            return status;
        }
        KRS_TRY(add(plot, curve, color, PLOT_FAINT, run, "", err));
        curve = mean;
    }
    KRS_TRY(add(plot, curve, color, PLOT_LINE, run, "", err));
    if (strcmp(plot->metric, "loss") != 0)
        return KRS_OK;
    KRS_TRY(plot_read(run, "val_loss", &curve, err));
    return add(plot, curve, color, PLOT_DASHED, run, " (validation)", err);
}

/* ---- where it goes ---- */

static void
print_json(const struct plot *plot)
{
    static const char *const styles[] = {"line", "smoothed from", "validation"};
    printf("[");
    for (size_t i = 0; i < plot->count; i++) {
        const struct plot_curve *c = &plot->curves[i];
        printf("%s{\"run\":%d,\"metric\":\"%s\",\"kind\":\"%s\",\"points\":[",
               i ? ",\n" : "", c->color,
               c->style == PLOT_DASHED ? "val_loss" : plot->metric,
               styles[c->style]);
        for (size_t k = 0; k < c->count; k++)
            printf("%s[%.0f,%.9g]", k ? "," : "", c->points[k].step,
                   c->points[k].value);
        printf("]}");
    }
    printf("]\n");
}

static int
width_of_terminal(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    int wanted = columns ? atoi(columns) : 0;
    return wanted > 0 ? wanted : 80;
}

static bool
has_utf8(void)
{
    const char *all = getenv("LC_ALL"), *type = getenv("LC_CTYPE");
    const char *name = all && all[0]     ? all
                       : type && type[0] ? type
                                         : getenv("LANG");
    return name && (strstr(name, "UTF-8") || strstr(name, "utf8"));
}

static void
print_characters(const struct plot *plot, int runs)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
    bool has_color = isatty(STDOUT_FILENO) && !(no && no[0]) &&
                     !(terminal && !strcmp(terminal, "dumb"));
    /* braille patterns without colours do not tell runs apart */
    bool has_braille = has_utf8() && (has_color || runs == 1);
    plot_text(plot, stdout, width_of_terminal(), ROWS, has_braille, has_color);
}

/* A file that was not finished is removed, unless it is a device. */
static krs_status
write_svg(const struct plot *plot, const char *path, krs_error *err)
{
    struct stat is;
    FILE *out = fopen(path, "w");
    if (!out)
        return krs_fail(err, KRS_E_IO, "%s: %s", path, strerror(errno));
    bool is_file = fstat(fileno(out), &is) == 0 && S_ISREG(is.st_mode);
    plot_svg(plot, out);
    bool lost = ferror(out);
    if (fclose(out) == 0 && !lost)
        return KRS_OK;
    krs_fail(err, KRS_E_IO, "%s: %s", path, strerror(errno));
    if (is_file)
        unlink(path);
    return KRS_E_IO;
}

static krs_status
show(struct plot *plot, const struct command_line *line, krs_error *err)
{
    plot_range(plot);
    if (line->flags.given[FLAG_ID_out])
        return write_svg(plot, line->flags.out, err);
    if (line->flags.json)
        print_json(plot);
    else
        print_characters(plot, line->operand_count);
    return KRS_OK;
}

int
command_plot(const struct command_line *line)
{
    struct plot_curve curves[MOST_CURVES] = {{0}};
    struct plot plot = {.metric = line->flags.metric, .curves = curves};
    double smooth = line->flags.smooth;
    krs_error err;
    if (!(smooth >= 0 && smooth < 1))
        return complain_usage("--smooth must lie in [0, 1)");
    if (strspn(plot.metric, "abcdefghijklmnopqrstuvwxyz_") !=
        strlen(plot.metric))
        return complain_usage("--metric %s: names are of a-z and _",
                              plot.metric);
    krs_status status = KRS_OK;
    for (int i = 0; i < line->operand_count && status == KRS_OK; i++)
        status = add_run(&plot, line->operands[i], i, smooth, &err);
    if (status == KRS_OK)
        status = show(&plot, line, &err);
    for (size_t i = 0; i < plot.count; i++)
        plot_curve_free(&curves[i]);
    return status == KRS_OK ? EXIT_OK : complain(&err);
}
