/* describe.c -- what a weights file holds, for people and for programs.
 *
 * In: an open model. Out: lines of text or of one JSON document, handed to a
 * sink one at a time; and the statistics of a tensor. Invariant: nothing is
 * kept, so a model of any size is described in constant memory.
 *
 * Names go through a quoting that escapes control characters, so that a
 * hostile file cannot move the cursor of a terminal. JSON strings and numbers
 * are printed by jansson, which does not ask the locale.
 *
 * Mean and deviation: two passes over groups of 256 values, the groups merged
 * (Chan, Golub and LeVeque 1979): one pass over the file, stable for a large
 * mean.
 */
#include "describe_settings.h"
#include "stored.h"
#include "weights_file.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 4200 /* of a quoted name in text; longer ones are cut */
#define LINE_BYTES 6000
#define GROUP      256 /* values of which the moments are taken at once */

/* Number, mean and summed squared distance from the mean of some values. */
typedef struct moments {
    double count, mean, squares;
} moments;

static void
merge(moments *all, const moments *part)
{
    double count = all->count + part->count;
    double delta = part->mean - all->mean;
    all->squares +=
        part->squares + delta * delta * all->count * part->count / count;
    all->mean += delta * part->count / count;
    all->count = count;
}

/* values is overwritten */
static void
add_group(krs_weight_stats *s, moments *all, double *values, size_t count)
{
    moments part = {0};
    size_t finite = 0;
    for (size_t i = 0; i < count; i++) {
        double value = values[i];
        if (isfinite(value)) {
            values[finite++] = value;
            part.mean += value;
            s->zeros += value == 0;
            s->min = value < s->min ? value : s->min;
            s->max = value > s->max ? value : s->max;
        } else {
            s->nans += isnan(value) != 0;
            s->infinities += isinf(value) != 0;
        }
    }
    if (finite == 0)
        return;
    part.count = (double)finite;
    part.mean /= part.count;
    for (size_t i = 0; i < finite; i++)
        part.squares += (values[i] - part.mean) * (values[i] - part.mean);
    merge(all, &part);
}

static krs_status
add_run(krsi_run *run, int64_t count, krs_weight_stats *s, moments *all,
        krs_error *err)
{
    uint64_t piece[KRSI_PIECE_BYTES / sizeof(uint64_t)];
    double values[GROUP];
    int64_t most = krsi_piece_elements(run->stored);
    for (int64_t done = 0; done < count; done += most) {
        int64_t n = count - done < most ? count - done : most;
        KRS_TRY(krsi_run_next(run, n, piece, err));
        for (int64_t k = 0; k < n; k += GROUP) {
            size_t group = (size_t)(n - k < GROUP ? n - k : GROUP);
            krsi_stored_doubles(run->stored, piece, (size_t)k, group, values);
            add_group(s, all, values, group);
        }
    }
    return KRS_OK;
}

krs_status
krs_weights_stats(const krs_weights *w, size_t i, krs_weight_stats *out,
                  krs_error *err)
{
    const krs_weight *t = krs_weights_at(w, i);
    if (!t || !out)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "%s: stats: tensor %zu of %zu does not exist",
                        krs_weights_path(w), i, krs_weights_count(w));
    if (!krs_stored_converts(t->stored, KRS_F32))
        return krs_fail(err, KRS_E_DTYPE,
                        "%s: stats: values of type %s have no order", t->file,
                        krs_stored_name(t->stored));
    krs_weight_stats s = {
        .count = t->count, .min = (double)INFINITY, .max = -(double)INFINITY};
    moments all = {0};
    krsi_run run;
    KRS_TRY(krsi_run_open(w, i, 0, &run, err));
    krs_status status = add_run(&run, t->count, &s, &all, err);
    krsi_run_close(&run);
    KRS_TRY(status);
    s.mean = all.mean;
    s.std = sqrt(all.squares / all.count);
    if (all.count == 0)
        s.min = s.max = s.mean = s.std = (double)NAN;
    *out = s;
    return KRS_OK;
}

