/* check_report.c -- rows of a check into sums and a page, see check_report.h.
 *
 * In: rows of krs_check. Out, on stdout, for each device:
 *
 *     cpu against eval
 *       nodes       31 passed, 0 failed; of 512 elements 98.4 % the same bits, ...
 *       softmax     ...
 *
 * and, if asked for, one page of HTML, without scripts or anything from
 * elsewhere: what was found, the rows that failed, the sums, and folded below
 * them every row. Rows come before the sums, so a device's are kept as text
 * until all of it is known.
 */
#include "check_report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const kind_names[REPORT_KINDS] = {
    [KRS_CHECK_OUTPUT] = "outputs",
    [KRS_CHECK_GRADIENT] = "gradients",
    [KRS_CHECK_STATE] = "states",
    [KRS_CHECK_NODE] = "nodes"};

static const char *const bucket_names[KRS_ULP_BUCKETS] = {
    "same", "1", "2", "4", "8", "16", "32", "64", "more", "not finite"};

/* text between tags */
static void
put(FILE *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '&': fputs("&amp;", out); break;
        default: fputc(*text, out);
        }
}

static void
begin_page(FILE *out)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<title>kersey check</title><style>\n"
          "body{font:14px sans-serif;margin:2em;font-variant-numeric:"
          "tabular-nums}\n"
          "table{border-collapse:collapse;margin:.5em 0 1.5em}\n"
          "td,th{padding:2px 8px;text-align:right;border-bottom:1px solid "
          "#ddd;white-space:nowrap}\n"
          "th{position:sticky;top:0;background:#fff}\n"
          ".l{text-align:left}.bad td{background:#fdd}\n"
          ".passed{color:#070}.failed{color:#a00}summary{cursor:pointer}\n"
          "</style></head><body>\n",
          out);
}

krs_status
report_begin(const char *path, struct check_report *out, krs_error *err)
{
    *out = (struct check_report){.ops = 0};
    if (!path)
        return KRS_OK;
    out->html = fopen(path, "w");
    if (!out->html)
        return krs_fail(err, KRS_E_IO, "%s: %s", path, strerror(errno));
    begin_page(out->html);
    return KRS_OK;
}

static void
close_rows(struct report_rows *r)
{
    if (r->stream)
        fclose(r->stream);
    free(r->text);
    *r = (struct report_rows){NULL, NULL, 0, 0};
}

static bool
open_rows(struct report_rows *r)
{
    close_rows(r); /* of a device that failed otherwise */
    r->stream = open_memstream(&r->text, &r->bytes);
    return r->stream;
}

krs_status
report_end(struct check_report *r, const char *path, krs_error *err)
{
    for (int i = 0; i < REPORT_TABLES; i++)
        close_rows(&r->rows[i]);
    if (!r->html)
        return KRS_OK;
    fputs("</body></html>\n", r->html);
    bool bad = ferror(r->html) != 0 || r->lacks_memory;
    bad |= fclose(r->html) != 0;
    r->html = NULL;
    if (!bad)
        return KRS_OK;
    krs_fail(err, KRS_E_IO, "%s: %s", path,
             r->lacks_memory ? "no memory for its rows" : strerror(errno));
    struct stat info; /* half a page looks as if nothing failed */
    if (lstat(path, &info) == 0 && S_ISREG(info.st_mode))
        unlink(path);
    return KRS_E_IO;
}

void
report_device(struct check_report *r, const char *device, const char *against)
{
    printf("%s against %s\n", device, against);
    snprintf(r->title, sizeof r->title, "%s against %s", device, against);
    for (int i = 0; r->html && i < REPORT_TABLES; i++)
        r->lacks_memory |= !open_rows(&r->rows[i]);
}

/* ---- cells ---- */

static void
put_histogram(FILE *out, const int64_t ulps[KRS_ULP_BUCKETS])
{
    for (int i = 0; i < KRS_ULP_BUCKETS; i++)
        if (ulps[i] > 0)
            fprintf(out, "<td>%lld", (long long)ulps[i]);
        else
            fputs("<td>", out);
}

