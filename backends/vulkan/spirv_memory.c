/* spirv_memory.c -- loads, gathers, stores, scatters.
 *
 * A buffer is seen through views: the same binding as an array of bytes, of
 * 16-bit words, of words, of pairs, of quads; or, where that is faster, as a
 * texel buffer of words, pairs or quads. Whole lanes in a row that are aligned
 * go as words, four at a time where they may; all others one by one. Quads of
 * storage are two words of 64 bits where that is faster (`wide_quads`).
 *
 * A lane that is masked off reads element 0, which is there if the buffer is
 * bound at all, and the result is dropped; it stores nothing, behind a branch.
 * Where a device has no 8- or 16-bit storage, a lane is cut out of its word,
 * and stored by two atomic operations on it: no other byte is touched.
 */
#include "spirv_emit.h"

typedef uint32_t value;

static const uint32_t view_bytes[KRSI_VIEWS] = {1, 2, 4, 8, 16};

static uint32_t
bytes_of(krs_dtype dtype)
{
    size_t bytes = 1;
    krs_dtype_bytes(dtype, 1, &bytes);
    return (uint32_t)bytes;
}

static uint32_t
view_type(krsi_spv_emit *e, krsi_spv_view view)
{
    krsi_spv *m = e->m;
    uint32_t bits = view == KRSI_VIEW_BYTE    ? 8
                    : view == KRSI_VIEW_SHORT ? 16
                                              : 32;
    uint32_t one = krsi_spv_uint(m, bits);
    if (view == KRSI_VIEW_BYTE)
        krsi_spv_need(m, SpvCapabilityStorageBuffer8BitAccess,
                      "SPV_KHR_8bit_storage");
    if (view == KRSI_VIEW_SHORT)
        krsi_spv_need(m, SpvCapabilityStorageBuffer16BitAccess, NULL);
    return view == KRSI_VIEW_PAIR   ? krsi_spv_vector(m, one, 2)
           : view == KRSI_VIEW_QUAD ? krsi_spv_vector(m, one, 4)
                                    : one;
}

/* What an element of the view is in storage. */
static uint32_t
storage_type(krsi_spv_emit *e, krsi_spv_view view)
{
    krsi_spv *m = e->m;
    return view == KRSI_VIEW_QUAD && e->target->wide_quads
               ? krsi_spv_vector(m, krsi_spv_uint(m, 64), 2)
               : view_type(e, view);
}

static const krs_kbuffer *
buffer_of(const krsi_spv_emit *e, uint32_t slot)
{
    return &e->kernel->buffers[slot];
}

/* ---- variables ---- */

static uint32_t
declare_shared(krsi_spv_emit *e, uint32_t slot, uint32_t element)
{
    krsi_spv *m = e->m;
    uint32_t array =
        krsi_spv_once(m, SpvOpTypeArray, false, element,
                      krsi_spv_u32(m, (uint32_t)buffer_of(e, slot)->count));
    uint32_t variable = krsi_spv_id(m);
    krsi_spv_put(m, KRSI_SPV_TYPES, SpvOpVariable,
                 krsi_spv_pointer(m, SpvStorageClassWorkgroup, array), variable,
                 SpvStorageClassWorkgroup);
    return variable;
}

/* Where the scratch of this item begins, in elements of the view. */
static uint32_t
find_start(krsi_spv_emit *e, uint32_t slot, krsi_spv_view view)
{
    krsi_spv *m = e->m;
    krsi_spv_section before = m->at;
    m->at = KRSI_SPV_HEAD;
    value units = krsi_spv_word_op(e, SpvOpIMul, e->place,
                                   krsi_spv_launch_word(e, KRSI_WORD_SCRATCH));
    units = krsi_spv_word_op(
        e, SpvOpIAdd, units,
        krsi_spv_launch_word(e, KRSI_WORDS + slot - e->kernel->param_count));
    value start = krsi_spv_word_number(e, SpvOpIMul, units,
                                       KRSI_UNIT_BYTES / view_bytes[view]);
    m->at = before;
    return start;
}

uint32_t
krsi_spv_add_binding(krsi_spv_emit *e, uint32_t slot, krsi_spv_view texel)
{
    e->binding[e->binding_count++] =
        (krsi_spv_binding){(uint16_t)slot, (uint16_t)texel};
    return e->binding_count;
}

