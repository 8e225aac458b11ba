/* room.c -- is there memory for what LLVM is about to need?
 *
 * LLVM is compiled without exceptions: where `new` finds no memory the process
 * ends. Its hooks for that are global to the process and must not return, so a
 * library cannot use them. What can be done is to ask first: a mapping of the
 * size that LLVM will need at most is made and given back untouched. It fails
 * where the address space is limited (RLIMIT_AS) or memory is promised
 * strictly; those are the cases in which `new` fails too. Where memory is
 * overcommitted neither does, and the kernel ends some process instead.
 *
 * The answer holds for the moment only: what another thread takes between it
 * and LLVM's own requests is not there any more.
 *
 * The estimate is by instruction and lane, from the growth of the address space
 * while LLVM 19 compiled chains of one kind of instruction (150 to 48,000 of
 * them; 1, 16, 64 lanes; every effort; native AVX-512 and x86-64-v2), in kB:
 *
 *     kind                                 measured at most   asked for
 *     any                                  3.7 + 0.6 a lane   4 + 1 a lane
 *     conversions                          9 a lane           10 a lane
 *     gather, scatter, integer quotients   38 a lane          40 a lane
 *
 * and 2 MB for the first kernel of a process.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "cpu.h"

#include <sys/mman.h>

enum {
    FIXED_BYTES = 4 << 20,
    INST_BYTES = 4 << 10,
    LANE_BYTES = 1 << 10,
    CONVERT_LANE_BYTES = 10 << 10,
    SLOW_LANE_BYTES = 40 << 10 /* what becomes an instruction a lane */
};

bool
krsi_cpu_has_room(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return false;
    munmap(at, bytes);
    return true;
}

krs_status
krsi_cpu_need(size_t bytes, const char *what, krs_error *err)
{
    if (krsi_cpu_has_room(bytes))
        return KRS_OK;
    return krs_fail(err, KRS_E_MEMORY,
                    "cpu: no memory to %s, which may take %zu MB; raise the "
                    "limit (ulimit -v), or ask for less",
                    what, (bytes + (1 << 20) - 1) >> 20);
}

static size_t
lane_bytes(const krs_kinst *inst)
{
    bool floats = inst->type.dtype == KRS_F32;
    if (inst->op == KRS_K_GATHER || inst->op == KRS_K_SCATTER)
        return SLOW_LANE_BYTES;
    if (inst->op != KRS_K_SCALAR)
        return LANE_BYTES;
    if (inst->scalar == KRS_KS_CONVERT)
        return CONVERT_LANE_BYTES;
    if (!floats && (inst->scalar == KRS_KS_DIV || inst->scalar == KRS_KS_REM))
        return SLOW_LANE_BYTES;
    return LANE_BYTES;
}

size_t
krsi_cpu_compile_bytes(const krs_kernel *kernel)
{
    size_t bytes = FIXED_BYTES;
    for (uint32_t i = 0; i < kernel->inst_count; i++)
        bytes += INST_BYTES +
                 kernel->insts[i].type.lanes * lane_bytes(&kernel->insts[i]);
    return bytes;
}