static void
put_number(FILE *out, const char *format, double number)
{
    fputs("<td>", out);
    if (number != 0)
        fprintf(out, format, number);
}

static void
put_heads(FILE *out, const char *first)
{
    fprintf(out, "<table><tr>%s<th>elements", first);
    for (int i = 0; i < KRS_ULP_BUCKETS; i++)
        fprintf(out, "<th>%s", bucket_names[i]);
    fputs("<th>largest<th>relative<th>of the tensor's<th>of allowed</tr>\n",
          out);
}

static double
part_of_scale(const krs_check_difference *d)
{
    return d->largest > 0 ? d->largest / d->scale : 0;
}

static void
put_row(FILE *out, const krs_check_row *row)
{
    fprintf(out, "<tr%s><td>%lld<td class=\"l\">",
            row->failing ? " class=\"bad\"" : "", (long long)row->step);
    if (row->kind == KRS_CHECK_NODE)
        fprintf(out, "node %zu", row->number);
    else if (*row->name)
        fprintf(out, "%s ",
                row->kind == KRS_CHECK_STATE ? "state" : "gradient");
    else
        fprintf(out, "output %zu", row->number);
    put(out, row->name);
    fprintf(out, "<td class=\"l\">%s<td class=\"l\">", row->op);
    put(out, row->scope);
    fputs("<td class=\"l\">", out);
    put(out, row->file);
    if (row->line)
        fprintf(out, ":%d", row->line);
    fprintf(out, "<td class=\"l\">%s[", krs_dtype_name(row->dtype));
    for (int a = 0; a < row->shape.rank; a++)
        fprintf(out, a ? ",%lld" : "%lld", (long long)row->shape.dim[a]);
    fprintf(out, "]<td>%lld", (long long)row->difference.elements);
    put_histogram(out, row->difference.ulps);
    put_number(out, "%.2e", row->difference.largest);
    put_number(out, "%.2e", row->difference.largest_relative);
    put_number(out, "%.2e", part_of_scale(&row->difference));
    put_number(out, "%.3g", row->ratio);
    fputs("</tr>\n", out);
}

static void
put_sum(FILE *out, const struct report_sum *s, bool is_judged)
{
    if (s->rows == 0)
        return;
    fprintf(out, "<tr%s><td class=\"l\">%s", s->failed ? " class=\"bad\"" : "",
            s->name);
    if (is_judged)
        fprintf(out, "<td>%zu<td>%zu", s->rows - s->failed, s->failed);
    else
        fprintf(out, "<td colspan=\"2\">%zu, not judged", s->rows);
    fprintf(out, "<td>%lld", (long long)s->elements);
    put_histogram(out, s->ulps);
    put_number(out, "%.2e", s->largest);
    put_number(out, "%.2e", s->largest_relative);
    put_number(out, "%.2e", s->of_scale);
    put_number(out, "%.3g", s->ratio);
    fputs("</tr>\n", out);
}

/* ---- a device's part of the page ---- */

static void
put_rows(FILE *out, struct report_rows *r, const char *title, bool is_open)
{
    if (r->count > 0 && r->stream && fflush(r->stream) == 0) {
        fprintf(out, "<details%s><summary>%s (%zu)</summary>\n",
                is_open ? " open" : "", title, r->count);
        put_heads(out, "<th>step<th class=\"l\">what<th class=\"l\">operation"
                       "<th class=\"l\">scope<th class=\"l\">place"
                       "<th class=\"l\">type");
        fwrite(r->text, 1, r->bytes, out);
        fputs("</table></details>\n", out);
    }
    close_rows(r);
}

