/* bench_decode.c -- kersey bench decode: a preset that generates, token by
 * token.
 *
 * In: --preset, --batch (1 if not given), --seq: slots of the key/value cache.
 * Out: at a sixteenth, a quarter, a half and nearly all of the slots in use,
 * tokens a second of a prompt of that length, and seconds of one token more.
 * Both programs are compiled once, whatever the length.
 */
#include "bench.h"

#include "presets.h"

#include <krs/generate.h>

#include <stdlib.h>

enum {
    POINTS = 4,
    STEPS = 16, /* one token more each, at a point */
    LEAST_SLOTS = 2 * STEPS
};

struct decoding {
    const char *preset;
    int64_t batch, slots, vocab;
    krs_store *store;
    krs_model_config config;
    krs_decoder *decoder;
    int64_t *ids; /* [batch, slots] */
    double compile_s;
};

/* Tokens in use before the first step. */
struct point {
    int64_t length;
    double prompt_s;
    struct timing step;
};

int
check_decode(const struct flags *f)
{
    krs_model_config config;
    if (!find_preset(f->preset, f->seq, &config))
        return refuse_preset(f->preset, "no preset");
    krs_causal_model model;
    krs_error err;
    if (krs_model_causal(&config, &model, &err) != KRS_OK)
        return complain_usage("--preset %s: %s", f->preset, err.text);
    if (f->seq < LEAST_SLOTS)
        return complain_usage("decode wants --seq at least %d", LEAST_SLOTS);
    return EXIT_OK;
}

static krs_status
prepare(struct decoding *d, krs_device *device, krs_error *err)
{
    find_preset(d->preset, d->slots, &d->config);
    KRS_TRY(krs_store_new(device, &d->store, err));
    KRS_TRY(krs_model_init(d->store, &d->config, 1, err));
    krs_causal_model model;
    KRS_TRY(krs_model_causal(&d->config, &model, err));
    krs_decoder_options options = {.struct_size = sizeof options,
                                   .batch = d->batch};
    double start = bench_clock();
    KRS_TRY(krs_decoder_open(d->store, &model, &options, &d->decoder, err));
    d->compile_s = bench_clock() - start;
    size_t count;
    if (!__builtin_mul_overflow((size_t)d->batch, (size_t)d->slots, &count))
        d->ids = calloc(count, sizeof *d->ids);
    if (!d->ids)
        return krs_fail(err, KRS_E_MEMORY, "no memory for %lld x %lld tokens",
                        (long long)d->batch, (long long)d->slots);
    for (size_t i = 0; i < count; i++)
        d->ids[i] = (int64_t)krs_random_u32(1, 0, 0, i) % model.vocab_size;
    return KRS_OK;
}

static krs_status
step(void *context, krs_error *err)
{
    struct decoding *d = context;
    return krs_decoder_step(d->decoder, d->ids, err);
}

static krs_status
measure(struct decoding *d, struct point *p, krs_error *err)
{
    double start = bench_clock();
    KRS_TRY(krs_decoder_prompt(d->decoder, d->ids, p->length, NULL, err));
    p->prompt_s = bench_clock() - start;
    return time_runs(step, d, STEPS, 0, &p->step, err);
}

static int
print_result(const struct decoding *d, const struct point *points, bool json,
             const krs_device *device)
{
    int threads = bench_threads(device);
    json_t *list = json ? json_array() : NULL;
    if (!json)
        printf("%s, batch %lld, cache of %lld, %d thread%s; compiled in "
               "%.3f s\n",
               d->preset, (long long)d->batch, (long long)d->slots, threads,
               threads == 1 ? "" : "s", d->compile_s);
    for (int i = 0; i < POINTS; i++) {
        const struct point *p = &points[i];
        double prompt = (double)(d->batch * p->length) / p->prompt_s;
        if (json)
            json_array_append_new(
                list, json_pack("{s:I, s:f, s:f, s:f}", "length",
                                (json_int_t)p->length, "prefill_tok_s", prompt,
                                "step_s_min", p->step.min, "step_s_median",
                                p->step.median));
        else
            printf("after %6lld tokens, read at %.0f tokens/s: %.6f s a "
                   "token, fastest %.6f of %d; %.1f tokens/s\n",
                   (long long)p->length, prompt, p->step.median, p->step.min,
                   p->step.count, (double)d->batch / p->step.median);
    }
    if (!json)
        return EXIT_OK;
    return print_json_line(json_pack(
        "{s:s, s:I, s:I, s:i, s:f, s:o}", "preset", d->preset, "batch",
        (json_int_t)d->batch, "slots", (json_int_t)d->slots, "threads", threads,
        "compile_s", d->compile_s, "points", list));
}

int
bench_decode(const struct command_line *line, krs_device *device)
{
    const struct flags *f = &line->flags;
    struct decoding d = {.preset = f->preset,
                         .batch = f->given[FLAG_ID_batch] ? f->batch : 1,
                         .slots = f->seq};
    struct point points[POINTS] = {{.length = f->seq / 16},
                                   {.length = f->seq / 4},
                                   {.length = f->seq / 2},
                                   {.length = f->seq - STEPS}};
    krs_error err;
    krs_status status = prepare(&d, device, &err);
    struct point warm = {.length = f->seq / 2};
    if (status == KRS_OK)
        status = measure(&d, &warm, &err);
    for (int i = 0; status == KRS_OK && i < POINTS; i++)
        status = measure(&d, &points[i], &err);
    int code = status == KRS_OK ? print_result(&d, points, f->json, device)
                                : complain(&err);
    free(d.ids);
    krs_decoder_close(d.decoder);
    krs_store_free(d.store);
    return code;
}
