/* plot.h -- curves of training runs: read, smoothed, and drawn as SVG or in a
 * terminal.
 */
#ifndef KERSEY_PLOT_H
#define KERSEY_PLOT_H

#include <krs/status.h>

#include <stdio.h>

enum { PLOT_COLORS = 8 };

struct plot_point {
    double step, value; /* finite, steps ascending */
};

/* How a curve is drawn. */
enum plot_style {
    PLOT_LINE,
    PLOT_FAINT, /* what another one smooths */
    PLOT_DASHED /* of the validation */
};

struct plot_curve {
    char *name; /* for the legend; NULL: not in it */
    struct plot_point *points;
    size_t count;
    enum plot_style style;
    int color; /* 0 .. PLOT_COLORS-1: that of its run */
};

struct plot {
    const char *metric; /* name of the vertical axis */
    struct plot_curve *curves;
    size_t count;
    double step[2], value[2]; /* what is shown, first < second */
};

/* plot_read.c */

/* plot_read(run, metric, &curve, err) -- a curve from run/metrics.jsonl, or
 * from run itself if that is a file. Steps without the metric, or where it is
 * not finite, are left out; a last line that is not whole is of a run that goes
 * on. Steps that were made again count as made last. The curve is empty if the
 * metric never occurs. Errors: IO; FORMAT with the line; MEMORY. */
krs_status plot_read(const char *run, const char *metric,
                     struct plot_curve *out, krs_error *err);
/* plot_smooth(from, weight, &curve, err) -- means in which a value counts weight
 * times less with each point that follows, 0 <= weight < 1. */
krs_status plot_smooth(const struct plot_curve *from, double weight,
                       struct plot_curve *out, krs_error *err);
void plot_curve_free(struct plot_curve *curve);

/* plot_range(plot) -- step and value from the curves that are not faint. */
void plot_range(struct plot *plot);
/* plot_ticks(low, high, most, ticks) -- at most `most` round numbers in
 * [low, high]; how many. */
int plot_ticks(double low, double high, int most, double *ticks);

/* plot_svg.c, plot_text.c */

void plot_svg(const struct plot *plot, FILE *out);
/* columns x rows characters; braille patterns, else a letter for each run */
void plot_text(const struct plot *plot, FILE *out, int columns, int rows,
               bool has_braille, bool has_color);

#endif
