/* clc_kernel.c -- kernel to OpenCL C: the frame of the function, loops, and
 * the dispatch of every instruction.
 *
 * In: a verified kernel. Out: text with one function, to stand behind the prelude.
 *
 * FOR becomes a loop of C; CARRY a variable declared before it, of the same
 * number; NEXT a constant n<i> at the end of the body, all of which are
 * assigned behind the last one. The translation is instruction by instruction:
 * order and number of the floating-point operations are those of the kernel.
 */
#include "clc.h"

#include <stdlib.h>

bool
krsi_clc_has_scratch(const krs_kernel *kernel)
{
    for (uint32_t i = kernel->param_count; i < kernel->buffer_count; i++)
        if (kernel->buffers[i].space == KRS_K_SCRATCH)
            return true;
    return false;
}

krsi_clc_block
krsi_clc_block_of(const krs_kernel *kernel)
{
    krsi_clc_block b = {.scratch = KRSI_CLC_OFFSETS + kernel->param_count};
    b.args = b.scratch + 1 + (kernel->buffer_count - kernel->param_count);
    b.words = b.args + kernel->arg_count;
    return b;
}

/* ---- the frame ---- */

static const char *
access_text(const krs_kbuffer *buffer)
{
    return buffer->access & KRS_K_WRITE ? "" : "const ";
}

static void
open_function(krsi_clc *c, const char *symbol)
{
    const krs_kernel *kernel = c->kernel;
    krsi_clc_line(c, "/* %s */", kernel->name);
    uint32_t local[KRS_K_AXES] = {1, 1, 1};
    if (c->walk == KRSI_CLC_SPREAD)
        local[0] = KRSI_CLC_LOCAL;
    for (int i = 0; i < KRS_K_AXES && c->walk == KRSI_CLC_GROUPS; i++)
        local[i] = kernel->group[i];
    krsi_clc_line(c,
                  "__kernel __attribute__((reqd_work_group_size(%u, %u, %u)))",
                  local[0], local[1], local[2]);
    krsi_string_format(&c->out,
                       "void %s(__global long *block, const long at, "
                       "__global uchar *scratch",
                       symbol);
    for (uint32_t i = 0; i < kernel->param_count; i++)
        krsi_string_format(&c->out, ", __global uchar *m%u", i);
    krsi_string_add(&c->out, ")\n{\n");
    c->depth++;
}

/* Pointers to parameters, scratch, shared memory. */
static void
declare_buffers(krsi_clc *c)
{
    const krs_kernel *kernel = c->kernel;
    krsi_clc_block block = krsi_clc_block_of(kernel);
    if (krsi_clc_has_scratch(kernel))
        krsi_clc_line(c,
                      "__global uchar *const own = scratch + %d + "
                      "(long)get_global_id(0) * p[%zu];",
                      KRSI_CLC_SLACK, block.scratch);
    for (uint32_t i = 0; i < kernel->buffer_count; i++) {
        const krs_kbuffer *b = &kernel->buffers[i];
        krsi_clc_name type = krsi_clc_stored(b->dtype, 1);
        if (b->space == KRS_K_PARAM)
            krsi_clc_line(c,
                          "__global %s%s *const b%u = (__global %s%s *)(m%u + "
                          "p[%u]);",
                          access_text(b), type.text, i, access_text(b),
                          type.text, i, (unsigned)KRSI_CLC_OFFSETS + i);
        else if (b->space == KRS_K_SCRATCH)
            krsi_clc_line(
                c, "__global %s *const b%u = (__global %s *)(own + p[%zu]);",
                type.text, i, type.text,
                block.scratch + 1 + (i - kernel->param_count));
        else
            krsi_clc_line(c, "__local %s b%u[%lld];", type.text, i,
                          (long long)(b->count > 0 ? b->count : 1));
    }
}

/* Where this work-item, or the next item that it takes, is in the grid. */
static void
open_items(krsi_clc *c)
{
    if (c->walk == KRSI_CLC_TAKE) {
        krsi_clc_line(c, "for (;;) {");
        c->depth++;
        krsi_clc_line(c, "const long item = "
                         "atomic_inc((volatile __global int *)p);");
        krsi_clc_line(c, "if (item >= p[%d]) break;", KRSI_CLC_ITEMS);
        krsi_clc_line(c, "const long g0 = item %% p[%d];", KRSI_CLC_GRID);
        krsi_clc_line(c, "const long g1 = item / p[%d] %% p[%d];",
                      KRSI_CLC_GRID, KRSI_CLC_GRID + 1);
        krsi_clc_line(c, "const long g2 = item / p[%d] / p[%d];", KRSI_CLC_GRID,
                      KRSI_CLC_GRID + 1);
        return;
    }
    krsi_clc_line(c, "const long g0 = (long)%s(0);",
                  c->walk == KRSI_CLC_GROUPS ? "get_group_id"
                                             : "get_global_id");
    krsi_clc_line(c, "const long g1 = (long)get_group_id(1);");
    krsi_clc_line(c, "const long g2 = (long)get_group_id(2);");
    if (c->walk == KRSI_CLC_SPREAD)
        krsi_clc_line(c, "if (g0 >= p[%d]) return;", KRSI_CLC_GRID);
}

/* ---- instructions ---- */

static void
argument(krsi_clc *c, uint32_t number)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    size_t word = krsi_clc_block_of(c->kernel).args + inst->slot;
    krsi_clc_begin(c, number, 0);
    krsi_string_format(
        &c->out,
        inst->type.dtype == KRS_F32 ? "as_float((int)p[%zu])" : "p[%zu]", word);
    krsi_clc_end(c);
}

