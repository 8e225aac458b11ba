/* base64.c -- RFC 4648 text to bytes: charsmaps of tokenizer.json, tokens of
 * .tiktoken.
 *
 * In: the alphabet with + and /, padded. Out: exactly the bytes; anything else
 * (other characters, missing padding, bits set after the end) is refused.
 */
#include "tokenizer.h"

#include <stdlib.h>

static int
value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

krs_status
krsi_base64(const char *where, const char *text, size_t count, char **out,
            size_t *out_bytes, krs_error *err)
{
    size_t padding = 0, bytes = 0;
    while (padding < 2 && padding < count && text[count - 1 - padding] == '=')
        padding++;
    if (count % 4)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: base64 of %zu characters, a multiple of 4 is "
                        "needed",
                        where, count);
    char *data = malloc(count / 4 * 3 + 1);
    if (!data)
        return krsi_no_memory(err, "base64");
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        int value = i < count - padding ? value_of(text[i]) : 0;
        if (value < 0) {
            free(data);
            return krs_fail(err, KRS_E_FORMAT,
                            "%s: character %zu of the base64 is 0x%02x, which "
                            "is not of its alphabet",
                            where, i, (unsigned char)text[i]);
        }
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 3)
            continue;
        data[bytes++] = (char)(bits >> 16);
        data[bytes++] = (char)(bits >> 8);
        data[bytes++] = (char)bits;
        bits = 0;
    }
    /* the last bytes of padding are zeros, and not of the data */
    if (padding) {
        bytes -= padding;
        if (data[bytes]) {
            free(data);
            return krs_fail(err, KRS_E_FORMAT,
                            "%s: the base64 has bits after its end", where);
        }
    }
    data[bytes] = 0;
    *out = data;
    *out_bytes = bytes;
    return KRS_OK;
}
