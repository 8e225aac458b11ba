/* utf8.h -- one character of a text, in line: for loops over all of it.
 *
 * What is not UTF-8 (Unicode 15, table 3-7: no overlong form, no surrogate,
 * nothing beyond U+10FFFF) counts as U+FFFD of one byte, as in sentencepiece.
 */
#ifndef KRSI_UTF8_H
#define KRSI_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define KRSI_REPLACEMENT 0xFFFDu

static inline int
krsi_is_continuation(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* krsi_utf8_next(text, bytes, &code) -- the character at the start of a text
 * that is not empty; its length. */
static inline size_t
krsi_utf8_next(const char *text, size_t bytes, uint32_t *code)
{
    const unsigned char *s = (const unsigned char *)text;
    uint32_t c = s[0];
    if (c < 0x80) {
        *code = c;
        return 1;
    }
    if (c >= 0xC2 && c < 0xE0 && bytes >= 2 && (s[1] & 0xC0) == 0x80) {
        *code = (c & 0x1F) << 6 | (s[1] & 0x3Fu);
        return 2;
    }
    if (c >= 0xE0 && c < 0xF0 && bytes >= 3 && (s[1] & 0xC0) == 0x80 &&
        (s[2] & 0xC0) == 0x80) {
        uint32_t value =
            (c & 0x0F) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
        if (value >= 0x800 && (value < 0xD800 || value > 0xDFFF)) {
            *code = value;
            return 3;
        }
    }
    if (c >= 0xF0 && c < 0xF5 && bytes >= 4 && (s[1] & 0xC0) == 0x80 &&
        (s[2] & 0xC0) == 0x80 && (s[3] & 0xC0) == 0x80) {
        uint32_t value = (c & 0x07) << 18 | (s[1] & 0x3Fu) << 12 |
                         (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
        if (value >= 0x10000 && value <= 0x10FFFF) {
            *code = value;
            return 4;
        }
    }
    *code = KRSI_REPLACEMENT;
    return 1;
}

/* the length alone, of a text that is UTF-8 */
static inline size_t
krsi_utf8_length(char first)
{
    unsigned char c = (unsigned char)first;
    return c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

#endif
