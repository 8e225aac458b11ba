/* check_report.h -- what kersey check says of a device: sums on stdout, every
 * row as a page of HTML.
 */
#ifndef KERSEY_CHECK_REPORT_H
#define KERSEY_CHECK_REPORT_H

#include "command.h"

enum { REPORT_OPS = 128, REPORT_KINDS = 4 };
/* tables of rows on the page */
enum { REPORT_FAILED, REPORT_TENSORS, REPORT_NODES, REPORT_TABLES };

/* Rows of one name summed: of a kind, or of the nodes of an operation. */
struct report_sum {
    char name[32];
    size_t rows, failed;
    int64_t elements, ulps[KRS_ULP_BUCKETS];
    double largest, largest_relative, ratio;
    double of_scale; /* largest, as a part of the tensor's largest element */
};

/* Rows of a device as HTML, until its part of the page is written. */
struct report_rows {
    FILE *stream; /* into text; NULL: no page is wanted */
    char *text;
    size_t bytes, count;
};

struct check_report {
    struct report_sum kind[REPORT_KINDS], op[REPORT_OPS];
    bool is_judged[REPORT_KINDS]; /* or shown alone; after report_device */
    size_t ops;
    FILE *html; /* NULL: none wanted */
    struct report_rows rows[REPORT_TABLES];
    char title[160];
    bool lacks_memory;
};

/* report_begin(path, &report, err) -- path NULL: no page. report_end closes it
 * and may be called after a failure. Errors: IO. */
krs_status report_begin(const char *path, struct check_report *out,
                        krs_error *err);
krs_status report_end(struct check_report *report, const char *path,
                      krs_error *err);
/* a heading; then rows (the sink of krs_check, user: the report); then the sums
 * on stdout and what is wrong ("": nothing), which are forgotten */
void report_device(struct check_report *report, const char *device,
                   const char *against);
void report_row(void *user, const krs_check_row *row);
void report_found(struct check_report *report, const char *sentence);

#endif
