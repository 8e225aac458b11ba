/* kernel_parse.c -- the text form read back.
 *
 * In: text, possibly hostile. Out: a verified kernel, or one sentence with
 * line and column. A line is one declaration or one instruction; words are
 * kernel_scan.c's, each function here reads one production. The grammar is
 * README.md's; names of values are free and last for the whole text, scoping
 * is the verifier's business. Nothing recurses, and nothing is allocated by a
 * number that the text states.
 */
#include "kernel_scan.h"

#include "kb.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct value_name {
    krsi_kword name;
    uint32_t ref; /* 0: empty slot */
};

struct parse {
    krsi_kscan *s;
    krs_kernel *kernel;
    krsi_arena *arena;
    krs_kinst *insts;
    uint32_t *lines; /* of each instruction */
    size_t count, capacity, line_capacity;
    krs_kbuffer *buffers;
    size_t buffer_count, buffer_capacity;
    krs_karg *args;
    size_t arg_count, arg_capacity;
    uint32_t *loops; /* open FORs */
    size_t depth, loop_capacity;
    struct value_name *names; /* open addressing, a power of two */
    size_t name_count, name_slots;
};

/* A name of letters and digits into the arena, after `sigil` unless 0. */
static bool
parse_name(struct parse *p, char sigil, const char **out)
{
    char found[KRSI_KWORD_TEXT];
    size_t skip = sigil != 0, length = p->s->word.length;
    const char *start = p->s->word.start;
    bool good = length > skip && length <= 100 && (!sigil || *start == sigil);
    for (size_t i = skip; good && i < length; i++)
        good = isalnum((unsigned char)start[i]) || start[i] == '_' ||
               start[i] == '.';
    if (!good)
        return krsi_kscan_fail(p->s, "found %s, expected a name%s",
                               krsi_kscan_shown(p->s, found),
                               sigil ? " that begins with @" : "");
    char *copy = krsi_arena_alloc(p->arena, length - skip + 1);
    if (!copy)
        return krsi_kscan_memory(p->s);
    memcpy(copy, start + skip, length - skip);
    *out = copy;
    krsi_kscan_advance(p->s);
    return true;
}

static bool
parse_align(struct parse *p, int dtype, uint8_t *out)
{
    int64_t bytes = krsi_kdtype_bytes(dtype);
    if (krsi_kscan_is(p->s, "align")) {
        krsi_kscan_advance(p->s);
        if (p->s->word.length == 0 ||
            !isdigit((unsigned char)*p->s->word.start))
            return krsi_kscan_fail(p->s, "expected an alignment in bytes");
        krsi_kword word = p->s->word;
        if (!krsi_kscan_int(p->s, 1, 4096, &bytes))
            return false;
        if (bytes & (bytes - 1)) {
            p->s->word = word;
            return krsi_kscan_fail(p->s, "an alignment is a power of two");
        }
    }
    *out = 0;
    while (INT64_C(1) << *out < bytes)
        ++*out;
    return true;
}

static bool
parse_arg_name(struct parse *p, uint16_t *out)
{
    char found[KRSI_KWORD_TEXT];
    for (size_t i = 0; i < p->arg_count; i++)
        if (krsi_kscan_is(p->s, p->args[i].name)) {
            *out = (uint16_t)i;
            krsi_kscan_advance(p->s);
            return true;
        }
    return krsi_kscan_fail(p->s,
                           "found %s, which is no argument declared above",
                           krsi_kscan_shown(p->s, found));
}

static bool
parse_buffer(struct parse *p, krs_kspace space)
{
    krs_kbuffer buffer = {.space = (uint8_t)space, .count_arg = -1};
    char found[KRSI_KWORD_TEXT];
    uint16_t slot = 0;
    if (!parse_name(p, '@', &buffer.name) ||
        !krsi_kscan_dtype(p->s, &buffer.dtype))
        return false;
    buffer.access = KRS_K_READ | KRS_K_WRITE;
    if (space != KRS_K_PARAM) {
        if (!krsi_kscan_int(p->s, 1, INT64_MAX, &buffer.count))
            return false;
    } else if (krsi_kscan_accept(p->s, "read")) {
        buffer.access = KRS_K_READ;
    } else if (krsi_kscan_accept(p->s, "write")) {
        buffer.access = KRS_K_WRITE;
    } else if (!krsi_kscan_accept(p->s, "readwrite")) {
        return krsi_kscan_fail(p->s,
                               "found %s, expected read, write or readwrite",
                               krsi_kscan_shown(p->s, found));
    }
    if (space == KRS_K_SCRATCH && krsi_kscan_accept(p->s, "times")) {
        if (!parse_arg_name(p, &slot))
            return false;
        buffer.count_arg = slot;
    }
    if (!parse_align(p, buffer.dtype, &buffer.align_log2))
        return false;
    if (p->buffer_count >= 256)
        return krsi_kscan_fail(p->s, "more than 256 buffers");
    if (!krsi_reserve(&p->buffers, &p->buffer_capacity, p->buffer_count + 1,
                      sizeof *p->buffers))
        return krsi_kscan_memory(p->s);
    p->buffers[p->buffer_count++] = buffer;
    return true;
}

