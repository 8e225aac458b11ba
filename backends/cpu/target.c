/* target.c -- the processor: what code is made for, and its limits.
 *
 * In: the name of a processor level, or native. Out: triple, name and
 * features as LLVM writes them, and the few facts that emission and schedules
 * depend on. A level is refused unless this machine has all its features, so
 * no code is ever made that cannot run here.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include "cpu.h"

#include <llvm-c/Core.h>
#include <llvm-c/Target.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The levels of the x86-64 ABI supplement, and what each adds. */
static const struct {
    const char *name, *needs;
} levels[] = {
    {"x86-64-v2", "sse4.2 ssse3 popcnt cx16"                        },
    {"x86-64-v3", "sse4.2 popcnt avx2 fma f16c bmi bmi2 movbe lzcnt"},
    {"x86-64-v4", "avx2 fma f16c bmi2 avx512f avx512bw avx512cd avx512dq "
                  "avx512vl"                       },
};

enum { LEVELS = sizeof levels / sizeof *levels };

/* Is +name in an LLVM feature list, or name in a list by spaces? */
static bool
lists(const char *features, const char *name, size_t length)
{
    for (const char *at = features; (at = strstr(at, name)) != NULL; at++) {
        bool begins = at > features && (at[-1] == '+' || at[-1] == ' ');
        char after = at[length];
        if ((begins || at == features) &&
            (after == 0 || after == ',' || after == ' '))
            return true;
    }
    return false;
}

static bool
has(const char *features, const char *name)
{
    return lists(features, name, strlen(name));
}

/* The first feature of `needs` that the host lacks, or "". */
static void
find_missing(const char *host, const char *needs, char out[32])
{
    out[0] = 0;
    while (*needs) {
        size_t length = strcspn(needs, " ");
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)length, needs);
        if (!has(host, name)) {
            strcpy(out, name);
            return;
        }
        needs += length;
        needs += strspn(needs, " ");
    }
}

static pthread_once_t llvm_ready = PTHREAD_ONCE_INIT;

static void
prepare_llvm(void)
{
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
}

/* AArch64: FMA, conversions of halves and 32 registers are always there. */
static bool
is_arm(const krsi_cpu_target *target)
{
    return strstr(target->triple, "aarch64") != NULL;
}

static void
set_facts(krsi_cpu_target *target, const char *known)
{
    target->has_fma = is_arm(target) || has(known, "fma");
    target->has_f16c = is_arm(target) || has(known, "f16c");
    target->has_avx2 = has(known, "avx2");
    target->has_avx512 = has(known, "avx512f") && has(known, "avx512bw") &&
                         has(known, "avx512vl") && has(known, "avx512dq");
    target->has_avx512_bf16 = target->has_avx512 && has(known, "avx512bf16");
    target->has_avx512_vnni = target->has_avx512 && has(known, "avx512vnni");
    target->vector_bits = target->has_avx512 ? 512
                          : target->has_avx2 ? 256
                                             : 128;
}

/* LLVM's strings are freed by LLVM; ours are all LLVM's. */
static krs_status
open_level(const char *cpu, const char *host, krsi_cpu_target *out,
           krs_error *err)
{
    char missing[32];
    for (int i = 0; i < LEVELS; i++) {
        if (strcmp(cpu, levels[i].name) != 0)
            continue;
        find_missing(host, levels[i].needs, missing);
        if (missing[0])
            return krs_fail(err, KRS_E_UNSUPPORTED,
                            "cpu: this processor lacks %s, which %s needs",
                            missing, cpu);
        out->cpu = LLVMCreateMessage(cpu);
        out->features = LLVMCreateMessage("");
        set_facts(out, levels[i].needs);
        return KRS_OK;
    }
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "cpu: no processor level '%s'; there are native, "
                    "x86-64-v2, x86-64-v3 and x86-64-v4",
                    cpu);
}

krs_status
krsi_cpu_target_open(const char *cpu, krs_backend_effort effort,
                     krsi_cpu_target *out, krs_error *err)
{
    pthread_once(&llvm_ready, prepare_llvm);
    *out = (krsi_cpu_target){.effort = effort,
                             .triple = LLVMGetDefaultTargetTriple()};
    char *host = LLVMGetHostCPUFeatures();
    if (!out->triple || !host) {
        LLVMDisposeMessage(host);
        krsi_cpu_target_free(out);
        return krs_fail(err, KRS_E_MEMORY,
                        "cpu: no memory for the name of the processor");
    }
    if (!cpu || strcmp(cpu, "native") == 0) {
        out->cpu = LLVMGetHostCPUName();
        out->features = host;
        set_facts(out, host);
        return KRS_OK;
    }
    krs_status status = open_level(cpu, host, out, err);
    LLVMDisposeMessage(host);
    if (status != KRS_OK)
        krsi_cpu_target_free(out);
    return status;
}

