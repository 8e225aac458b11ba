/* spirv_kernel.c -- kernel to SPIR-V: the frame of the shader, and the dispatch
 * of every instruction.
 *
 * In: a verified kernel, what code may use. Out: a module with the entry point
 * "main". An invocation is an item; items are numbered along axis 0 first and
 * dispatched in a row from KRSI_PUSH_FIRST on. A group is a work-group.
 *
 * Arguments, constants and places are computed in the head of the function.
 * What nobody needs is not translated. The order of operations is that of the
 * kernel, and NoContraction is on every one of f32.
 */
#include "spirv_emit.h"

#include <krs/status.h>
#include <stdlib.h>
#include <string.h>

enum { MAIN = 0x6e69616d /* "main" */ };

/* ---- the frame ---- */

typedef struct frame {
    uint32_t function, inputs[3], input_count;
} frame;

/* A variable that the device fills, loaded. */
static uint32_t
built_in(krsi_spv_emit *e, frame *f, SpvBuiltIn what, uint32_t type)
{
    krsi_spv *m = e->m;
    uint32_t variable = krsi_spv_id(m);
    krsi_spv_put(m, KRSI_SPV_TYPES, SpvOpVariable,
                 krsi_spv_pointer(m, SpvStorageClassInput, type), variable,
                 SpvStorageClassInput);
    krsi_spv_put(m, KRSI_SPV_NOTES, SpvOpDecorate, variable,
                 SpvDecorationBuiltIn, (uint32_t)what);
    f->inputs[f->input_count++] = variable;
    return krsi_spv_value(m, SpvOpLoad, type, variable);
}

static uint32_t
push_word(krsi_spv_emit *e, uint32_t i)
{
    krsi_spv *m = e->m;
    uint32_t uint = krsi_spv_uint(m, 32);
    uint32_t pointer = krsi_spv_pointer(m, SpvStorageClassPushConstant, uint);
    uint32_t at = krsi_spv_value(m, SpvOpAccessChain, pointer, e->push,
                                 krsi_spv_u32(m, 0), krsi_spv_u32(m, i));
    return krsi_spv_value(m, SpvOpLoad, uint, at);
}

uint32_t
krsi_spv_launch_word(krsi_spv_emit *e, uint32_t i)
{
    krsi_spv *m = e->m;
    uint32_t uint = krsi_spv_uint(m, 32);
    uint32_t pointer = krsi_spv_pointer(m, SpvStorageClassUniform, uint);
    uint32_t at = krsi_spv_value(m, SpvOpAccessChain, pointer, e->words,
                                 krsi_spv_u32(m, 0), krsi_spv_u32(m, i / 4),
                                 krsi_spv_u32(m, i % 4));
    return krsi_spv_value(m, SpvOpLoad, uint, at);
}

uint32_t
krsi_spv_argument_word(const krs_kernel *kernel, uint32_t arg)
{
    uint32_t word = KRSI_WORDS + kernel->buffer_count - kernel->param_count;
    for (uint32_t i = 0; i < arg; i++)
        word += kernel->args[i].dtype == KRS_I64 ? 2 : 1;
    return word;
}

static uint32_t
group_items(const krs_kernel *kernel)
{
    return kernel->group[0] * kernel->group[1] * kernel->group[2];
}

static void
declare_launch(krsi_spv_emit *e)
{
    krsi_spv *m = e->m;
    uint32_t uint = krsi_spv_uint(m, 32);
    uint32_t words = krsi_spv_argument_word(e->kernel, e->kernel->arg_count);
    e->words = krsi_spv_block(m, SpvStorageClassUniform,
                              krsi_spv_vector(m, uint, 4), 16, (words + 3) / 4);
    krsi_spv_bind(m, e->words, 0);
    e->push = krsi_spv_block(m, SpvStorageClassPushConstant, uint, 4,
                             KRSI_PUSH_WORDS);
}