static void
put_page(struct check_report *r, const char *sentence, bool is_good)
{
    static const char heads[] = "<th class=\"l\">%s<th>passed<th>failed";
    char first[80];
    fprintf(r->html, "<h1>%s: <span class=\"%s\">%s</span></h1>\n", r->title,
            is_good ? "passed" : "failed", is_good ? "passed" : "failed");
    fputs("<p>", r->html);
    put(r->html, is_good ? "" : sentence);
    fputs("</p>\n", r->html);
    put_rows(r->html, &r->rows[REPORT_FAILED], "What failed", true);
    fputs("<p>Elements by how many units in the last place they differ; the "
          "largest difference, that of an element relative to it and to the "
          "largest element of its tensor, and as a part of what is "
          "allowed.</p>\n",
          r->html);
    snprintf(first, sizeof first, heads, "what");
    put_heads(r->html, first);
    for (int i = 0; i < REPORT_KINDS; i++)
        put_sum(r->html, &r->kind[i], r->is_judged[i]);
    fputs("</table>\n", r->html);
    snprintf(first, sizeof first, heads, "nodes by operation");
    put_heads(r->html, first);
    for (size_t i = 0; i < r->ops; i++)
        put_sum(r->html, &r->op[i], true);
    fputs("</table>\n", r->html);
    put_rows(r->html, &r->rows[REPORT_TENSORS],
             "Every output, gradient and state", false);
    put_rows(r->html, &r->rows[REPORT_NODES], "Every node", false);
}

static void
add(struct report_sum *s, const krs_check_row *row)
{
    const krs_check_difference *d = &row->difference;
    s->rows++;
    s->failed += row->failing > 0;
    s->elements += d->elements;
    for (int i = 0; i < KRS_ULP_BUCKETS; i++)
        s->ulps[i] += d->ulps[i];
    s->largest = fmax(s->largest, d->largest);
    s->largest_relative = fmax(s->largest_relative, d->largest_relative);
    s->of_scale = fmax(s->of_scale, part_of_scale(d));
    s->ratio = fmax(s->ratio, row->ratio);
}

static void
keep_row(struct report_rows *r, const krs_check_row *row)
{
    if (!r->stream)
        return;
    r->count++;
    put_row(r->stream, row);
}

void
report_row(void *user, const krs_check_row *row)
{
    struct check_report *r = user;
    struct report_sum *k = &r->kind[row->kind];
    snprintf(k->name, sizeof k->name, "%s", kind_names[row->kind]);
    add(k, row);
    keep_row(
        &r->rows[row->kind == KRS_CHECK_NODE ? REPORT_NODES : REPORT_TENSORS],
        row);
    if (row->failing)
        keep_row(&r->rows[REPORT_FAILED], row);
    if (row->kind != KRS_CHECK_NODE)
        return;
    size_t i = 0;
    while (i < r->ops && strcmp(r->op[i].name, row->op) != 0)
        i++;
    if (i == REPORT_OPS)
        return;
    r->ops += i == r->ops;
    snprintf(r->op[i].name, sizeof r->op[i].name, "%s", row->op);
    add(&r->op[i], row);
}

static void
print_sum(const struct report_sum *s, bool is_judged, const char *indent)
{
    if (s->rows == 0)
        return;
    printf("%s%-14s ", indent, s->name);
    if (is_judged)
        printf("%zu passed, %zu failed", s->rows - s->failed, s->failed);
    else
        printf("%zu compared, not judged", s->rows);
    printf("; %lld elements", (long long)s->elements);
    for (int i = 0; i < KRS_ULP_BUCKETS; i++)
        if (s->ulps[i] > 0)
            printf(i ? ", %s: %lld" : ", %s bits: %lld", bucket_names[i],
                   (long long)s->ulps[i]);
    if (s->largest > 0)
        printf("; largest %.3g, relative %.3g, %.3g of the tensor's",
               s->largest, s->largest_relative, s->of_scale);
    if (s->ratio > 0)
        printf("; %.3g of what is allowed", s->ratio);
    printf("\n");
}

void
report_found(struct check_report *r, const char *sentence)
{
    bool is_good = *sentence == 0;
    for (int i = 0; i < REPORT_KINDS; i++)
        print_sum(&r->kind[i], r->is_judged[i], "  ");
    for (size_t i = 0; i < r->ops; i++)
        print_sum(&r->op[i], true, "    ");
    printf("  %s\n", is_good ? "passed" : sentence);
    if (r->html)
        put_page(r, sentence, is_good);
    memset(r->kind, 0, sizeof r->kind);
    memset(r->op, 0, sizeof r->op);
    r->ops = 0;
}
