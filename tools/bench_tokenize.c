/* bench_tokenize.c -- kersey bench tokenize: how fast texts become ids.
 *
 * In: a tokenizer and a text, whose lines are encoded as a batch on --threads
 * threads; with --whole all of it as one text, on one. Out: the fastest and the
 * median time, and megabytes of text in a second. The first run, which fills
 * what the tokenizer remembers of words, is not counted.
 */
#include "bench.h"
#include "tokenize.h"

#include <stdlib.h>
#include <string.h>

struct lines {
    const krs_tokenizer *t;
    krs_text *texts;
    krs_encoding *es;
    size_t count, bytes;
    krs_encode_options options;
};

static krs_status
encode_lines(void *context, krs_error *err)
{
    struct lines *l = context;
    if (l->count == 1)
        return krs_tokenizer_encode(l->t, l->texts[0].text, l->texts[0].bytes,
                                    &l->options, l->es, err);
    return krs_tokenizer_encode_batch(l->t, l->texts, NULL, l->count,
                                      &l->options, l->es, err);
}

static krs_status
cut_lines(struct lines *l, const char *text, size_t bytes, bool whole,
          krs_error *err)
{
    size_t count = 1;
    for (size_t i = 0; !whole && i < bytes; i++)
        count += text[i] == '\n';
    l->texts = calloc(count, sizeof *l->texts);
    l->es = calloc(count, sizeof *l->es);
    l->bytes = bytes;
    if (!l->texts || !l->es)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %zu lines", count);
    for (size_t at = 0; l->count < count; l->count++) {
        const char *end = memchr(text + at, '\n', bytes - at);
        size_t own = whole || !end ? bytes - at : (size_t)(end - text) - at;
        l->texts[l->count] = (krs_text){text + at, own};
        at += own + 1;
    }
    return KRS_OK;
}

static int
report(const struct lines *l, const struct flags *f,
       const struct timing *timing, double load_s)
{
    size_t tokens = 0;
    double mb_s = (double)l->bytes / 1e6 / timing->median;
    for (size_t i = 0; i < l->count; i++)
        tokens += l->es[i].count;
    if (f->json)
        return print_json_line(json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f}", "tokenizer",
            f->tokenizer, "bytes", (json_int_t)l->bytes, "texts",
            (json_int_t)l->count, "tokens", (json_int_t)tokens, "threads",
            (json_int_t)f->threads, "load_s", load_s, "seconds_min",
            timing->min, "seconds_median", timing->median, "mb_s", mb_s));
    printf("%zu texts, %zu bytes, %zu tokens: %.1f MB/s (median %.4f s, "
           "fastest %.4f s of %d); loaded in %.3f s\n",
           l->count, l->bytes, tokens, mb_s, timing->median, timing->min,
           timing->count, load_s);
    return EXIT_OK;
}

static krs_status
measure(const struct command_line *line, int *code, krs_error *err)
{
    const struct flags *f = &line->flags;
    struct lines l = {
        .options = {.struct_size = sizeof l.options, .threads = f->threads}
    };
    struct timing timing;
    krs_tokenizer *t;
    char *text;
    size_t bytes;
    double began = bench_clock();
    KRS_TRY(krs_tokenizer_open(f->tokenizer, &t, err));
    double load_s = bench_clock() - began;
    krs_status status = read_text(f->data, &text, &bytes, err);
    if (status != KRS_OK) {
        krs_tokenizer_free(t);
        return status;
    }
    l.t = t;
    status = cut_lines(&l, text, bytes, f->whole, err);
    if (status == KRS_OK)
        status = encode_lines(&l, err);
    if (status == KRS_OK)
        status = time_runs(encode_lines, &l,
                           f->given[FLAG_ID_steps] ? (int)f->steps : 5,
                           f->given[FLAG_ID_steps] ? 0.0 : 1.0, &timing, err);
    if (status == KRS_OK)
        *code = report(&l, f, &timing, load_s);
    for (size_t i = 0; l.es && i < l.count; i++)
        krs_encoding_free(&l.es[i]);
    free(l.es);
    free(l.texts);
    free(text);
    krs_tokenizer_free(t);
    return status;
}

int
check_tokenize(const struct flags *f)
{
    if (!f->tokenizer || !f->data)
        return complain_usage("which tokenizer and text? -t TOKENIZER --data "
                              "FILE");
    if (f->given[FLAG_ID_steps] && (f->steps < 1 || f->steps > MOST_RUNS))
        return complain_usage("--steps %lld: expected 1 to %d",
                              (long long)f->steps, MOST_RUNS);
    return EXIT_OK;
}

int
bench_tokenize(const struct command_line *line)
{
    krs_error err;
    int code = EXIT_OK;
    return measure(line, &code, &err) == KRS_OK ? code : complain(&err);
}
