/* string.c -- a growing string with sticky failure. */
#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
krsi_string_add_bytes(krsi_string *s, const char *bytes, size_t count)
{
    if (s->failed || count > SIZE_MAX - s->length - 1 ||
        !krsi_reserve(&s->text, &s->capacity, s->length + count + 1, 1)) {
        s->failed = true;
        return;
    }
    memcpy(s->text + s->length, bytes, count);
    s->length += count;
    s->text[s->length] = 0;
}

void
krsi_string_add(krsi_string *s, const char *text)
{
    krsi_string_add_bytes(s, text, strlen(text));
}

void
krsi_string_vformat(krsi_string *s, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    size_t room = s->failed ? 0 : s->capacity - s->length;
    int length =
        vsnprintf(room ? s->text + s->length : NULL, room, format, args);
    if (s->failed || length < 0) {
        s->failed = true;
    } else if ((size_t)length < room) {
        s->length += (size_t)length;
    } else if (krsi_reserve(&s->text, &s->capacity,
                            s->length + (size_t)length + 1, 1)) {
        vsnprintf(s->text + s->length, (size_t)length + 1, format, again);
        s->length += (size_t)length;
    } else {
        s->failed = true;
        if (room)
            s->text[s->length] = 0;
    }
    va_end(again);
}

void
krsi_string_format(krsi_string *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    krsi_string_vformat(s, format, args);
    va_end(args);
}

void
krsi_string_free(krsi_string *s)
{
    free(s->text);
    *s = (krsi_string){0};
}
