/* link.c -- objects to callable addresses, by LLVM's LLJIT, which links here
 * and compiles nothing.
 *
 * Equal kernels are linked once: an entry counts its users and is keyed by
 * the hash of the kernel, which is also the name of its function. Memory is
 * written first and made executable then, never both (the linker of LLJIT
 * does so). LLVM's error texts are kept for the message of the call that
 * failed instead of being printed.
 */
#include "cpu.h"

#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct krsi_cpu_linked {
    krsi_cpu_linked *next;
    uint64_t hash[2];
    size_t users;
    LLVMOrcResourceTrackerRef tracker;
    krsi_cpu_function *function;
};

struct krsi_cpu_linker {
    pthread_mutex_t lock;
    LLVMOrcLLJITRef jit;
    krsi_cpu_linked *entries;
    char complaint[400]; /* the last error that LLVM reported */
};

static void
keep(void *context, LLVMErrorRef error)
{
    krsi_cpu_linker *linker = context;
    char *text = LLVMGetErrorMessage(error);
    snprintf(linker->complaint, sizeof linker->complaint, "%s", text);
    LLVMDisposeErrorMessage(text);
}

krs_status
krsi_cpu_linker_open(krsi_cpu_linker **out, krs_error *err)
{
    krsi_cpu_linker *linker = calloc(1, sizeof *linker);
    *out = NULL;
    if (!linker)
        return krs_fail(err, KRS_E_MEMORY, "cpu: no memory for the linker");
    LLVMErrorRef failed =
        LLVMOrcCreateLLJIT(&linker->jit, LLVMOrcCreateLLJITBuilder());
    if (failed) {
        char *text = LLVMGetErrorMessage(failed);
        krs_fail(err, KRS_E_DEVICE, "cpu: LLVM cannot link code here: %s",
                 text);
        LLVMDisposeErrorMessage(text);
        free(linker);
        return KRS_E_DEVICE;
    }
    pthread_mutex_init(&linker->lock, NULL);
    LLVMOrcExecutionSessionSetErrorReporter(
        LLVMOrcLLJITGetExecutionSession(linker->jit), keep, linker);
    *out = linker;
    return KRS_OK;
}

void
krsi_cpu_linker_close(krsi_cpu_linker *linker)
{
    if (!linker)
        return;
    while (linker->entries) {
        krsi_cpu_linked *entry = linker->entries;
        linker->entries = entry->next;
        LLVMOrcReleaseResourceTracker(entry->tracker);
        free(entry);
    }
    LLVMConsumeError(LLVMOrcDisposeLLJIT(linker->jit));
    pthread_mutex_destroy(&linker->lock);
    free(linker);
}

static void
remove_entry(krsi_cpu_linked *entry)
{
    LLVMConsumeError(LLVMOrcResourceTrackerRemove(entry->tracker));
    LLVMOrcReleaseResourceTracker(entry->tracker);
    free(entry);
}

/* The message of LLVM behind a failed call; `failed` is consumed. */
static krs_status
refuse(krsi_cpu_linker *linker, LLVMErrorRef failed, krs_error *err)
{
    char *text = LLVMGetErrorMessage(failed);
    krs_fail(err, KRS_E_FORMAT, "cpu: this is not code of the kernel: %s%s%s",
             text, linker->complaint[0] ? ": " : "", linker->complaint);
    LLVMDisposeErrorMessage(text);
    return KRS_E_FORMAT;
}

static krs_status
link_object(krsi_cpu_linker *linker, krsi_cpu_linked *entry,
            const krs_backend_blob *object, krs_error *err)
{
    char symbol[KRSI_CPU_SYMBOL_TEXT];
    LLVMOrcExecutorAddress address = 0;
    snprintf(symbol, sizeof symbol, KRSI_CPU_SYMBOL, entry->hash[0],
             entry->hash[1]);
    linker->complaint[0] = 0;
    LLVMErrorRef failed = LLVMOrcLLJITAddObjectFileWithRT(
        linker->jit, entry->tracker,
        LLVMCreateMemoryBufferWithMemoryRangeCopy(object->data, object->bytes,
                                                  symbol));
    if (!failed)
        failed = LLVMOrcLLJITLookup(linker->jit, &address, symbol);
    if (failed)
        return refuse(linker, failed, err);
    entry->function = (krsi_cpu_function *)(uintptr_t)address;
    return KRS_OK;
}

static krs_status
link_locked(krsi_cpu_linker *linker, const uint64_t hash[2],
            const krs_backend_blob *object, krsi_cpu_linked **out,
            krs_error *err)
{
    krsi_cpu_linked *entry = linker->entries;
    while (entry && memcmp(entry->hash, hash, sizeof entry->hash) != 0)
        entry = entry->next;
    if (!entry) {
        entry = calloc(1, sizeof *entry);
        if (!entry)
            return krs_fail(err, KRS_E_MEMORY, "cpu: no memory to link code");
        memcpy(entry->hash, hash, sizeof entry->hash);
        entry->tracker = LLVMOrcJITDylibCreateResourceTracker(
            LLVMOrcLLJITGetMainJITDylib(linker->jit));
        krs_status status = link_object(linker, entry, object, err);
        if (status != KRS_OK) {
            remove_entry(entry);
            return status;
        }
        entry->next = linker->entries;
        linker->entries = entry;
    }
    entry->users++;
    *out = entry;
    return KRS_OK;
}

krs_status
krsi_cpu_link(krsi_cpu_linker *linker, const uint64_t hash[2],
              const krs_backend_blob *object, krsi_cpu_linked **out,
              krsi_cpu_function **out_function, krs_error *err)
{
    *out = NULL;
    pthread_mutex_lock(&linker->lock);
    krs_status status = link_locked(linker, hash, object, out, err);
    pthread_mutex_unlock(&linker->lock);
    if (status == KRS_OK)
        *out_function = (*out)->function;
    return status;
}

void
krsi_cpu_unlink(krsi_cpu_linker *linker, krsi_cpu_linked *linked)
{
    pthread_mutex_lock(&linker->lock);
    if (--linked->users == 0) {
        krsi_cpu_linked **at = &linker->entries;
        while (*at != linked)
            at = &(*at)->next;
        *at = linked->next;
        remove_entry(linked);
    }
    pthread_mutex_unlock(&linker->lock);
}
