/* clc_value.c -- names, types and constants of OpenCL C, and what moves lanes.
 */
#include "clc.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *held, *stored;
    int bytes; /* as held */
} elements[KRS_DTYPE_COUNT] = {
    [KRS_F32] = {"float",  "float",  4},
      [KRS_BF16] = {"ushort", "ushort", 2},
    [KRS_F16] = {"ushort", "ushort", 2},
      [KRS_I64] = {"long",   "long",   8},
    [KRS_I32] = {"int",    "int",    4},
      [KRS_I8] = {"char",   "char",   1},
    [KRS_U8] = {"uchar",  "uchar",  1},
      [KRS_BOOL] = {"int",    "uchar",  4},
};

int
krsi_clc_parts(krs_ktype type)
{
    return type.lanes > KRSI_CLC_PART ? type.lanes / KRSI_CLC_PART : 1;
}

int
krsi_clc_width(krs_ktype type)
{
    return type.lanes > KRSI_CLC_PART ? KRSI_CLC_PART : type.lanes;
}

int
krsi_clc_bytes(krs_dtype dtype)
{
    return elements[dtype].bytes;
}

static krsi_clc_name
wide(const char *element, int lanes)
{
    krsi_clc_name name;
    if (lanes > 1)
        snprintf(name.text, sizeof name.text, "%s%d", element, lanes);
    else
        snprintf(name.text, sizeof name.text, "%s", element);
    return name;
}

krsi_clc_name
krsi_clc_type(krs_dtype dtype, int lanes)
{
    return wide(elements[dtype].held, lanes);
}

krsi_clc_name
krsi_clc_stored(krs_dtype dtype, int lanes)
{
    return wide(elements[dtype].stored, lanes);
}

krsi_clc_name
krsi_clc_integer(int bytes, bool is_signed, int lanes)
{
    static const char *const names[2][4] = {
        {"uchar", "ushort", "uint", "ulong"},
        {"char",  "short",  "int",  "long" }
    };
    int log2 = bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3;
    return wide(names[is_signed][log2], lanes);
}

krsi_clc_name
krsi_clc_value(const krsi_clc *c, uint32_t inst, int part)
{
    krsi_clc_name name;
    if (krsi_clc_parts(c->kernel->insts[inst].type) > 1)
        snprintf(name.text, sizeof name.text, "v%u_%d", inst, part);
    else
        snprintf(name.text, sizeof name.text, "v%u", inst);
    return name;
}

krsi_clc_name
krsi_clc_lane(const krsi_clc *c, uint32_t inst, int lane)
{
    krsi_clc_name name = krsi_clc_value(c, inst, lane / KRSI_CLC_PART);
    size_t length = strlen(name.text);
    if (c->kernel->insts[inst].type.lanes > 1)
        snprintf(name.text + length, sizeof name.text - length, ".s%x",
                 (unsigned)lane % KRSI_CLC_PART);
    return name;
}

void
krsi_clc_line(krsi_clc *c, const char *format, ...)
{
    va_list args;
    krsi_string_format(&c->out, "%*s", 4 * c->depth, "");
    va_start(args, format);
    krsi_string_vformat(&c->out, format, args);
    va_end(args);
    krsi_string_add(&c->out, "\n");
}

void
krsi_clc_begin(krsi_clc *c, uint32_t inst, int part)
{
    krs_ktype type = c->kernel->insts[inst].type;
    krsi_string_format(&c->out, "%*sconst %s %s = ", 4 * c->depth, "",
                       krsi_clc_type(type.dtype, krsi_clc_width(type)).text,
                       krsi_clc_value(c, inst, part).text);
}

void
krsi_clc_end(krsi_clc *c)
{
    krsi_string_add(&c->out, ";\n");
}

/* ---- constants ---- */

static krsi_clc_name
float_constant(uint32_t bits)
{
    krsi_clc_name name;
    float f;
    memcpy(&f, &bits, sizeof f);
    if (isfinite(f))
        snprintf(name.text, sizeof name.text, "%af", (double)f);
    else
        snprintf(name.text, sizeof name.text, "as_float(0x%08xu)", bits);
    return name;
}