/* Where lines go. The first failure sticks. */
typedef struct printer {
    const krs_weights *weights;
    krs_line_sink sink;
    void *user;
    bool stats;
    const char *tensor; /* NULL: all */
    krs_error *err;
    krs_status status;
} printer;

static void
send(printer *p, const char *line)
{
    if (p->status == KRS_OK && !p->sink(p->user, line))
        p->status = krs_fail(p->err, KRS_E_CANCELLED,
                             "%s: describe: stopped by the caller",
                             krs_weights_path(p->weights));
}

static KRS_PRINTF(2, 3) void send_format(printer *p, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    send(p, line);
}

/* Sums over all tensors, by type. */
typedef struct total {
    int64_t tensors;
    uint64_t parameters, bytes;
} total;

static bool
is_shown(const printer *p, const krs_weight *t)
{
    return !p->tensor || strcmp(p->tensor, t->name) == 0;
}

static total
add_up(const printer *p, total by_type[KRS_STORED_COUNT])
{
    const krs_weights *w = p->weights;
    total all = {0};
    memset(by_type, 0, KRS_STORED_COUNT * sizeof *by_type);
    for (size_t i = 0; i < krs_weights_count(w); i++) {
        const krs_weight *t = krs_weights_at(w, i);
        if (!is_shown(p, t))
            continue;
        total *sums[] = {&all, &by_type[t->stored]};
        for (int k = 0; k < 2; k++) {
            sums[k]->tensors++;
            sums[k]->parameters += (uint64_t)t->count;
            sums[k]->bytes += t->bytes;
        }
    }
    return all;
}

/* "name" without the quotes, controls escaped */
static const char *
plain(const char *text, char out[NAME_BYTES])
{
    krsi_json_quote(text, out, NAME_BYTES);
    out[strlen(out) - 1] = 0;
    return out + 1;
}

/* What the model says of itself; NULL where it says nothing. */
static void
get_settings(printer *p, json_t **config, json_t **tokenizer)
{
    if (p->status == KRS_OK)
        p->status = krsi_describe_config(p->weights, config, p->err);
    if (p->status == KRS_OK)
        p->status = krsi_describe_tokenizer(p->weights, tokenizer, p->err);
}

static void
text_stats(printer *p, size_t i)
{
    krs_weight_stats s;
    if (p->status != KRS_OK)
        return;
    if (!krs_stored_converts(krs_weights_at(p->weights, i)->stored, KRS_F32)) {
        send(p, "    no statistics for this type");
        return;
    }
    p->status = krs_weights_stats(p->weights, i, &s, p->err);
    if (p->status == KRS_OK)
        send_format(p,
                    "    min %.6g  max %.6g  mean %.6g  std %.6g  zeros "
                    "%" PRId64 "  nan %" PRId64 "  inf %" PRId64,
                    s.min, s.max, s.mean, s.std, s.zeros, s.nans, s.infinities);
}

/* "# key = value" for each member: texts quoted, all else as JSON */
static void
text_members(printer *p, json_t *object)
{
    char name[NAME_BYTES], quoted[NAME_BYTES / 4];
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        char *text =
            krsi_json_print(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII, NULL);
        if (json_is_string(value))
            krsi_json_quote(json_string_value(value), quoted, sizeof quoted);
        else
            snprintf(quoted, sizeof quoted, "%s", text ? text : "");
        send_format(p, "# %.1000s = %s", plain(key, name), quoted);
        free(text);
    }
}