static bool
parse_arg(struct parse *p)
{
    krs_karg arg;
    if (!parse_name(p, 0, &arg.name) || !krsi_kscan_dtype(p->s, &arg.dtype))
        return false;
    if (p->arg_count >= 256)
        return krsi_kscan_fail(p->s, "more than 256 arguments");
    if (!krsi_reserve(&p->args, &p->arg_capacity, p->arg_count + 1,
                      sizeof *p->args))
        return krsi_kscan_memory(p->s);
    p->args[p->arg_count++] = arg;
    return true;
}

/* The slot of a value's name: its own, or the empty one it would take. */
static struct value_name *
find_name(const struct parse *p, krsi_kword name)
{
    size_t mask = p->name_slots - 1;
    size_t i = (size_t)XXH3_64bits(name.start, name.length) & mask;
    while (p->names[i].ref &&
           (p->names[i].name.length != name.length ||
            memcmp(p->names[i].name.start, name.start, name.length) != 0))
        i = (i + 1) & mask;
    return &p->names[i];
}

static bool
define_name(struct parse *p, krsi_kword name, uint32_t ref)
{
    if (p->name_count * 2 >= p->name_slots) {
        struct value_name *old = p->names;
        size_t old_slots = p->name_slots;
        size_t slots = old_slots ? old_slots * 2 : 256;
        p->names = calloc(slots, sizeof *p->names);
        if (!p->names) {
            p->names = old;
            return krsi_kscan_memory(p->s);
        }
        p->name_slots = slots;
        for (size_t i = 0; i < old_slots; i++)
            if (old[i].ref)
                *find_name(p, old[i].name) = old[i];
        free(old);
    }
    struct value_name *slot = find_name(p, name);
    if (slot->ref) {
        p->s->word = name;
        return krsi_kscan_fail(p->s, "the value is defined already");
    }
    *slot = (struct value_name){name, ref};
    p->name_count++;
    return true;
}

static bool
parse_value(struct parse *p, uint32_t *out)
{
    char found[KRSI_KWORD_TEXT];
    if (p->s->word.length < 2 || *p->s->word.start != '%')
        return krsi_kscan_fail(p->s, "found %s, expected a value",
                               krsi_kscan_shown(p->s, found));
    struct value_name *slot = p->names ? find_name(p, p->s->word) : NULL;
    if (!slot || !slot->ref)
        return krsi_kscan_fail(p->s, "%s is not defined above",
                               krsi_kscan_shown(p->s, found));
    *out = slot->ref;
    krsi_kscan_advance(p->s);
    return true;
}

static bool
parse_constant(struct parse *p, krs_kinst *inst)
{
    char found[KRSI_KWORD_TEXT];
    int64_t value = 0;
    switch ((krs_dtype)inst->type.dtype) {
    case KRS_F32: return krsi_kscan_float(p->s, &inst->u.bits);
    case KRS_I64:
        if (!krsi_kscan_int(p->s, INT64_MIN, INT64_MAX, &value))
            return false;
        inst->u.bits = (uint64_t)value;
        return true;
    case KRS_I32:
        if (!krsi_kscan_int(p->s, INT32_MIN, INT32_MAX, &value))
            return false;
        inst->u.bits = (uint32_t)value;
        return true;
    case KRS_I8:
        if (!krsi_kscan_int(p->s, INT8_MIN, INT8_MAX, &value))
            return false;
        inst->u.bits = (uint8_t)value;
        return true;
    case KRS_BF16:
    case KRS_F16:
        if (!krsi_kscan_expect(p->s, "bits"))
            return false;
        if (!krsi_kscan_int(p->s, 0, UINT16_MAX, &value))
            return false;
        inst->u.bits = (uint64_t)value;
        return true;
    case KRS_U8:
        if (!krsi_kscan_int(p->s, 0, UINT8_MAX, &value))
            return false;
        inst->u.bits = (uint64_t)value;
        return true;
    case KRS_BOOL:
        inst->u.bits = krsi_kscan_is(p->s, "true");
        return krsi_kscan_accept(p->s, "true") ||
               krsi_kscan_accept(p->s, "false") ||
               krsi_kscan_fail(p->s, "found %s, expected true or false",
                               krsi_kscan_shown(p->s, found));
    case KRS_Q8_0:
    case KRS_Q4_0:
    case KRS_Q4_1:
    case KRS_DTYPE_COUNT: break;
    }
    return krsi_kscan_fail(p->s, "no constant of this type");
}