krsi_clc_name
krsi_clc_constant(krs_dtype dtype, uint64_t bits)
{
    krsi_clc_name name;
    if (dtype == KRS_F32)
        return float_constant((uint32_t)bits);
    if (dtype == KRS_I64 && bits == (uint64_t)1 << 63)
        snprintf(name.text, sizeof name.text, "LONG_MIN");
    else if (dtype == KRS_I64)
        snprintf(name.text, sizeof name.text, "%lldL", (long long)bits);
    else if (dtype == KRS_I32 && (uint32_t)bits == (uint32_t)1 << 31)
        snprintf(name.text, sizeof name.text, "INT_MIN");
    else if (dtype == KRS_I32)
        snprintf(name.text, sizeof name.text, "%d", (int32_t)(uint32_t)bits);
    else if (dtype == KRS_BOOL)
        snprintf(name.text, sizeof name.text, "%d", bits ? -1 : 0);
    else if (dtype == KRS_I8)
        snprintf(name.text, sizeof name.text, "%d", (int8_t)(uint8_t)bits);
    else
        snprintf(name.text, sizeof name.text, "%u", (unsigned)bits);
    return name;
}

/* ---- lanes ---- */

/* Which value, and which lane of it, lane i of a SHUFFLE is. */
static uint32_t
source_of(const krsi_clc *c, const krs_kinst *inst, int i, int *lane)
{
    int split = c->kernel->insts[inst->a].type.lanes;
    *lane = inst->u.lanes[i];
    if (*lane < split)
        return inst->a;
    *lane -= split;
    return inst->b;
}

/* How many lanes from i on, a power of two, come of one part of one value. */
static int
run_from(const krsi_clc *c, const krs_kinst *inst, int i, int most)
{
    int first, lane, run = 1;
    uint32_t value = source_of(c, inst, i, &first);
    if (c->kernel->insts[value].type.lanes == 1)
        return 1;
    while (run < most && source_of(c, inst, i + run, &lane) == value &&
           lane / KRSI_CLC_PART == first / KRSI_CLC_PART)
        run++;
    while (run & (run - 1))
        run &= run - 1;
    return run;
}

/* v7.s0123 */
static void
add_run(krsi_clc *c, const krs_kinst *inst, int i, int run)
{
    int lane;
    uint32_t value = source_of(c, inst, i, &lane);
    krsi_string_add(&c->out, krsi_clc_lane(c, value, lane).text);
    for (int k = 1; k < run; k++) {
        source_of(c, inst, i + k, &lane);
        krsi_string_format(&c->out, "%x", (unsigned)lane % KRSI_CLC_PART);
    }
}

static void
add_shuffle(krsi_clc *c, const krs_kinst *inst, int first, int width)
{
    int run = run_from(c, inst, first, width);
    if (run < width)
        krsi_string_format(&c->out, "(%s)(",
                           krsi_clc_type(inst->type.dtype, width).text);
    add_run(c, inst, first, run);
    for (int i = run; i < width; i += run) {
        krsi_string_add(&c->out, ", ");
        run = run_from(c, inst, first + i, width - i);
        add_run(c, inst, first + i, run);
    }
    if (run_from(c, inst, first, width) < width)
        krsi_string_add(&c->out, ")");
}

static void
add_numbers(krsi_clc *c, int first, int width)
{
    krsi_string_format(&c->out, width > 1 ? "(int%d)(" : "(", width);
    for (int i = 0; i < width; i++)
        krsi_string_format(&c->out, i ? ", %d" : "%d", first + i);
    krsi_string_add(&c->out, ")");
}

void
krsi_clc_lanes(krsi_clc *c, uint32_t number)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    krs_dtype dtype = inst->type.dtype;
    int width = krsi_clc_width(inst->type);
    for (int p = 0; p < krsi_clc_parts(inst->type); p++) {
        int first = p * KRSI_CLC_PART;
        krsi_clc_begin(c, number, p);
        if (inst->op == KRS_K_SHUFFLE)
            add_shuffle(c, inst, first, width);
        else if (inst->op == KRS_K_LANES)
            add_numbers(c, first, width);
        else
            krsi_string_format(
                &c->out, "(%s)(%s)", krsi_clc_type(dtype, width).text,
                inst->op == KRS_K_BROADCAST
                    ? krsi_clc_value(c, inst->a, 0).text
                    : krsi_clc_constant(dtype, inst->u.bits).text);
        krsi_clc_end(c);
    }
}
