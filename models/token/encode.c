/* encode.c -- a text, a pair or a batch of them to ids (token.h).
 *
 * In: texts that may be anything. Out: encodings; or an error, and nothing.
 * A batch is shared out among threads one text at a time, so that a long one
 * does not hold up the others; what each gives does not depend on that.
 */
#include "tokenizer.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_THREADS = 256 };

void
krs_encoding_free(krs_encoding *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->overflow_count; i++)
        krs_encoding_free(&e->overflow[i]);
    free(e->overflow);
    free(e->ids);
    free(e->type_ids);
    free(e->spans);
    free(e->marks);
    free(e->piece);
    free(e->text);
    *e = (krs_encoding){0};
}

/* Ready for new tokens; the arrays stay. */
static void
empty(krs_encoding *e, bool pieces)
{
    for (size_t i = 0; i < e->overflow_count; i++)
        krs_encoding_free(&e->overflow[i]);
    free(e->overflow);
    e->overflow = NULL;
    e->overflow_count = e->count = 0;
    /* the strings have a capacity of their own only while they are wanted */
    if (pieces != (e->piece != NULL))
        krs_encoding_free(e);
}

static krs_status
check_text(const char *name, const char *text, size_t bytes, krs_error *err)
{
    if (!text && bytes > 0)
        return krs_fail(err, KRS_E_ARGUMENT, "tokenizer: %s must not be NULL",
                        name);
    if (bytes > KRSI_TEXT_BYTES)
        return krs_fail(err, KRS_E_RANGE,
                        "tokenizer: %s is %zu bytes long, at most %zu are "
                        "encoded at once; split it",
                        name, bytes, KRSI_TEXT_BYTES);
    size_t bad = krsi_utf8_check(text, bytes);
    if (bad < bytes)
        return krs_fail(err, KRS_E_FORMAT,
                        "tokenizer: %s is not UTF-8 at byte %zu, 0x%02x", name,
                        bad, (unsigned char)text[bad]);
    return KRS_OK;
}

static krs_status
check_options(const krs_encode_options *o, krs_error *err)
{
    const krs_truncation *tr = o->truncation;
    if (o->struct_size < sizeof *o)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "tokenizer: options must be given with struct_size "
                        "%zu",
                        sizeof *o);
    if (tr && (tr->max_length < 0 || tr->stride < 0 ||
               (unsigned)tr->strategy > KRS_TRUNCATE_ONLY_SECOND))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "tokenizer: a truncation to %" PRId64
                        " tokens with stride %" PRId64 " and strategy %d",
                        tr->max_length, tr->stride, (int)tr->strategy);
    if (o->pad_to < -2 || o->pad_to > (int64_t)KRSI_TEXT_BYTES ||
        o->threads < 0)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "tokenizer: pad_to is %" PRId64
                        ", from -2 to %zu is possible; threads is %" PRId64,
                        o->pad_to, KRSI_TEXT_BYTES, o->threads);
    return KRS_OK;
}

static krs_status
encode(const krs_tokenizer *t, krsi_work *w, const krs_text *texts,
       size_t count, const krs_encode_options *o, krs_encoding *e,
       krs_error *err)
{
    const krs_truncation *tr = o->truncation ? o->truncation : &t->truncation;
    for (size_t i = 0; i < count; i++) {
        bool limited = tr->max_length > 0 &&
                       (tr->strategy != KRS_TRUNCATE_ONLY_SECOND || i > 0);
        empty(&w->sequences[i], o->pieces);
        KRS_TRY(check_text(i ? "the pair" : "the text", texts[i].text,
                           texts[i].bytes, err));
        KRS_TRY(krsi_sequence(t, w, texts[i].text, texts[i].bytes, o,
                              limited ? (size_t)tr->max_length : 0, tr->left,
                              &w->sequences[i], err));
    }
    if (count == 1 && t->post.count == 0 && tr->max_length == 0) {
        krs_encoding swapped = *e; /* nothing more happens to it */
        *e = w->sequences[0];
        w->sequences[0] = swapped;
        return KRS_OK;
    }
    return krsi_finish(t, w, texts, count, o, tr, e, err);
}

/* Length to pad a batch to, whose longest is `longest`; 0: none. */
static size_t
padded_length(const krs_tokenizer *t, const krs_encode_options *o,
              size_t longest)
{
    const krsi_padding *p = &t->padding;
    size_t length;
    if (o->pad_to == -1 || (o->pad_to == 0 && !p->on))
        return 0;
    if (o->pad_to > 0)
        return (size_t)o->pad_to;
    length = o->pad_to == 0 && p->length > 0 ? (size_t)p->length : longest;
    if (p->multiple > 0 && length % (size_t)p->multiple)
        length += (size_t)p->multiple - length % (size_t)p->multiple;
    return length;
}

