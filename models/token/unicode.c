/* unicode.c -- characters and their classes, as the tokenizers name them.
 *
 * In: bytes or code points. Out: classes by utf8proc's tables (Unicode 15.0).
 * The original tokenizers carry tables of other versions, and some of several;
 * tests/golden/tokenizers/README.md lists where that shows.
 *
 * utf8proc has no White_Space; it is the separators (Z) and seven controls
 * (Unicode 15, PropList.txt).
 */
#include "tokenizer.h"

#include <utf8proc.h>

size_t
krsi_utf8_last(const char *text, size_t bytes, uint32_t *code)
{
    size_t begin = bytes - 1;
    while (begin > 0 && bytes - begin < 4 && krsi_is_continuation(text[begin]))
        begin--;
    size_t used = krsi_utf8_next(text + begin, bytes - begin, code);
    if (used == bytes - begin)
        return used;
    *code = KRSI_REPLACEMENT;
    return 1;
}

size_t
krsi_utf8_put(char out[4], uint32_t code)
{
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)code,
                                        (utf8proc_uint8_t *)out);
}

size_t
krsi_utf8_broken(const char *text, size_t bytes)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t most = s[0] < 0xC2 || s[0] > 0xF4 ? 1
                  : s[0] < 0xE0              ? 2
                  : s[0] < 0xF0              ? 3
                                             : 4;
    unsigned low = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80;
    unsigned high = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;
    size_t i = 1;
    if (most == 1 || bytes < 2 || s[1] < low || s[1] > high)
        return 1;
    while (i < most && i < bytes && krsi_is_continuation(text[i]))
        i++;
    return i;
}

size_t
krsi_utf8_check(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        uint32_t code;
        size_t used = krsi_utf8_next(text + i, bytes - i, &code);
        if (code == KRSI_REPLACEMENT && used == 1)
            return i;
        i += used;
    }
    return bytes;
}

size_t
krsi_utf8_count(const char *text, size_t bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += !krsi_is_continuation(text[i]);
    return count;
}

size_t
krsi_char_begin(const char *text, size_t i)
{
    while (i > 0 && krsi_is_continuation(text[i]))
        i--;
    return i;
}

size_t
krsi_char_end(const char *text, size_t bytes, size_t i)
{
    for (i++; i < bytes && krsi_is_continuation(text[i]); i++)
        continue;
    return i;
}

static utf8proc_category_t
category(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code);
}

bool
krsi_is_space(uint32_t code)
{
    if (code < 0x80)
        return code == ' ' || (code >= 9 && code <= 13);
    if (code == 0x85)
        return true;
    utf8proc_category_t c = category(code);
    return c >= UTF8PROC_CATEGORY_ZS && c <= UTF8PROC_CATEGORY_ZP;
}

bool
krsi_is_letter(uint32_t code)
{
    if (code < 0x80)
        return (code | 32) >= 'a' && (code | 32) <= 'z';
    utf8proc_category_t c = category(code);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool
krsi_is_number(uint32_t code)
{
    if (code < 0x80)
        return code >= '0' && code <= '9';
    utf8proc_category_t c = category(code);
    return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO;
}

bool
krsi_is_nonspacing(uint32_t code)
{
    return code >= 0x80 && category(code) == UTF8PROC_CATEGORY_MN;
}

bool
krsi_is_mark(uint32_t code)
{
    utf8proc_category_t c = category(code);
    return c >= UTF8PROC_CATEGORY_MN && c <= UTF8PROC_CATEGORY_ME;
}

bool
krsi_is_punctuation(uint32_t code)
{
    if (code < 0x80)
        return code > 32 && code < 127 && !krsi_is_letter(code) &&
               !krsi_is_number(code);
    utf8proc_category_t c = category(code);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

bool
krsi_is_other(uint32_t code)
{
    if (code < 0x80)
        return code < 32 || code == 127;
    return category(code) >= UTF8PROC_CATEGORY_CC;
}

bool
krsi_is_ideograph(uint32_t code)
{
    return (code >= 0x4E00 && code <= 0x9FFF) ||
           (code >= 0x3400 && code <= 0x4DBF) ||
           (code >= 0x20000 && code <= 0x2A6DF) ||
           (code >= 0x2A700 && code <= 0x2B73F) ||
           (code >= 0x2B740 && code <= 0x2B81F) ||
           (code >= 0x2B920 && code <= 0x2CEAF) ||
           (code >= 0xF900 && code <= 0xFAFF) ||
           (code >= 0x2F800 && code <= 0x2FA1F);
}

int
krsi_lower(uint32_t code, uint32_t out[2])
{
    if (code == 0x130) { /* SpecialCasing.txt: the one that becomes two */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
    return 1;
}

/* Bytes that print stand for themselves, the others follow U+0100 in order. */
static bool
stands_for_itself(uint32_t byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
           byte >= 0xAE;
}

uint32_t
krsi_byte_char(uint8_t byte)
{
    if (stands_for_itself(byte))
        return byte;
    if (byte <= ' ')
        return 0x100u + byte;
    return byte == 0xAD ? 0x143 : 0x100u + 33 + (byte - 0x7Fu);
}

int
krsi_char_byte(uint32_t code)
{
    if (code < 0x100)
        return stands_for_itself(code) ? (int)code : -1;
    if (code <= 0x120)
        return (int)(code - 0x100);
    if (code <= 0x142)
        return (int)(code - 0x121 + 0x7F);
    return code == 0x143 ? 0xAD : -1;
}
