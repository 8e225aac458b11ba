/* cpu.h -- the inside of the CPU backend.
 *
 * target.c knows the machine, emit*.c turn a kernel into LLVM IR, codegen.c
 * turns that into an object, link.c makes the object callable, threads.c runs
 * it, cpu_backend.c puts these behind the seam. room.c asks for memory before
 * LLVM does. LLVM is known in this folder only.
 */
#ifndef KRSI_CPU_H
#define KRSI_CPU_H

#include <krs/backend.h>

#include <llvm-c/TargetMachine.h>
#include <llvm-c/Types.h>

/* target.c -- what code is made for. */
typedef struct krsi_cpu_target {
    char *triple, *cpu, *features; /* from LLVM; freed by target_free */
    bool has_fma, has_f16c;
    bool has_avx2, has_avx512, has_avx512_bf16, has_avx512_vnni;
    int vector_bits;
    krs_backend_effort effort;
} krsi_cpu_target;

/* For options->cpu on this machine; UNSUPPORTED if it lacks a feature. */
krs_status krsi_cpu_target_open(const char *cpu, krs_backend_effort effort,
                                krsi_cpu_target *out, krs_error *err);
void krsi_cpu_target_free(krsi_cpu_target *target);
/* A target machine of its own for one compiling thread; NULL: err filled. */
LLVMTargetMachineRef krsi_cpu_target_machine(const krsi_cpu_target *target,
                                             krs_error *err);
void krsi_cpu_limits(const krsi_cpu_target *target, uint32_t workers,
                     krs_backend_limits *out);
/* Processors that this process may use. */
uint32_t krsi_cpu_processors(void);

/* The function that a kernel becomes: items of its grid in order, axis 0
 * fastest, beginning at `first`. Scratch buffers follow the parameters in
 * `buffers`. */
typedef struct krsi_cpu_range {
    int64_t first[KRS_K_AXES];
    int64_t grid[KRS_K_AXES];
    int64_t items; /* at least 1 */
} krsi_cpu_range;
typedef void krsi_cpu_function(void *const *buffers, const krs_kargument *args,
                               const krsi_cpu_range *range);

/* codegen.c -- kernel to object. The name of its function is
 * KRSI_CPU_SYMBOL with the hash. krsi_cpu_listing: its LLVM IR after the
 * passes, or its assembly, as text to free(). */
#define KRSI_CPU_SYMBOL      "krs_%016" PRIx64 "%016" PRIx64
#define KRSI_CPU_SYMBOL_TEXT 40
krs_status krsi_cpu_compile(const krsi_cpu_target *target,
                            LLVMTargetMachineRef machine,
                            const krs_kernel *kernel, krs_backend_blob *out,
                            krs_error *err);
typedef enum krsi_cpu_form {
    KRSI_CPU_OBJECT,
    KRSI_CPU_ASSEMBLY,
    KRSI_CPU_LLVM
} krsi_cpu_form;
krs_status krsi_cpu_listing(const krsi_cpu_target *target,
                            LLVMTargetMachineRef machine,
                            const krs_kernel *kernel, krsi_cpu_form form,
                            char **out_text, krs_error *err);

/* room.c -- what LLVM asks for must not fail, or it ends the process.
 * krsi_cpu_has_room: so many bytes could be had now. krsi_cpu_need: MEMORY if
 * not, with a sentence that says what they are for ("link a kernel").
 * krsi_cpu_compile_bytes: what compiling this kernel takes at most. */
enum {
    KRSI_CPU_OPEN_BYTES = 12 << 20, /* targets and linker: 7 MB measured */
    KRSI_CPU_LINK_BYTES = 2 << 20,  /* and 8 times the object */
    KRSI_CPU_LINK_FACTOR = 8
};
bool krsi_cpu_has_room(size_t bytes);
krs_status krsi_cpu_need(size_t bytes, const char *what, krs_error *err);
size_t krsi_cpu_compile_bytes(const krs_kernel *kernel);

/* link.c -- objects to addresses. One for a device; thread-safe. */
typedef struct krsi_cpu_linker krsi_cpu_linker;
typedef struct krsi_cpu_linked krsi_cpu_linked;
krs_status krsi_cpu_linker_open(krsi_cpu_linker **out, krs_error *err);
void krsi_cpu_linker_close(krsi_cpu_linker *linker);
krs_status krsi_cpu_link(krsi_cpu_linker *linker, const uint64_t hash[2],
                         const krs_backend_blob *object, krsi_cpu_linked **out,
                         krsi_cpu_function **out_function, krs_error *err);
void krsi_cpu_unlink(krsi_cpu_linker *linker, krsi_cpu_linked *linked);

#endif