krs_status
krs_tokenizer_encode(const krs_tokenizer *t, const char *text, size_t bytes,
                     const krs_encode_options *options, krs_encoding *e,
                     krs_error *err)
{
    static const krs_encode_options usual = {.struct_size = sizeof usual};
    const krs_encode_options *o = options ? options : &usual;
    krsi_work *w;
    if (!t || !e)
        return krs_fail(err, KRS_E_ARGUMENT,
                        "tokenizer: encode: the tokenizer and the encoding "
                        "must not be NULL");
    empty(e, o->pieces);
    KRS_TRY(check_options(o, err));
    KRS_TRY(krsi_work_take(t, &w, err));
    krs_text texts[2] = {
        {text,    bytes        },
        {o->pair, o->pair_bytes}
    };
    krs_status status = encode(t, w, texts, o->pair ? 2 : 1, o, e, err);
    krsi_work_give(t, w);
    size_t length = status == KRS_OK ? padded_length(t, o, e->count) : 0;
    if (length > 0)
        status = krsi_pad(t, e, length, err);
    if (status != KRS_OK)
        krs_encoding_free(e);
    return status;
}

/* ---- batches ---- */

struct batch {
    const krs_tokenizer *t;
    const krs_text *texts, *pairs;
    size_t count;
    const krs_encode_options *options;
    krs_encoding *es;
    atomic_size_t next;   /* text to begin with */
    pthread_mutex_t lock; /* of what follows */
    size_t failed;        /* first text with an error; count: none */
    krs_error error;
};

static void
note_error(struct batch *b, size_t i, const krs_error *error)
{
    pthread_mutex_lock(&b->lock);
    if (i < b->failed) {
        b->failed = i;
        b->error = *error;
    }
    pthread_mutex_unlock(&b->lock);
}

static void *
work_on_batch(void *user)
{
    struct batch *b = user;
    krs_error error;
    krsi_work *w;
    if (krsi_work_take(b->t, &w, &error) != KRS_OK) {
        note_error(b, 0, &error);
        return NULL;
    }
    for (;;) {
        size_t i = atomic_fetch_add(&b->next, 1);
        if (i >= b->count)
            break;
        krs_text texts[2] = {b->texts[i]};
        if (b->pairs)
            texts[1] = b->pairs[i];
        if (encode(b->t, w, texts, b->pairs ? 2 : 1, b->options, &b->es[i],
                   &error) != KRS_OK)
            note_error(b, i, &error);
    }
    krsi_work_give(b->t, w);
    return NULL;
}

static size_t
thread_count(const krs_encode_options *o, size_t texts)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t count = o->threads > 0   ? (size_t)o->threads
                   : processors > 0 ? (size_t)processors
                                    : 1;
    if (count > texts)
        count = texts;
    return count > MOST_THREADS ? MOST_THREADS : count;
}

static krs_status
pad_batch(struct batch *b, krs_error *err)
{
    size_t longest = 0;
    for (size_t i = 0; i < b->count; i++)
        if (b->es[i].count > longest)
            longest = b->es[i].count;
    size_t length = padded_length(b->t, b->options, longest);
    for (size_t i = 0; length > 0 && i < b->count; i++)
        KRS_TRY(krsi_pad(b->t, &b->es[i], length, err));
    return KRS_OK;
}

krs_status
krs_tokenizer_encode_batch(const krs_tokenizer *t, const krs_text *texts,
                           const krs_text *pairs, size_t count,
                           const krs_encode_options *options, krs_encoding *es,
                           krs_error *err)
{
    static const krs_encode_options usual = {.struct_size = sizeof usual};
    struct batch b = {.t = t,
                      .texts = texts,
                      .pairs = pairs,
                      .count = count,
                      .options = options ? options : &usual,
                      .es = es,
                      .failed = count};
    pthread_t threads[MOST_THREADS];
    size_t started = 0;
    if (!t || (count > 0 && (!texts || !es)))
        return krs_fail(err, KRS_E_ARGUMENT,
                        "tokenizer: batch: the tokenizer, the texts and the "
                        "encodings must not be NULL");
    for (size_t i = 0; i < count; i++)
        empty(&es[i], b.options->pieces);
    KRS_TRY(check_options(b.options, err));
    if (count == 0)
        return KRS_OK;
    pthread_mutex_init(&b.lock, NULL);
    size_t wanted = thread_count(b.options, count);
    /* this thread works too; one that cannot be started is not missed */
    while (started + 1 < wanted &&
           pthread_create(&threads[started], NULL, work_on_batch, &b) == 0)
        started++;
    work_on_batch(&b);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&b.lock);
    krs_status status = KRS_OK;
    if (b.failed < count)
        status = krs_fail(err, b.error.status, "text %zu: %s", b.failed,
                          b.error.text);
    else
        status = pad_batch(&b, err);
    for (size_t i = 0; status != KRS_OK && i < count; i++)
        krs_encoding_free(&es[i]);
    return status;
}
