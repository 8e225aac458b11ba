/* clc_memory.c -- loads, gathers, stores, scatters.
 *
 * On processors a masked load of parameters and scratch reads the whole vector
 * if any of its lanes is on, and forgets the others: both have KRSI_CLC_SLACK
 * bytes around them, and items do not write where another one reads a row. All
 * other masked accesses go lane by lane, unless all are on.
 */
#include "clc.h"

#include <stdio.h>

/* b2[v7 + v8.s3] */
static void
add_element(krsi_clc *c, const krs_kinst *inst, int lane)
{
    krsi_string_format(&c->out, "b%u[%s", inst->slot,
                       krsi_clc_value(c, inst->a, 0).text);
    if (inst->op == KRS_K_GATHER || inst->op == KRS_K_SCATTER)
        krsi_string_format(&c->out, " + %s",
                           krsi_clc_lane(c, inst->b, lane).text);
    else if (lane)
        krsi_string_format(&c->out, " + %d", lane);
    krsi_string_add(&c->out, "]");
}

/* One lane that is loaded, as it is held. */
static void
add_loaded(krsi_clc *c, const krs_kinst *inst, int lane)
{
    bool is_bool = inst->type.dtype == KRS_BOOL;
    krsi_string_format(&c->out, is_bool ? "-(" : "(%s)(",
                       krsi_clc_type(inst->type.dtype, 1).text);
    if (inst->c)
        krsi_string_format(&c->out, "%s ? ",
                           krsi_clc_lane(c, inst->c, lane).text);
    add_element(c, inst, lane);
    krsi_string_format(&c->out, "%s%s)", is_bool ? " != 0" : "",
                       inst->c ? " : 0" : "");
}

/* A gather with a mask, in a loop for the same reason as store_by_mask. */
static void
gather_by_mask(krsi_clc *c, uint32_t number, int part)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    int width = krsi_clc_width(inst->type);
    krsi_clc_name type = krsi_clc_type(inst->type.dtype, width);
    krsi_clc_name element = krsi_clc_type(inst->type.dtype, 1);
    krsi_clc_name value = krsi_clc_value(c, number, part);
    krsi_clc_name mask = krsi_clc_value(c, inst->c, part);
    krsi_clc_line(c, "%s %s = (%s)(0);", type.text, value.text, type.text);
    krsi_clc_line(c, "if (ANY(%s)) {", mask.text);
    c->depth++;
    krsi_clc_line(c, "int on[%d]; STORE(__private, int, %d, on, %s);", width,
                  width, mask.text);
    krsi_clc_line(c,
                  "long from[%d]; STORE(__private, long, %d, from, "
                  "TO(long%d, %s));",
                  width, width, width, krsi_clc_value(c, inst->b, part).text);
    krsi_clc_line(c, "%s got[%d];", element.text, width);
    krsi_clc_line(c, "#pragma unroll 1");
    krsi_clc_line(c,
                  "for (int l = 0; l < %d; l++) got[l] = on[l] ? %sb%u[%s + "
                  "from[l]]%s : 0;",
                  width, inst->type.dtype == KRS_BOOL ? "-(" : "", inst->slot,
                  krsi_clc_value(c, inst->a, 0).text,
                  inst->type.dtype == KRS_BOOL ? " != 0)" : "");
    krsi_clc_line(c, "%s = LOAD(__private, %s, %d, got);", value.text,
                  element.text, width);
    c->depth--;
    krsi_clc_line(c, "}");
}

static const char *
space_of(const krsi_clc *c, const krs_kinst *inst)
{
    return c->kernel->buffers[inst->slot].space == KRS_K_SHARED ? "__local"
                                                                : "__global";
}

/* Does the kernel promise that a vector of it lies at a multiple of its size? */
static bool
is_aligned(const krs_kinst *inst)
{
    int bytes = krsi_clc_width(inst->type) *
                krsi_clc_bytes((krs_dtype)inst->type.dtype);
    return 1 << inst->align_log2 >= bytes;
}

