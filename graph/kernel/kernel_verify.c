/* kernel_verify.c -- what every backend may rely on.
 *
 * In: a kernel from anywhere, hostile ones included. Out: KRS_OK, or one
 * sentence about the first fault. After the declarations (kernel_declare.c)
 * one pass over the instructions; about each value it keeps three facts: the
 * loop it lives in (scoping), its form as an index, and whether it can differ
 * between the items of a group (barriers).
 *
 * Forms: an INVARIANT is made of constants, arguments and what a read-only
 * buffer holds at an invariant index; AFFINE is linear in grid axes, local
 * indices and loop indices with invariant factors, min and max included, and
 * a grid index that div and rem take apart into several; everything else is FREE and may be an index only where the instruction says
 * `indirect`. So an analysis that needs affine indices fails only where the
 * kernel announced it. Unused fields must be zero: equal code is equal bytes.
 */
#include "kb.h"

#include <stdio.h>
#include <stdlib.h>

enum form { INVARIANT, AFFINE, FREE };

enum { MAX_DEPTH = 64 };

struct fact {
    uint32_t scope; /* the FOR it lives in, 0 for the kernel */
    uint8_t form;
    bool varies; /* between the items of a group */
    bool open;   /* FOR: its END has not come */
};

struct loop {
    uint32_t inst, carries, nexts; /* carries and NEXTs so far */
    bool varies;
};

struct check {
    const krs_kernel *kernel;
    struct fact *facts;
    struct loop loops[MAX_DEPTH];
    int depth;
    uint32_t ended; /* the FOR whose RESULTs may come */
    char text[256];
};

static bool fault(struct check *check, const char *format, ...)
    KRS_PRINTF(2, 3);

static bool
fault(struct check *check, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(check->text, sizeof check->text, format, args);
    va_end(args);
    return false;
}

/* The fields that an instruction does not use are zero. */
static bool
check_unused(struct check *check, const krs_kinst *inst, bool a, bool b, bool c,
             bool d)
{
    bool memory = inst->op >= KRS_K_LOAD && inst->op <= KRS_K_PREFETCH;
    if ((!a && inst->a) || (!b && inst->b) || (!c && inst->c) ||
        (!d && inst->d))
        return fault(check, "an operand too many");
    if ((inst->op != KRS_K_SCALAR && inst->scalar) ||
        (!memory && (inst->flags || inst->align_log2)) ||
        (!memory && inst->op != KRS_K_ARG && inst->op != KRS_K_AXIS &&
         inst->op != KRS_K_LOCAL && inst->slot) ||
        (inst->op != KRS_K_CONST && inst->op != KRS_K_SHUFFLE && inst->u.bits))
        return fault(check, "a field that it does not use is not zero");
    return true;
}

static bool
check_first(struct check *check)
{
    const krs_kinst *first = &check->kernel->insts[0];
    if (first->op != KRS_K_NOTHING || first->type.dtype || first->type.lanes ||
        !check_unused(check, first, false, false, false, false))
        return fault(check, "instruction 0 is not an empty `nothing`");
    return true;
}

static uint32_t
scope_now(const struct check *check)
{
    return check->depth ? check->loops[check->depth - 1].inst : 0;
}

/* Operand `ref` of instruction i: an earlier value whose loop is open. */
static bool
visible(struct check *check, uint32_t i, uint32_t ref, const char *what)
{
    if (ref == 0)
        return fault(check, "%s is missing", what);
    if (ref >= i)
        return fault(check, "%s is used before it is defined", what);
    if (!krs_kop_has_result((krs_kop)check->kernel->insts[ref].op))
        return fault(check, "%s is not a value", what);
    uint32_t scope = check->facts[ref].scope;
    if (scope && !check->facts[scope].open)
        return fault(check,
                     "%s is used outside of its loop; take the result "
                     "of a carry",
                     what);
    return true;
}

static krs_ktype
type_of(const struct check *check, uint32_t ref)
{
    return check->kernel->insts[ref].type;
}