void
krsi_cpu_target_free(krsi_cpu_target *target)
{
    LLVMDisposeMessage(target->triple);
    LLVMDisposeMessage(target->cpu);
    LLVMDisposeMessage(target->features);
    *target = (krsi_cpu_target){0};
}

LLVMTargetMachineRef
krsi_cpu_target_machine(const krsi_cpu_target *target, krs_error *err)
{
    LLVMTargetRef found;
    char *text = NULL;
    LLVMCodeGenOptLevel level = LLVMCodeGenLevelLess;
    switch (target->effort) {
    case KRS_EFFORT_NORMAL: break;
    case KRS_EFFORT_NONE: level = LLVMCodeGenLevelNone; break;
    case KRS_EFFORT_MOST: level = LLVMCodeGenLevelAggressive; break;
    }
    if (LLVMGetTargetFromTriple(target->triple, &found, &text)) {
        krs_fail(err, KRS_E_DEVICE, "cpu: LLVM has no target %s: %s",
                 target->triple, text);
        LLVMDisposeMessage(text);
        return NULL;
    }
    LLVMTargetMachineRef machine = LLVMCreateTargetMachine(
        found, target->triple, target->cpu, target->features, level,
        LLVMRelocPIC, LLVMCodeModelJITDefault);
    if (!machine)
        krs_fail(err, KRS_E_DEVICE, "cpu: no target machine for %s %s",
                 target->triple, target->cpu);
    return machine;
}

uint32_t
krsi_cpu_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (uint32_t)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

static uint64_t
positive(long value)
{
    return value > 0 ? (uint64_t)value : 0;
}

void
krsi_cpu_limits(const krsi_cpu_target *target, uint32_t workers,
                krs_backend_limits *out)
{
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    *out = (krs_backend_limits){
        .struct_size = sizeof *out,
        .facts = {.struct_size = sizeof out->facts,
                  .has_fma = target->has_fma,
                  .dot2_flushes = target->has_avx512_bf16                        },
        .dtypes = 1U << KRS_F32 | 1U << KRS_BF16 | 1U << KRS_F16 |
                  1U << KRS_I64 | 1U << KRS_I32 | 1U << KRS_I8 | 1U << KRS_U8 |
                  1U << KRS_BOOL,
        .is_processor = true,
        .has_dot2_bf16 = target->has_avx512_bf16,
        .has_dot4_i8 = target->has_avx512_vnni,
        .workers = workers,
        .vector_lanes = (uint32_t)target->vector_bits / 32,
        .registers = target->has_avx512 || is_arm(target) ? 32 : 16,
        .group_items = 1,
        .group = {1,                                         1,         1        },
        .grid = {INT64_MAX,                                 INT64_MAX, INT64_MAX},
        .max_params = 256,
        .max_insts = 1 << 16,
        .memory_align = 64,
        .offset_align = 1,
        .max_alloc_bytes = INT64_MAX,
        .max_bind_bytes = INT64_MAX,
        .scratch_bytes = 1U << 30,
        .shared_bytes = 0,
        .memory_bytes =
            positive(sysconf(_SC_PHYS_PAGES)) * positive(sysconf(_SC_PAGESIZE)),
        .cache_bytes = {positive(sysconf(_SC_LEVEL1_DCACHE_SIZE)),
                  positive(sysconf(_SC_LEVEL2_CACHE_SIZE)),
                  positive(sysconf(_SC_LEVEL3_CACHE_SIZE))                       },
    };
    snprintf(out->name, sizeof out->name, "%s, %d-bit vectors", target->cpu,
             target->vector_bits);
    int length = snprintf(out->target, sizeof out->target,
                          "llvm %u.%u.%u; effort %d; %s; %s; %s", major, minor,
                          patch, (int)target->effort, target->triple,
                          target->cpu, target->features);
    /* A list too long to show keeps its meaning as a number. */
    if (length >= (int)sizeof out->target) {
        uint64_t hash = 0xcbf29ce484222325U;
        for (const char *c = target->features; *c; c++)
            hash = (hash ^ (unsigned char)*c) * 0x100000001b3U;
        snprintf(out->target + sizeof out->target - 20, 20, "...%016llx",
                 (unsigned long long)hash);
    }
}