/* The number of the item (the group) into coordinates. */
static void
find_axes(krsi_spv_emit *e)
{
    uint32_t rest = e->item;
    for (uint32_t i = 0; i < e->kernel->axes; i++) {
        e->axis[i] = rest;
        if (i + 1 == e->kernel->axes)
            break;
        uint32_t size = push_word(e, KRSI_PUSH_GRID + i);
        e->axis[i] = krsi_spv_word_op(e, SpvOpUMod, rest, size);
        rest = krsi_spv_word_op(e, SpvOpUDiv, rest, size);
    }
}

static void
find_item(krsi_spv_emit *e, frame *f)
{
    krsi_spv *m = e->m;
    uint32_t uint = krsi_spv_uint(m, 32), three = krsi_spv_vector(m, uint, 3);
    uint32_t items = group_items(e->kernel);
    uint32_t number = built_in(
        e, f, items > 1 ? SpvBuiltInWorkgroupId : SpvBuiltInGlobalInvocationId,
        three);
    e->place = krsi_spv_value(m, SpvOpCompositeExtract, uint, number, 0);
    e->item =
        krsi_spv_word_op(e, SpvOpIAdd, push_word(e, KRSI_PUSH_FIRST), e->place);
    find_axes(e);
    if (items == 1) {
        for (int i = 0; i < KRS_K_AXES; i++)
            e->local[i] = krsi_spv_u32(m, 0);
        return;
    }
    uint32_t local = built_in(e, f, SpvBuiltInLocalInvocationId, three);
    for (uint32_t i = 0; i < KRS_K_AXES; i++)
        e->local[i] = krsi_spv_value(m, SpvOpCompositeExtract, uint, local, i);
    e->place = krsi_spv_word_op(
        e, SpvOpIAdd, krsi_spv_word_number(e, SpvOpIMul, e->place, items),
        built_in(e, f, SpvBuiltInLocalInvocationIndex, uint));
}

/* Items of a work-group: as many as the groups of a kernel have; without groups
 * as many as the pipeline is given, which take the place of LocalSize. */
static void
write_group(krsi_spv_emit *e, const frame *f)
{
    krsi_spv *m = e->m;
    const krs_kernel *kernel = e->kernel;
    krsi_spv_put(m, KRSI_SPV_FRAME, SpvOpExecutionMode, f->function,
                 SpvExecutionModeLocalSize, kernel->group[0], kernel->group[1],
                 kernel->group[2]);
    if (group_items(kernel) > 1)
        return;
    uint32_t uint = krsi_spv_uint(m, 32), three = krsi_spv_vector(m, uint, 3);
    uint32_t one = krsi_spv_u32(m, 1);
    uint32_t local = krsi_spv_id(m), size = krsi_spv_id(m);
    krsi_spv_put(m, KRSI_SPV_TYPES, SpvOpSpecConstant, uint, local, 1);
    krsi_spv_put(m, KRSI_SPV_NOTES, SpvOpDecorate, local, SpvDecorationSpecId,
                 KRSI_SPECIAL_LOCAL);
    krsi_spv_put(m, KRSI_SPV_TYPES, SpvOpSpecConstantComposite, three, size,
                 local, one, one);
    krsi_spv_put(m, KRSI_SPV_NOTES, SpvOpDecorate, size, SpvDecorationBuiltIn,
                 SpvBuiltInWorkgroupSize);
}

static void
write_modes(krsi_spv_emit *e, const frame *f)
{
    krsi_spv *m = e->m;
    const struct {
        bool wanted;
        SpvExecutionMode mode;
        SpvCapability capability;
    } modes[] = {
        {e->target->keeps_nans,      SpvExecutionModeSignedZeroInfNanPreserve,
         SpvCapabilitySignedZeroInfNanPreserve},
        {e->target->rounds_even,     SpvExecutionModeRoundingModeRTE,
         SpvCapabilityRoundingModeRTE         },
        {e->target->keeps_denormals, SpvExecutionModeDenormPreserve,
         SpvCapabilityDenormPreserve          }
    };
    uint32_t entry[4 + 3] = {SpvExecutionModelGLCompute, f->function, MAIN, 0};
    memcpy(entry + 4, f->inputs, sizeof f->inputs);
    krsi_spv_put(m, KRSI_SPV_FRAME, SpvOpMemoryModel, SpvAddressingModelLogical,
                 SpvMemoryModelGLSL450);
    krsi_spv_put_words(m, KRSI_SPV_FRAME, SpvOpEntryPoint, entry,
                       4 + f->input_count);
    write_group(e, f);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (!modes[i].wanted)
            continue;
        krsi_spv_need(m, modes[i].capability, "SPV_KHR_float_controls");
        krsi_spv_put(m, KRSI_SPV_FRAME, SpvOpExecutionMode, f->function,
                     (uint32_t)modes[i].mode, 32);
    }
}