static bool
has_type(struct check *check, uint32_t i, uint32_t ref, krs_ktype type,
         const char *what)
{
    char is[KRSI_KTYPE_TEXT], must[KRSI_KTYPE_TEXT];
    if (!visible(check, i, ref, what))
        return false;
    if (!krsi_ktype_same(type_of(check, ref), type))
        return fault(check, "%s is %s, must be %s", what,
                     krsi_ktype_print(is, type_of(check, ref)),
                     krsi_ktype_print(must, type));
    return true;
}

static const krs_ktype one_i64 = {KRS_I64, 1};

static bool
is_integer(krs_ktype type)
{
    return type.dtype == KRS_I32 || type.dtype == KRS_I64;
}

static bool
check_const(struct check *check, const krs_kinst *inst)
{
    int bytes = krsi_kdtype_bytes(inst->type.dtype);
    uint64_t bits = inst->u.bits;
    if (!check_unused(check, inst, false, false, false, false))
        return false;
    if ((bytes < 8 && bits >> 8 * bytes) ||
        (inst->type.dtype == KRS_BOOL && bits > 1) ||
        (inst->type.dtype == KRS_F32 && bits != 0x7FC00000 &&
         (bits & 0x7FFFFFFF) > 0x7F800000))
        return fault(check, "the bits do not fit the type");
    return true;
}

static bool
check_leaf(struct check *check, const krs_kinst *inst)
{
    const krs_kernel *kernel = check->kernel;
    if (!check_unused(check, inst, false, false, false, false))
        return false;
    if (inst->op == KRS_K_LANES)
        return inst->type.dtype == KRS_I32 || fault(check, "lanes are i32");
    if (inst->op == KRS_K_ARG) {
        if (inst->slot >= kernel->arg_count)
            return fault(check, "there is no argument %d", inst->slot);
        krs_ktype type = {kernel->args[inst->slot].dtype, 1};
        return krsi_ktype_same(inst->type, type) ||
               fault(check, "the type is not that of argument %s",
                     kernel->args[inst->slot].name);
    }
    if (inst->slot >= kernel->axes)
        return fault(check, "axis %d of a grid of %u", inst->slot,
                     kernel->axes);
    return krsi_ktype_same(inst->type, one_i64) ||
           fault(check, "an axis index is one i64");
}

/* A grid index, or what div and rem made of one: a number of several digits,
 * each of them the index of an axis. */
static bool
is_of_grid(const struct check *check, uint32_t ref)
{
    const krs_kinst *inst = &check->kernel->insts[ref];
    return inst->op == KRS_K_AXIS ||
           (inst->op == KRS_K_SCALAR && inst->scalar == KRS_KS_DIV &&
            check->facts[ref].form == AFFINE);
}

/* Form of a scalar operation's result from those of its operands. */
static enum form
scalar_form(const struct check *check, const krs_kinst *inst)
{
    const struct fact *facts = check->facts;
    enum form f[3] = {INVARIANT, INVARIANT, INVARIANT};
    const uint32_t refs[3] = {inst->a, inst->b, inst->c};
    enum form most = INVARIANT;
    for (int i = 0; i < 3; i++) {
        f[i] = refs[i] ? (enum form)facts[refs[i]].form : INVARIANT;
        if (f[i] > most)
            most = f[i];
    }
    if (most == INVARIANT)
        return INVARIANT;
    if (!is_integer(inst->type))
        return FREE;
    krs_kscalar op = (krs_kscalar)inst->scalar;
    if (op == KRS_KS_ADD || op == KRS_KS_SUB || op == KRS_KS_NEG ||
        op == KRS_KS_MIN || op == KRS_KS_MAX)
        return most;
    if (op == KRS_KS_MUL)
        return f[0] + f[1] == AFFINE ? AFFINE : FREE;
    if ((op == KRS_KS_DIV || op == KRS_KS_REM) && is_of_grid(check, inst->a))
        return f[1] == INVARIANT ? AFFINE : FREE;
    if (op == KRS_KS_SHL)
        return f[1] == INVARIANT ? f[0] : FREE;
    if (op == KRS_KS_CONVERT && is_integer(type_of(check, inst->a)))
        return most;
    return FREE;
}

