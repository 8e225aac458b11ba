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

/* Shortest %g form of at least `first` digits that reads back to the value,
 * as a double or (single) after rounding to f32. */
static const char *
print_shortest(char text[KRSI_NUMBER_TEXT], double value, int first, int last,
               bool single)
{
    if (isnan(value))
        return strcpy(text, "nan");
    if (isinf(value))
        return strcpy(text, value < 0 ? "-inf" : "inf");
    for (int digits = first; digits <= last; digits++) {
        snprintf(text, KRSI_NUMBER_TEXT, "%.*g", digits, value);
        if (digits == last)
            break;
        double back = strtod(text, NULL);
        if (single ? (float)back == (float)value : back == value)
            break;
    }
    char *point = strchr(text, decimal_point());
    if (point)
        *point = '.';
    return text;
}

const char *
krsi_print_double(char text[KRSI_NUMBER_TEXT], double value)
{
    return print_shortest(text, value, 6, 17, false);
}

const char *
krsi_print_float(char text[KRSI_NUMBER_TEXT], float value)
{
    return print_shortest(text, (double)value, 6, 9, true);
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
