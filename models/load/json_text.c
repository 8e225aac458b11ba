/* json_text.c -- text of JSON files, and for messages about them.
 *
 * In: bytes that nobody has checked, or a value. Out: the bytes quoted so that
 * a terminal is safe from them; whether they are UTF-8; a value as text.
 */
#include "json_file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A control character, as ASCII or as the UTF-8 of U+0080 to U+009F, which
 * a terminal obeys too; *bytes is its length. */
static bool
is_control(const char *text, size_t *bytes)
{
    unsigned char c = (unsigned char)text[0], next = (unsigned char)text[1];
    *bytes = c == 0xC2 && next >= 0x80 && next < 0xA0 ? 2 : 1;
    return *bytes == 2 || c < 0x20 || c == 0x7F;
}

const char *
krsi_json_quote(const char *text, char *out, size_t size)
{
    size_t n = 0, bytes;
    if (size < 8)
        return "\"...\"";
    out[n++] = '"';
    for (; *text; text += bytes) {
        char piece[12];
        if (is_control(text, &bytes))
            snprintf(piece, sizeof piece,
                     bytes == 2 ? "\\x%02x\\x%02x" : "\\x%02x",
                     (unsigned char)text[0], (unsigned char)text[1]);
        else if (*text == '"' || *text == '\\')
            snprintf(piece, sizeof piece, "\\%c", *text);
        else
            snprintf(piece, sizeof piece, "%c", *text);
        size_t piece_bytes = strlen(piece);
        if (n + piece_bytes + 5 > size) {
            /* cut before a whole character: drop UTF-8 continuation bytes */
            while (n > 1 && ((unsigned char)*text & 0xC0) == 0x80) {
                text--;
                n--;
            }
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        memcpy(out + n, piece, piece_bytes);
        n += piece_bytes;
    }
    out[n++] = '"';
    out[n] = 0;
    return out;
}

bool
krsi_is_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        int more = *s < 0x80 ? 0 : *s < 0xE0 ? 1 : *s < 0xF0 ? 2 : 3;
        if ((*s >= 0x80 && *s < 0xC2) || *s > 0xF4)
            return false;
        uint32_t code = more ? *s & (0x3Fu >> more) : *s;
        for (s++; more > 0; more--, s++) {
            if ((*s & 0xC0) != 0x80)
                return false;
            code = code << 6 | (*s & 0x3Fu);
            /* the second byte tells what is overlong, surrogate, too large */
            if ((more == 2 && s[-1] >= 0xE0 && s[-1] < 0xF0 &&
                 (code < 0x20 || (code >= 0x360 && code < 0x380))) ||
                (more == 3 && (code < 0x10 || code >= 0x110)))
                return false;
        }
    }
    return true;
}

/* Text that grows; a failed allocation sticks. */
typedef struct growing {
    char *text;
    size_t bytes, capacity;
    bool failed;
} growing;

static int
append(const char *piece, size_t bytes, void *user)
{
    growing *g = user;
    if (g->failed)
        return -1;
    if (g->capacity - g->bytes <= bytes) {
        size_t capacity = 2 * g->capacity + bytes + 64;
        char *text = realloc(g->text, capacity);
        g->failed = text == NULL;
        if (g->failed)
            return -1;
        g->text = text;
        g->capacity = capacity;
    }
    memcpy(g->text + g->bytes, piece, bytes);
    g->bytes += bytes;
    return 0;
}

char *
krsi_json_print(const json_t *value, size_t flags, size_t *bytes)
{
    growing g = {0};
    int failed = json_dump_callback(value, append, &g, flags);
    if (failed || g.failed || append("", 1, &g) != 0) {
        free(g.text);
        return NULL;
    }
    if (bytes)
        *bytes = g.bytes - 1;
    return g.text;
}