static bool
check_scalar(struct check *check, uint32_t i, const krs_kinst *inst)
{
    static const char *const names[] = {"operand 1", "operand 2", "operand 3"};
    const uint32_t refs[3] = {inst->a, inst->b, inst->c};
    krs_ktype types[3] =
        {
            {0, 0},
            {0, 0},
            {0, 0}
    },
              result;
    if (inst->scalar >= KRS_KS_COUNT)
        return fault(check, "there is no scalar operation %d", inst->scalar);
    int arity = krs_kscalar_arity((krs_kscalar)inst->scalar);
    if (!check_unused(check, inst, true, arity > 1, arity > 2, false))
        return false;
    bool varies = false;
    for (int k = 0; k < arity; k++) {
        if (!visible(check, i, refs[k], names[k]))
            return false;
        types[k] = type_of(check, refs[k]);
        varies = varies || check->facts[refs[k]].varies;
    }
    const char *why = krsi_kscalar_type((krs_kscalar)inst->scalar, types,
                                        inst->type, &result);
    char is[KRSI_KTYPE_TEXT], must[KRSI_KTYPE_TEXT];
    if (why)
        return fault(check, "%s", why);
    if (!krsi_ktype_same(result, inst->type))
        return fault(check, "the result is %s, must be %s",
                     krsi_ktype_print(is, inst->type),
                     krsi_ktype_print(must, result));
    check->facts[i].form = (uint8_t)scalar_form(check, inst);
    check->facts[i].varies = varies;
    return true;
}

static bool
check_lanes(struct check *check, uint32_t i, const krs_kinst *inst)
{
    bool shuffle = inst->op == KRS_K_SHUFFLE;
    if (!check_unused(check, inst, true, shuffle, false, false) ||
        !visible(check, i, inst->a, "the operand"))
        return false;
    krs_ktype from = type_of(check, inst->a);
    check->facts[i].form = check->facts[inst->a].form;
    check->facts[i].varies = check->facts[inst->a].varies;
    if (from.dtype != inst->type.dtype)
        return fault(check, "the element type changes");
    if (!shuffle)
        return from.lanes == 1 || fault(check, "the operand is not a scalar");
    int lanes = from.lanes;
    if (inst->b) {
        if (!has_type(check, i, inst->b, from, "the second operand"))
            return false;
        lanes *= 2;
        if (check->facts[inst->b].form > check->facts[i].form)
            check->facts[i].form = check->facts[inst->b].form;
        if (check->facts[inst->b].varies)
            check->facts[i].varies = true;
    }
    if (!inst->u.lanes)
        return fault(check, "the lane numbers are missing");
    for (int k = 0; k < inst->type.lanes; k++)
        if (inst->u.lanes[k] >= lanes)
            return fault(check, "lane %d of %d", inst->u.lanes[k], lanes);
    return true;
}

static bool
check_index(struct check *check, uint32_t i, const krs_kinst *inst,
            const krs_kbuffer *buffer)
{
    if (!has_type(check, i, inst->a, one_i64, "the index"))
        return false;
    const krs_kinst *index = &check->kernel->insts[inst->a];
    bool is_free = check->facts[inst->a].form == FREE;
    if (inst->b) {
        krs_ktype type = {KRS_I32, inst->type.lanes};
        if (!visible(check, i, inst->b, "the offset"))
            return false;
        if (type_of(check, inst->b).dtype == KRS_I64)
            type.dtype = KRS_I64;
        if (!has_type(check, i, inst->b, type, "the offset"))
            return false;
        is_free = is_free || check->facts[inst->b].form == FREE;
    }
    if (is_free && !(inst->flags & KRS_K_INDIRECT))
        return fault(check,
                     "the index into %s is not affine in loop and grid "
                     "indices; say `indirect` if that is meant",
                     buffer->name);
    if (buffer->space == KRS_K_PARAM || buffer->count_arg >= 0 || inst->c ||
        inst->b || index->op != KRS_K_CONST)
        return true;
    int64_t first = (int64_t)index->u.bits;
    int64_t lanes = inst->op == KRS_K_PREFETCH ? 1 : inst->type.lanes;
    if (first < 0 || first > buffer->count - lanes)
        return fault(check, "elements %lld to %lld of %s, which has %lld",
                     (long long)first, (long long)(first + lanes - 1),
                     buffer->name, (long long)buffer->count);
    return true;
}