static bool
parse_shuffle(struct parse *p, krs_kinst *inst)
{
    if (!parse_value(p, &inst->a))
        return false;
    if (!krsi_kscan_is(p->s, "[") && !parse_value(p, &inst->b))
        return false;
    uint8_t *lanes = krsi_arena_alloc(p->arena, inst->type.lanes);
    if (!lanes)
        return krsi_kscan_memory(p->s);
    if (!krsi_kscan_expect(p->s, "["))
        return false;
    for (int i = 0; i < inst->type.lanes; i++) {
        int64_t lane;
        if (!krsi_kscan_int(p->s, 0, 2 * KRS_K_MAX_LANES - 1, &lane))
            return false;
        lanes[i] = (uint8_t)lane;
    }
    inst->u.lanes = lanes;
    return krsi_kscan_expect(p->s, "]");
}

static bool
parse_memory(struct parse *p, krs_kinst *inst)
{
    char found[KRSI_KWORD_TEXT];
    size_t slot = 0;
    while (slot < p->buffer_count &&
           (p->s->word.length != strlen(p->buffers[slot].name) + 1 ||
            *p->s->word.start != '@' ||
            memcmp(p->s->word.start + 1, p->buffers[slot].name,
                   p->s->word.length - 1) != 0))
        slot++;
    if (slot == p->buffer_count)
        return krsi_kscan_fail(p->s,
                               "found %s, which is no buffer declared above",
                               krsi_kscan_shown(p->s, found));
    krsi_kscan_advance(p->s);
    inst->slot = (uint16_t)slot;
    krs_kop op = (krs_kop)inst->op;
    if (!parse_value(p, &inst->a))
        return false;
    if ((op == KRS_K_GATHER || op == KRS_K_SCATTER) &&
        !parse_value(p, &inst->b))
        return false;
    if (op == KRS_K_STORE || op == KRS_K_SCATTER) {
        if (!parse_value(p, &inst->d))
            return false;
        inst->type = p->insts[inst->d].type;
    }
    if (op == KRS_K_PREFETCH)
        inst->type = (krs_ktype){p->buffers[slot].dtype, 1};
    if (krsi_kscan_accept(p->s, "mask") && !parse_value(p, &inst->c))
        return false;
    if (!parse_align(p, p->buffers[slot].dtype, &inst->align_log2))
        return false;
    unsigned flags = 0;
    if (krsi_kscan_accept(p->s, "texel"))
        flags |= KRS_K_TEXEL;
    if (krsi_kscan_accept(p->s, "stream"))
        flags |= KRS_K_STREAM;
    if (krsi_kscan_accept(p->s, "indirect"))
        flags |= KRS_K_INDIRECT;
    inst->flags = (uint8_t)flags;
    return true;
}

static bool
parse_for(struct parse *p, krs_kinst *inst)
{
    if (!parse_value(p, &inst->a) || !krsi_kscan_expect(p->s, "to") ||
        !parse_value(p, &inst->b) || !krsi_kscan_expect(p->s, "step") ||
        !parse_value(p, &inst->c) || !krsi_kscan_expect(p->s, "{"))
        return false;
    if (!krsi_reserve(&p->loops, &p->loop_capacity, p->depth + 1,
                      sizeof *p->loops))
        return krsi_kscan_memory(p->s);
    p->loops[p->depth++] = (uint32_t)p->count;
    return true;
}

