/* emit_dot.c -- dot2_bf16 and dot4_i8: one instruction where the processor
 * has it (vdpbf16ps, vpdpbusd), else the definition in small steps.
 *
 * The instructions exist for 4, 8 and 16 lanes. Fewer lanes are filled up to
 * 4, more are done 16 at a time; so a target uses either the instruction for
 * all widths or for none, and its treatment of subnormals is one fact.
 */
#include "emit.h"

typedef LLVMValueRef value;

/* Lanes first .. first + count - 1; beyond the end of a: zero. */
static value
take(krsi_emit *e, value a, unsigned first, unsigned count)
{
    uint8_t lanes[16];
    LLVMTypeRef type = LLVMTypeOf(a);
    unsigned have = krsi_emit_lanes(type);
    if (have == count)
        return a;
    for (unsigned i = 0; i < count; i++)
        lanes[i] = (uint8_t)(first + i < have ? first + i : have);
    return krsi_emit_shuffle(e, a, have < count ? LLVMConstNull(type) : NULL,
                             lanes, count);
}

/* Vectors of 16 lanes joined to one, or cut to fewer lanes. */
static value
join(krsi_emit *e, value *parts, unsigned count, unsigned lanes)
{
    uint8_t all[KRS_K_MAX_LANES];
    for (unsigned i = 0; i < KRS_K_MAX_LANES; i++)
        all[i] = (uint8_t)i;
    for (unsigned width = 32; count > 1; count /= 2, width *= 2)
        for (unsigned i = 0; i < count / 2; i++)
            parts[i] = krsi_emit_shuffle(e, parts[2 * i], parts[2 * i + 1], all,
                                         width);
    return krsi_emit_lanes(LLVMTypeOf(parts[0])) == lanes
               ? parts[0]
               : krsi_emit_shuffle(e, parts[0], NULL, all, lanes);
}

typedef struct dot_row {
    const char *names[3]; /* for 4, 8, 16 lanes */
    bool pairs;           /* factors are passed as vectors of bfloat */
} dot_row;

static const dot_row dot2_row = {
    {"llvm.x86.avx512bf16.dpbf16ps.128", "llvm.x86.avx512bf16.dpbf16ps.256",
     "llvm.x86.avx512bf16.dpbf16ps.512"},
    true
};
static const dot_row dot4_row = {
    {"llvm.x86.avx512.vpdpbusd.128", "llvm.x86.avx512.vpdpbusd.256",
     "llvm.x86.avx512.vpdpbusd.512"},
    false
};

static value
one_instruction(krsi_emit *e, const dot_row *row, value a, value b, value c)
{
    value parts[KRS_K_MAX_LANES / 16];
    unsigned lanes = krsi_emit_lanes(LLVMTypeOf(a)), count = 0;
    unsigned width = lanes < 4 ? 4 : lanes < 16 ? lanes : 16;
    const char *name = row->names[width == 4 ? 0 : width == 8 ? 1 : 2];
    LLVMTypeRef pairs =
        LLVMVectorType(LLVMBFloatTypeInContext(e->context), 2 * width);
    for (unsigned first = 0; first < lanes; first += width) {
        value args[] = {take(e, a, first, width), take(e, b, first, width),
                        take(e, c, first, width)};
        for (int i = 1; i < 3 && row->pairs; i++)
            args[i] = LLVMBuildBitCast(e->builder, args[i], pairs, "");
        parts[count++] = krsi_emit_call(e, name, NULL, 0, args, 3);
    }
    return join(e, parts, count, lanes);
}

/* The low or the high bf16 of each word as f32. */
static value
half_of(krsi_emit *e, value word, bool high)
{
    LLVMTypeRef type = LLVMTypeOf(word);
    value bits =
        high ? LLVMBuildAnd(e->builder, word, krsi_emit_int(type, 0xffff0000U),
                            "")
             : LLVMBuildShl(e->builder, word, krsi_emit_int(type, 16), "");
    return LLVMBuildBitCast(
        e->builder, bits,
        krsi_emit_like(LLVMFloatTypeInContext(e->context), type), "");
}

LLVMValueRef
krsi_emit_dot2(krsi_emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    if (e->target->has_avx512_bf16)
        return one_instruction(e, &dot2_row, a, b, c);
    a = krsi_emit_mad(e, half_of(e, b, true), half_of(e, c, true), a);
    return krsi_emit_mad(e, half_of(e, b, false), half_of(e, c, false), a);
}

LLVMValueRef
krsi_emit_dot4(krsi_emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    LLVMBuilderRef at = e->builder;
    LLVMTypeRef type = LLVMTypeOf(a);
    if (e->target->has_avx512_vnni)
        return one_instruction(e, &dot4_row, a, b, c);
    for (unsigned byte = 0; byte < 4; byte++) {
        value left = LLVMBuildAnd(
            at,
            LLVMBuildLShr(at, b, krsi_emit_int(type, (uint64_t)8 * byte), ""),
            krsi_emit_int(type, 0xff), "");
        value right = LLVMBuildAShr(
            at,
            LLVMBuildShl(at, c, krsi_emit_int(type, 24 - (uint64_t)8 * byte),
                         ""),
            krsi_emit_int(type, 24), "");
        a = LLVMBuildAdd(at, a, LLVMBuildMul(at, left, right, ""), "");
    }
    return a;
}