static bool
check_memory(struct check *check, uint32_t i, const krs_kinst *inst)
{
    const krs_kernel *kernel = check->kernel;
    krs_kop op = (krs_kop)inst->op;
    bool lanewise = op == KRS_K_GATHER || op == KRS_K_SCATTER;
    bool writes = op == KRS_K_STORE || op == KRS_K_SCATTER;
    bool prefetch = op == KRS_K_PREFETCH;
    if (!check_unused(check, inst, true, lanewise, !prefetch, writes))
        return false;
    if (inst->slot >= kernel->buffer_count)
        return fault(check, "there is no buffer %d", inst->slot);
    const krs_kbuffer *buffer = &kernel->buffers[inst->slot];
    if (!krsi_ktype_valid(inst->type) || inst->type.dtype != buffer->dtype)
        return fault(check, "buffer %s holds %s", buffer->name,
                     krs_dtype_name((krs_dtype)buffer->dtype));
    if (lanewise && !inst->b)
        return fault(check, "the offset is missing");
    if (prefetch && inst->type.lanes != 1)
        return fault(check, "it names one element");
    if (!(buffer->access & (writes ? KRS_K_WRITE : KRS_K_READ)) && !prefetch)
        return fault(check, "buffer %s is not declared for %s", buffer->name,
                     writes ? "writing" : "reading");
    int allowed = KRS_K_INDIRECT | (op == KRS_K_STORE ? KRS_K_STREAM : 0) |
                  (op == KRS_K_LOAD ? KRS_K_TEXEL : 0);
    if (inst->flags & ~allowed)
        return fault(check, "a flag that it cannot have");
    if (inst->flags & KRS_K_TEXEL &&
        (buffer->space != KRS_K_PARAM || buffer->access != KRS_K_READ))
        return fault(check,
                     "texel view of %s, which is not a read-only "
                     "parameter",
                     buffer->name);
    if (inst->align_log2 > buffer->align_log2 ||
        1 << inst->align_log2 < krsi_kdtype_bytes(buffer->dtype))
        return fault(check,
                     "an alignment of %d bytes is not between the element's "
                     "and that of %s",
                     inst->align_log2 < 31 ? 1 << inst->align_log2 : 0,
                     buffer->name);
    if (!check_index(check, i, inst, buffer))
        return false;
    krs_ktype mask = {KRS_BOOL, inst->type.lanes};
    if (inst->c && !has_type(check, i, inst->c, mask, "the mask"))
        return false;
    if (writes)
        return has_type(check, i, inst->d, inst->type, "the value");
    const struct fact *index = &check->facts[inst->a];
    bool constant = buffer->access == KRS_K_READ && op == KRS_K_LOAD;
    bool plain = constant && !inst->c && inst->type.lanes == 1;
    check->facts[i].form = plain && index->form == INVARIANT ? INVARIANT : FREE;
    check->facts[i].varies =
        !constant || index->varies || (inst->c && check->facts[inst->c].varies);
    return true;
}