/* All scratch is one binding. */
static uint32_t
storage_binding(krsi_spv_emit *e, uint32_t slot)
{
    uint32_t params = e->kernel->param_count;
    krsi_spv_memory *memory = &e->memory[slot < params ? slot : params];
    if (!memory->binding)
        memory->binding =
            krsi_spv_add_binding(e, slot < params ? slot : params, 0);
    return memory->binding;
}

static void
declare(krsi_spv_emit *e, uint32_t slot, krsi_spv_view view)
{
    krsi_spv *m = e->m;
    krsi_spv_memory *memory = &e->memory[slot];
    uint32_t element = storage_type(e, view);
    uint32_t space = buffer_of(e, slot)->space;
    if (memory->view[view])
        return;
    if (space == KRS_K_SHARED) {
        memory->view[view] = declare_shared(e, slot, element);
        return;
    }
    memory->view[view] = krsi_spv_block(m, SpvStorageClassStorageBuffer,
                                        element, view_bytes[view], 0);
    krsi_spv_bind(m, memory->view[view], storage_binding(e, slot));
    krsi_spv_put(m, KRSI_SPV_NOTES, SpvOpDecorate, memory->view[view],
                 SpvDecorationAliased);
    if (space == KRS_K_SCRATCH)
        memory->start[view] = find_start(e, slot, view);
}

/* Parameters that are only read may be seen as texels; what is written to the
 * same memory in place is written after it was read, by the same item. */
static bool
is_texel(const krsi_spv_emit *e, uint32_t slot)
{
    const krs_kbuffer *buffer = buffer_of(e, slot);
    return e->target->has_texels && buffer->space == KRS_K_PARAM &&
           buffer->access == KRS_K_READ;
}

static void
declare_texels(krsi_spv_emit *e, uint32_t slot, krsi_spv_view view)
{
    enum { SAMPLED = 1 };
    krsi_spv *m = e->m;
    if (e->memory[slot].image[view])
        return;
    krsi_spv_need(m, SpvCapabilitySampledBuffer, NULL);
    uint32_t type =
        krsi_spv_once(m, SpvOpTypeImage, false, krsi_spv_uint(m, 32),
                      SpvDimBuffer, 0, 0, 0, SAMPLED, SpvImageFormatUnknown);
    uint32_t variable = krsi_spv_id(m);
    krsi_spv_put(m, KRSI_SPV_TYPES, SpvOpVariable,
                 krsi_spv_pointer(m, SpvStorageClassUniformConstant, type),
                 variable, SpvStorageClassUniformConstant);
    krsi_spv_bind(m, variable, krsi_spv_add_binding(e, slot, view));
    krsi_spv_section before = m->at;
    m->at = KRSI_SPV_HEAD;
    e->memory[slot].image[view] = krsi_spv_value(m, SpvOpLoad, type, variable);
    m->at = before;
}

/* A pointer to element `index` of the view. */
static value
point(krsi_spv_emit *e, uint32_t slot, krsi_spv_view view, value index)
{
    krsi_spv *m = e->m;
    declare(e, slot, view);
    const krsi_spv_memory *memory = &e->memory[slot];
    uint32_t type = storage_type(e, view);
    if (buffer_of(e, slot)->space == KRS_K_SHARED)
        return krsi_spv_value(
            m, SpvOpAccessChain,
            krsi_spv_pointer(m, SpvStorageClassWorkgroup, type),
            memory->view[view], index);
    if (memory->start[view])
        index = krsi_spv_word_op(e, SpvOpIAdd, index, memory->start[view]);
    return krsi_spv_value(
        m, SpvOpAccessChain,
        krsi_spv_pointer(m, SpvStorageClassStorageBuffer, type),
        memory->view[view], krsi_spv_u32(m, 0), index);
}

static value
part(krsi_spv_emit *e, value vector, uint32_t i)
{
    return krsi_spv_value(e->m, SpvOpCompositeExtract, krsi_spv_uint(e->m, 32),
                          vector, i);
}

/* Element `index` of the view: a word, or a vector of at least as many words as
 * the view has. */
