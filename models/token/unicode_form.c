/* unicode_form.c -- the normal forms of Unicode (UAX 15), each character with
 * the change it is to the text (aligned.c).
 *
 * In: UTF-8. Out: the characters of NFD, NFKD, NFC or NFKC; the first of what
 * a character comes apart into has change 0, the others 1; what is put
 * together has the sum of its parts, less one for each part after the first.
 * Decompositions, combining classes and compositions are utf8proc's.
 *
 * Characters between two starters are ordered by combining class with a
 * counting sort: a megabyte of accents takes linear time.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MOST_PARTS = 32, CLASSES = 256 }; /* U+FDFA comes apart into 18 */

static bool
put(krsi_marked_list *list, uint32_t code, int32_t change)
{
    if (!krsi_room(&list->items, &list->capacity, list->count + 1,
                   sizeof *list->items))
        return false;
    list->items[list->count++] = (krsi_marked){code, change};
    return true;
}

static uint8_t
class_of(uint32_t code)
{
    if (code < 0x300)
        return 0;
    return (uint8_t)utf8proc_get_property((utf8proc_int32_t)code)
        ->combining_class;
}

/* Order items[begin..count), none of which is a starter. */
static bool
sort_marks(krsi_marked_list *list, size_t begin)
{
    size_t starts[CLASSES + 1] = {0}, count = list->count - begin;
    if (count < 2)
        return true;
    if (!krsi_room(&list->spare, &list->spare_capacity, count,
                   sizeof *list->spare))
        return false;
    krsi_marked *items = list->items + begin;
    for (size_t i = 0; i < count; i++)
        starts[class_of(items[i].code) + 1]++;
    for (int c = 0; c < CLASSES; c++)
        starts[c + 1] += starts[c];
    for (size_t i = 0; i < count; i++)
        list->spare[starts[class_of(items[i].code)]++] = items[i];
    memcpy(items, list->spare, count * sizeof *items);
    return true;
}

static bool
decompose(krsi_marked_list *list, const char *text, size_t bytes,
          utf8proc_option_t options)
{
    size_t marks = 0; /* where those after the last starter begin */
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        utf8proc_int32_t parts[MOST_PARTS];
        utf8proc_ssize_t count = 1;
        int boundary = 0;
        i += krsi_utf8_next(text + i, bytes - i, &code);
        parts[0] = (utf8proc_int32_t)code;
        if (code >= 0x80)
            count = utf8proc_decompose_char(parts[0], parts, MOST_PARTS,
                                            options, &boundary);
        for (utf8proc_ssize_t k = 0; k < count; k++) {
            uint32_t part = (uint32_t)parts[k];
            bool starter = class_of(part) == 0;
            if ((starter && !sort_marks(list, marks)) ||
                !put(list, part, k > 0))
                return false;
            if (starter)
                marks = list->count;
        }
    }
    return sort_marks(list, marks);
}

/* What two characters make, or 0. */
static uint32_t
composed(uint32_t a, uint32_t b)
{
    utf8proc_int32_t pair[2] = {(utf8proc_int32_t)a, (utf8proc_int32_t)b};
    if (b < 0x300)
        return 0;
    return utf8proc_normalize_utf32(
               pair, 2,
               (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_STABLE)) == 1
               ? (uint32_t)pair[0]
               : 0;
}

/* UAX 15, D117: each character joins the last starter, if nothing between them
 * blocks it. */
static void
compose(krsi_marked_list *list)
{
    size_t starter = SIZE_MAX, out = 0;
    int last = -1; /* class of the last one kept after the starter */
    for (size_t i = 0; i < list->count; i++) {
        krsi_marked it = list->items[i];
        int own = class_of(it.code);
        if (starter != SIZE_MAX && last < own) {
            uint32_t whole = composed(list->items[starter].code, it.code);
            if (whole) {
                list->items[starter].code = whole;
                list->items[starter].change += it.change - 1;
                continue;
            }
        }
        if (own == 0) {
            starter = out;
            last = -1;
        } else if (starter != SIZE_MAX) {
            last = own;
        }
        list->items[out++] = it;
    }
    list->count = out;
}

bool
krsi_unicode_form(krsi_form form, const char *text, size_t bytes,
                  krsi_marked_list *out)
{
    bool compatible = form == KRSI_NFKD || form == KRSI_NFKC;
    out->count = 0;
    if (!decompose(out, text, bytes,
                   (utf8proc_option_t)(UTF8PROC_DECOMPOSE |
                                       (compatible ? UTF8PROC_COMPAT : 0))))
        return false;
    if (form == KRSI_NFC || form == KRSI_NFKC)
        compose(out);
    return true;
}

void
krsi_marked_list_free(krsi_marked_list *list)
{
    free(list->items);
    free(list->spare);
    *list = (krsi_marked_list){0};
}