/* The operands of an instruction whose op and type are known. */
static bool
parse_rest(struct parse *p, krs_kinst *inst)
{
    int64_t axis;
    uint32_t *const operands[] = {&inst->a, &inst->b, &inst->c};
    int arity = 0;
    switch ((krs_kop)inst->op) {
    case KRS_K_CONST: return parse_constant(p, inst);
    case KRS_K_ARG: return parse_arg_name(p, &inst->slot);
    case KRS_K_AXIS:
    case KRS_K_LOCAL:
        if (!krsi_kscan_int(p->s, 0, KRS_K_AXES - 1, &axis))
            return false;
        inst->slot = (uint16_t)axis;
        return true;
    case KRS_K_SHUFFLE: return parse_shuffle(p, inst);
    case KRS_K_LOAD:
    case KRS_K_GATHER:
    case KRS_K_STORE:
    case KRS_K_SCATTER:
    case KRS_K_PREFETCH: return parse_memory(p, inst);
    case KRS_K_FOR: return parse_for(p, inst);
    case KRS_K_SCALAR:
        arity = krs_kscalar_arity((krs_kscalar)inst->scalar);
        break;
    case KRS_K_BROADCAST:
    case KRS_K_CARRY:
    case KRS_K_RESULT: arity = 1; break;
    case KRS_K_NEXT: arity = 2; break;
    case KRS_K_LANES:
    case KRS_K_BARRIER:
    case KRS_K_END:
    case KRS_K_NOTHING:
    case KRS_K_COUNT: break;
    }
    for (int i = 0; i < arity; i++)
        if (!parse_value(p, operands[i]))
            return false;
    if (inst->op == KRS_K_NEXT)
        inst->type = p->insts[inst->a].type;
    return true;
}

static bool
parse_op(struct parse *p, krs_kinst *inst)
{
    char found[KRSI_KWORD_TEXT];
    for (int op = KRS_K_CONST; op < KRS_K_COUNT; op++)
        if (op != KRS_K_SCALAR && op != KRS_K_END &&
            krsi_kscan_is(p->s, krs_kop_name((krs_kop)op))) {
            inst->op = (uint8_t)op;
            krsi_kscan_advance(p->s);
            return true;
        }
    for (int op = 0; op < KRS_KS_COUNT; op++)
        if (krsi_kscan_is(p->s, krs_kscalar_name((krs_kscalar)op))) {
            inst->op = KRS_K_SCALAR;
            inst->scalar = (uint8_t)op;
            krsi_kscan_advance(p->s);
            return true;
        }
    return krsi_kscan_fail(p->s, "found %s, which is no instruction",
                           krsi_kscan_shown(p->s, found));
}

static bool
parse_inst(struct parse *p)
{
    krs_kinst inst = {0};
    krsi_kword name = {NULL, 0};
    if (!krsi_reserve(&p->insts, &p->capacity, p->count + 1,
                      sizeof *p->insts) ||
        !krsi_reserve(&p->lines, &p->line_capacity, p->count + 1,
                      sizeof *p->lines))
        return krsi_kscan_memory(p->s);
    if (p->count >= UINT32_C(1) << 24)
        return krsi_kscan_fail(p->s, "too many instructions");
    if (krsi_kscan_accept(p->s, "}")) {
        if (p->depth == 0)
            return krsi_kscan_fail(p->s, "there is no loop to end");
        inst.op = KRS_K_END;
        inst.a = p->loops[--p->depth];
    } else {
        if (*p->s->word.start == '%' &&
            (!krsi_kscan_typed_name(p->s, &name, &inst.type) ||
             !krsi_kscan_expect(p->s, "=")))
            return false;
        krsi_kword op = p->s->word;
        if (!parse_op(p, &inst))
            return false;
        if (krs_kop_has_result((krs_kop)inst.op) != (name.length > 0)) {
            p->s->word = op;
            return krsi_kscan_fail(p->s, name.length
                                             ? "the instruction has no result"
                                             : "the instruction has a result; "
                                               "write %%name:type = before it");
        }
        if (!parse_rest(p, &inst))
            return false;
        if (name.length && !define_name(p, name, (uint32_t)p->count))
            return false;
    }
    p->lines[p->count] = (uint32_t)p->s->line;
    p->insts[p->count++] = inst;
    return true;
}

static bool
parse_line(struct parse *p)
{
    int64_t value;
    if (krsi_kscan_accept(p->s, "arg"))
        return parse_arg(p);
    if (krsi_kscan_accept(p->s, "buffer"))
        return parse_buffer(p, KRS_K_PARAM);
    if (krsi_kscan_accept(p->s, "scratch"))
        return parse_buffer(p, KRS_K_SCRATCH);
    if (krsi_kscan_accept(p->s, "shared"))
        return parse_buffer(p, KRS_K_SHARED);
    if (krsi_kscan_accept(p->s, "grid")) {
        if (!krsi_kscan_int(p->s, 1, KRS_K_AXES, &value))
            return false;
        p->kernel->axes = (uint32_t)value;
        return true;
    }
    if (krsi_kscan_accept(p->s, "group")) {
        for (int i = 0; i < KRS_K_AXES; i++) {
            if (!krsi_kscan_int(p->s, 1, 1024, &value))
                return false;
            p->kernel->group[i] = (uint32_t)value;
        }
        return true;
    }
    return parse_inst(p);
}