/* LOAD(__global, float, 16, b2 + v7 + 16), a bool as it is held */
static void
add_vector(krsi_clc *c, const krs_kinst *inst, const char *place)
{
    int width = krsi_clc_width(inst->type);
    bool is_bool = inst->type.dtype == KRS_BOOL;
    if (is_bool)
        krsi_string_format(&c->out, "TO(int%d, ", width);
    krsi_string_format(&c->out, "LOAD%s(%s, %s, %d, b%u + %s)",
                       is_aligned(inst) ? "_ALIGNED" : "", space_of(c, inst),
                       krsi_clc_stored(inst->type.dtype, 1).text, width,
                       inst->slot, place);
    if (is_bool)
        krsi_string_format(&c->out, " != (uchar%d)(0))", width);
}

typedef struct place_text {
    char text[KRSI_CLC_TEXT + 16];
} place_text;

/* v7 + 16: where the part begins */
static place_text
place_of(const krsi_clc *c, const krs_kinst *inst, int part)
{
    place_text place;
    snprintf(place.text, sizeof place.text, "%s + %d",
             krsi_clc_value(c, inst->a, 0).text, part * KRSI_CLC_PART);
    return place;
}

static void
load_by_lane(krsi_clc *c, uint32_t number, int part)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    int width = krsi_clc_width(inst->type);
    krsi_clc_begin(c, number, part);
    if (inst->c && inst->op == KRS_K_LOAD && width > 1) {
        krsi_string_format(&c->out, "ALL(%s) ? ",
                           krsi_clc_value(c, inst->c, part).text);
        add_vector(c, inst, place_of(c, inst, part).text);
        krsi_string_add(&c->out, " : ");
    }
    if (width > 1)
        krsi_string_format(&c->out, "(%s)(",
                           krsi_clc_type(inst->type.dtype, width).text);
    for (int i = 0; i < width; i++) {
        krsi_string_add(&c->out, i ? ", " : "");
        add_loaded(c, inst, part * KRSI_CLC_PART + i);
    }
    krsi_string_add(&c->out, width > 1 ? ")" : "");
    krsi_clc_end(c);
}

/* A whole vector as an instruction of its own. */
static void
load_vector(krsi_clc *c, uint32_t number, int part)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    krsi_clc_begin(c, number, part);
    add_vector(c, inst, place_of(c, inst, part).text);
    krsi_clc_end(c);
}

/* Where no lane is on, the vector at the buffer's beginning is read instead:
 * no branch, which compilers take long about. */
static void
load_masked(krsi_clc *c, uint32_t number, int part)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    bool converts = krsi_clc_bytes(inst->type.dtype) != 4;
    char place[2 * KRSI_CLC_TEXT + 32];
    krsi_clc_name mask = krsi_clc_value(c, inst->c, part);
    snprintf(place, sizeof place, "(ANY(%s) ? %s : 0L)", mask.text,
             place_of(c, inst, part).text);
    krsi_clc_begin(c, number, part);
    if (converts)
        krsi_clc_expand(c, number, part, "$v($i, ");
    krsi_string_format(&c->out, "%s%s ? ", mask.text, converts ? ")" : "");
    add_vector(c, inst, place);
    krsi_clc_expand(c, number, part, " : ($t)(0)");
    krsi_clc_end(c);
}

void
krsi_clc_load(krsi_clc *c, uint32_t number)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    bool may_read_behind = c->walk == KRSI_CLC_CALLED;
    bool is_vector = inst->op == KRS_K_LOAD && inst->type.lanes > 1;
    for (int p = 0; p < krsi_clc_parts(inst->type); p++) {
        if (is_vector && !inst->c) {
            load_vector(c, number, p);
        } else if (is_vector && may_read_behind) {
            load_masked(c, number, p);
        } else if (inst->c && inst->op == KRS_K_GATHER &&
                   inst->type.lanes > 1) {
            gather_by_mask(c, number, p);
        } else {
            load_by_lane(c, number, p);
        }
    }
}

