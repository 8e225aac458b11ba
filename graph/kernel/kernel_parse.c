/* kernel_parse.c -- the text form read back.
 *
 * In: text, possibly hostile. Out: a verified kernel, or one sentence with
 * line and column. A line is one declaration or one instruction, `#` starts a
 * comment. The grammar is README.md's; names of values are free and last for
 * the whole text, scoping is the verifier's business. Nothing recurses, and
 * nothing is allocated by a number that the text states. One grammar, one
 * file: each function reads one production.
 */
#include "kb.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct word {
    const char *start;
    size_t length;
};

struct value_name {
    struct word name;
    uint32_t ref; /* 0: empty slot */
};

struct parse {
    const char *at, *line_start;
    int line;
    struct word word; /* the current word; length 0 at the end of a line */
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
    krs_error *err;
    krs_status status;
};

static bool fault(struct parse *p, const char *format, ...) KRS_PRINTF(2, 3);

static bool
fault(struct parse *p, const char *format, ...)
{
    char text[512];
    va_list args;
    if (p->status != KRS_OK)
        return false;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *start = p->word.start ? p->word.start : p->line_start;
    p->status = krs_fail(p->err, KRS_E_FORMAT,
                         "kernel text: line %d, column "
                         "%d: %s",
                         p->line, (int)(start - p->line_start) + 1, text);
    return false;
}

static bool
no_memory(struct parse *p)
{
    if (p->status == KRS_OK)
        p->status = krs_fail(p->err, KRS_E_MEMORY,
                             "no memory for the kernel at line %d", p->line);
    return false;
}

static bool
is_mark(char c)
{
    return c == '=' || c == '{' || c == '}' || c == '[' || c == ']';
}

/* To the next word of this line; a word of length 0 is its end. */
static void
advance(struct parse *p)
{
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\r')
        p->at++;
    if (*p->at == '#')
        while (*p->at && *p->at != '\n')
            p->at++;
    const char *start = p->at;
    if (is_mark(*p->at))
        p->at++;
    else
        while (*p->at && *p->at != '#' && !is_mark(*p->at) &&
               !isspace((unsigned char)*p->at))
            p->at++;
    if (p->at == start && *p->at && *p->at != '\n')
        p->at++; /* a stray control character is a word, and a fault */
    p->word = (struct word){start, (size_t)(p->at - start)};
}

static bool
is(const struct parse *p, const char *text)
{
    return p->word.length == strlen(text) &&
           memcmp(p->word.start, text, p->word.length) == 0;
}

static bool
accept(struct parse *p, const char *text)
{
    if (!is(p, text))
        return false;
    advance(p);
    return true;
}

/* The current word for a message, cut to a readable length. */
static const char *
shown(const struct parse *p, char text[48])
{
    size_t length = p->word.length;
    if (length == 0)
        return strcpy(text, "the end of the line");
    if (length > 40)
        length = 40;
    text[0] = '`';
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)p->word.start[i];
        text[1 + i] = (char)(c >= 32 && c < 127 ? c : '?');
    }
    text[1 + length] = '`';
    text[2 + length] = 0;
    return text;
}

static bool
expect(struct parse *p, const char *text)
{
    char found[48];
    if (accept(p, text))
        return true;
    return fault(p, "found %s, expected `%s`", shown(p, found), text);
}

static bool
parse_int(struct parse *p, int64_t low, int64_t high, int64_t *out)
{
    char found[48];
    const char *s = p->word.start, *end = s + p->word.length;
    bool negative = s < end && *s == '-';
    uint64_t value = 0;
    s += negative;
    bool good = s < end;
    for (; good && s < end; s++)
        good = *s >= '0' && *s <= '9' &&
               !__builtin_mul_overflow(value, UINT64_C(10), &value) &&
               !__builtin_add_overflow(value, (uint64_t)(*s - '0'), &value);
    good = good && value <= (uint64_t)INT64_MAX + negative;
    int64_t result = (int64_t)(negative ? 0 - value : value);
    if (!good || result < low || result > high)
        return fault(p, "found %s, expected an integer from %lld to %lld",
                     shown(p, found), (long long)low, (long long)high);
    *out = result;
    advance(p);
    return true;
}