static value
read(krsi_spv_emit *e, uint32_t slot, krsi_spv_view view, value index)
{
    krsi_spv *m = e->m;
    if (!is_texel(e, slot)) {
        uint32_t type = view_type(e, view), stored = storage_type(e, view);
        value at = point(e, slot, view, index);
        value element = krsi_spv_value(m, SpvOpLoad, stored, at);
        return type == stored ? element
                              : krsi_spv_value(m, SpvOpBitcast, type, element);
    }
    declare_texels(e, slot, view);
    value four = krsi_spv_value(m, SpvOpImageFetch,
                                krsi_spv_vector(m, krsi_spv_uint(m, 32), 4),
                                e->memory[slot].image[view], index);
    return view == KRSI_VIEW_WORD ? part(e, four, 0) : four;
}

static void
write(krsi_spv_emit *e, uint32_t slot, krsi_spv_view view, value index,
      value element)
{
    uint32_t stored = storage_type(e, view);
    value at = point(e, slot, view, index);
    if (stored != view_type(e, view))
        element = krsi_spv_value(e->m, SpvOpBitcast, stored, element);
    krsi_spv_put(e->m, KRSI_SPV_BODY, SpvOpStore, at, element);
}

/* ---- one lane ---- */

/* The view that holds a lane as one element, but for cutting it out. */
static krsi_spv_view
lane_view(const krsi_spv_emit *e, uint32_t slot, uint32_t bytes)
{
    bool in_words =
        buffer_of(e, slot)->space == KRS_K_SHARED || is_texel(e, slot);
    if (bytes == 8)
        return KRSI_VIEW_PAIR;
    if (bytes == 1 && e->target->has_bytes && !in_words)
        return KRSI_VIEW_BYTE;
    if (bytes == 2 && e->target->has_shorts && !in_words)
        return KRSI_VIEW_SHORT;
    return KRSI_VIEW_WORD;
}

static bool
is_cut(const krsi_spv_emit *e, uint32_t slot, uint32_t bytes)
{
    return bytes < 4 && lane_view(e, slot, bytes) == KRSI_VIEW_WORD &&
           buffer_of(e, slot)->space != KRS_K_SHARED;
}

/* The word in which an element of 1 or 2 bytes lies, and its first bit. */
static void
find_in_word(krsi_spv_emit *e, uint32_t bytes, value index, value *word,
             value *bit)
{
    uint32_t log = bytes == 1 ? 2 : 1;
    *word = krsi_spv_word_number(e, SpvOpShiftRightLogical, index, log);
    *bit = krsi_spv_word_number(
        e, SpvOpIMul,
        krsi_spv_word_number(e, SpvOpBitwiseAnd, index, (1U << log) - 1),
        8 * bytes);
}

/* Element `index` as the words it fills. */
static void
read_lane(krsi_spv_emit *e, uint32_t slot, uint32_t bytes, value index,
          value words[2])
{
    krsi_spv *m = e->m;
    krsi_spv_view view = lane_view(e, slot, bytes);
    uint32_t word = krsi_spv_uint(m, 32);
    if (is_cut(e, slot, bytes)) {
        value bit;
        find_in_word(e, bytes, index, &index, &bit);
        words[0] = krsi_spv_value(m, SpvOpBitFieldUExtract, word,
                                  read(e, slot, view, index), bit,
                                  krsi_spv_u32(m, 8 * bytes));
        return;
    }
    value element = read(e, slot, view, index);
    if (view == KRSI_VIEW_PAIR) {
        words[0] = part(e, element, 0);
        words[1] = part(e, element, 1);
    } else {
        words[0] = view == KRSI_VIEW_WORD
                       ? element
                       : krsi_spv_value(m, SpvOpUConvert, word, element);
    }
}

static void
write_cut(krsi_spv_emit *e, uint32_t slot, uint32_t bytes, value index,
          value word)
{
    krsi_spv *m = e->m;
    uint32_t type = krsi_spv_uint(m, 32);
    value bit, scope = krsi_spv_u32(m, SpvScopeDevice);
    find_in_word(e, bytes, index, &index, &bit);
    value at = point(e, slot, KRSI_VIEW_WORD, index);
    value ones = krsi_spv_u32(m, bytes == 1 ? 0xff : 0xffff);
    value others =
        krsi_spv_value(m, SpvOpNot, type,
                       krsi_spv_word_op(e, SpvOpShiftLeftLogical, ones, bit));
    krsi_spv_value(m, SpvOpAtomicAnd, type, at, scope, krsi_spv_u32(m, 0),
                   others);
    krsi_spv_value(m, SpvOpAtomicOr, type, at, scope, krsi_spv_u32(m, 0),
                   krsi_spv_word_op(e, SpvOpShiftLeftLogical, word, bit));
}