static bool
check_for(struct check *check, uint32_t i, const krs_kinst *inst)
{
    if (!check_unused(check, inst, true, true, true, false) ||
        !has_type(check, i, inst->a, one_i64, "the lower bound") ||
        !has_type(check, i, inst->b, one_i64, "the upper bound") ||
        !has_type(check, i, inst->c, one_i64, "the step"))
        return false;
    if (!krsi_ktype_same(inst->type, one_i64))
        return fault(check, "a loop index is one i64");
    const krs_kinst *step = &check->kernel->insts[inst->c];
    if (step->op == KRS_K_CONST && (int64_t)step->u.bits <= 0)
        return fault(check, "the step is %lld, must be positive",
                     (long long)step->u.bits);
    if (check->depth >= MAX_DEPTH)
        return fault(check, "loops are nested deeper than %d", MAX_DEPTH);
    bool varies = check->facts[inst->a].varies ||
                  check->facts[inst->b].varies || check->facts[inst->c].varies;
    bool outer = check->depth > 0 && check->loops[check->depth - 1].varies;
    check->loops[check->depth++] = (struct loop){i, 0, 0, varies || outer};
    check->facts[i].scope = i;
    check->facts[i].open = true;
    check->facts[i].form = AFFINE;
    check->facts[i].varies = varies;
    return true;
}

static bool
check_carry(struct check *check, uint32_t i, const krs_kinst *inst)
{
    krs_kop before = (krs_kop)check->kernel->insts[i - 1].op;
    if (check->depth == 0 || (before != KRS_K_FOR && before != KRS_K_CARRY))
        return fault(check, "carries stand right after their for");
    if (!check_unused(check, inst, true, false, false, false) ||
        !has_type(check, i, inst->a, inst->type, "the first value"))
        return false;
    if (check->facts[inst->a].scope == scope_now(check))
        return fault(check, "the first value comes from inside the loop");
    check->loops[check->depth - 1].carries++;
    check->facts[i].form = FREE;
    check->facts[i].varies = true;
    return true;
}

static bool
check_next(struct check *check, uint32_t i, const krs_kinst *inst)
{
    if (check->depth == 0)
        return fault(check, "there is no loop");
    struct loop *loop = &check->loops[check->depth - 1];
    if (!check_unused(check, inst, true, true, false, false))
        return false;
    if (inst->a != loop->inst + 1 + loop->nexts || loop->nexts >= loop->carries)
        return fault(check, "the carries of the innermost loop are due in "
                            "their order");
    if (!krsi_ktype_same(inst->type, type_of(check, inst->a)))
        return fault(check, "its type is not that of the carry");
    loop->nexts++;
    return has_type(check, i, inst->b, inst->type, "the next value");
}

static bool
check_end(struct check *check, const krs_kinst *inst)
{
    if (check->depth == 0)
        return fault(check, "there is no loop to end");
    const struct loop *loop = &check->loops[check->depth - 1];
    if (!check_unused(check, inst, true, false, false, false))
        return false;
    if (inst->a != loop->inst)
        return fault(check, "it ends another loop than the innermost");
    if (loop->nexts != loop->carries)
        return fault(check, "%u of %u carries have no next",
                     loop->carries - loop->nexts, loop->carries);
    check->facts[loop->inst].open = false;
    check->ended = loop->inst;
    check->depth--;
    return true;
}

static bool
check_result(struct check *check, uint32_t i, const krs_kinst *inst)
{
    krs_kop before = (krs_kop)check->kernel->insts[i - 1].op;
    if (!check_unused(check, inst, true, false, false, false))
        return false;
    if ((before != KRS_K_END && before != KRS_K_RESULT) || inst->a >= i ||
        check->kernel->insts[inst->a].op != KRS_K_CARRY ||
        check->facts[inst->a].scope != check->ended)
        return fault(check, "results stand right after the end of their loop");
    if (!krsi_ktype_same(inst->type, type_of(check, inst->a)))
        return fault(check, "its type is not that of the carry");
    check->facts[i].form = FREE;
    check->facts[i].varies = true;
    return true;
}

static bool
check_barrier(struct check *check, const krs_kinst *inst)
{
    const uint32_t *group = check->kernel->group;
    if (!check_unused(check, inst, false, false, false, false))
        return false;
    bool varies = check->depth > 0 && check->loops[check->depth - 1].varies;
    if (varies && group[0] * group[1] * group[2] > 1)
        return fault(check, "the trips of a loop around it can differ between "
                            "the items of a group");
    return true;
}

