/* check_report.c -- rows of a check into sums and a page, see check_report.h.
 *
 * In: rows of krs_check. Out, on stdout, for each device:
 *
 *     cpu against eval
 *       nodes       31 passed, 0 failed; of 512 elements 98.4 % the same bits, ...
 *       softmax     ...
 *
 * and, if asked for, one page of HTML with every row, without scripts or
 * anything from elsewhere.
 */
#include "check_report.h"

#include <errno.h>
#include <math.h>
#include <string.h>

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

krs_status
report_begin(const char *path, struct check_report *out, krs_error *err)
{
    *out = (struct check_report){.ops = 0};
    if (!path)
        return KRS_OK;
    out->html = fopen(path, "w");
    if (!out->html)
        return krs_fail(err, KRS_E_IO, "%s: %s", path, strerror(errno));
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<title>kersey check</title><style>\n"
          "body{font:14px sans-serif;margin:2em}"
          "table{border-collapse:collapse;margin:1em 0}"
          "td,th{padding:2px 8px;text-align:right;border-bottom:1px solid #ddd}"
          "td:nth-child(-n+4),th:nth-child(-n+4){text-align:left}"
          ".bad{background:#fdd}</style></head><body>\n",
          out->html);
    return KRS_OK;
}

krs_status
report_end(struct check_report *r, const char *path, krs_error *err)
{
    if (!r->html)
        return KRS_OK;
    fputs("</body></html>\n", r->html);
    bool bad = ferror(r->html) != 0;
    bad |= fclose(r->html) != 0;
    r->html = NULL;
    return bad ? krs_fail(err, KRS_E_IO, "%s: %s", path, strerror(errno))
               : KRS_OK;
}

void
report_device(struct check_report *r, const char *device, const char *against)
{
    printf("%s against %s\n", device, against);
    if (!r->html)
        return;
    fputs("<h1>", r->html);
    put(r->html, device);
    fputs(" against ", r->html);
    put(r->html, against);
    fputs("</h1>\n<table><tr><th>what<th>operation<th>scope<th>place"
          "<th>type<th>elements",
          r->html);
    for (int i = 0; i < KRS_ULP_BUCKETS; i++)
        fprintf(r->html, "<th>%s", bucket_names[i]);
    fputs("<th>largest<th>relative<th>of allowed</tr>\n", r->html);
}

static void
put_row(FILE *out, const krs_check_row *row)
{
    fprintf(out, "<tr%s><td>", row->failing ? " class=\"bad\"" : "");
    if (row->kind == KRS_CHECK_NODE)
        fprintf(out, "node %zu", row->number);
    else if (*row->name)
        put(out, row->name);
    else
        fprintf(out, "output %zu", row->number);
    fprintf(out, "<td>%s<td>", row->op);
    put(out, row->scope);
    fputs("<td>", out);
    put(out, row->file);
    fprintf(out, ":%d<td>%s[", row->line, krs_dtype_name(row->dtype));
    for (int a = 0; a < row->shape.rank; a++)
        fprintf(out, a ? ",%lld" : "%lld", (long long)row->shape.dim[a]);
    fprintf(out, "]<td>%lld", (long long)row->difference.elements);
    for (int i = 0; i < KRS_ULP_BUCKETS; i++)
        fprintf(out, "<td>%lld", (long long)row->difference.ulps[i]);
    fprintf(out, "<td>%.3g<td>%.3g<td>%.3f</tr>\n", row->difference.largest,
            row->difference.largest_relative, row->ratio);
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
    s->ratio = fmax(s->ratio, row->ratio);
}

void
report_row(void *user, const krs_check_row *row)
{
    struct check_report *r = user;
    struct report_sum *k = &r->kind[row->kind];
    snprintf(k->name, sizeof k->name, "%s", kind_names[row->kind]);
    add(k, row);
    if (r->html)
        put_row(r->html, row);
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
print_sum(const struct report_sum *s, const char *indent)
{
    if (s->rows == 0)
        return;
    printf("%s%-14s %zu passed, %zu failed; %lld elements", indent, s->name,
           s->rows - s->failed, s->failed, (long long)s->elements);
    for (int i = 0; i < KRS_ULP_BUCKETS; i++)
        if (s->ulps[i] > 0)
            printf(i ? ", %s: %lld" : ", %s bits: %lld", bucket_names[i],
                   (long long)s->ulps[i]);
    if (s->largest > 0)
        printf("; largest %.3g, relative %.3g", s->largest,
               s->largest_relative);
    if (s->ratio > 0)
        printf("; %.3f of what is allowed", s->ratio);
    printf("\n");
}

void
report_found(struct check_report *r, const krs_check_result *found,
             const char *sentence)
{
    for (int i = 0; i < REPORT_KINDS; i++)
        print_sum(&r->kind[i], "  ");
    for (size_t i = 0; i < r->ops; i++)
        print_sum(&r->op[i], "    ");
    printf("  %s\n", found->cause == KRS_CAUSE_NONE ? "passed" : sentence);
    if (r->html) {
        fputs("</table>\n<p>", r->html);
        put(r->html, found->cause == KRS_CAUSE_NONE ? "passed" : sentence);
        fputs("</p>\n", r->html);
    }
    memset(r->kind, 0, sizeof r->kind);
    memset(r->op, 0, sizeof r->op);
    r->ops = 0;
}