static void
write_lane(krsi_spv_emit *e, uint32_t slot, uint32_t bytes, value index,
           const value words[2])
{
    krsi_spv *m = e->m;
    krsi_spv_view view = lane_view(e, slot, bytes);
    value element = words[0];
    if (is_cut(e, slot, bytes)) {
        write_cut(e, slot, bytes, index, words[0]);
        return;
    }
    if (view == KRSI_VIEW_PAIR)
        element = krsi_spv_value(m, SpvOpCompositeConstruct, view_type(e, view),
                                 words[0], words[1]);
    else if (view != KRSI_VIEW_WORD)
        element = krsi_spv_value(m, SpvOpUConvert, view_type(e, view), element);
    write(e, slot, view, index, element);
}

/* Low word of the element that lane j is at. */
static value
lane_index(krsi_spv_emit *e, const krs_kinst *inst, uint32_t j)
{
    value first = e->low[inst->a][0];
    if (!inst->b)
        return j ? krsi_spv_word_number(e, SpvOpIAdd, first, j) : first;
    bool wide = e->kernel->insts[inst->b].type.dtype == KRS_I64;
    return krsi_spv_word_op(e, SpvOpIAdd, first,
                            (wide ? e->low : e->value)[inst->b][j]);
}

static value
zero_of(krsi_spv_emit *e, krs_dtype dtype)
{
    krsi_spv *m = e->m;
    return dtype == KRS_F32    ? e->zero_f32
           : dtype == KRS_BOOL ? krsi_spv_truth(m, false)
           : dtype == KRS_I64  ? krsi_spv_wide_number(e, 0)
                               : krsi_spv_u32(m, 0);
}

static void
load_lane(krsi_spv_emit *e, uint32_t i, uint32_t j)
{
    krsi_spv *m = e->m;
    const krs_kinst *inst = &e->kernel->insts[i];
    krs_dtype dtype = (krs_dtype)inst->type.dtype;
    value index = lane_index(e, inst, j), words[2] = {0};
    value mask = inst->c ? e->value[inst->c][j] : 0;
    uint32_t word = krsi_spv_uint(m, 32);
    if (mask)
        index = krsi_spv_select(e, word, mask, index, krsi_spv_u32(m, 0));
    read_lane(e, inst->slot, bytes_of(dtype), index, words);
    if (e->need[i] & KRSI_NEED_LOW)
        e->low[i][j] =
            mask ? krsi_spv_select(e, word, mask, words[0], krsi_spv_u32(m, 0))
                 : words[0];
    if (!(e->need[i] & KRSI_NEED_FULL))
        return;
    krsi_spv_from_words(e, dtype, words, 1, &e->value[i][j]);
    if (mask)
        e->value[i][j] = krsi_spv_select(e, krsi_spv_lane_type(e, dtype), mask,
                                         e->value[i][j], zero_of(e, dtype));
}

static void
store_lane(krsi_spv_emit *e, const krs_kinst *inst, uint32_t j)
{
    krsi_spv *m = e->m;
    krs_dtype dtype = (krs_dtype)inst->type.dtype;
    value words[2];
    uint32_t inside = krsi_spv_id(m), after = krsi_spv_id(m);
    if (inst->c) {
        krsi_spv_put(m, KRSI_SPV_BODY, SpvOpSelectionMerge, after, 0);
        krsi_spv_put(m, KRSI_SPV_BODY, SpvOpBranchConditional,
                     e->value[inst->c][j], inside, after);
        krsi_spv_label(m, inside);
    }
    krsi_spv_to_words(e, dtype, &e->value[inst->d][j], 1, words);
    write_lane(e, inst->slot, bytes_of(dtype), lane_index(e, inst, j), words);
    if (inst->c) {
        krsi_spv_put(m, KRSI_SPV_BODY, SpvOpBranch, after);
        krsi_spv_label(m, after);
    }
}

/* ---- whole words ---- */

