/* work.c -- scratch memory for encoding, one set a thread at a time.
 *
 * In: a tokenizer. Out: scratch that no other thread uses, from those that
 * calls before gave back, so that a second call finds its arrays and words
 * ready. A call that ran out of memory frees its scratch.
 */
#include "tokenizer.h"

#include <stdlib.h>

krs_status
krsi_work_take(const krs_tokenizer *t, krsi_work **out, krs_error *err)
{
    /* the list of spares is the one part of a tokenizer that changes */
    krs_tokenizer *owner = (krs_tokenizer *)t;
    pthread_mutex_lock(&owner->lock);
    krsi_work *w = owner->spare;
    if (w)
        owner->spare = w->next;
    pthread_mutex_unlock(&owner->lock);
    if (!w)
        w = calloc(1, sizeof *w);
    if (!w)
        return krsi_no_memory(err, "scratch memory");
    *out = w;
    return KRS_OK;
}

static bool
is_whole(const krsi_work *w)
{
    return !w->text.failed && !w->other.failed && !w->third.failed &&
           !w->whole.failed && !w->word_text.failed;
}

void
krsi_work_give(const krs_tokenizer *t, krsi_work *w)
{
    krs_tokenizer *owner = (krs_tokenizer *)t;
    if (!is_whole(w)) {
        krsi_work_free(w);
        return;
    }
    pthread_mutex_lock(&owner->lock);
    w->next = owner->spare;
    owner->spare = w;
    pthread_mutex_unlock(&owner->lock);
}

void
krsi_work_free(krsi_work *w)
{
    if (!w)
        return;
    krsi_aligned_free(&w->text);
    krsi_aligned_free(&w->other);
    krsi_aligned_free(&w->third);
    krsi_aligned_free(&w->whole);
    krs_encoding_free(&w->sequences[0]);
    krs_encoding_free(&w->sequences[1]);
    free(w->parts.items);
    free(w->spare.items);
    krsi_marked_list_free(&w->marked);
    krsi_search_free(&w->search);
    free(w->tokens.items);
    free(w->symbols);
    free(w->heap);
    free(w->nodes);
    free(w->apart);
    free(w->stack);
    krsi_words_free(w);
    krsi_scripts_free(w->scripts);
    free(w);
}

const char *
krsi_part_text(const krsi_work *w, const krsi_part *part)
{
    return (w->plain ? w->input : w->text.bytes) + part->begin;
}

krsi_span
krsi_work_span(const krsi_work *w, size_t begin, size_t end)
{
    if (!w->plain)
        return (krsi_span){w->text.from[begin].begin,
                           w->text.from[end - 1].end};
    return (krsi_span){
        (uint32_t)krsi_char_begin(w->input, begin),
        (uint32_t)krsi_char_end(w->input, w->input_bytes, end - 1)};
}

krs_status
krsi_part_add(krsi_parts *parts, size_t begin, size_t end, uint32_t id,
              krs_error *err)
{
    if (!krsi_room(&parts->items, &parts->capacity, parts->count + 1,
                   sizeof *parts->items))
        return krsi_no_memory(err, "words");
    parts->items[parts->count++] =
        (krsi_part){(uint32_t)begin, (uint32_t)end, id};
    return KRS_OK;
}