/* A name of letters and digits into the arena, after `sigil` unless 0. */
static bool
parse_name(struct parse *p, char sigil, const char **out)
{
    char found[48];
    size_t skip = sigil != 0, length = p->word.length;
    const char *start = p->word.start;
    bool good = length > skip && length <= 100 && (!sigil || *start == sigil);
    for (size_t i = skip; good && i < length; i++)
        good = isalnum((unsigned char)start[i]) || start[i] == '_' ||
               start[i] == '.';
    if (!good)
        return fault(p, "found %s, expected a name%s", shown(p, found),
                     sigil ? " that begins with @" : "");
    char *copy = krsi_arena_alloc(p->arena, length - skip + 1);
    if (!copy)
        return no_memory(p);
    memcpy(copy, start + skip, length - skip);
    *out = copy;
    advance(p);
    return true;
}

static bool
dtype_of(const char *start, size_t length, uint8_t *out)
{
    char name[8];
    krs_dtype dtype;
    if (length >= sizeof name)
        return false;
    memcpy(name, start, length);
    name[length] = 0;
    if (!krs_dtype_parse(name, &dtype))
        return false;
    *out = (uint8_t)dtype;
    return true;
}

static bool
parse_dtype(struct parse *p, uint8_t *out)
{
    char found[48];
    if (!dtype_of(p->word.start, p->word.length, out))
        return fault(p, "found %s, expected an element type", shown(p, found));
    advance(p);
    return true;
}

