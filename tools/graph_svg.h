/* graph_svg.h -- graphs drawn by graphviz. */
#ifndef KERSEY_GRAPH_SVG_H
#define KERSEY_GRAPH_SVG_H

#include <krs/status.h>

/* print_svg(dot, err) -- the drawing of a text for graphviz, on stdout.
 * Errors: UNSUPPORTED if there is no program dot; IO if it fails. */
krs_status print_svg(const char *dot, krs_error *err);

#endif
