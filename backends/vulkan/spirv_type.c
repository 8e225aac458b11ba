/* spirv_type.c -- types, constants and variables of a module.
 *
 * All integers are unsigned types: SPIR-V has the sign in the instruction.
 */
#include "spirv_module.h"

uint32_t
krsi_spv_uint(krsi_spv *m, uint32_t bits)
{
    if (bits == 64)
        krsi_spv_need(m, SpvCapabilityInt64, NULL);
    return krsi_spv_once(m, SpvOpTypeInt, false, bits, 0);
}

uint32_t
krsi_spv_float(krsi_spv *m)
{
    return krsi_spv_once(m, SpvOpTypeFloat, false, 32);
}

uint32_t
krsi_spv_bool(krsi_spv *m)
{
    return krsi_spv_once_words(m, SpvOpTypeBool, false, NULL, 0);
}

uint32_t
krsi_spv_vector(krsi_spv *m, uint32_t element, uint32_t count)
{
    return krsi_spv_once(m, SpvOpTypeVector, false, element, count);
}

uint32_t
krsi_spv_pointer(krsi_spv *m, SpvStorageClass class, uint32_t to)
{
    return krsi_spv_once(m, SpvOpTypePointer, false, (uint32_t) class, to);
}

uint32_t
krsi_spv_u32(krsi_spv *m, uint32_t value)
{
    return krsi_spv_once(m, SpvOpConstant, true, krsi_spv_uint(m, 32), value);
}

uint32_t
krsi_spv_u64(krsi_spv *m, uint64_t value)
{
    return krsi_spv_once(m, SpvOpConstant, true, krsi_spv_uint(m, 64),
                         (uint32_t)value, (uint32_t)(value >> 32));
}

uint32_t
krsi_spv_f32(krsi_spv *m, uint32_t bits)
{
    return krsi_spv_once(m, SpvOpConstant, true, krsi_spv_float(m), bits);
}

uint32_t
krsi_spv_truth(krsi_spv *m, bool value)
{
    return krsi_spv_once(m, value ? SpvOpConstantTrue : SpvOpConstantFalse,
                         true, krsi_spv_bool(m));
}

/* Arrays and structs are made anew for each variable: their decorations are
 * their own. */
uint32_t
krsi_spv_block(krsi_spv *m, SpvStorageClass class, uint32_t element,
               uint32_t stride, uint32_t count)
{
    uint32_t array = krsi_spv_id(m), block = krsi_spv_id(m);
    uint32_t variable = krsi_spv_id(m);
    if (count)
        krsi_spv_put(m, KRSI_SPV_TYPES, SpvOpTypeArray, array, element,
                     krsi_spv_u32(m, count));
    else
        krsi_spv_put(m, KRSI_SPV_TYPES, SpvOpTypeRuntimeArray, array, element);
    krsi_spv_put(m, KRSI_SPV_TYPES, SpvOpTypeStruct, block, array);
    krsi_spv_put(m, KRSI_SPV_NOTES, SpvOpDecorate, array,
                 SpvDecorationArrayStride, stride);
    krsi_spv_put(m, KRSI_SPV_NOTES, SpvOpMemberDecorate, block, 0,
                 SpvDecorationOffset, 0);
    krsi_spv_put(m, KRSI_SPV_NOTES, SpvOpDecorate, block, SpvDecorationBlock);
    krsi_spv_put(m, KRSI_SPV_TYPES, SpvOpVariable,
                 krsi_spv_pointer(m, class, block), variable, (uint32_t) class);
    return variable;
}

void
krsi_spv_bind(krsi_spv *m, uint32_t variable, uint32_t binding)
{
    krsi_spv_put(m, KRSI_SPV_NOTES, SpvOpDecorate, variable,
                 SpvDecorationDescriptorSet, 0);
    krsi_spv_put(m, KRSI_SPV_NOTES, SpvOpDecorate, variable,
                 SpvDecorationBinding, binding);
}