/* One lane that is stored; of a scalar perhaps masked. */
static void
store_lane(krsi_clc *c, const krs_kinst *inst, int lane)
{
    krsi_string_format(&c->out, "%*s", 4 * c->depth, "");
    if (inst->c)
        krsi_string_format(&c->out, "if (%s) ",
                           krsi_clc_lane(c, inst->c, lane).text);
    add_element(c, inst, lane);
    krsi_string_format(&c->out, " = %s%s;\n",
                       krsi_clc_lane(c, inst->d, lane).text,
                       inst->type.dtype == KRS_BOOL ? " & 1" : "");
}

/* STORE(space, float, 16, to, v9), a bool as a byte */
static void
store_vector(krsi_clc *c, const krs_kinst *inst, int part, const char *space,
             const char *to)
{
    int width = krsi_clc_width(inst->type);
    krsi_clc_name value = krsi_clc_value(c, inst->d, part);
    krsi_clc_name element = krsi_clc_stored(inst->type.dtype, 1);
    if (inst->type.dtype == KRS_BOOL)
        krsi_clc_line(c,
                      "STORE(%s, uchar, %d, %s, TO(uchar%d, %s & "
                      "(int%d)(1)));",
                      space, width, to, width, value.text, width);
    else
        krsi_clc_line(c, "STORE(%s, %s, %d, %s, %s);", space, element.text,
                      width, to, value.text);
}

/* Lanes that are on, in a loop: a branch for each makes compiling slow. */
static void
store_by_mask(krsi_clc *c, const krs_kinst *inst, int part)
{
    int width = krsi_clc_width(inst->type);
    bool scatters = inst->op == KRS_K_SCATTER;
    krsi_clc_line(c, "int on[%d]; STORE(__private, int, %d, on, %s);", width,
                  width, krsi_clc_value(c, inst->c, part).text);
    krsi_clc_line(c, "%s of[%d];", krsi_clc_stored(inst->type.dtype, 1).text,
                  width);
    store_vector(c, inst, part, "__private", "of");
    if (scatters)
        krsi_clc_line(c,
                      "long to[%d]; STORE(__private, long, %d, to, "
                      "TO(long%d, %s));",
                      width, width, width,
                      krsi_clc_value(c, inst->b, part).text);
    krsi_clc_line(c, "#pragma unroll 1");
    krsi_clc_line(c,
                  "for (int l = 0; l < %d; l++) if (on[l]) b%u[%s + %d + %s] "
                  "= of[l];",
                  width, inst->slot, krsi_clc_value(c, inst->a, 0).text,
                  scatters ? 0 : part * KRSI_CLC_PART,
                  scatters ? "to[l]" : "l");
}

static void
store_part(krsi_clc *c, const krs_kinst *inst, int part)
{
    char to[64];
    krsi_clc_name mask = krsi_clc_value(c, inst->c, part);
    bool scatters = inst->op == KRS_K_SCATTER;
    snprintf(to, sizeof to, "b%u + %s", inst->slot,
             place_of(c, inst, part).text);
    if (!inst->c) {
        store_vector(c, inst, part, space_of(c, inst), to);
        return;
    }
    if (!scatters) {
        krsi_clc_line(c, "if (ALL(%s)) {", mask.text);
        c->depth++;
        store_vector(c, inst, part, space_of(c, inst), to);
        c->depth--;
    }
    krsi_clc_line(c, "%sif (ANY(%s)) {", scatters ? "" : "} else ", mask.text);
    c->depth++;
    store_by_mask(c, inst, part);
    c->depth--;
    krsi_clc_line(c, "}");
}

void
krsi_clc_store(krsi_clc *c, uint32_t number)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    int width = krsi_clc_width(inst->type);
    for (int p = 0; p < krsi_clc_parts(inst->type); p++) {
        if (width > 1 && (inst->c || inst->op == KRS_K_STORE))
            store_part(c, inst, p);
        else
            for (int i = 0; i < width; i++)
                store_lane(c, inst, p * KRSI_CLC_PART + i);
    }
}