/* ---- instructions ---- */

static void
fill(uint32_t *lanes, uint32_t id, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        lanes[i] = id;
}

/* +0 is a word that compilers do not know: x + 0 and x * 0 are folded by some
 * that mistake -0 and NaN. */
static uint32_t
constant(krsi_spv_emit *e, krs_dtype dtype, uint64_t bits)
{
    krsi_spv *m = e->m;
    if (dtype == KRS_F32)
        return bits ? krsi_spv_f32(m, (uint32_t)bits) : e->zero_f32;
    if (dtype == KRS_BOOL)
        return krsi_spv_truth(m, bits != 0);
    if (dtype == KRS_I64)
        return krsi_spv_wide_number(e, bits);
    return krsi_spv_u32(m, dtype == KRS_I8 ? (uint32_t)(int8_t)bits
                                           : (uint32_t)bits);
}

static void
translate_constant(krsi_spv_emit *e, uint32_t i)
{
    const krs_kinst *inst = &e->kernel->insts[i];
    if (e->need[i] & KRSI_NEED_FULL)
        fill(e->value[i], constant(e, inst->type.dtype, inst->u.bits),
             inst->type.lanes);
    if (e->need[i] & KRSI_NEED_LOW)
        fill(e->low[i], krsi_spv_u32(e->m, (uint32_t)inst->u.bits),
             inst->type.lanes);
}

static void
translate_argument(krsi_spv_emit *e, uint32_t i)
{
    krsi_spv *m = e->m;
    const krs_kinst *inst = &e->kernel->insts[i];
    uint32_t at = krsi_spv_argument_word(e->kernel, inst->slot);
    krsi_spv_section before = m->at;
    m->at = KRSI_SPV_HEAD;
    uint32_t words[2] = {krsi_spv_launch_word(e, at), 0};
    if (e->need[i] & KRSI_NEED_LOW)
        e->low[i][0] = words[0];
    if (e->need[i] & KRSI_NEED_FULL) {
        if (inst->type.dtype == KRS_I64)
            words[1] = krsi_spv_launch_word(e, at + 1);
        krsi_spv_from_words(e, inst->type.dtype, words, 1, e->value[i]);
    }
    m->at = before;
}

/* A 32-bit word that counts something as i64. */
static void
translate_word(krsi_spv_emit *e, uint32_t i, uint32_t word)
{
    krsi_spv *m = e->m;
    if (e->need[i] & KRSI_NEED_LOW)
        e->low[i][0] = word;
    if (e->need[i] & KRSI_NEED_FULL) {
        krsi_spv_section before = m->at;
        m->at = KRSI_SPV_HEAD;
        e->value[i][0] = krsi_spv_wide_of(e, word, false);
        m->at = before;
    }
}

static void
translate_lane_numbers(krsi_spv_emit *e, uint32_t i)
{
    for (uint32_t j = 0; j < e->kernel->insts[i].type.lanes; j++)
        e->value[i][j] = krsi_spv_u32(e->m, j);
}

/* Lanes of the whole or of the low values: those that are named, the only one
 * in every place, or the same ones. */
static void
move_lanes(krsi_spv_emit *e, uint32_t i, uint32_t *const *from, uint32_t *to)
{
    const krs_kinst *inst = &e->kernel->insts[i];
    unsigned split = e->kernel->insts[inst->a].type.lanes;
    for (unsigned j = 0; j < inst->type.lanes; j++) {
        unsigned lane = inst->op == KRS_K_SHUFFLE     ? inst->u.lanes[j]
                        : inst->op == KRS_K_BROADCAST ? 0
                                                      : j;
        to[j] =
            lane < split ? from[inst->a][lane] : from[inst->b][lane - split];
    }
}

