/* codegen.c -- LLVM IR to an object in memory.
 *
 * In: a verified kernel and a target machine that this thread owns. Out: the
 * bytes of an ELF object whose one function is the kernel. Each compilation
 * has an LLVM context of its own, so any number may run at the same time.
 *
 * The module is verified before code generation, because LLVM ends the
 * process on malformed input. Passes: "instcombine" alone, for the IR is clean
 * already; the other efforts exist so that tests can show that they give the
 * same bits.
 */
#include "emit.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where LLVM's diagnostics of one compilation go. */
typedef struct complaint {
    bool is_error;
    char text[400];
} complaint;

static void
note(LLVMDiagnosticInfoRef info, void *context)
{
    complaint *c = context;
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError)
        return;
    char *text = LLVMGetDiagInfoDescription(info);
    c->is_error = true;
    snprintf(c->text, sizeof c->text, "%s", text);
    LLVMDisposeMessage(text);
}

static const char *
passes(krs_backend_effort effort)
{
    switch (effort) {
    case KRS_EFFORT_NORMAL: return "instcombine";
    case KRS_EFFORT_NONE: break;
    case KRS_EFFORT_MOST: return "default<O3>";
    }
    return NULL;
}

static krs_status
optimise(const krsi_cpu_target *target, LLVMTargetMachineRef machine,
         LLVMModuleRef module, const char *name, krs_error *err)
{
    const char *list = passes(target->effort);
    if (!list)
        return KRS_OK;
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef failed = LLVMRunPasses(module, list, machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!failed)
        return KRS_OK;
    char *text = LLVMGetErrorMessage(failed);
    krs_fail(err, KRS_E_INTERNAL, "cpu: %s: passes '%s' failed: %s", name, list,
             text);
    LLVMDisposeErrorMessage(text);
    return KRS_E_INTERNAL;
}

/* A copy, because blobs are from malloc. */
static krs_status
copy_out(LLVMMemoryBufferRef buffer, krs_backend_blob *out, krs_error *err)
{
    size_t bytes = LLVMGetBufferSize(buffer);
    out->data = malloc(bytes);
    if (!out->data)
        return krs_fail(err, KRS_E_MEMORY,
                        "cpu: no memory for %zu bytes of code", bytes);
    memcpy(out->data, LLVMGetBufferStart(buffer), bytes);
    out->bytes = bytes;
    return KRS_OK;
}

static krs_status
generate(const krsi_cpu_target *target, LLVMTargetMachineRef machine,
         LLVMModuleRef module, const char *name, krs_backend_blob *out,
         krs_error *err)
{
    char *text = NULL;
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(module, layout);
    LLVMDisposeTargetData(layout);
    bool broken = LLVMVerifyModule(module, LLVMReturnStatusAction, &text);
    if (broken)
        krs_fail(err, KRS_E_INTERNAL, "cpu: %s: malformed LLVM IR: %s", name,
                 text);
    LLVMDisposeMessage(text);
    if (broken)
        return KRS_E_INTERNAL;
    KRS_TRY(optimise(target, machine, module, name, err));
    LLVMMemoryBufferRef buffer;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, module, LLVMObjectFile,
                                            &text, &buffer)) {
        krs_fail(err, KRS_E_INTERNAL, "cpu: %s: no object: %s", name, text);
        LLVMDisposeMessage(text);
        return KRS_E_INTERNAL;
    }
    krs_status status = copy_out(buffer, out, err);
    LLVMDisposeMemoryBuffer(buffer);
    return status;
}

krs_status
krsi_cpu_compile(const krsi_cpu_target *target, LLVMTargetMachineRef machine,
                 const krs_kernel *kernel, krs_backend_blob *out,
                 krs_error *err)
{
    uint64_t hash[2];
    char symbol[KRSI_CPU_SYMBOL_TEXT];
    complaint c = {0};
    LLVMModuleRef module;
    *out = (krs_backend_blob){0};
    krs_kernel_hash(kernel, hash);
    snprintf(symbol, sizeof symbol, KRSI_CPU_SYMBOL, hash[0], hash[1]);
    LLVMContextRef context = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(context, note, &c);
    krs_status status =
        krsi_emit_module(kernel, target, context, symbol, &module, err);
    if (status == KRS_OK) {
        status = generate(target, machine, module, kernel->name, out, err);
        LLVMDisposeModule(module);
    }
    if (status == KRS_OK && c.is_error) {
        free(out->data);
        *out = (krs_backend_blob){0};
        status =
            krs_fail(err, KRS_E_INTERNAL, "cpu: %s: %s", kernel->name, c.text);
    }
    LLVMContextDispose(context);
    return status;
}
