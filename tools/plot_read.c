/* plot_read.c -- curves out of metrics.jsonl, and their ranges.
 *
 * A moving mean by weights w^0, w^1, ... of the values so far, divided by their
 * sum, so that the first values are not drawn towards zero (Kingma & Ba 2015,
 * section 3).
 */
#include "plot.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES = 4096 };

void
plot_curve_free(struct plot_curve *curve)
{
    free(curve->name);
    free(curve->points);
    *curve = (struct plot_curve){0};
}

static krs_status
add_point(struct plot_curve *curve, size_t *room, struct plot_point p,
          krs_error *err)
{
    /* a run that went back to a checkpoint makes steps again */
    while (curve->count && curve->points[curve->count - 1].step >= p.step)
        curve->count--;
    if (curve->count == *room) {
        size_t more = *room ? 2 * *room : 256;
        struct plot_point *grown = realloc(curve->points, more * sizeof *grown);
        if (!grown)
            return krs_fail(err, KRS_E_MEMORY, "no memory for %zu points",
                            more);
        curve->points = grown;
        *room = more;
    }
    curve->points[curve->count++] = p;
    return KRS_OK;
}

/* One line; true and a point if it has the metric. */
static krs_status
read_line(const char *path, size_t number, const char *text, size_t bytes,
          const char *metric, bool *out_has, struct plot_point *out,
          krs_error *err)
{
    json_error_t why;
    json_t *line = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    const json_t *step = json_object_get(line, "step");
    const json_t *value = json_object_get(line, metric);
    krs_status status = KRS_OK;
    *out_has = false;
    if (!line)
        status = krs_fail(err, KRS_E_FORMAT, "%s: line %zu: no JSON: %s", path,
                          number, why.text);
    else if (!json_is_integer(step))
        status =
            krs_fail(err, KRS_E_FORMAT,
                     "%s: line %zu: \"step\" is no whole number", path, number);
    else if (value && !json_is_number(value) && !json_is_null(value))
        status =
            krs_fail(err, KRS_E_FORMAT, "%s: line %zu: \"%s\" is no number",
                     path, number, metric);
    else if (json_is_number(value)) {
        *out = (struct plot_point){(double)json_integer_value(step),
                                   json_number_value(value)};
        *out_has = true;
    }
    json_decref(line);
    return status;
}

static krs_status
read_lines(FILE *in, const char *path, const char *metric,
           struct plot_curve *out, krs_error *err)
{
    char *text = NULL;
    size_t room = 0, points = 0, number = 0;
    ssize_t bytes;
    krs_status status = KRS_OK;
    while (status == KRS_OK && (bytes = getline(&text, &room, in)) > 0) {
        struct plot_point p;
        bool has = false;
        if (text[bytes - 1] != '\n')
            break;
        status = read_line(path, ++number, text, (size_t)bytes, metric, &has,
                           &p, err);
        if (status == KRS_OK && has)
            status = add_point(out, &points, p, err);
    }
    if (status == KRS_OK && ferror(in))
        status = krs_fail(err, KRS_E_IO, "%s: %s", path, strerror(errno));
    free(text);
    return status;
}

krs_status
plot_read(const char *run, const char *metric, struct plot_curve *out,
          krs_error *err)
{
    char path[PATH_BYTES];
    struct stat is;
    bool is_folder = stat(run, &is) == 0 && S_ISDIR(is.st_mode);
    *out = (struct plot_curve){0};
    snprintf(path, sizeof path, "%s%s", run, is_folder ? "/metrics.jsonl" : "");
    FILE *in = fopen(path, "r");
    if (!in)
        return krs_fail(err, KRS_E_IO, "%s: %s", path, strerror(errno));
    krs_status status = read_lines(in, path, metric, out, err);
    fclose(in);
    if (status != KRS_OK)
        plot_curve_free(out);
    return status;
}

krs_status
plot_smooth(const struct plot_curve *from, double weight,
            struct plot_curve *out, krs_error *err)
{
    double sum = 0, weights = 0;
    *out = (struct plot_curve){.color = from->color, .count = from->count};
    out->points = malloc((from->count + 1) * sizeof *out->points);
    if (!out->points)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu points",
                        from->count);
    for (size_t i = 0; i < from->count; i++) {
        sum = weight * sum + from->points[i].value;
        weights = weight * weights + 1;
        out->points[i] =
            (struct plot_point){from->points[i].step, sum / weights};
    }
    return KRS_OK;
}

static void
widen(double range[2], double value)
{
    range[0] = fmin(range[0], value);
    range[1] = fmax(range[1], value);
}

void
plot_range(struct plot *plot)
{
    double step[2] = {INFINITY, -INFINITY}, value[2] = {INFINITY, -INFINITY};
    for (size_t c = 0; c < plot->count; c++)
        for (size_t i = 0; i < plot->curves[c].count; i++) {
            widen(step, plot->curves[c].points[i].step);
            if (plot->curves[c].style != PLOT_FAINT)
                widen(value, plot->curves[c].points[i].value);
        }
    if (step[1] <= step[0])
        step[0] -= 1, step[1] += 1;
    /* a flat curve lies in the middle */
    double room = value[1] > value[0] ? (value[1] - value[0]) / 20
                                      : fmax(fabs(value[0]) / 10, 1e-9);
    memcpy(plot->step, step, sizeof step);
    plot->value[0] = value[0] - room;
    plot->value[1] = value[1] + room;
}

int
plot_ticks(double low, double high, int most, double *ticks)
{
    static const double steps[] = {1, 2, 5, 10};
    double unit = pow(10, floor(log10((high - low) / most)));
    double step = unit * 10;
    for (int i = 3; i >= 0; i--)
        if (steps[i] * unit * most >= high - low)
            step = steps[i] * unit;
    int count = 0;
    for (double k = ceil(low / step); k * step <= high && count < most; k++)
        ticks[count++] = k * step + 0.0; /* no -0 */
    return count;
}
