/* index.c -- runtime integers: base + sum of coefficient * variable.
 *
 * Kept canonical: variables ascending, no zero coefficient, so that equal
 * indices are equal bytes. An overflow or too many variables spoils an index:
 * terms becomes -1, and whoever uses it is refused.
 */
#include "ir.h"

#include <stdio.h>
#include <string.h>

static const krs_index spoilt = {0, -1, {0}, {0}};

krs_index
krs_index_plus(krs_index a, krs_index b)
{
    krs_index sum = KRS_INDEX(0);
    if (a.terms < 0 || b.terms < 0 || a.terms > KRS_INDEX_TERMS ||
        b.terms > KRS_INDEX_TERMS ||
        __builtin_add_overflow(a.base, b.base, &sum.base))
        return spoilt;
    int i = 0, j = 0;
    while (i < a.terms || j < b.terms) {
        bool take_a = j == b.terms || (i < a.terms && a.var[i] <= b.var[j]);
        bool take_b = i == a.terms || (j < b.terms && b.var[j] <= a.var[i]);
        int32_t var = take_a ? a.var[i] : b.var[j];
        int64_t left = take_a ? a.coefficient[i++] : 0;
        int64_t right = take_b ? b.coefficient[j++] : 0;
        int64_t coefficient;
        if (__builtin_add_overflow(left, right, &coefficient))
            return spoilt;
        if (coefficient == 0)
            continue;
        if (sum.terms == KRS_INDEX_TERMS)
            return spoilt;
        sum.var[sum.terms] = var;
        sum.coefficient[sum.terms++] = coefficient;
    }
    return sum;
}

krs_index
krs_index_times(krs_index a, int64_t k)
{
    if (k == 0 && a.terms >= 0)
        return KRS_INDEX(0);
    if (a.terms < 0 || a.terms > KRS_INDEX_TERMS ||
        __builtin_mul_overflow(a.base, k, &a.base))
        return spoilt;
    for (int i = 0; i < a.terms; i++)
        if (__builtin_mul_overflow(a.coefficient[i], k, &a.coefficient[i]))
            return spoilt;
    return a;
}

bool
krs_index_equal(krs_index a, krs_index b)
{
    if (a.base != b.base || a.terms != b.terms)
        return false;
    for (int i = 0; i < a.terms; i++)
        if (a.var[i] != b.var[i] || a.coefficient[i] != b.coefficient[i])
            return false;
    return true;
}

const char *
krsi_index_text(char text[KRSI_INDEX_TEXT], const krs_graph *g, krs_index i)
{
    size_t used = 0;
    if (i.terms < 0)
        return strcpy(text, "(overflow)");
    for (int t = 0; t < i.terms && used < KRSI_INDEX_TEXT - 100; t++) {
        bool known = i.var[t] >= 0 && (size_t)i.var[t] < g->vars;
        const char *name = known ? g->string[g->var[i.var[t]].name]
                           : (size_t)i.var[t] == g->vars
                               ? "t" /* of a scan (cut_scan.c) */
                               : "?";
        int64_t k = i.coefficient[t];
        const char *sign = k < 0 ? "-" : t ? "+" : "";
        uint64_t size = k < 0 ? 0 - (uint64_t)k : (uint64_t)k;
        int n = size == 1 ? snprintf(text + used, KRSI_INDEX_TEXT - used,
                                     "%s%.40s", sign, name)
                          : snprintf(text + used, KRSI_INDEX_TEXT - used,
                                     "%s%llu*%.40s", sign,
                                     (unsigned long long)size, name);
        used += (size_t)n;
    }
    if (i.base != 0 || i.terms == 0)
        snprintf(text + used, KRSI_INDEX_TEXT - used,
                 i.terms ? "%+lld" : "%lld", (long long)i.base);
    return text;
}

bool
krsi_index_bounds(const krs_graph *g, krs_index i, int64_t *low, int64_t *high)
{
    *low = *high = i.base;
    if (i.terms < 0 || i.terms > KRS_INDEX_TERMS)
        return false;
    for (int t = 0; t < i.terms; t++) {
        if (i.var[t] < 0 || (size_t)i.var[t] >= g->vars)
            return false;
        const krsi_var *v = &g->var[i.var[t]];
        int64_t k = i.coefficient[t];
        int64_t at_low, at_high;
        if (__builtin_mul_overflow(k, k > 0 ? v->low : v->high, &at_low) ||
            __builtin_mul_overflow(k, k > 0 ? v->high : v->low, &at_high) ||
            __builtin_add_overflow(*low, at_low, low) ||
            __builtin_add_overflow(*high, at_high, high))
            return false;
    }
    return true;
}

bool
krsi_index_is_multiple(krs_index i, int64_t of)
{
    if (i.terms < 0 || i.terms > KRS_INDEX_TERMS || i.base % of != 0)
        return false;
    for (int t = 0; t < i.terms; t++)
        if (i.coefficient[t] % of != 0)
            return false;
    return true;
}

int64_t
krsi_index_value(krs_index i, const int64_t *var)
{
    int64_t value = i.base;
    for (int t = 0; t < i.terms; t++)
        value += i.coefficient[t] * var[i.var[t]];
    return value;
}