static bool
check_inst(struct check *check, uint32_t i)
{
    const krs_kinst *inst = &check->kernel->insts[i];
    check->facts[i].scope = scope_now(check);
    if (inst->op >= KRS_K_COUNT)
        return fault(check, "there is no instruction %d", inst->op);
    bool typed = inst->op != KRS_K_END && inst->op != KRS_K_BARRIER;
    if (typed && !krsi_ktype_valid(inst->type))
        return fault(check, "a value has 1, 2, 4, 8, 16, 32 or 64 elements of "
                            "a type that is not block-quantised");
    if (!typed && (inst->type.dtype || inst->type.lanes))
        return fault(check, "it has no type");
    if (check->depth > 0 && check->loops[check->depth - 1].nexts > 0 &&
        inst->op != KRS_K_NEXT && inst->op != KRS_K_END)
        return fault(check, "only next and end follow a next");
    switch ((krs_kop)inst->op) {
    case KRS_K_CONST: return check_const(check, inst);
    case KRS_K_LOCAL:
        check->facts[i].form = AFFINE;
        check->facts[i].varies = true;
        return check_leaf(check, inst);
    case KRS_K_AXIS:
        check->facts[i].form = AFFINE;
        return check_leaf(check, inst);
    case KRS_K_ARG:
    case KRS_K_LANES: return check_leaf(check, inst);
    case KRS_K_SCALAR: return check_scalar(check, i, inst);
    case KRS_K_BROADCAST:
    case KRS_K_SHUFFLE: return check_lanes(check, i, inst);
    case KRS_K_LOAD:
    case KRS_K_GATHER:
    case KRS_K_STORE:
    case KRS_K_SCATTER:
    case KRS_K_PREFETCH: return check_memory(check, i, inst);
    case KRS_K_FOR: return check_for(check, i, inst);
    case KRS_K_CARRY: return check_carry(check, i, inst);
    case KRS_K_NEXT: return check_next(check, i, inst);
    case KRS_K_END: return check_end(check, inst);
    case KRS_K_RESULT: return check_result(check, i, inst);
    case KRS_K_BARRIER: return check_barrier(check, inst);
    case KRS_K_NOTHING:
    case KRS_K_COUNT: break;
    }
    return fault(check, "`nothing` stands only at 0");
}

krs_status
krsi_kernel_verify_at(const krs_kernel *kernel, uint32_t *where, krs_error *err)
{
    struct check check = {.kernel = kernel};
    *where = 0;
    KRS_TRY(krsi_kernel_verify_declared(kernel, err));
    bool good = check_first(&check);
    check.facts = calloc(kernel->inst_count, sizeof *check.facts);
    if (!check.facts)
        return krs_fail(err, KRS_E_MEMORY,
                        "no memory to verify %u instructions",
                        kernel->inst_count);
    for (uint32_t i = 1; good && i < kernel->inst_count; i++) {
        *where = i;
        good = check_inst(&check, i);
    }
    if (good && check.depth > 0) {
        *where = check.loops[check.depth - 1].inst;
        good = fault(&check, "the loop has no end");
    }
    free(check.facts);
    return good ? KRS_OK : krs_fail(err, KRS_E_FORMAT, "%s", check.text);
}

krs_status
krs_kernel_verify(const krs_kernel *kernel, krs_error *err)
{
    uint32_t where;
    krs_error inner;
    krs_status status = krsi_kernel_verify_at(kernel, &where, &inner);
    if (status == KRS_OK)
        return KRS_OK;
    if (where == 0)
        return krs_fail(err, status, "kernel %s: %s",
                        kernel->name ? kernel->name : "?", inner.text);
    const krs_kinst *inst = &kernel->insts[where];
    const char *name = inst->op == KRS_K_SCALAR
                           ? krs_kscalar_name((krs_kscalar)inst->scalar)
                           : krs_kop_name((krs_kop)inst->op);
    return krs_fail(err, status, "kernel %s: instruction %u (%s): %s",
                    kernel->name, where, name, inner.text);
}
