/* emit.c -- kernel to LLVM IR: the frame of the function, loops, and the
 * dispatch of every instruction.
 *
 * In: a verified kernel. Out: a module with one function of the type
 * krsi_cpu_function. Its outer loop runs over the items of a range of the
 * grid; buffers and arguments are fetched once before it.
 *
 * FOR becomes a loop that is tested at its end behind a guard at its start;
 * CARRY and the loop index are phis at the head of the body, RESULTs are phis
 * behind the loop. The translation is instruction by instruction: order and
 * number of the floating-point operations are those of the kernel.
 */
#include "emit.h"

#include <stdlib.h>
#include <string.h>

typedef struct loop {
    uint32_t inst;         /* the FOR */
    uint32_t first, count; /* its carries, instruction numbers */
    LLVMBasicBlockRef before, body, after;
} loop;

typedef struct walk {
    krsi_emit e;
    loop *loops; /* open ones, outermost first */
    size_t depth;
    LLVMValueRef *next;    /* of a CARRY: its next value, or NULL */
    LLVMValueRef *results; /* of a CARRY: its phi behind the loop */
    LLVMTypeRef i64, pointer;
} walk;

static LLVMValueRef
int_constant(walk *w, int64_t value)
{
    return LLVMConstInt(w->i64, (uint64_t)value, false);
}

static LLVMBasicBlockRef
new_block(walk *w, const char *name)
{
    return LLVMAppendBasicBlockInContext(w->e.context, w->e.function, name);
}

/* ---- the frame ---- */

/* Element i of an array of 8-byte things. */
static LLVMValueRef
fetch(walk *w, LLVMTypeRef type, LLVMValueRef array, uint64_t i)
{
    LLVMValueRef index = int_constant(w, (int64_t)i);
    LLVMValueRef at = LLVMBuildGEP2(w->e.builder, w->i64, array, &index, 1, "");
    LLVMValueRef load = LLVMBuildLoad2(w->e.builder, type, at, "");
    LLVMSetAlignment(load, 8);
    return load;
}

static void
fetch_parameters(walk *w)
{
    krsi_emit *e = &w->e;
    LLVMValueRef buffers = LLVMGetParam(e->function, 0);
    LLVMValueRef args = LLVMGetParam(e->function, 1);
    for (uint32_t i = 0; i < e->kernel->buffer_count; i++)
        e->buffers[i] = fetch(w, w->pointer, buffers, i);
    for (uint32_t i = 0; i < e->kernel->arg_count; i++) {
        krs_dtype dtype = e->kernel->args[i].dtype;
        e->args[i] = fetch(w, krsi_emit_element(e, dtype), args, i);
    }
}

typedef struct items {
    LLVMBasicBlockRef head;
    LLVMValueRef grid[KRS_K_AXES];
    LLVMValueRef left; /* phi: items still to run, this one too */
} items;

static items
begin_items(walk *w)
{
    krsi_emit *e = &w->e;
    items all = {0};
    LLVMValueRef range = LLVMGetParam(e->function, 2), first[KRS_K_AXES];
    LLVMBasicBlockRef entry = LLVMGetInsertBlock(e->builder);
    for (uint32_t i = 0; i < KRS_K_AXES; i++) {
        first[i] = fetch(w, w->i64, range, i);
        all.grid[i] = fetch(w, w->i64, range, KRS_K_AXES + i);
    }
    LLVMValueRef count = fetch(w, w->i64, range, (uint64_t)2 * KRS_K_AXES);
    all.head = new_block(w, "item");
    LLVMBuildBr(e->builder, all.head);
    LLVMPositionBuilderAtEnd(e->builder, all.head);
    for (uint32_t i = 0; i < KRS_K_AXES; i++) {
        e->axis[i] = LLVMBuildPhi(e->builder, w->i64, "");
        LLVMAddIncoming(e->axis[i], &first[i], &entry, 1);
    }
    all.left = LLVMBuildPhi(e->builder, w->i64, "");
    LLVMAddIncoming(all.left, &count, &entry, 1);
    return all;
}

/* Count axis 0 up; at its end it begins anew and axis 1 goes up, and so on. */
static void
end_items(walk *w, items *all)
{
    LLVMBuilderRef at = w->e.builder;
    LLVMBasicBlockRef last = LLVMGetInsertBlock(at);
    LLVMBasicBlockRef done = new_block(w, "done");
    LLVMValueRef zero = int_constant(w, 0), up = int_constant(w, 1);
    for (uint32_t i = 0; i < KRS_K_AXES; i++) {
        LLVMValueRef sum = LLVMBuildAdd(at, w->e.axis[i], up, "");
        LLVMValueRef ends = LLVMBuildICmp(at, LLVMIntEQ, sum, all->grid[i], "");
        LLVMValueRef next = LLVMBuildSelect(at, ends, zero, sum, "");
        LLVMAddIncoming(w->e.axis[i], &next, &last, 1);
        up = LLVMBuildSelect(at, ends, up, zero, "");
    }
    LLVMValueRef left = LLVMBuildSub(at, all->left, int_constant(w, 1), "");
    LLVMAddIncoming(all->left, &left, &last, 1);
    LLVMBuildCondBr(at, LLVMBuildICmp(at, LLVMIntNE, left, zero, ""), all->head,
                    done);
    LLVMPositionBuilderAtEnd(at, done);
    LLVMBuildRetVoid(at);
}

