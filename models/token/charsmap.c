/* charsmap.c -- sentencepiece's precompiled_charsmap: what characters, and
 * short runs of them, are replaced by.
 *
 * In: bytes of a file: the size of a double array (Aoki, Darts-clone), its
 * units of 32 bits, then the replacements, each closed by a zero. Out: the
 * replacement of a prefix of a text. Every step checks that it stays inside
 * the array, so that a hostile file gives wrong letters at worst.
 *
 * A unit: label in bits 0-7 and 31, a leaf follows if bit 8 is set, the offset
 * in bits 10-30, times 256 if bit 9 is set; a leaf holds its value in 31 bits.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST = 1024 }; /* bytes of a replacement; NFKC has 33 at most */

struct krsi_charsmap {
    uint32_t *units;
    size_t unit_count;
    char *replacements; /* closed by a zero of ours */
    size_t bytes;
};

krs_status
krsi_charsmap_new(const char *where, const void *data, size_t bytes,
                  krsi_charsmap **out, krs_error *err)
{
    uint32_t size = 0;
    if (bytes >= sizeof size)
        memcpy(&size, data, sizeof size);
    if (bytes < sizeof size || size > bytes - sizeof size || size % 4 ||
        size == 0)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: the charsmap is %zu bytes long and says that its "
                        "trie has %u: it must have at least one unit of 4, and "
                        "end inside",
                        where, bytes, size);
    const char *rest = (const char *)data + sizeof size + size;
    size_t rest_bytes = bytes - sizeof size - size;
    size_t bad = krsi_utf8_check(rest, rest_bytes);
    if (bad < rest_bytes)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: the charsmap is not UTF-8 at its byte %zu", where,
                        sizeof size + size + bad);
    for (size_t at = 0, n; at < rest_bytes; at += n + 1) {
        n = strnlen(rest + at, rest_bytes - at);
        if (n > LONGEST)
            return krs_fail(err, KRS_E_FORMAT,
                            "%s: the charsmap replaces by %zu bytes at its "
                            "byte %zu, at most %d are possible",
                            where, n, sizeof size + size + at, LONGEST);
    }
    krsi_charsmap *map = calloc(1, sizeof *map);
    if (!map)
        return krsi_no_memory(err, "a charsmap");
    map->units = malloc(size);
    map->unit_count = size / 4;
    map->replacements = krsi_copy_text(rest, rest_bytes);
    map->bytes = rest_bytes;
    if (!map->units || !map->replacements) {
        krsi_charsmap_free(map);
        return krsi_no_memory(err, "a charsmap");
    }
    memcpy(map->units, (const char *)data + sizeof size, size);
    *out = map;
    return KRS_OK;
}

void
krsi_charsmap_free(krsi_charsmap *map)
{
    if (!map)
        return;
    free(map->units);
    free(map->replacements);
    free(map);
}

static size_t
offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
}

/* The value of a prefix of text, -1 if none has one. */
static int64_t
search(const krsi_charsmap *map, const char *text, size_t bytes, bool longest,
       size_t *used)
{
    int64_t value = -1;
    size_t node = offset_of(map->units[0]);
    for (size_t i = 0; i < bytes && text[i]; i++) {
        uint8_t byte = (uint8_t)text[i];
        node ^= byte;
        if (node >= map->unit_count)
            break;
        uint32_t unit = map->units[node];
        if ((unit & 0x800000FFu) != byte)
            break;
        node ^= offset_of(unit);
        if (!(unit & 0x100) || node >= map->unit_count)
            continue;
        value = map->units[node] & 0x7FFFFFFFu;
        *used = i + 1;
        if (!longest)
            break;
    }
    return value;
}

static const char *
replacement(const krsi_charsmap *map, int64_t value, size_t *out_bytes)
{
    if (value < 0 || (size_t)value > map->bytes)
        return NULL;
    const char *text = map->replacements + value;
    *out_bytes = strlen(text);
    return text;
}

const char *
krsi_charsmap_longest(const krsi_charsmap *map, const char *text, size_t bytes,
                      size_t *used, size_t *out_bytes)
{
    int64_t value = search(map, text, bytes, true, used);
    return replacement(map, value, out_bytes);
}

const char *
krsi_charsmap_shortest(const krsi_charsmap *map, const char *text, size_t bytes,
                       size_t *out_bytes)
{
    size_t used;
    int64_t value = search(map, text, bytes, false, &used);
    return replacement(map, value, out_bytes);
}