static void
translate_move(krsi_spv_emit *e, uint32_t i)
{
    if (e->need[i] & KRSI_NEED_FULL)
        move_lanes(e, i, e->value, e->value[i]);
    if (e->need[i] & KRSI_NEED_LOW)
        move_lanes(e, i, e->low, e->low[i]);
}

/* Lane by lane; equal operands give one result. */
static void
map_lanes(krsi_spv_emit *e, uint32_t i, bool wide)
{
    const krs_kinst *inst = &e->kernel->insts[i];
    uint32_t *const *from = wide ? e->value : e->low;
    uint32_t *to = wide ? e->value[i] : e->low[i];
    bool selects = inst->scalar == KRS_KS_SELECT;
    uint32_t before[3] = {0};
    for (unsigned j = 0; j < inst->type.lanes; j++) {
        uint32_t now[3] = {(selects ? e->value : from)[inst->a][j],
                           inst->b ? from[inst->b][j] : 0,
                           inst->c ? from[inst->c][j] : 0};
        if (j > 0 && memcmp(now, before, sizeof now) == 0)
            to[j] = to[j - 1];
        else
            to[j] = krsi_spv_scalar(e, inst, wide, now[0], now[1], now[2]);
        memcpy(before, now, sizeof now);
    }
}

static void
low_words(krsi_spv_emit *e, uint32_t i)
{
    for (unsigned j = 0; j < e->kernel->insts[i].type.lanes; j++)
        e->low[i][j] = j > 0 && e->value[i][j] == e->value[i][j - 1]
                           ? e->low[i][j - 1]
                           : krsi_spv_low_of(e, e->value[i][j]);
}

static void
convert_lanes(krsi_spv_emit *e, uint32_t *const *from, krs_dtype type,
              uint32_t i, krs_dtype to, uint32_t *lanes)
{
    const krs_kinst *inst = &e->kernel->insts[i];
    const uint32_t *a = from[inst->a];
    for (unsigned j = 0; j < inst->type.lanes; j++)
        lanes[j] = j > 0 && a[j] == a[j - 1]
                       ? lanes[j - 1]
                       : krsi_spv_convert(e, to, type, a[j]);
}

/* Integers become shorter and addresses are made in 32 bits. */
static void
translate_convert(krsi_spv_emit *e, uint32_t i)
{
    const krs_kinst *inst = &e->kernel->insts[i];
    krs_dtype to = inst->type.dtype;
    krs_dtype from = e->kernel->insts[inst->a].type.dtype;
    bool narrows = to == KRS_I32 || to == KRS_I8 || to == KRS_U8;
    if (from == KRS_I64 && narrows) {
        convert_lanes(e, e->low, KRS_I32, i, to, e->value[i]);
        return;
    }
    if (from == KRS_I64 && to == KRS_I64) {
        if (e->need[i] & KRSI_NEED_FULL)
            convert_lanes(e, e->value, from, i, to, e->value[i]);
        if (e->need[i] & KRSI_NEED_LOW)
            convert_lanes(e, e->low, KRS_I32, i, KRS_I32, e->low[i]);
        return;
    }
    bool is_float = krs_dtype_is_float(from);
    if ((e->need[i] & KRSI_NEED_FULL) || (to == KRS_I64 && is_float))
        convert_lanes(e, e->value, from, i, to, e->value[i]);
    if ((e->need[i] & KRSI_NEED_LOW) && is_float)
        low_words(e, i);
    else if (e->need[i] & KRSI_NEED_LOW)
        convert_lanes(e, e->value, from, i, KRS_I32, e->low[i]);
}

static void
translate_bitcast(krsi_spv_emit *e, uint32_t i)
{
    const krs_kinst *inst = &e->kernel->insts[i];
    const krs_kinst *a = &e->kernel->insts[inst->a];
    uint32_t words[KRSI_SPV_MAX_WORDS];
    krsi_spv_to_words(e, a->type.dtype, e->value[inst->a], a->type.lanes,
                      words);
    krsi_spv_from_words(e, inst->type.dtype, words, inst->type.lanes,
                        e->value[i]);
    if (e->need[i] & KRSI_NEED_LOW)
        low_words(e, i);
}

