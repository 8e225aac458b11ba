/* number.c -- doubles as text, the same under every locale.
 *
 * printf and strtod obey the decimal point of the locale, and setlocale
 * belongs to the host program. So the point is put in and taken out here.
 */
#include "base.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char
decimal_point(void)
{
    /* One probe instead of localeconv(), which is not thread-safe. */
    char probe[8];
    snprintf(probe, sizeof probe, "%.1f", 0.5);
    return probe[1];
}

const char *
krsi_print_double(char text[KRSI_NUMBER_TEXT], double value)
{
    if (isnan(value))
        return strcpy(text, "nan");
    if (isinf(value))
        return strcpy(text, value < 0 ? "-inf" : "inf");
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, KRSI_NUMBER_TEXT, "%.*g", digits, value);
        if (digits == 17 || strtod(text, NULL) == value)
            break;
    }
    char *point = strchr(text, decimal_point());
    if (point)
        *point = '.';
    return text;
}

bool
krsi_parse_double(const char *text, const char **end, double *out)
{
    static const struct {
        const char *name;
        double value;
    } special[] = {
        {"nan",  (double)NAN      },
        {"inf",  (double)INFINITY },
        {"-inf", (double)-INFINITY}
    };
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(special[i].name);
        if (strncmp(text, special[i].name, n) == 0) {
            *end = text + n;
            *out = special[i].value;
            return true;
        }
    }
    char copy[64];
    size_t n = strspn(text, "+-0123456789.eE");
    if (n == 0 || n >= sizeof copy)
        return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    char *point = strchr(copy, '.');
    if (point)
        *point = decimal_point();
    char *stop;
    *out = strtod(copy, &stop);
    if (stop == copy)
        return false;
    *end = text + (stop - copy);
    return true;
}
