/* spirv_module.h -- a SPIR-V module while it is written.
 *
 * In: instructions, in any order of sections. Out: the words of one module.
 * Types, constants and capabilities exist once however often they are asked
 * for. Values go to the section `at`: the body, or the head of the function,
 * which comes before it and so dominates all of it.
 *
 * Memory that runs out is remembered in `failed`; every call is then a no-op.
 */
#ifndef KRSI_SPIRV_MODULE_H
#define KRSI_SPIRV_MODULE_H

#include <spirv/unified1/spirv.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum krsi_spv_section {
    KRSI_SPV_CAPABILITIES,
    KRSI_SPV_EXTENSIONS,
    KRSI_SPV_FRAME, /* imports, memory model, entry point, modes */
    KRSI_SPV_NOTES, /* decorations */
    KRSI_SPV_TYPES, /* constants and variables too */
    KRSI_SPV_HEAD,
    KRSI_SPV_BODY,
    KRSI_SPV_SECTIONS
} krsi_spv_section;

typedef struct krsi_spv_words {
    uint32_t *data;
    size_t count, capacity;
} krsi_spv_words;

typedef struct krsi_spv {
    krsi_spv_words section[KRSI_SPV_SECTIONS];
    krsi_spv_section at; /* of values: HEAD or BODY */
    uint32_t ids;        /* the last one given out */
    uint32_t glsl;       /* the imported set GLSL.std.450, or 0 */
    uint32_t block;      /* label of the block being written */
    bool failed;
} krsi_spv;

/* spirv_module.c */
void krsi_spv_put_words(krsi_spv *m, krsi_spv_section section, SpvOp op,
                        const uint32_t *words, size_t count);
/* an instruction whose last operand is a string */
void krsi_spv_put_text(krsi_spv *m, krsi_spv_section section, SpvOp op,
                       const uint32_t *words, size_t count, const char *text);
uint32_t krsi_spv_id(krsi_spv *m);
/* a value of the type: operands -> its id */
uint32_t krsi_spv_value_words(krsi_spv *m, SpvOp op, uint32_t type,
                              const uint32_t *words, size_t count);
/* an instruction of TYPES, the same id for the same operands; has_type: the
 * first operand is the type of the result */
uint32_t krsi_spv_once_words(krsi_spv *m, SpvOp op, bool has_type,
                             const uint32_t *words, size_t count);
void krsi_spv_label(krsi_spv *m, uint32_t label);
/* change operand `word`, counted from the beginning of the section */
void krsi_spv_patch(krsi_spv *m, krsi_spv_section section, size_t word,
                    uint32_t value);
void krsi_spv_need(krsi_spv *m, SpvCapability capability,
                   const char *extension);
/* all words of the module, behind `reserved_bytes`, to free(); NULL without
 * memory */
void *krsi_spv_finish(const krsi_spv *m, size_t reserved_bytes,
                      size_t *out_bytes);
void krsi_spv_free(krsi_spv *m);

#define KRSI_SPV_LIST(...)           \
    (const uint32_t[]){__VA_ARGS__}, \
        sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)
#define krsi_spv_put(m, section, op, ...) \
    krsi_spv_put_words(m, section, op, KRSI_SPV_LIST(__VA_ARGS__))
#define krsi_spv_value(m, op, type, ...) \
    krsi_spv_value_words(m, op, type, KRSI_SPV_LIST(__VA_ARGS__))
#define krsi_spv_once(m, op, has_type, ...) \
    krsi_spv_once_words(m, op, has_type, KRSI_SPV_LIST(__VA_ARGS__))

/* spirv_type.c -- what is asked for often */
uint32_t krsi_spv_uint(krsi_spv *m, uint32_t bits);
uint32_t krsi_spv_float(krsi_spv *m);
uint32_t krsi_spv_bool(krsi_spv *m);
uint32_t krsi_spv_vector(krsi_spv *m, uint32_t element, uint32_t count);
uint32_t krsi_spv_pointer(krsi_spv *m, SpvStorageClass class, uint32_t to);
uint32_t krsi_spv_u32(krsi_spv *m, uint32_t value);
uint32_t krsi_spv_u64(krsi_spv *m, uint64_t value);
uint32_t krsi_spv_f32(krsi_spv *m, uint32_t bits);
uint32_t krsi_spv_truth(krsi_spv *m, bool value);
/* a variable: struct { element[] }, or struct { element[count] } if count > 0 */
uint32_t krsi_spv_block(krsi_spv *m, SpvStorageClass class, uint32_t element,
                        uint32_t stride, uint32_t count);
void krsi_spv_bind(krsi_spv *m, uint32_t variable, uint32_t binding);

/* spirv_print.c -- the words of a module as text, an instruction a line, to
 * free(); NULL without memory. Words that are no module end the text. */
char *krsi_spv_print(const uint32_t *words, size_t count);

#endif