static void
translate_scalar(krsi_spv_emit *e, uint32_t i)
{
    const krs_kinst *inst = &e->kernel->insts[i];
    if (inst->scalar == KRS_KS_CONVERT) {
        translate_convert(e, i);
    } else if (inst->scalar == KRS_KS_BITCAST) {
        translate_bitcast(e, i);
    } else {
        if (e->need[i] & KRSI_NEED_FULL)
            map_lanes(e, i, true);
        if ((e->need[i] & KRSI_NEED_LOW) && krsi_spv_is_low(inst))
            map_lanes(e, i, false);
        else if (e->need[i] & KRSI_NEED_LOW)
            low_words(e, i);
    }
}

static void
barrier(krsi_spv_emit *e)
{
    uint32_t group = krsi_spv_u32(e->m, SpvScopeWorkgroup);
    krsi_spv_put(e->m, KRSI_SPV_BODY, SpvOpControlBarrier, group, group,
                 krsi_spv_u32(e->m, SpvMemorySemanticsAcquireReleaseMask |
                                        SpvMemorySemanticsUniformMemoryMask |
                                        SpvMemorySemanticsWorkgroupMemoryMask));
}

static void
translate(krsi_spv_emit *e, uint32_t i)
{
    const krs_kinst *inst = &e->kernel->insts[i];
    if (krs_kop_has_result((krs_kop)inst->op) && !e->need[i])
        return;
    switch ((krs_kop)inst->op) {
    case KRS_K_NOTHING: break;
    case KRS_K_CONST: translate_constant(e, i); break;
    case KRS_K_ARG: translate_argument(e, i); break;
    case KRS_K_AXIS: translate_word(e, i, e->axis[inst->slot]); break;
    case KRS_K_LOCAL: translate_word(e, i, e->local[inst->slot]); break;
    case KRS_K_LANES: translate_lane_numbers(e, i); break;
    case KRS_K_SCALAR: translate_scalar(e, i); break;
    case KRS_K_BROADCAST:
    case KRS_K_SHUFFLE: translate_move(e, i); break;
    case KRS_K_LOAD:
    case KRS_K_GATHER: krsi_spv_load(e, i); break;
    case KRS_K_STORE:
    case KRS_K_SCATTER: krsi_spv_store(e, i); break;
    case KRS_K_PREFETCH: break; /* there is none, and it means nothing */
    case KRS_K_FOR: krsi_spv_begin_loop(e, i); break;
    case KRS_K_CARRY: break; /* made with its FOR */
    case KRS_K_NEXT: e->next[inst->a] = inst->b; break;
    case KRS_K_END: krsi_spv_end_loop(e); break;
    case KRS_K_RESULT: translate_move(e, i); break;
    case KRS_K_BARRIER: barrier(e); break;
    case KRS_K_COUNT: e->failure = "an unknown instruction"; break;
    }
}

static void
translate_all(krsi_spv_emit *e)
{
    krsi_spv *m = e->m;
    frame f = {.function = krsi_spv_id(m)};
    uint32_t nothing = krsi_spv_once_words(m, SpvOpTypeVoid, false, NULL, 0);
    uint32_t inside = krsi_spv_id(m), done = krsi_spv_id(m);
    bool checks = group_items(e->kernel) == 1;
    krsi_spv_need(m, SpvCapabilityShader, NULL);
    m->glsl = krsi_spv_id(m);
    krsi_spv_put_text(m, KRSI_SPV_FRAME, SpvOpExtInstImport, &m->glsl, 1,
                      "GLSL.std.450");
    declare_launch(e);
    m->at = KRSI_SPV_HEAD;
    krsi_spv_put(m, KRSI_SPV_HEAD, SpvOpFunction, nothing, f.function, 0,
                 krsi_spv_once(m, SpvOpTypeFunction, false, nothing));
    krsi_spv_label(m, krsi_spv_id(m));
    krsi_spv_watch_loops(e);
    e->zero_f32 = krsi_spv_as_float(e, krsi_spv_launch_word(e, KRSI_WORD_ZERO));
    find_item(e, &f);
    uint32_t end = push_word(e, KRSI_PUSH_END);
    m->at = KRSI_SPV_BODY;
    if (checks) {
        uint32_t in = krsi_spv_compare(e, SpvOpULessThan, e->item, end);
        krsi_spv_put(m, KRSI_SPV_BODY, SpvOpSelectionMerge, done, 0);
        krsi_spv_put(m, KRSI_SPV_BODY, SpvOpBranchConditional, in, inside,
                     done);
        krsi_spv_label(m, inside);
    }
    for (uint32_t i = 1; i < e->kernel->inst_count && !e->failure; i++)
        translate(e, i);
    krsi_spv_report_loops(e);
    if (checks) {
        krsi_spv_put(m, KRSI_SPV_BODY, SpvOpBranch, done);
        krsi_spv_label(m, done);
    }
    krsi_spv_put_words(m, KRSI_SPV_BODY, SpvOpReturn, NULL, 0);
    krsi_spv_put_words(m, KRSI_SPV_BODY, SpvOpFunctionEnd, NULL, 0);
    write_modes(e, &f);
}

