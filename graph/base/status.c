/* status.c -- the status list as text, and the one way to fill an error. */
#include "base.h"

#include <krs/version.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *
krs_status_name(krs_status status)
{
    static const char *const names[] = {
#define NAME(name, text) #name,
        KRS_STATUS_LIST(NAME)
#undef NAME
    };
    size_t i = (size_t)status;
    return i < sizeof names / sizeof *names ? names[i] : "E_INTERNAL";
}

const char *
krs_status_text(krs_status status)
{
    static const char *const texts[] = {
#define TEXT(name, text) text,
        KRS_STATUS_LIST(TEXT)
#undef TEXT
    };
    size_t i = (size_t)status;
    return i < sizeof texts / sizeof *texts ? texts[i] : texts[KRS_E_INTERNAL];
}

krs_status
krs_fail(krs_error *err, krs_status status, const char *format, ...)
{
    if (!err)
        return status;
    int saved = errno;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (length < 0)
        err->text[0] = 0;
    if (length >= (int)sizeof err->text) {
        size_t end = sizeof err->text - 1;
        while (end > 0 && ((unsigned char)err->text[end - 1] & 0xC0) == 0x80)
            end--;
        if (end > 0 && ((unsigned char)err->text[end - 1] & 0xC0) == 0xC0)
            end--; /* the lead byte of a character that was cut */
        err->text[end] = 0;
    }
    err->status = status;
    errno = saved;
    return status;
}

krs_status
krsi_need(const void *pointer, const char *function, const char *what,
          krs_error *err)
{
    return pointer ? KRS_OK
                   : krs_fail(err, KRS_E_ARGUMENT, "%s: %s is NULL", function,
                              what);
}

const char *
krs_version(void)
{
    return KRS_VERSION;
}
