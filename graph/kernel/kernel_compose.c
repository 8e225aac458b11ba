/* kernel_compose.c -- builder calls made of other builder calls.
 *
 * In: a builder. Out: constants of one type, parts of vectors, masks of the
 * last elements, ifs, and sums of rows in their stated order. Nothing here knows
 * how the builder keeps its instructions.
 */
#include "kb.h"

#include <string.h>

/* So far apart that a loop takes one trip; no sum with an index overflows. */
#define ONCE (INT64_C(1) << 62)

krsi_kv
krsi_kb_f32(krsi_kb *kb, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return krsi_kb_const(kb, (krs_ktype){KRS_F32, 1}, bits);
}

krsi_kv
krsi_kb_i32(krsi_kb *kb, int32_t value)
{
    return krsi_kb_const(kb, (krs_ktype){KRS_I32, 1}, (uint32_t)value);
}

krsi_kv
krsi_kb_i64(krsi_kb *kb, int64_t value)
{
    return krsi_kb_const(kb, (krs_ktype){KRS_I64, 1}, (uint64_t)value);
}

krsi_kv
krsi_kb_bool(krsi_kb *kb, bool value)
{
    return krsi_kb_const(kb, (krs_ktype){KRS_BOOL, 1}, value);
}

krsi_kv
krsi_kb_slice(krsi_kb *kb, krsi_kv a, int first, int count)
{
    uint8_t indices[KRS_K_MAX_LANES];
    if (first == 0 && count == krsi_kb_type(kb, a).lanes)
        return a;
    if (count < 1 || count > KRS_K_MAX_LANES || first < 0 || first > 127) {
        krsi_kb_fail(kb, KRS_E_RANGE, "slice of %d lanes from %d", count,
                     first);
        return KRSI_KV_NONE;
    }
    for (int i = 0; i < count; i++)
        indices[i] = (uint8_t)(first + i);
    return krsi_kb_shuffle(kb, a, KRSI_KV_NONE, count, indices);
}

krsi_kv
krsi_kb_below(krsi_kb *kb, krsi_kv first, krsi_kv end, int lanes)
{
    if (lanes == 1)
        return krsi_kb_lt(kb, first, end);
    krsi_kv left = krsi_kb_sub(kb, end, first);
    left = krsi_kb_min(kb, left, krsi_kb_i64(kb, lanes));
    left =
        krsi_kb_convert(kb, KRS_I32, krsi_kb_max(kb, left, krsi_kb_i64(kb, 0)));
    return krsi_kb_lt(kb, krsi_kb_lanes(kb, lanes), left);
}

void
krsi_kb_if_below(krsi_kb *kb, krsi_kv low, krsi_kv high)
{
    krsi_kb_for(kb, low, high, krsi_kb_i64(kb, ONCE));
}

krsi_kv
krsi_kb_join(krsi_kb *kb, krs_kscalar op, const krsi_kv *parts, int count)
{
    krsi_kv v[KRSI_ROW_LANES];
    memcpy(v, parts, (size_t)count * sizeof *v);
    for (int half = count / 2; half >= 1; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] = krsi_kb_scalar(kb, op, v[i], v[i + half], KRSI_KV_NONE);
    return v[0];
}

krsi_kv
krsi_kb_fold(krsi_kb *kb, krs_kscalar op, krsi_kv v)
{
    for (int half = krsi_kb_type(kb, v).lanes / 2; half >= 1; half /= 2)
        v = krsi_kb_scalar(kb, op, krsi_kb_slice(kb, v, 0, half),
                           krsi_kb_slice(kb, v, half, half), KRSI_KV_NONE);
    return v;
}

krsi_kv
krsi_kb_row_tree(krsi_kb *kb, krs_kscalar op, const krsi_kv *parts, int lanes)
{
    if (krsi_kb_failed(kb))
        return KRSI_KV_NONE;
    if (lanes < 1 || lanes > KRSI_ROW_LANES || (lanes & (lanes - 1)) ||
        krs_kscalar_arity(op) != 2) {
        krsi_kb_fail(kb, KRS_E_RANGE, "row tree of %s over vectors of %d lanes",
                     krs_kscalar_name(op), lanes);
        return KRSI_KV_NONE;
    }
    return krsi_kb_fold(kb, op,
                        krsi_kb_join(kb, op, parts, KRSI_ROW_LANES / lanes));
}
