/* clc_kernel.c -- kernel to OpenCL C: the frame of the function, loops, and
 * the dispatch of every instruction.
 *
 * In: a verified kernel. Out: text with one function, to stand behind the prelude;
 * and the kernel that calls all functions of a program which are not kernels.
 *
 * FOR becomes a loop of C; CARRY a variable declared before it, of the same
 * number; NEXT a constant n<i> at the end of the body, all of which are
 * assigned behind the last one. The translation is instruction by instruction:
 * order and number of the floating-point operations are those of the kernel.
 */
#include "clc.h"

#include <stdio.h>

bool
krsi_clc_has(const krs_kernel *kernel, uint8_t space)
{
    for (uint32_t i = kernel->param_count; i < kernel->buffer_count; i++)
        if (kernel->buffers[i].space == space)
            return true;
    return false;
}

void
krsi_clc_symbol(const krs_kernel *kernel, char out[KRSI_CLC_SYMBOL])
{
    uint64_t hash[2];
    krs_kernel_hash(kernel, hash);
    snprintf(out, KRSI_CLC_SYMBOL, "k_%016llx%016llx",
             (unsigned long long)hash[0], (unsigned long long)hash[1]);
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

/* "(__global long *block, ...", without the closing bracket */
static void
add_parameters(krsi_string *out, uint32_t count)
{
    krsi_string_add(out, "(__global long *block, const long at, __global "
                         "uchar *scratch");
    for (uint32_t i = 0; i < count; i++)
        krsi_string_format(out, ", __global uchar *m%u", i);
}

static void
open_function(krsi_clc *c)
{
    const krs_kernel *kernel = c->kernel;
    char symbol[KRSI_CLC_SYMBOL];
    uint32_t local[KRS_K_AXES] = {1, 1, 1};
    krsi_clc_symbol(kernel, symbol);
    krsi_clc_line(c, "/* %s */", kernel->name);
    if (c->walk == KRSI_CLC_SPREAD)
        local[0] = KRSI_CLC_LOCAL;
    for (int i = 0; i < KRS_K_AXES && c->walk == KRSI_CLC_GROUPS; i++)
        local[i] = kernel->group[i];
    if (c->walk == KRSI_CLC_CALLED) /* small: vectors are explicit already */
        krsi_clc_line(c, "static __attribute__((noinline, minsize))");
    else
        krsi_clc_line(
            c, "__kernel __attribute__((reqd_work_group_size(%u, %u, %u)))",
            local[0], local[1], local[2]);
    krsi_string_format(&c->out, "void %s", symbol);
    add_parameters(&c->out, kernel->param_count);
    krsi_string_add(&c->out, c->walk == KRSI_CLC_CALLED
                                 ? ", const long taker)\n{\n"
                                 : ")\n{\n");
    c->depth++;
}

/* Pointers to parameters, scratch, shared memory. */
static void
declare_buffers(krsi_clc *c)
{
    const krs_kernel *kernel = c->kernel;
    krsi_clc_block block = krsi_clc_block_of(kernel);
    if (krsi_clc_has(kernel, KRS_K_SCRATCH))
        krsi_clc_line(c,
                      "__global uchar *const own = scratch + %d + "
                      "%s * p[%zu];",
                      KRSI_CLC_SLACK,
                      c->walk == KRSI_CLC_CALLED ? "taker"
                                                 : "(long)get_global_id(0)",
                      block.scratch);
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
            krsi_clc_line(
                c, "__local %s b%u[%lld] __attribute__((aligned(%u)));",
                type.text, i, (long long)(b->count > 0 ? b->count : 1),
                1U << b->align_log2);
    }
}

/* Where this work-item, or the next item that it takes, is in the grid. */
static void
open_items(krsi_clc *c)
{
    if (c->walk == KRSI_CLC_TAKE || c->walk == KRSI_CLC_CALLED) {
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
        krsi_clc_line(c,
                      "barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);");
        return;
    case KRS_K_COUNT: break;
    }
    c->failure = krs_kop_name(inst->op);
}

static krs_status
finish(krsi_string *text, const char *name, char **out, krs_error *err)
{
    if (text->failed) {
        krsi_string_free(text);
        return krs_fail(err, KRS_E_MEMORY, "opencl: %s: no memory for its text",
                        name);
    }
    *out = text->text;
    return KRS_OK;
}

krs_status
krsi_clc_print(const krs_kernel *kernel, krsi_clc_walk walk, char **out,
               krs_error *err)
{
    krsi_clc c = {.kernel = kernel, .walk = walk};
    *out = NULL;
    open_function(&c);
    krsi_clc_line(&c, "__global long *const p = block + at;");
    declare_buffers(&c);
    open_items(&c);
    for (uint32_t i = 0; i < kernel->inst_count && !c.failure; i++)
        instruction(&c, i);
    for (; c.depth > 0 && !c.failure; c.depth--)
        krsi_string_format(&c.out, "%*s}\n", 4 * (c.depth - 1), "");
    if (!c.failure)
        return finish(&c.out, kernel->name, out, err);
    krsi_string_free(&c.out);
    return krs_fail(err, KRS_E_INTERNAL, "opencl: %s: no translation of %s",
                    kernel->name, c.failure);
}

krs_status
krsi_clc_print_entry(const krs_kernel *const *kernels,
                     const krsi_clc_walk *walks, size_t count, char **out,
                     uint32_t *out_params, krs_error *err)
{
    krsi_string text = {0};
    size_t called = 0;
    *out = NULL;
    *out_params = 0;
    for (size_t i = 0; i < count; i++) {
        if (walks[i] != KRSI_CLC_CALLED)
            continue;
        called++;
        if (kernels[i]->param_count > *out_params)
            *out_params = kernels[i]->param_count;
    }
    if (!called)
        return KRS_OK;
    krsi_string_add(&text, "__kernel __attribute__((reqd_work_group_size(1, 1, "
                           "1)))\nvoid " KRSI_CLC_ENTRY);
    add_parameters(&text, *out_params);
    krsi_string_add(&text, ", const int which)\n{\n"
                           "    const long taker = (long)get_global_id(0);\n"
                           "    switch (which) {\n");
    for (size_t i = 0; i < count; i++) {
        char symbol[KRSI_CLC_SYMBOL];
        if (walks[i] != KRSI_CLC_CALLED)
            continue;
        krsi_clc_symbol(kernels[i], symbol);
        krsi_string_format(&text, "    case %zu: %s(block, at, scratch", i,
                           symbol);
        for (uint32_t k = 0; k < kernels[i]->param_count; k++)
            krsi_string_format(&text, ", m%u", k);
        krsi_string_add(&text, ", taker); break;\n");
    }
    krsi_string_add(&text, "    }\n}\n");
    return finish(&text, KRSI_CLC_ENTRY, out, err);
}
