/* codegen.c -- LLVM IR to an object in memory, or to a listing.
 *
 * In: a verified kernel and a target machine that this thread owns. Out: the
 * bytes of an ELF object whose one function is the kernel. Each compilation
 * has an LLVM context of its own, so any number may run at the same time.
 *
 * The module is verified before code generation, because LLVM ends the
 * process on malformed input; so it does where instcombine would need a second
 * round, unless told not to verify that. Passes: instcombine alone, for the IR
 * is clean already; the other efforts exist so that tests can show that they
 * give the same bits.
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
    case KRS_EFFORT_NORMAL: return "instcombine<no-verify-fixpoint>";
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

/* A copy, because blobs and texts are from malloc; one zero byte follows. */
static krs_status
copy_out(const char *data, size_t bytes, krs_backend_blob *out, krs_error *err)
{
    char *copy = malloc(bytes + 1);
    if (!copy)
        return krs_fail(err, KRS_E_MEMORY,
                        "cpu: no memory for %zu bytes of code", bytes);
    memcpy(copy, data, bytes);
    copy[bytes] = 0;
    *out = (krs_backend_blob){copy, bytes};
    return KRS_OK;
}

static krs_status
copy_module(LLVMModuleRef module, krs_backend_blob *out, krs_error *err)
{
    char *text = LLVMPrintModuleToString(module);
    krs_status status = copy_out(text, strlen(text), out, err);
    LLVMDisposeMessage(text);
    return status;
}

static krs_status
generate(const krsi_cpu_target *target, LLVMTargetMachineRef machine,
         LLVMModuleRef module, const char *name, krsi_cpu_form form,
         krs_backend_blob *out, krs_error *err)
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
    if (form == KRSI_CPU_LLVM)
        return copy_module(module, out, err);
    LLVMMemoryBufferRef buffer;
    if (LLVMTargetMachineEmitToMemoryBuffer(
            machine, module,
            form == KRSI_CPU_OBJECT ? LLVMObjectFile : LLVMAssemblyFile, &text,
            &buffer)) {
        krs_fail(err, KRS_E_INTERNAL, "cpu: %s: no code: %s", name, text);
        LLVMDisposeMessage(text);
        return KRS_E_INTERNAL;
    }
    krs_status status = copy_out(LLVMGetBufferStart(buffer),
                                 LLVMGetBufferSize(buffer), out, err);
    LLVMDisposeMemoryBuffer(buffer);
    return status;
}

static krs_status
compile(const krsi_cpu_target *target, LLVMTargetMachineRef machine,
        const krs_kernel *kernel, krsi_cpu_form form, krs_backend_blob *out,
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
        status =
            generate(target, machine, module, kernel->name, form, out, err);
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

krs_status
krsi_cpu_compile(const krsi_cpu_target *target, LLVMTargetMachineRef machine,
                 const krs_kernel *kernel, krs_backend_blob *out,
                 krs_error *err)
{
    return compile(target, machine, kernel, KRSI_CPU_OBJECT, out, err);
}

krs_status
krsi_cpu_listing(const krsi_cpu_target *target, LLVMTargetMachineRef machine,
                 const krs_kernel *kernel, krsi_cpu_form form, char **out_text,
                 krs_error *err)
{
    krs_backend_blob blob;
    *out_text = NULL;
    KRS_TRY(compile(target, machine, kernel, form, &blob, err));
    *out_text = blob.data;
    return KRS_OK;
}