/* How many words a load or store of lanes in a row is; 0: lane by lane. */
static size_t
count_words(const krsi_spv_emit *e, const krs_kinst *inst)
{
    size_t bytes =
        (size_t)bytes_of((krs_dtype)inst->type.dtype) * inst->type.lanes;
    bool in_a_row = !inst->b && !inst->c;
    bool aligned = inst->align_log2 >= 2 && bytes % 4 == 0;
    bool shared = buffer_of(e, inst->slot)->space == KRS_K_SHARED;
    return in_a_row && aligned && !shared ? bytes / 4 : 0;
}

static bool
is_in_quads(const krs_kinst *inst, size_t words)
{
    return inst->align_log2 >= 4 && words % 4 == 0;
}

/* The first element of a view with `bytes` that the access touches. */
static value
view_index(krsi_spv_emit *e, const krs_kinst *inst, uint32_t bytes)
{
    uint32_t size = bytes_of((krs_dtype)inst->type.dtype);
    value index = e->low[inst->a][0];
    if (size > bytes)
        return krsi_spv_word_number(e, SpvOpIMul, index, size / bytes);
    return size == bytes
               ? index
               : krsi_spv_word_number(e, SpvOpShiftRightLogical, index,
                                      (uint32_t)__builtin_ctz(bytes / size));
}

static value
plus(krsi_spv_emit *e, value index, size_t i)
{
    return i ? krsi_spv_word_number(e, SpvOpIAdd, index, (uint32_t)i) : index;
}

static void
load_words(krsi_spv_emit *e, uint32_t i, size_t count)
{
    const krs_kinst *inst = &e->kernel->insts[i];
    krs_dtype dtype = (krs_dtype)inst->type.dtype;
    value words[KRSI_SPV_MAX_WORDS];
    if (is_in_quads(inst, count)) {
        value first = view_index(e, inst, 16);
        for (size_t w = 0; w < count; w += 4) {
            value four =
                read(e, inst->slot, KRSI_VIEW_QUAD, plus(e, first, w / 4));
            for (uint32_t k = 0; k < 4; k++)
                words[w + k] = part(e, four, k);
        }
    } else {
        value first = view_index(e, inst, 4);
        for (size_t w = 0; w < count; w++)
            words[w] = read(e, inst->slot, KRSI_VIEW_WORD, plus(e, first, w));
    }
    if (e->need[i] & KRSI_NEED_FULL)
        krsi_spv_from_words(e, dtype, words, inst->type.lanes, e->value[i]);
    for (unsigned j = 0; dtype == KRS_I64 && j < inst->type.lanes; j++)
        e->low[i][j] = words[(size_t)2 * j];
}

static void
store_words(krsi_spv_emit *e, const krs_kinst *inst, size_t count)
{
    krsi_spv *m = e->m;
    value words[KRSI_SPV_MAX_WORDS];
    krsi_spv_to_words(e, (krs_dtype)inst->type.dtype, e->value[inst->d],
                      inst->type.lanes, words);
    if (is_in_quads(inst, count)) {
        value first = view_index(e, inst, 16);
        for (size_t w = 0; w < count; w += 4)
            write(e, inst->slot, KRSI_VIEW_QUAD, plus(e, first, w / 4),
                  krsi_spv_value(m, SpvOpCompositeConstruct,
                                 view_type(e, KRSI_VIEW_QUAD), words[w],
                                 words[w + 1], words[w + 2], words[w + 3]));
        return;
    }
    value first = view_index(e, inst, 4);
    for (size_t w = 0; w < count; w++)
        write(e, inst->slot, KRSI_VIEW_WORD, plus(e, first, w), words[w]);
}

void
krsi_spv_load(krsi_spv_emit *e, uint32_t i)
{
    const krs_kinst *inst = &e->kernel->insts[i];
    size_t words = count_words(e, inst);
    if (words) {
        load_words(e, i, words);
        return;
    }
    for (uint32_t j = 0; j < inst->type.lanes; j++)
        load_lane(e, i, j);
}

void
krsi_spv_store(krsi_spv_emit *e, uint32_t i)
{
    const krs_kinst *inst = &e->kernel->insts[i];
    size_t words = count_words(e, inst);
    if (words) {
        store_words(e, inst, words);
        return;
    }
    for (uint32_t j = 0; j < inst->type.lanes; j++)
        store_lane(e, inst, j);
}
