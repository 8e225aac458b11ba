/* weights_diff.c -- two models compared tensor by tensor (krs_weights_diff in
 * weights.h).
 *
 * In: two open models. Out: a line for each difference. Both lists are sorted
 * by name and walked side by side; values are compared a piece at a time,
 * bytes where the types agree and those are equal, else as f64. Turned rows
 * (weights_file.h) are read turned.
 */
#include "stored.h"
#include "weights_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP = 8192, QUOTED = 400, LINE_BYTES = 1200 };

typedef struct comparison {
    krs_line_sink sink;
    void *user;
    size_t differing;
    krs_error *err;
} comparison;

static krs_status report(comparison *c, const char *name, const char *format,
                         ...) KRS_PRINTF(3, 4);
static krs_status
report(comparison *c, const char *name, const char *format, ...)
{
    char line[LINE_BYTES], quoted[QUOTED];
    va_list args;
    int n = snprintf(line, sizeof line,
                     "%s: ", krsi_json_quote(name, quoted, sizeof quoted));
    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    c->differing++;
    if (c->sink(c->user, line))
        return KRS_OK;
    return krs_fail(c->err, KRS_E_CANCELLED, "diff: stopped by the caller");
}

typedef struct difference {
    int64_t count, worst; /* elements that differ; the one that does most */
    double most, left, right;
} difference;

static void
compare_values(const double *x, const double *y, int64_t first, int64_t count,
               difference *d)
{
    for (int64_t k = 0; k < count; k++) {
        if (x[k] == y[k] || (isnan(x[k]) && isnan(y[k])))
            continue;
        double distance = fabs(x[k] - y[k]);
        if (isnan(distance))
            distance = (double)INFINITY;
        if (d->count++ == 0 || distance > d->most) {
            d->worst = first + k;
            d->most = distance;
            d->left = x[k];
            d->right = y[k];
        }
    }
}

static krs_status
compare_runs(krsi_run *a, krsi_run *b, int64_t count, double *values,
             difference *d, krs_error *err)
{
    double *x = values, *y = values + GROUP;
    char *bytes = (char *)(values + 2 * GROUP), *others = bytes + 8 * GROUP;
    for (int64_t done = 0, n; done < count; done += n) {
        n = count - done < GROUP ? count - done : GROUP;
        KRS_TRY(krsi_run_read(a, n, NULL, bytes, err));
        KRS_TRY(krsi_run_read(b, n, NULL, others, err));
        if (a->stored == b->stored &&
            memcmp(bytes, others,
                   (size_t)n / krs_stored_elements(a->stored) *
                       krs_stored_bytes(a->stored)) == 0)
            continue;
        krsi_stored_doubles(a->stored, bytes, 0, (size_t)n, x);
        krsi_stored_doubles(b->stored, others, 0, (size_t)n, y);
        compare_values(x, y, done, n, d);
    }
    return KRS_OK;
}

static krs_status
compare_data(const krs_weights *a, size_t i, const krs_weights *b, size_t k,
             difference *d, krs_error *err)
{
    krsi_run left, right;
    double *values = malloc(4 * GROUP * sizeof *values);
    if (!values)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory to compare",
                        krs_weights_path(a));
    krs_status status = krsi_run_open(a, i, 0, &left, err);
    if (status == KRS_OK) {
        status = krsi_run_open(b, k, 0, &right, err);
        if (status == KRS_OK) {
            status = compare_runs(&left, &right, krs_weights_at(a, i)->count,
                                  values, d, err);
            krsi_run_close(&right);
        }
        krsi_run_close(&left);
    }
    free(values);
    return status;
}

static bool
same_shape(const krs_weight *s, const krs_weight *t)
{
    return s->rank == t->rank &&
           memcmp(s->shape, t->shape, (size_t)s->rank * sizeof *s->shape) == 0;
}

static krs_status
compare_tensors(comparison *c, const krs_weights *a, size_t i,
                const krs_weights *b, size_t k)
{
    const krs_weight *s = krs_weights_at(a, i), *t = krs_weights_at(b, k);
    char left[KRSI_SHAPE_TEXT], right[KRSI_SHAPE_TEXT];
    difference d = {.worst = -1};
    krsi_weight_text(s, left);
    krsi_weight_text(t, right);
    if (!same_shape(s, t))
        return report(c, s->name, "%s and %s", left, right);
    bool complex = !krs_stored_converts(s->stored, KRS_F32) ||
                   !krs_stored_converts(t->stored, KRS_F32);
    if (complex && s->stored != t->stored)
        return report(c, s->name, "%s and %s", left, right);
    KRS_TRY(compare_data(a, i, b, k, &d, c->err));
    if (d.count > 0)
        return report(c, s->name,
                      "%s%s%s: %" PRId64 " of %" PRId64
                      " elements differ, most %" PRId64
                      ": %.9g and %.9g, by %.3g",
                      left, s->stored != t->stored ? " and " : "",
                      s->stored != t->stored ? right : "", d.count, s->count,
                      d.worst, d.left, d.right, d.most);
    if (s->stored != t->stored)
        return report(c, s->name, "%s and %s, the same values", left, right);
    return KRS_OK;
}

krs_status
krs_weights_diff(const krs_weights *a, const krs_weights *b, krs_line_sink sink,
                 void *user, size_t *out_differing, krs_error *err)
{
    if (!a || !b || !sink || !out_differing)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "weights: diff: two models, a sink and out must be "
                        "given");
    comparison c = {sink, user, 0, err};
    size_t i = 0, k = 0;
    while (i < a->count || k < b->count) {
        const krs_weight *s = krs_weights_at(a, i), *t = krs_weights_at(b, k);
        int order = !s ? 1 : !t ? -1 : strcmp(s->name, t->name);
        if (order < 0)
            KRS_TRY(report(&c, s->name, "only in %s", krs_weights_path(a)));
        else if (order > 0)
            KRS_TRY(report(&c, t->name, "only in %s", krs_weights_path(b)));
        else
            KRS_TRY(compare_tensors(&c, a, i, b, k));
        i += order <= 0;
        k += order >= 0;
    }
    *out_differing = c.differing;
    return KRS_OK;
}