static bool
parse_text(struct parse *p)
{
    char found[KRSI_KWORD_TEXT];
    bool named = false;
    krs_kinst nothing = {0};
    if (!krsi_reserve(&p->insts, &p->capacity, 1, sizeof *p->insts) ||
        !krsi_reserve(&p->lines, &p->line_capacity, 1, sizeof *p->lines))
        return krsi_kscan_memory(p->s);
    p->insts[0] = nothing;
    p->lines[0] = 1;
    p->count = 1;
    for (;;) {
        krsi_kscan_advance(p->s);
        if (p->s->word.length) {
            if (!named && !krsi_kscan_expect(p->s, "kernel"))
                return false;
            if (!named ? !parse_name(p, 0, &p->kernel->name) : !parse_line(p))
                return false;
            named = true;
            if (p->s->word.length)
                return krsi_kscan_fail(
                    p->s, "found %s after the end of the instruction",
                    krsi_kscan_shown(p->s, found));
        }
        if (!*p->s->at)
            break;
        p->s->at++; /* the line break */
        p->s->line++;
        p->s->line_start = p->s->at;
    }
    if (!named)
        return krsi_kscan_fail(p->s, "the text holds no kernel");
    if (p->depth)
        return krsi_kscan_fail(p->s, "the loop of line %u has no end",
                               p->lines[p->loops[p->depth - 1]]);
    return true;
}

/* The parts into the kernel's arena, then the verifier's word on them. */
static krs_status
assemble(struct parse *p)
{
    krs_kernel *kernel = p->kernel;
    krs_kinst *insts = krsi_arena_array(p->arena, p->count, sizeof *insts);
    krs_kbuffer *buffers =
        krsi_arena_array(p->arena, p->buffer_count, sizeof *buffers);
    krs_karg *args = krsi_arena_array(p->arena, p->arg_count, sizeof *args);
    if (!insts || !buffers || !args) {
        krsi_kscan_memory(p->s);
        return p->s->status;
    }
    memcpy(insts, p->insts, p->count * sizeof *insts);
    if (p->buffer_count)
        memcpy(buffers, p->buffers, p->buffer_count * sizeof *buffers);
    if (p->arg_count)
        memcpy(args, p->args, p->arg_count * sizeof *args);
    while (kernel->param_count < p->buffer_count &&
           buffers[kernel->param_count].space == KRS_K_PARAM)
        kernel->param_count++;
    kernel->insts = insts;
    kernel->inst_count = (uint32_t)p->count;
    kernel->buffers = buffers;
    kernel->buffer_count = (uint32_t)p->buffer_count;
    kernel->args = args;
    kernel->arg_count = (uint32_t)p->arg_count;
    uint32_t where;
    krs_error inner;
    krs_status status = krsi_kernel_verify_at(kernel, &where, &inner);
    if (status == KRS_OK)
        krs_kernel_hash(kernel, kernel->hash);
    else if (where == 0)
        krs_fail(p->s->err, status, "kernel text: declarations of %s: %s",
                 kernel->name, inner.text);
    else
        krs_fail(p->s->err, status, "kernel text: line %u, column 1: %s",
                 p->lines[where], inner.text);
    return status;
}

krs_status
krs_kernel_parse(const char *text, krs_kernel **out, krs_error *err)
{
    krsi_kscan scan = {.at = text, .line_start = text, .line = 1, .err = err};
    struct parse p = {.s = &scan};
    *out = NULL;
    p.kernel = krsi_kernel_new(&p.arena);
    if (!p.kernel)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a kernel");
    for (int i = 0; i < KRS_K_AXES; i++)
        p.kernel->group[i] = 1;
    krs_status status = parse_text(&p) ? assemble(&p) : scan.status;
    if (status == KRS_OK)
        *out = p.kernel;
    else
        krs_kernel_free(p.kernel);
    free(p.insts);
    free(p.lines);
    free(p.buffers);
    free(p.args);
    free(p.loops);
    free(p.names);
    return status;
}