static bool
parse_align(struct parse *p, int dtype, uint8_t *out)
{
    int64_t bytes = krsi_kdtype_bytes(dtype);
    if (is(p, "align")) {
        advance(p);
        if (p->word.length == 0 || !isdigit((unsigned char)*p->word.start))
            return fault(p, "expected an alignment in bytes");
        struct word word = p->word;
        if (!parse_int(p, 1, 4096, &bytes))
            return false;
        if (bytes & (bytes - 1)) {
            p->word = word;
            return fault(p, "an alignment is a power of two");
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
    char found[48];
    for (size_t i = 0; i < p->arg_count; i++)
        if (is(p, p->args[i].name)) {
            *out = (uint16_t)i;
            advance(p);
            return true;
        }
    return fault(p, "found %s, which is no argument declared above",
                 shown(p, found));
}

static bool
parse_buffer(struct parse *p, krs_kspace space)
{
    krs_kbuffer buffer = {.space = (uint8_t)space, .count_arg = -1};
    char found[48];
    uint16_t slot;
    if (!parse_name(p, '@', &buffer.name) || !parse_dtype(p, &buffer.dtype))
        return false;
    buffer.access = KRS_K_READ | KRS_K_WRITE;
    if (space != KRS_K_PARAM) {
        if (!parse_int(p, 1, INT64_MAX, &buffer.count))
            return false;
    } else if (accept(p, "read")) {
        buffer.access = KRS_K_READ;
    } else if (accept(p, "write")) {
        buffer.access = KRS_K_WRITE;
    } else if (!accept(p, "readwrite")) {
        return fault(p, "found %s, expected read, write or readwrite",
                     shown(p, found));
    }
    if (space == KRS_K_SCRATCH && accept(p, "times")) {
        if (!parse_arg_name(p, &slot))
            return false;
        buffer.count_arg = slot;
    }
    if (!parse_align(p, buffer.dtype, &buffer.align_log2))
        return false;
    if (p->buffer_count >= 256)
        return fault(p, "more than 256 buffers");
    if (!krsi_reserve(&p->buffers, &p->buffer_capacity, p->buffer_count + 1,
                      sizeof *p->buffers))
        return no_memory(p);
    p->buffers[p->buffer_count++] = buffer;
    return true;
}

static bool
parse_arg(struct parse *p)
{
    krs_karg arg;
    if (!parse_name(p, 0, &arg.name) || !parse_dtype(p, &arg.dtype))
        return false;
    if (p->arg_count >= 256)
        return fault(p, "more than 256 arguments");
    if (!krsi_reserve(&p->args, &p->arg_capacity, p->arg_count + 1,
                      sizeof *p->args))
        return no_memory(p);
    p->args[p->arg_count++] = arg;
    return true;
}

/* The slot of a value's name: its own, or the empty one it would take. */
static struct value_name *
find_name(const struct parse *p, struct word name)
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
define_name(struct parse *p, struct word name, uint32_t ref)
{
    if (p->name_count * 2 >= p->name_slots) {
        struct value_name *old = p->names;
        size_t old_slots = p->name_slots;
        size_t slots = old_slots ? old_slots * 2 : 256;
        p->names = calloc(slots, sizeof *p->names);
        if (!p->names) {
            p->names = old;
            return no_memory(p);
        }
        p->name_slots = slots;
        for (size_t i = 0; i < old_slots; i++)
            if (old[i].ref)
                *find_name(p, old[i].name) = old[i];
        free(old);
    }
    struct value_name *slot = find_name(p, name);
    if (slot->ref) {
        p->word = name;
        return fault(p, "the value is defined already");
    }
    *slot = (struct value_name){name, ref};
    p->name_count++;
    return true;
}

static bool
parse_value(struct parse *p, uint32_t *out)
{
    char found[48];
    if (p->word.length < 2 || *p->word.start != '%')
        return fault(p, "found %s, expected a value", shown(p, found));
    struct value_name *slot = p->names ? find_name(p, p->word) : NULL;
    if (!slot || !slot->ref)
        return fault(p, "%s is not defined above", shown(p, found));
    *out = slot->ref;
    advance(p);
    return true;
}

/* "%name:f32x16" */
static bool
parse_typed_name(struct parse *p, struct word *name, krs_ktype *type)
{
    const char *colon = memchr(p->word.start, ':', p->word.length);
    if (!colon || colon - p->word.start < 2)
        return fault(p, "expected %%name:type");
    const char *end = p->word.start + p->word.length;
    const char *x = memchr(colon, 'x', (size_t)(end - colon));
    int lanes = 1;
    if (x) {
        lanes = 0;
        for (const char *s = x + 1; s < end; s++)
            lanes = lanes < 100 && *s >= '0' && *s <= '9'
                        ? lanes * 10 + (*s - '0')
                        : 255;
    }
    const char *type_end = x ? x : end;
    krs_ktype read = {0, (uint8_t)(lanes > 255 ? 255 : lanes)};
    if (!dtype_of(colon + 1, (size_t)(type_end - colon - 1), &read.dtype) ||
        !krsi_ktype_valid(read))
        return fault(p, "the type is none of a value: f32, i64x8 or the like, "
                        "lanes a power of two up to 64");
    *name = (struct word){p->word.start, (size_t)(colon - p->word.start)};
    *type = read;
    advance(p);
    return true;
}

static bool
parse_float(struct parse *p, uint64_t *out)
{
    char text[64], found[48];
    const char *end = text;
    double value = 0;
    bool good = p->word.length > 0 && p->word.length < sizeof text;
    if (good) {
        memcpy(text, p->word.start, p->word.length);
        text[p->word.length] = 0;
        good = krsi_parse_double(text, &end, &value) && *end == 0;
    }
    if (!good || (isfinite(value) && fabs(value) > (double)FLT_MAX))
        return fault(p, "found %s, expected an f32", shown(p, found));
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    *out = isnan(value) ? 0x7FC00000 : bits;
    advance(p);
    return true;
}

static bool
parse_constant(struct parse *p, krs_kinst *inst)
{
    char found[48];
    int64_t value = 0;
    switch ((krs_dtype)inst->type.dtype) {
    case KRS_F32: return parse_float(p, &inst->u.bits);
    case KRS_I64:
        if (!parse_int(p, INT64_MIN, INT64_MAX, &value))
            return false;
        inst->u.bits = (uint64_t)value;
        return true;
    case KRS_I32:
        if (!parse_int(p, INT32_MIN, INT32_MAX, &value))
            return false;
        inst->u.bits = (uint32_t)value;
        return true;
    case KRS_I8:
        if (!parse_int(p, INT8_MIN, INT8_MAX, &value))
            return false;
        inst->u.bits = (uint8_t)value;
        return true;
    case KRS_BF16:
    case KRS_F16:
        if (!expect(p, "bits"))
            return false;
        if (!parse_int(p, 0, UINT16_MAX, &value))
            return false;
        inst->u.bits = (uint64_t)value;
        return true;
    case KRS_U8:
        if (!parse_int(p, 0, UINT8_MAX, &value))
            return false;
        inst->u.bits = (uint64_t)value;
        return true;
    case KRS_BOOL:
        inst->u.bits = is(p, "true");
        return accept(p, "true") || accept(p, "false") ||
               fault(p, "found %s, expected true or false", shown(p, found));
    case KRS_Q8_0:
    case KRS_Q4_0:
    case KRS_Q4_1:
    case KRS_DTYPE_COUNT: break;
    }
    return fault(p, "no constant of this type");
}

static bool
parse_shuffle(struct parse *p, krs_kinst *inst)
{
    if (!parse_value(p, &inst->a))
        return false;
    if (!is(p, "[") && !parse_value(p, &inst->b))
        return false;
    uint8_t *lanes = krsi_arena_alloc(p->arena, inst->type.lanes);
    if (!lanes)
        return no_memory(p);
    if (!expect(p, "["))
        return false;
    for (int i = 0; i < inst->type.lanes; i++) {
        int64_t lane;
        if (!parse_int(p, 0, 2 * KRS_K_MAX_LANES - 1, &lane))
            return false;
        lanes[i] = (uint8_t)lane;
    }
    inst->u.lanes = lanes;
    return expect(p, "]");
}

static bool
parse_memory(struct parse *p, krs_kinst *inst)
{
    char found[48];
    size_t slot = 0;
    while (slot < p->buffer_count &&
           (p->word.length != strlen(p->buffers[slot].name) + 1 ||
            *p->word.start != '@' ||
            memcmp(p->word.start + 1, p->buffers[slot].name,
                   p->word.length - 1) != 0))
        slot++;
    if (slot == p->buffer_count)
        return fault(p, "found %s, which is no buffer declared above",
                     shown(p, found));
    advance(p);
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
    if (accept(p, "mask") && !parse_value(p, &inst->c))
        return false;
    if (!parse_align(p, p->buffers[slot].dtype, &inst->align_log2))
        return false;
    unsigned flags = 0;
    if (accept(p, "texel"))
        flags |= KRS_K_TEXEL;
    if (accept(p, "stream"))
        flags |= KRS_K_STREAM;
    if (accept(p, "indirect"))
        flags |= KRS_K_INDIRECT;
    inst->flags = (uint8_t)flags;
    return true;
}

static bool
parse_for(struct parse *p, krs_kinst *inst)
{
    if (!parse_value(p, &inst->a) || !expect(p, "to") ||
        !parse_value(p, &inst->b) || !expect(p, "step") ||
        !parse_value(p, &inst->c) || !expect(p, "{"))
        return false;
    if (!krsi_reserve(&p->loops, &p->loop_capacity, p->depth + 1,
                      sizeof *p->loops))
        return no_memory(p);
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
        if (!parse_int(p, 0, KRS_K_AXES - 1, &axis))
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
    char found[48];
    for (int op = KRS_K_CONST; op < KRS_K_COUNT; op++)
        if (op != KRS_K_SCALAR && op != KRS_K_END &&
            is(p, krs_kop_name((krs_kop)op))) {
            inst->op = (uint8_t)op;
            advance(p);
            return true;
        }
    for (int op = 0; op < KRS_KS_COUNT; op++)
        if (is(p, krs_kscalar_name((krs_kscalar)op))) {
            inst->op = KRS_K_SCALAR;
            inst->scalar = (uint8_t)op;
            advance(p);
            return true;
        }
    return fault(p, "found %s, which is no instruction", shown(p, found));
}

static bool
parse_inst(struct parse *p)
{
    krs_kinst inst = {0};
    struct word name = {NULL, 0};
    if (!krsi_reserve(&p->insts, &p->capacity, p->count + 1,
                      sizeof *p->insts) ||
        !krsi_reserve(&p->lines, &p->line_capacity, p->count + 1,
                      sizeof *p->lines))
        return no_memory(p);
    if (p->count >= UINT32_C(1) << 24)
        return fault(p, "too many instructions");
    if (accept(p, "}")) {
        if (p->depth == 0)
            return fault(p, "there is no loop to end");
        inst.op = KRS_K_END;
        inst.a = p->loops[--p->depth];
    } else {
        struct word op = p->word;
        if (*p->word.start == '%' &&
            (!parse_typed_name(p, &name, &inst.type) || !expect(p, "=")))
            return false;
        op = p->word;
        if (!parse_op(p, &inst))
            return false;
        if (krs_kop_has_result((krs_kop)inst.op) != (name.length > 0)) {
            p->word = op;
            return fault(p, name.length ? "the instruction has no result"
                                        : "the instruction has a result; "
                                          "write %%name:type = before it");
        }
        if (!parse_rest(p, &inst))
            return false;
        if (name.length && !define_name(p, name, (uint32_t)p->count))
            return false;
    }
    p->lines[p->count] = (uint32_t)p->line;
    p->insts[p->count++] = inst;
    return true;
}

static bool
parse_line(struct parse *p)
{
    int64_t value;
    if (accept(p, "arg"))
        return parse_arg(p);
    if (accept(p, "buffer"))
        return parse_buffer(p, KRS_K_PARAM);
    if (accept(p, "scratch"))
        return parse_buffer(p, KRS_K_SCRATCH);
    if (accept(p, "shared"))
        return parse_buffer(p, KRS_K_SHARED);
    if (accept(p, "grid")) {
        if (!parse_int(p, 1, KRS_K_AXES, &value))
            return false;
        p->kernel->axes = (uint32_t)value;
        return true;
    }
    if (accept(p, "group")) {
        for (int i = 0; i < KRS_K_AXES; i++) {
            if (!parse_int(p, 1, 1024, &value))
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
    char found[48];
    bool named = false;
    krs_kinst nothing = {0};
    if (!krsi_reserve(&p->insts, &p->capacity, 1, sizeof *p->insts) ||
        !krsi_reserve(&p->lines, &p->line_capacity, 1, sizeof *p->lines))
        return no_memory(p);
    p->insts[0] = nothing;
    p->lines[0] = 1;
    p->count = 1;
    for (;;) {
        advance(p);
        if (p->word.length) {
            if (!named && !expect(p, "kernel"))
                return false;
            if (!named ? !parse_name(p, 0, &p->kernel->name) : !parse_line(p))
                return false;
            named = true;
            if (p->word.length)
                return fault(p, "found %s after the end of the instruction",
                             shown(p, found));
        }
        if (!*p->at)
            break;
        p->at++; /* the line break */
        p->line++;
        p->line_start = p->at;
    }
    if (!named)
        return fault(p, "the text holds no kernel");
    if (p->depth)
        return fault(p, "the loop of line %u has no end",
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
        no_memory(p);
        return p->status;
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
        krs_fail(p->err, status, "kernel text: declarations of %s: %s",
                 kernel->name, inner.text);
    else
        krs_fail(p->err, status, "kernel text: line %u, column 1: %s",
                 p->lines[where], inner.text);
    return status;
}

krs_status
krs_kernel_parse(const char *text, krs_kernel **out, krs_error *err)
{
    struct parse p = {.at = text, .line_start = text, .line = 1, .err = err};
    *out = NULL;
    p.kernel = krsi_kernel_new(&p.arena);
    if (!p.kernel)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a kernel");
    for (int i = 0; i < KRS_K_AXES; i++)
        p.kernel->group[i] = 1;
    krs_status status = parse_text(&p) ? assemble(&p) : p.status;
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