/* ---- memory of the translation ---- */

static bool
reserve(krsi_spv_emit *e)
{
    const krs_kernel *kernel = e->kernel;
    size_t insts = kernel->inst_count, lanes = 0;
    for (size_t i = 0; i < insts; i++)
        lanes += kernel->insts[i].type.lanes;
    e->need = calloc(insts, sizeof *e->need);
    e->value = calloc(insts, sizeof *e->value);
    e->low = calloc(insts, sizeof *e->low);
    e->next = calloc(insts, sizeof *e->next);
    e->phis = calloc(2 * lanes + insts, sizeof *e->phis);
    e->pool = calloc(2 * lanes + 1, sizeof *e->pool);
    e->memory = calloc((size_t)kernel->buffer_count + 1, sizeof *e->memory);
    /* storage and three texel views of each parameter, scratch, the flag */
    e->binding =
        calloc((size_t)4 * kernel->param_count + 2, sizeof *e->binding);
    if (!e->need || !e->value || !e->low || !e->next || !e->phis || !e->pool ||
        !e->memory || !e->binding)
        return false;
    uint32_t *at = e->pool;
    for (size_t i = 0; i < insts; i++) {
        e->value[i] = at;
        e->low[i] = at + lanes;
        at += kernel->insts[i].type.lanes;
    }
    return true;
}

static void
release(krsi_spv_emit *e)
{
    free(e->need);
    free(e->value);
    free(e->low);
    free(e->next);
    free(e->phis);
    free(e->pool);
    free(e->memory);
    free(e->binding);
    krsi_spv_free(e->m);
}

/* The module behind its header. */
static void *
finish(const krsi_spv_emit *e, size_t *out_bytes)
{
    krsi_spv_header header = {.bindings = e->binding_count};
    size_t bindings = e->binding_count * sizeof *e->binding;
    char *data = krsi_spv_finish(e->m, sizeof header + bindings, out_bytes);
    if (!data)
        return NULL;
    krs_kernel_hash(e->kernel, header.hash);
    memcpy(data, &header, sizeof header);
    memcpy(data + sizeof header, e->binding, bindings);
    return data;
}

krs_status
krsi_spv_kernel(const krs_kernel *kernel, const krsi_spv_target *target,
                void **out_data, size_t *out_bytes, krs_error *err)
{
    krsi_spv module = {0};
    krsi_spv_emit e = {.m = &module, .kernel = kernel, .target = target};
    *out_data = NULL;
    if (reserve(&e)) {
        krsi_spv_find_needs(kernel, e.need);
        translate_all(&e);
        *out_data = finish(&e, out_bytes);
    }
    release(&e);
    if (*out_data && e.failure) {
        free(*out_data);
        *out_data = NULL;
        return krs_fail(err, KRS_E_INTERNAL, "vulkan: %s: no translation of %s",
                        kernel->name, e.failure);
    }
    if (!*out_data)
        return krs_fail(err, KRS_E_MEMORY,
                        "vulkan: %s: no memory to translate %u instructions",
                        kernel->name, kernel->inst_count);
    return KRS_OK;
}