/* ---- loops ---- */

static void
begin_loop(walk *w, uint32_t i)
{
    krsi_emit *e = &w->e;
    const krs_kinst *inst = &e->kernel->insts[i];
    LLVMValueRef low = e->values[inst->a], high = e->values[inst->b];
    loop *l = &w->loops[w->depth++];
    *l = (loop){.inst = i,
                .first = i + 1,
                .before = LLVMGetInsertBlock(e->builder),
                .body = new_block(w, "body"),
                .after = new_block(w, "after")};
    LLVMBuildCondBr(e->builder,
                    LLVMBuildICmp(e->builder, LLVMIntSLT, low, high, ""),
                    l->body, l->after);
    LLVMPositionBuilderAtEnd(e->builder, l->body);
    e->values[i] = LLVMBuildPhi(e->builder, w->i64, "");
    LLVMAddIncoming(e->values[i], &low, &l->before, 1);
}

static void
begin_carry(walk *w, uint32_t i)
{
    krsi_emit *e = &w->e;
    const krs_kinst *inst = &e->kernel->insts[i];
    loop *l = &w->loops[w->depth - 1];
    e->values[i] = LLVMBuildPhi(e->builder, krsi_emit_type(e, inst->type), "");
    LLVMAddIncoming(e->values[i], &e->values[inst->a], &l->before, 1);
    l->count++;
}

static void
end_loop(walk *w)
{
    krsi_emit *e = &w->e;
    LLVMBuilderRef at = e->builder;
    loop *l = &w->loops[--w->depth];
    const krs_kinst *inst = &e->kernel->insts[l->inst];
    LLVMBasicBlockRef last = LLVMGetInsertBlock(at);
    LLVMValueRef next =
        LLVMBuildAdd(at, e->values[l->inst], e->values[inst->c], "");
    LLVMBuildCondBr(at,
                    LLVMBuildICmp(at, LLVMIntSLT, next, e->values[inst->b], ""),
                    l->body, l->after);
    LLVMAddIncoming(e->values[l->inst], &next, &last, 1);
    LLVMPositionBuilderAtEnd(at, l->after);
    for (uint32_t c = l->first; c < l->first + l->count; c++) {
        LLVMValueRef phi = e->values[c];
        LLVMValueRef carried = w->next[c] ? w->next[c] : phi;
        LLVMValueRef first = e->values[e->kernel->insts[c].a];
        LLVMAddIncoming(phi, &carried, &last, 1);
        w->results[c] = LLVMBuildPhi(at, LLVMTypeOf(phi), "");
        LLVMAddIncoming(w->results[c], &first, &l->before, 1);
        LLVMAddIncoming(w->results[c], &carried, &last, 1);
    }
}

/* ---- instructions ---- */

static LLVMValueRef
constant(walk *w, const krs_kinst *inst)
{
    krsi_emit *e = &w->e;
    LLVMTypeRef element = krsi_emit_element(e, inst->type.dtype);
    LLVMValueRef one =
        inst->type.dtype == KRS_F32
            ? LLVMConstBitCast(LLVMConstInt(LLVMInt32TypeInContext(e->context),
                                            inst->u.bits, false),
                               element)
            : LLVMConstInt(element, inst->u.bits, false);
    return krsi_emit_splat(one, inst->type.lanes);
}

static LLVMValueRef
lane_numbers(walk *w, unsigned lanes)
{
    LLVMTypeRef i32 = LLVMInt32TypeInContext(w->e.context);
    LLVMValueRef all[KRS_K_MAX_LANES];
    for (unsigned i = 0; i < lanes; i++)
        all[i] = LLVMConstInt(i32, i, false);
    return lanes > 1 ? LLVMConstVector(all, lanes) : all[0];
}

