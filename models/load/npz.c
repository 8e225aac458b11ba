/* npz.c -- arrays of NumPy as tensors: one .npy, or an .npz, which is a zip
 * file of them.
 *
 * In: a path. Out: an entry for each array, named as its member without
 * ".npy". Invariant: an array and its header fill its member exactly. Stored
 * members are read where they lie; packed ones are unpacked from their begin
 * (weights_read.c). The checksum of stored members is not looked at.
 */
#include "npy_file.h"

#include "stored.h"
#include "zip_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ending[] = ".npy";

/* "dir/name.npy" to a name of its own, "name" */
static const char *
array_name(krs_weights *w, const char *path, bool with_folder)
{
    char *copy = NULL;
    const char *slash = strrchr(path, '/'), *kept = NULL;
    const char *begin = slash && !with_folder ? slash + 1 : path;
    size_t n = strlen(begin), m = sizeof ending - 1;
    if (n > m && strcmp(begin + n - m, ending) == 0)
        n -= m;
    copy = malloc(n + 1);
    if (copy) {
        memcpy(copy, begin, n);
        copy[n] = 0;
        kept = krsi_weights_keep_name(w, copy);
    }
    free(copy);
    return kept;
}

/* Room for `count` entries. */
static krs_status
make_room(krs_weights *w, size_t count, krs_error *err)
{
    w->entries = calloc(count + 1, sizeof *w->entries);
    if (!w->entries)
        return krs_fail(err, KRS_E_MEMORY,
                        "%s: out of memory for a list of %zu tensors", w->path,
                        count);
    return KRS_OK;
}

static krs_status
add_array(krs_weights *w, const char *place, const char *name,
          const char *begin, size_t begin_bytes, uint64_t bytes, krsi_entry *e,
          krs_error *err)
{
    size_t used = 0;
    krs_weight *t = &e->weight;
    KRS_TRY(krsi_npy_parse(place, begin, begin_bytes, t, &used, err));
    if (t->bytes != bytes - used)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: offset %zu: the array needs %" PRIu64
                        " bytes, %" PRIu64
                        " are there; the file may have been cut short",
                        place, used, t->bytes, bytes - used);
    t->file = w->shards[0].path;
    t->name = name;
    if (!name)
        return krs_fail(err, KRS_E_MEMORY, "%s: out of memory for a name",
                        place);
    e->skip = used;
    w->count++;
    return KRS_OK;
}

krs_status
krsi_npy_open(krs_weights *w, char *path, krs_error *err)
{
    char begin[KRSI_NPY_BYTES];
    krsi_shard *shard = &w->shards[w->shard_count++];
    *shard = (krsi_shard){.path = path};
    KRS_TRY(krsi_file_open(path, INT64_MAX, &shard->file, err));
    uint64_t bytes = shard->file.bytes;
    size_t n = bytes < sizeof begin ? (size_t)bytes : sizeof begin;
    KRS_TRY(krsi_file_read(&shard->file, 0, begin, n, err));
    KRS_TRY(make_room(w, 1, err));
    KRS_TRY(add_array(w, path, array_name(w, path, false), begin, n, bytes,
                      &w->entries[0], err));
    w->entries[0].at = w->entries[0].skip;
    return KRS_OK;
}

/* The first bytes of a member, at most all. */
static krs_status
read_begin(const krsi_file *file, const krsi_zip_member *m, char *begin,
           size_t bytes, krs_error *err)
{
    krsi_inflate *z;
    if (!m->place.is_packed)
        return krsi_file_read(file, m->place.at, begin, bytes, err);
    KRS_TRY(krsi_inflate_open(file, &m->place, &z, err));
    krs_status status = krsi_inflate_next(z, begin, bytes, err);
    krsi_inflate_close(z);
    return status;
}

static krs_status
add_member(krs_weights *w, const krsi_zip_member *m, krs_error *err)
{
    char begin[KRSI_NPY_BYTES], place[KRS_ERROR_TEXT / 4], quoted[96];
    krsi_entry *e = &w->entries[w->count];
    size_t n =
        m->place.bytes < sizeof begin ? (size_t)m->place.bytes : sizeof begin;
    snprintf(place, sizeof place, "%s: member %s", w->shards[0].path,
             krsi_json_quote(m->name, quoted, sizeof quoted));
    KRS_TRY(read_begin(&w->shards[0].file, m, begin, n, err));
    KRS_TRY(add_array(w, place, array_name(w, m->name, true), begin, n,
                      m->place.bytes, e, err));
    if (m->place.is_packed)
        e->packed = m->place;
    else
        e->at = m->place.at + e->skip;
    return KRS_OK;
}

krs_status
krsi_npz_open(krs_weights *w, char *path, krs_error *err)
{
    krsi_zip_member *members;
    size_t count;
    krsi_shard *shard = &w->shards[w->shard_count++];
    *shard = (krsi_shard){.path = path};
    KRS_TRY(krsi_file_open(path, INT64_MAX, &shard->file, err));
    KRS_TRY(krsi_zip_list(&shard->file, &members, &count, err));
    krs_status status = make_room(w, count, err);
    for (size_t i = 0; status == KRS_OK && i < count; i++)
        status = add_member(w, &members[i], err);
    krsi_zip_free(members, count);
    return status;
}