/* Notes, settings, tokenizer. */
static void
text_settings(printer *p)
{
    char name[NAME_BYTES], value[NAME_BYTES / 4];
    const krs_weights_note *note;
    json_t *config = NULL, *tokenizer = NULL;
    for (size_t i = 0; (note = krs_weights_note_at(p->weights, i)); i++)
        send_format(p, "# %.1000s = %s", plain(note->key, name),
                    krsi_json_quote(note->value, value, sizeof value));
    get_settings(p, &config, &tokenizer);
    text_members(p, config);
    if (tokenizer)
        send_format(
            p, "# tokenizer: %s, %lld tokens, %lld merges",
            krsi_json_quote(
                json_string_value(json_object_get(tokenizer, "kind")), value,
                sizeof value),
            (long long)json_integer_value(json_object_get(tokenizer, "tokens")),
            (long long)json_integer_value(
                json_object_get(tokenizer, "merges")));
    json_decref(config);
    json_decref(tokenizer);
}

static void
print_text(printer *p)
{
    const krs_weights *w = p->weights;
    char name[NAME_BYTES], shape[KRSI_SHAPE_TEXT];
    total by_type[KRS_STORED_COUNT], all = add_up(p, by_type);
    size_t width = 0;
    if (!p->tensor)
        text_settings(p);
    for (size_t i = 0; i < krs_weights_count(w); i++) {
        size_t n = strlen(plain(krs_weights_at(w, i)->name, name));
        width = n > width && n <= 60 ? n : width;
    }
    for (size_t i = 0; i < krs_weights_count(w); i++) {
        const krs_weight *t = krs_weights_at(w, i);
        if (!is_shown(p, t))
            continue;
        krsi_weight_text(t, shape);
        send_format(p, "%-*s  %-24s %14" PRIu64 " bytes", (int)width,
                    plain(t->name, name), shape, t->bytes);
        if (p->stats)
            text_stats(p, i);
    }
    for (int s = 0; s < KRS_STORED_COUNT; s++)
        if (by_type[s].tensors)
            send_format(p,
                        "%-7s %8" PRId64 " tensors %14" PRIu64
                        " parameters %16" PRIu64 " bytes",
                        krs_stored_name((krs_stored)s), by_type[s].tensors,
                        by_type[s].parameters, by_type[s].bytes);
    send_format(p,
                "total   %8" PRId64 " tensors %14" PRIu64
                " parameters %16" PRIu64 " bytes",
                all.tensors, all.parameters, all.bytes);
}

/* Send before + the JSON of value (taken over) + after. */
static void
send_json(printer *p, const char *before, json_t *value, const char *after)
{
    char *text = value ? krsi_json_print(value, JSON_ENCODE_ANY, NULL) : NULL;
    size_t bytes = text ? strlen(before) + strlen(text) + strlen(after) + 1 : 0;
    char *line = text ? malloc(bytes) : NULL;
    if (line) {
        snprintf(line, bytes, "%s%s%s", before, text, after);
        send(p, line);
    } else if (p->status == KRS_OK) {
        p->status =
            krs_fail(p->err, KRS_E_MEMORY, "%s: describe: out of memory",
                     krs_weights_path(p->weights));
    }
    free(line);
    free(text);
    json_decref(value);
}

static json_t *
number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *
stats_json(printer *p, size_t i)
{
    krs_weight_stats s;
    if (!krs_stored_converts(krs_weights_at(p->weights, i)->stored, KRS_F32))
        return json_null();
    p->status = krs_weights_stats(p->weights, i, &s, p->err);
    if (p->status != KRS_OK)
        return json_null();
    return json_pack("{s:o,s:o,s:o,s:o,s:I,s:I,s:I}", "min",
                     number_or_null(s.min), "max", number_or_null(s.max),
                     "mean", number_or_null(s.mean), "std",
                     number_or_null(s.std), "nan", (json_int_t)s.nans, "inf",
                     (json_int_t)s.infinities, "zero", (json_int_t)s.zeros);
}

/* a path need not be UTF-8, as a JSON string must */
static json_t *
path_json(const char *path)
{
    return krsi_is_utf8(path) ? json_string(path) : json_null();
}