/* Carries are declared before their loop, which is printed behind the last. */
static void
open_loop(krsi_clc *c, uint32_t number)
{
    const krs_kinst *insts = c->kernel->insts, *inst = &insts[number];
    uint32_t i = number + 1;
    for (; i < c->kernel->inst_count && insts[i].op == KRS_K_CARRY; i++)
        for (int p = 0; p < krsi_clc_parts(insts[i].type); p++)
            krsi_clc_line(c, "%s %s = %s;",
                          krsi_clc_type(insts[i].type.dtype,
                                        krsi_clc_width(insts[i].type))
                              .text,
                          krsi_clc_value(c, i, p).text,
                          krsi_clc_value(c, insts[i].a, p).text);
    krsi_clc_line(c, "for (long v%u = v%u; v%u < v%u; v%u += v%u) {", number,
                  inst->a, number, inst->b, number, inst->c);
    c->depth++;
}

static void
next_value(krsi_clc *c, const krs_kinst *inst)
{
    krs_ktype type = c->kernel->insts[inst->a].type;
    for (int p = 0; p < krsi_clc_parts(type); p++)
        krsi_clc_line(c, "const %s n%s = %s;",
                      krsi_clc_type(type.dtype, krsi_clc_width(type)).text,
                      krsi_clc_value(c, inst->a, p).text + 1,
                      krsi_clc_value(c, inst->b, p).text);
}

/* The NEXTs right before END, all at once. */
static void
close_loop(krsi_clc *c, uint32_t number)
{
    const krs_kinst *insts = c->kernel->insts;
    for (uint32_t i = number - 1; insts[i].op == KRS_K_NEXT; i--)
        for (int p = 0; p < krsi_clc_parts(insts[insts[i].a].type); p++) {
            krsi_clc_name carry = krsi_clc_value(c, insts[i].a, p);
            krsi_clc_line(c, "%s = n%s;", carry.text, carry.text + 1);
        }
    c->depth--;
    krsi_clc_line(c, "}");
}

/* Part p of a value that has another name. */
static void
copy(krsi_clc *c, uint32_t number)
{
    const krs_kinst *inst = &c->kernel->insts[number];
    for (int p = 0; p < krsi_clc_parts(inst->type); p++) {
        krsi_clc_begin(c, number, p);
        krsi_string_add(&c->out, krsi_clc_value(c, inst->a, p).text);
        krsi_clc_end(c);
    }
}

static void
instruction(krsi_clc *c, uint32_t i)
{
    const krs_kinst *inst = &c->kernel->insts[i];
    switch ((krs_kop)inst->op) {
    case KRS_K_NOTHING:
    case KRS_K_CARRY: /* with its FOR */
    case KRS_K_PREFETCH: /* has no meaning */ return;
    case KRS_K_ARG: argument(c, i); return;
    case KRS_K_AXIS:
        krsi_clc_line(c, "const long v%u = g%u;", i, inst->slot);
        return;
    case KRS_K_LOCAL:
        krsi_clc_line(c, "const long v%u = (long)get_local_id(%u);", i,
                      inst->slot);
        return;
    case KRS_K_CONST:
    case KRS_K_LANES:
    case KRS_K_BROADCAST:
    case KRS_K_SHUFFLE: krsi_clc_lanes(c, i); return;
    case KRS_K_SCALAR: krsi_clc_scalar(c, i); return;
    case KRS_K_LOAD:
    case KRS_K_GATHER: krsi_clc_load(c, i); return;
    case KRS_K_STORE:
    case KRS_K_SCATTER: krsi_clc_store(c, i); return;
    case KRS_K_FOR: open_loop(c, i); return;
    case KRS_K_NEXT: next_value(c, inst); return;
    case KRS_K_END: close_loop(c, i); return;
    case KRS_K_RESULT: copy(c, i); return;
    case KRS_K_BARRIER:
        krsi_clc_line(c, "barrier(CLK_LOCAL_MEM_FENCE);");
        return;
    case KRS_K_COUNT: break;
    }
    c->failure = krs_kop_name(inst->op);
}

krs_status
krsi_clc_print(const krs_kernel *kernel, const char *symbol, krsi_clc_walk walk,
               char **out, krs_error *err)
{
    krsi_clc c = {.kernel = kernel, .walk = walk};
    *out = NULL;
    open_function(&c, symbol);
    krsi_clc_line(&c, "__global long *const p = block + at;");
    declare_buffers(&c);
    open_items(&c);
    for (uint32_t i = 0; i < kernel->inst_count && !c.failure; i++)
        instruction(&c, i);
    for (; c.depth > 0 && !c.failure; c.depth--)
        krsi_string_format(&c.out, "%*s}\n", 4 * (c.depth - 1), "");
    krs_status status = c.failure      ? KRS_E_INTERNAL
                        : c.out.failed ? KRS_E_MEMORY
                                       : KRS_OK;
    if (status == KRS_E_INTERNAL)
        krs_fail(err, status, "opencl: %s: no translation of %s", kernel->name,
                 c.failure);
    else if (status == KRS_E_MEMORY)
        krs_fail(err, status, "opencl: %s: no memory for its text",
                 kernel->name);
    if (status != KRS_OK) {
        krsi_string_free(&c.out);
        return status;
    }
    *out = c.out.text;
    return KRS_OK;
}
