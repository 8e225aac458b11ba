/* plot_svg.c -- a plot as one SVG file that needs no other: axes with round
 * numbers, a line for each curve, a legend.
 *
 * A curve with many points is drawn by the smallest and the largest value of
 * each pixel column, which looks the same and stays small.
 */
#include "plot.h"

#include <math.h>

enum {
    WIDTH = 860,
    HEIGHT = 480,
    LEFT = 70,
    RIGHT = 20,
    TOP = 20,
    BOTTOM = 50,
    MOST_TICKS = 8,
    LEGEND_LINE = 18
};

/* Okabe & Ito 2008: to be told apart by all eyes */
static const char *const colors[PLOT_COLORS] = {"#0072b2", "#d55e00", "#009e73",
                                                "#cc79a7", "#e69f00", "#56b4e9",
                                                "#000000", "#7f7f7f"};

static void
put_text(FILE *out, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '<' || *c == '>' || *c == '&' || *c == '"' || *c < 0x20)
            fprintf(out, "&#%d;", *c < 0x20 ? ' ' : *c);
        else
            fputc(*c, out);
    }
}

static double
x_of(const struct plot *p, double step)
{
    return LEFT + (step - p->step[0]) / (p->step[1] - p->step[0]) *
                      (WIDTH - LEFT - RIGHT);
}

static double
y_of(const struct plot *p, double value)
{
    return TOP + (p->value[1] - value) / (p->value[1] - p->value[0]) *
                     (HEIGHT - TOP - BOTTOM);
}

static void
draw_axes(const struct plot *p, FILE *out)
{
    double ticks[MOST_TICKS];
    int count = plot_ticks(p->value[0], p->value[1], MOST_TICKS, ticks);
    fprintf(out, "<g class=\"axes\">\n");
    for (int i = 0; i < count; i++) {
        double y = y_of(p, ticks[i]);
        fprintf(out,
                "<path d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
                "text-anchor=\"end\">%.6g</text>\n",
                LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4, ticks[i]);
    }
    count = plot_ticks(p->step[0], p->step[1], MOST_TICKS, ticks);
    for (int i = 0; i < count; i++) {
        double x = x_of(p, ticks[i]);
        fprintf(out,
                "<path d=\"M%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\" "
                "text-anchor=\"middle\">%.9g</text>\n",
                x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 18, ticks[i]);
    }
    fprintf(out,
            "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">step</text>\n"
            "<text transform=\"translate(16 %d) rotate(-90)\" "
            "text-anchor=\"middle\">",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12,
            (TOP + HEIGHT - BOTTOM) / 2);
    put_text(out, p->metric);
    fprintf(out, "</text>\n</g>\n");
}

/* The points of one pixel column, as its first, lowest, highest and last. */
static size_t
draw_column(const struct plot *p, const struct plot_curve *c, size_t i,
            FILE *out)
{
    double column = floor(x_of(p, c->points[i].step));
    size_t low = i, high = i, end = i;
    for (; end < c->count && floor(x_of(p, c->points[end].step)) == column;
         end++) {
        if (c->points[end].value < c->points[low].value)
            low = end;
        if (c->points[end].value > c->points[high].value)
            high = end;
    }
    size_t keep[4] = {i, low < high ? low : high, low < high ? high : low,
                      end - 1};
    for (int k = 0; k < 4; k++)
        if (k == 0 || keep[k] != keep[k - 1])
            fprintf(out, "%.1f,%.1f ", x_of(p, c->points[keep[k]].step),
                    y_of(p, c->points[keep[k]].value));
    return end;
}

static void
draw_curve(const struct plot *p, const struct plot_curve *c, FILE *out)
{
    static const char *const style[] = {"", " opacity=\"0.25\"",
                                        " stroke-dasharray=\"6 4\""};
    if (c->count == 1)
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
                x_of(p, c->points[0].step), y_of(p, c->points[0].value),
                colors[c->color]);
    if (c->count < 2)
        return;
    fprintf(out, "<polyline stroke=\"%s\"%s points=\"", colors[c->color],
            style[c->style]);
    for (size_t i = 0; i < c->count;)
        i = draw_column(p, c, i, out);
    fprintf(out, "\"/>\n");
}

static void
draw_legend(const struct plot *p, FILE *out)
{
    int y = TOP + 16;
    for (size_t i = 0; i < p->count; i++) {
        const struct plot_curve *c = &p->curves[i];
        if (!c->name)
            continue;
        fprintf(out,
                "<path d=\"M%d %dh22\" stroke=\"%s\" stroke-width=\"2\"%s/>"
                "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">",
                WIDTH - RIGHT - 30, y - 4, colors[c->color],
                c->style == PLOT_DASHED ? " stroke-dasharray=\"6 4\"" : "",
                WIDTH - RIGHT - 38, y);
        put_text(out, c->name);
        fprintf(out, "</text>\n");
        y += LEGEND_LINE;
    }
}

void
plot_svg(const struct plot *p, FILE *out)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
            "width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
            "font-size=\"12\">\n<title>",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    put_text(out, p->metric);
    fprintf(out,
            "</title>\n<style>.axes path{stroke:#ddd}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
            "<clipPath id=\"inside\"><rect x=\"%d\" y=\"%d\" width=\"%d\" "
            "height=\"%d\"/></clipPath>\n",
            LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    draw_axes(p, out);
    fprintf(out, "<g clip-path=\"url(#inside)\" fill=\"none\" "
                 "stroke-width=\"1.5\" stroke-linejoin=\"round\">\n");
    for (size_t i = 0; i < p->count; i++)
        draw_curve(p, &p->curves[i], out);
    fprintf(out, "</g>\n");
    draw_legend(p, out);
    fprintf(out, "</svg>\n");
}