static void
translate(walk *w, uint32_t i)
{
    krsi_emit *e = &w->e;
    const krs_kinst *inst = &e->kernel->insts[i];
    LLVMValueRef *out = &e->values[i];
    switch ((krs_kop)inst->op) {
    case KRS_K_NOTHING: break;
    case KRS_K_CONST: *out = constant(w, inst); break;
    case KRS_K_ARG: *out = e->args[inst->slot]; break;
    case KRS_K_AXIS: *out = e->axis[inst->slot]; break;
    case KRS_K_LOCAL: *out = int_constant(w, 0); break;
    case KRS_K_LANES: *out = lane_numbers(w, inst->type.lanes); break;
    case KRS_K_SCALAR: *out = krsi_emit_scalar(e, inst); break;
    case KRS_K_BROADCAST:
        *out = krsi_emit_broadcast(e, e->values[inst->a], inst->type.lanes);
        break;
    case KRS_K_SHUFFLE:
        *out = krsi_emit_shuffle(e, e->values[inst->a],
                                 inst->b ? e->values[inst->b] : NULL,
                                 inst->u.lanes, inst->type.lanes);
        break;
    case KRS_K_LOAD:
    case KRS_K_GATHER: *out = krsi_emit_load(e, inst); break;
    case KRS_K_STORE:
    case KRS_K_SCATTER: krsi_emit_store(e, inst); break;
    case KRS_K_PREFETCH: krsi_emit_prefetch(e, inst); break;
    case KRS_K_FOR: begin_loop(w, i); break;
    case KRS_K_CARRY: begin_carry(w, i); break;
    case KRS_K_NEXT: w->next[inst->a] = e->values[inst->b]; break;
    case KRS_K_END: end_loop(w); break;
    case KRS_K_RESULT: *out = w->results[inst->a]; break;
    case KRS_K_BARRIER: break; /* groups have one item */
    case KRS_K_COUNT: e->failure = "unknown"; break;
    }
}

static void
add_attribute(walk *w, const char *key, const char *value)
{
    LLVMAddAttributeAtIndex(
        w->e.function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
        LLVMCreateStringAttribute(w->e.context, key, (unsigned)strlen(key),
                                  value, (unsigned)strlen(value)));
}

static void
add_enum_attribute(walk *w, const char *name)
{
    LLVMAddAttributeAtIndex(
        w->e.function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
        LLVMCreateEnumAttribute(
            w->e.context, LLVMGetEnumAttributeKindForName(name, strlen(name)),
            0));
}

static void
declare(walk *w, const char *symbol)
{
    krsi_emit *e = &w->e;
    LLVMTypeRef parameters[] = {w->pointer, w->pointer, w->pointer};
    const char *width = e->target->has_avx512 ? "512"
                        : e->target->has_avx2 ? "256"
                                              : "128";
    e->function =
        LLVMAddFunction(e->module, symbol,
                        LLVMFunctionType(LLVMVoidTypeInContext(e->context),
                                         parameters, 3, false));
    add_attribute(w, "prefer-vector-width", width);
    add_attribute(w, "min-legal-vector-width", width);
    add_attribute(w, "no-builtins", "");
    add_enum_attribute(w, "nounwind");
    LLVMPositionBuilderAtEnd(e->builder, new_block(w, "entry"));
}

static void
translate_all(walk *w)
{
    fetch_parameters(w);
    items all = begin_items(w);
    for (uint32_t i = 1; i < w->e.kernel->inst_count && !w->e.failure; i++)
        translate(w, i);
    if (!w->e.failure)
        end_items(w, &all);
}

static bool
reserve(walk *w)
{
    const krs_kernel *kernel = w->e.kernel;
    size_t insts = kernel->inst_count;
    w->e.values = calloc(insts, sizeof *w->e.values);
    w->next = calloc(insts, sizeof *w->next);
    w->results = calloc(insts, sizeof *w->results);
    w->loops = calloc(insts, sizeof *w->loops);
    w->e.buffers =
        calloc((size_t)kernel->buffer_count + 1, sizeof *w->e.buffers);
    w->e.args = calloc((size_t)kernel->arg_count + 1, sizeof *w->e.args);
    return w->e.values && w->next && w->results && w->loops && w->e.buffers &&
           w->e.args;
}

static void
release(walk *w)
{
    free(w->e.values);
    free(w->next);
    free(w->results);
    free(w->loops);
    free(w->e.buffers);
    free(w->e.args);
}

krs_status
krsi_emit_module(const krs_kernel *kernel, const krsi_cpu_target *target,
                 LLVMContextRef context, const char *symbol, LLVMModuleRef *out,
                 krs_error *err)
{
    krs_status status = KRS_OK;
    walk w = {
        .e = {.kernel = kernel, .target = target, .context = context},
        .i64 = LLVMInt64TypeInContext(context),
        .pointer = LLVMPointerTypeInContext(context, 0)
    };
    *out = NULL;
    if (!reserve(&w)) {
        release(&w);
        return krs_fail(err, KRS_E_MEMORY,
                        "cpu: %s: no memory to translate %u instructions",
                        kernel->name, kernel->inst_count);
    }
    w.e.module = LLVMModuleCreateWithNameInContext(symbol, context);
    w.e.builder = LLVMCreateBuilderInContext(context);
    LLVMSetTarget(w.e.module, target->triple);
    declare(&w, symbol);
    translate_all(&w);
    if (w.e.failure) {
        status = krs_fail(err, KRS_E_INTERNAL, "cpu: %s: no translation of %s",
                          kernel->name, w.e.failure);
        LLVMDisposeModule(w.e.module);
    } else {
        *out = w.e.module;
    }
    LLVMDisposeBuilder(w.e.builder);
    release(&w);
    return status;
}