static json_t *
tensor_json(printer *p, size_t i)
{
    const krs_weight *t = krs_weights_at(p->weights, i);
    json_t *shape = json_array();
    int failed = 0;
    for (int k = 0; k < t->rank; k++)
        failed |= json_array_append_new(shape, json_integer(t->shape[k]));
    json_t *tensor =
        json_pack("{s:s,s:s,s:o,s:I,s:o}", "name", t->name, "dtype",
                  krs_stored_name(t->stored), "shape", shape, "bytes",
                  (json_int_t)t->bytes, "file", path_json(t->file));
    if (p->stats)
        failed |= json_object_set_new(tensor, "stats", stats_json(p, i));
    if (failed) {
        json_decref(tensor);
        return NULL;
    }
    return tensor;
}

static json_t *
total_json(const total *t)
{
    return json_pack("{s:I,s:I,s:I}", "tensors", (json_int_t)t->tensors,
                     "parameters", (json_int_t)t->parameters, "bytes",
                     (json_int_t)t->bytes);
}

static json_t *
notes_json(const krs_weights *w)
{
    json_t *notes = json_object();
    const krs_weights_note *note;
    for (size_t i = 0; notes && (note = krs_weights_note_at(w, i)); i++)
        if (json_object_set_new(notes, note->key, json_string(note->value))) {
            json_decref(notes);
            notes = NULL;
        }
    return notes;
}

static json_t *
types_json(const total by_type[KRS_STORED_COUNT])
{
    json_t *types = json_object();
    for (int s = 0; types && s < KRS_STORED_COUNT; s++)
        if (by_type[s].tensors &&
            json_object_set_new(types, krs_stored_name((krs_stored)s),
                                total_json(&by_type[s]))) {
            json_decref(types);
            types = NULL;
        }
    return types;
}

static void
print_json(printer *p)
{
    const krs_weights *w = p->weights;
    total by_type[KRS_STORED_COUNT], all = add_up(p, by_type);
    size_t count = krs_weights_count(w);
    int64_t left = all.tensors;
    json_t *config = NULL, *tokenizer = NULL;
    get_settings(p, &config, &tokenizer);
    send_json(p, "{\"path\": ", path_json(krs_weights_path(w)), ",");
    send_json(p, "\"metadata\": ", notes_json(w), ",");
    send_json(p, "\"config\": ", config ? config : json_null(), ",");
    send_json(p, "\"tokenizer\": ", tokenizer ? tokenizer : json_null(), ",");
    send(p, "\"tensors\": [");
    for (size_t i = 0; p->status == KRS_OK && i < count; i++)
        if (is_shown(p, krs_weights_at(w, i)))
            send_json(p, "  ", tensor_json(p, i), --left > 0 ? "," : "");
    send(p, "],");
    send_json(p, "\"dtypes\": ", types_json(by_type), ",");
    send_format(p, "\"parameters\": %" PRIu64 ", \"bytes\": %" PRIu64 "}",
                all.parameters, all.bytes);
}

krs_status
krs_weights_describe(const krs_weights *w, const krs_describe_options *options,
                     krs_line_sink sink, void *user, krs_error *err)
{
    krs_describe_options defaults = {.struct_size = sizeof defaults};
    if (!w || !sink)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "weights: describe: weights and sink must be given");
    if (!options)
        options = &defaults;
    if (options->struct_size < sizeof *options)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "weights: describe: struct_size is %zu, expected %zu",
                        options->struct_size, sizeof *options);
    printer p = {w, sink, user, options->stats, options->tensor, err, KRS_OK};
    if (options->tensor && krs_weights_find(w, options->tensor) < 0) {
        char name[NAME_BYTES / 8];
        return krs_fail(err, KRS_E_NAME, "%s: there is no tensor %s",
                        krs_weights_path(w),
                        krsi_json_quote(options->tensor, name, sizeof name));
    }
    switch (options->format) {
    case KRS_DESCRIBE_TEXT: print_text(&p); break;
    case KRS_DESCRIBE_JSON: print_json(&p); break;
    }
    return p.status;
}
