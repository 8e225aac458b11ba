/* text_batches.c -- the batches of a trainer out of a krs_data.
 *
 * In: tokens (data.h), a batch size, a seed. Out: a krs_train_batches whose
 * cursor is the number of batches drawn, so that a step number is enough to
 * continue. The last validation batch is filled up with rows whose targets
 * are all -100.
 *
 * The fingerprint is XXH3-64 over sizes, split and up to 512 windows from all
 * over the data: it tells texts apart, it is no proof that they are equal.
 */
#include <krs/train.h>

#include <stdlib.h>
#include <xxhash.h>

#define PRINTED_WINDOWS 256 /* of each part */

struct krs_train_text {
    const krs_data *data; /* borrowed */
    int64_t batch;
    krs_data_cursor cursor;
    uint64_t seed;
    uint64_t fingerprint;
};

static krs_status
next(void *user, int64_t *ids, int64_t *targets, krs_error *err)
{
    krs_train_text *t = user;
    return krs_data_next(t->data, &t->cursor, t->batch, ids, targets, err);
}

static krs_status
validation(void *user, int64_t i, int64_t *ids, int64_t *targets,
           krs_error *err)
{
    const krs_train_text *t = user;
    int64_t first = i * t->batch;
    int64_t left = krs_data_validation_windows(t->data) - first;
    int64_t rows = left < t->batch ? left : t->batch;
    int64_t time = krs_data_window(t->data);
    for (int64_t j = rows * time; j < t->batch * time; j++) {
        ids[j] = 0;
        targets[j] = -100;
    }
    return krs_data_validation(t->data, first, rows, ids, targets, err);
}

static krs_status
seek(void *user, int64_t cursor, krs_error *err)
{
    krs_train_text *t = user;
    int64_t windows;
    if (cursor < 0 || __builtin_mul_overflow(cursor, t->batch, &windows))
        return krs_fail(err, KRS_E_RANGE,
                        "text: %lld batches of %lld windows are too many",
                        (long long)cursor, (long long)t->batch);
    krs_data_cursor at = krs_data_start(t->data, (int64_t)t->seed);
    KRS_TRY(krs_data_skip(t->data, &at, windows, err));
    t->cursor = at;
    return KRS_OK;
}

/* Windows spread over both parts, into the state of a hash. ids, targets: a
 * window each. */
static krs_status
hash_windows(const krs_data *data, int64_t *ids, int64_t *targets,
             XXH3_state_t *state, krs_error *err)
{
    size_t bytes = (size_t)krs_data_window(data) * sizeof *ids;
    int64_t held_out = krs_data_validation_windows(data);
    krs_data_cursor at = krs_data_start(data, 0);
    for (int64_t i = 0; i < PRINTED_WINDOWS; i++) {
        KRS_TRY(krs_data_next(data, &at, 1, ids, targets, err));
        XXH3_64bits_update(state, ids, bytes);
        XXH3_64bits_update(state, targets, bytes);
        if (i >= held_out)
            continue;
        int64_t first =
            held_out <= PRINTED_WINDOWS ? i : held_out / PRINTED_WINDOWS * i;
        KRS_TRY(krs_data_validation(data, first, 1, ids, targets, err));
        XXH3_64bits_update(state, ids, bytes);
        XXH3_64bits_update(state, targets, bytes);
    }
    return KRS_OK;
}

static krs_status
take_fingerprint(krs_train_text *t, krs_error *err)
{
    const krs_data *data = t->data;
    const int64_t sizes[] = {krs_data_tokens(data), krs_data_windows(data),
                             krs_data_validation_windows(data),
                             krs_data_window(data)};
    size_t window = (size_t)krs_data_window(data);
    int64_t *ids = calloc(window, sizeof *ids);
    int64_t *targets = calloc(window, sizeof *targets);
    XXH3_state_t *state = XXH3_createState();
    krs_status status = KRS_OK;
    if (ids && targets && state) {
        XXH3_64bits_reset(state);
        XXH3_64bits_update(state, sizes, sizeof sizes);
        status = hash_windows(data, ids, targets, state, err);
        t->fingerprint = XXH3_64bits_digest(state);
    } else {
        status = krs_fail(err, KRS_E_MEMORY,
                          "text: no memory for a window of %zu tokens", window);
    }
    XXH3_freeState(state);
    free(ids);
    free(targets);
    return status;
}

krs_status
krs_train_text_new(const krs_data *data, int64_t batch, uint64_t seed,
                   krs_train_text **out, krs_error *err)
{
    *out = NULL;
    if (batch < 1)
        return krs_fail(err, KRS_E_RANGE,
                        "text: a batch of %lld windows; at least 1",
                        (long long)batch);
    krs_train_text *t = calloc(1, sizeof *t);
    if (!t)
        return krs_fail(err, KRS_E_MEMORY, "text: no memory");
    t->data = data;
    t->batch = batch;
    t->seed = seed;
    t->cursor = krs_data_start(data, (int64_t)seed);
    krs_status status = take_fingerprint(t, err);
    if (status != KRS_OK) {
        free(t);
        return status;
    }
    *out = t;
    return KRS_OK;
}

void
krs_train_text_free(krs_train_text *text)
{
    free(text);
}

krs_train_batches
krs_train_text_batches(krs_train_text *t, double bytes_per_token)
{
    int64_t held_out = krs_data_validation_windows(t->data);
    return (krs_train_batches){.struct_size = sizeof(krs_train_batches),
                               .user = t,
                               .next = next,
                               .validation = validation,
                               .seek = seek,
                               .validation_count =
                                   (held_out + t->batch - 1) / t->batch,
                               .bytes_per_token = bytes_per_token,
                               .seed = t->seed,
                               .fingerprint = t->fingerprint};
}
