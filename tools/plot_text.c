/* plot_text.c -- a plot in characters: braille patterns, 2 x 4 dots each, where
 * the terminal has them, else a letter for each run.
 *
 * Lines are drawn by steps of a dot along the longer side. Where curves meet in
 * one character, its colour or letter is that of the last one.
 */
#include "plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL = 10, MOST_COLUMNS = 400, MOST_ROWS = 100, MOST_TICKS = 6 };

/* ANSI colours in the order of the runs */
static const int colors[PLOT_COLORS] = {34, 31, 32, 35, 33, 36, 39, 37};

struct canvas {
    const struct plot *plot;
    int columns, rows;    /* characters */
    int across, down;     /* dots */
    int dots_x, dots_y;   /* of a character */
    unsigned char *dots;  /* [rows][columns], bits of a braille pattern */
    unsigned char *color; /* the same: 1 + color; 0: empty */
};

static void
set_dot(struct canvas *c, int x, int y, int color)
{
    /* bits of dot (x, y) of U+2800 */
    static const unsigned char bit[4][2] = {
        {0x01, 0x08},
        {0x02, 0x10},
        {0x04, 0x20},
        {0x40, 0x80}
    };
    if (x < 0 || y < 0 || x >= c->across || y >= c->down)
        return;
    int at = y / c->dots_y * c->columns + x / c->dots_x;
    c->dots[at] |= bit[y % c->dots_y][x % c->dots_x];
    c->color[at] = (unsigned char)(1 + color);
}

static double
across(const struct canvas *c, double step)
{
    const double *range = c->plot->step;
    return (step - range[0]) / (range[1] - range[0]) * (c->across - 1);
}

static double
down(const struct canvas *c, double value)
{
    const double *range = c->plot->value;
    return (range[1] - value) / (range[1] - range[0]) * (c->down - 1);
}

static void
draw_curve(struct canvas *c, const struct plot_curve *curve)
{
    for (size_t i = 0; i < curve->count; i++) {
        const struct plot_point *to = &curve->points[i];
        const struct plot_point *from = i ? to - 1 : to;
        double x = across(c, from->step), y = down(c, from->value);
        double dx = across(c, to->step) - x, dy = down(c, to->value) - y;
        int steps = (int)ceil(fmax(fabs(dx), fabs(dy)));
        for (int k = 0; k <= steps; k++) {
            double part = steps ? (double)k / steps : 0;
            set_dot(c, (int)lround(x + part * dx), (int)lround(y + part * dy),
                    curve->color);
        }
    }
}

static void
print_cell(const struct canvas *c, int at, bool has_braille, bool has_color,
           FILE *out)
{
    if (!c->color[at]) {
        fputc(' ', out);
        return;
    }
    if (has_color)
        fprintf(out, "\033[%dm", colors[c->color[at] - 1]);
    if (has_braille) /* U+2800 + dots in UTF-8 */
        fprintf(out, "\xe2%c%c", 0xa0 | c->dots[at] >> 6,
                0x80 | (c->dots[at] & 0x3f));
    else
        fputc('a' + c->color[at] - 1, out);
    if (has_color)
        fprintf(out, "\033[0m");
}

static void
print_rows(const struct canvas *c, bool has_braille, bool has_color, FILE *out)
{
    double ticks[MOST_TICKS];
    int count =
        plot_ticks(c->plot->value[0], c->plot->value[1], MOST_TICKS, ticks);
    for (int r = 0; r < c->rows; r++) {
        const double *label = NULL;
        for (int i = 0; i < count; i++)
            if ((int)lround(down(c, ticks[i])) / c->dots_y == r)
                label = &ticks[i];
        if (label)
            fprintf(out, "%*.6g +", LABEL - 2, *label);
        else
            fprintf(out, "%*s |", LABEL - 2, "");
        int end = c->columns;
        while (end > 0 && !c->color[r * c->columns + end - 1])
            end--;
        for (int k = 0; k < end; k++)
            print_cell(c, r * c->columns + k, has_braille, has_color, out);
        fputc('\n', out);
    }
}

/* The line of steps: each number begins below its place, if there is room. */
static void
print_steps(const struct canvas *c, FILE *out)
{
    double ticks[MOST_TICKS];
    int count =
        plot_ticks(c->plot->step[0], c->plot->step[1], MOST_TICKS, ticks);
    int at = 0;
    fprintf(out, "%*s", LABEL, "");
    for (int i = 0; i < count; i++) {
        int x = (int)lround(across(c, ticks[i])) / c->dots_x;
        char text[32];
        int length = snprintf(text, sizeof text, "%.9g", ticks[i]);
        if (x + length > c->columns) /* at the edge */
            x = c->columns - length;
        if (x < at)
            continue;
        fprintf(out, "%*s%s ", x - at, "", text);
        at = x + length + 1;
    }
    fputc('\n', out);
}

static void
print_legend(const struct plot *p, bool has_color, bool has_braille, FILE *out)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct plot_curve *c = &p->curves[i];
        if (!c->name)
            continue;
        if (has_color)
            fprintf(out, "%*s\033[%dm--\033[0m %s\n", LABEL, "",
                    colors[c->color], c->name);
        else if (has_braille)
            fprintf(out, "%*s%s\n", LABEL, "", c->name);
        else
            fprintf(out, "%*s%c %s\n", LABEL, "", 'a' + c->color, c->name);
    }
}

void
plot_text(const struct plot *p, FILE *out, int columns, int rows,
          bool has_braille, bool has_color)
{
    struct canvas c = {.plot = p,
                       .dots_x = has_braille ? 2 : 1,
                       .dots_y = has_braille ? 4 : 1};
    c.columns = columns - LABEL < 10 ? 10 : columns - LABEL;
    c.columns = c.columns > MOST_COLUMNS ? MOST_COLUMNS : c.columns;
    c.rows = rows < 4 ? 4 : rows > MOST_ROWS ? MOST_ROWS : rows;
    c.across = c.columns * c.dots_x;
    c.down = c.rows * c.dots_y;
    unsigned char dots[MOST_COLUMNS * MOST_ROWS] = {0};
    unsigned char color[MOST_COLUMNS * MOST_ROWS] = {0};
    c.dots = dots;
    c.color = color;
    for (size_t i = 0; i < p->count; i++)
        if (p->curves[i].style != PLOT_FAINT)
            draw_curve(&c, &p->curves[i]);
    fprintf(out, "%s\n", p->metric);
    print_rows(&c, has_braille, has_color, out);
    print_steps(&c, out);
    print_legend(p, has_color, has_braille, out);
}
