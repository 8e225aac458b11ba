/* test_cpu_fault.c -- the CPU backend while memory is out: every allocation of
 * its own, every thread and every question whether LLVM has room fails once,
 * and from then on. Each time there is a status or the right result, and
 * nothing stays allocated.
 *
 * The backend is linked into this program, so that its calls come here; those
 * inside LLVM do not, because LLVM would end the process. device.bats runs
 * the program with little memory.
 */
#include "fault_memory.h"
#include "graph/kernel/kb.h"
#include "suite.h"

#include <krs/backend.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *context);
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd,
                  off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd,
                  off_t offset);

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                      void *(*start)(void *), void *context)
{
    return memory_strikes()
               ? EAGAIN
               : __real_pthread_create(thread, attr, start, context);
}

void *
__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd,
            off_t offset)
{
    return memory_strikes()
               ? MAP_FAILED
               : __real_mmap(at, bytes, protection, flags, fd, offset);
}

krs_backend_entry_function krs_backend_entry;

enum { N = 100, KERNELS = 3 };

/* x[i] = x[i] + by, through scratch */
static krs_kernel *
make_kernel(float by)
{
    krs_kernel *kernel;
    krs_error err;
    krsi_kb *kb = krsi_kb_new("add");
    krsi_kbuf x = krsi_kb_param(kb, "x", KRS_F32, KRS_K_READ | KRS_K_WRITE, 0);
    krsi_kbuf s =
        krsi_kb_scratch(kb, "s", KRS_F32, 1, krsi_kb_arg(kb, "n", KRS_I64), 0);
    krsi_kv i = krsi_kb_axis(kb, 0), zero = krsi_kb_i64(kb, 0);
    krsi_kb_store(kb, (krsi_kmem){.buffer = s, .index = zero},
                  krsi_kb_load(kb, (krsi_kmem){.buffer = x, .index = i}));
    krsi_kv v = krsi_kb_load(kb, (krsi_kmem){.buffer = s, .index = zero});
    krsi_kb_store(kb, (krsi_kmem){.buffer = x, .index = i},
                  krsi_kb_add(kb, v, krsi_kb_f32(kb, by)));
    ck_assert_msg(krsi_kb_finish(kb, &kernel, &err) == KRS_OK, "%s", err.text);
    return kernel;
}

typedef struct life {
    const krs_backend *backend;
    const krs_kernel *kernels[KERNELS];
    krs_backend_device *device;
    krs_backend_blob blobs[KERNELS];
    krs_backend_code *codes[KERNELS];
    krs_backend_memory *memory;
    char *listing;
    float x[N];
} life;

static krs_status
run(life *l, krs_error *err)
{
    const krs_backend *b = l->backend;
    krs_kargument n = {.i = 1000};
    krs_backend_binding binding = {l->memory, 0, sizeof l->x};
    krs_backend_launch launches[KERNELS];
    const size_t ends[KERNELS] = {1, 2, 3};
    for (int k = 0; k < KERNELS; k++)
        launches[k] = (krs_backend_launch){
            l->codes[k], &binding, &n, {N, 1, 1}
        };
    krs_backend_work work = {.struct_size = sizeof work,
                             .launches = launches,
                             .launch_count = KERNELS,
                             .wave_ends = ends,
                             .wave_count = KERNELS};
    KRS_TRY(b->submit(l->device, &work, err));
    return b->wait(l->device, err);
}

/* Everything that a device does, once. */
static krs_status
live(life *l, krs_error *err)
{
    const krs_backend *b = l->backend;
    krs_backend_options options = {.struct_size = sizeof options, .workers = 3};
    KRS_TRY(b->open(&options, &l->device, err));
    KRS_TRY(b->build(l->device, l->kernels, KERNELS, l->blobs, err));
    for (int k = 0; k < KERNELS; k++)
        KRS_TRY(
            b->load(l->device, l->kernels[k], &l->blobs[k], &l->codes[k], err));
    KRS_TRY(b->alloc(l->device, sizeof l->x, &l->memory, err));
    KRS_TRY(b->write(l->device, l->memory, 0, l->x, sizeof l->x, err));
    KRS_TRY(run(l, err));
    KRS_TRY(b->read(l->device, l->memory, 0, l->x, sizeof l->x, err));
    return b->listing(l->device, l->kernels[0], "llvm", &l->listing, err);
}

static void
end(life *l)
{
    for (int k = 0; k < KERNELS; k++) {
        if (l->device)
            l->backend->drop(l->device, l->codes[k]);
        free(l->blobs[k].data);
    }
    if (l->device)
        l->backend->free(l->device, l->memory);
    l->backend->close(l->device);
    free(l->listing);
}

/* A life in which a call fails: the status is MEMORY, or all is right. */
static bool
survives(const krs_kernel *const kernels[KERNELS], long n, bool and_all_after,
         krs_status *out)
{
    life l = {.backend = krs_backend_entry()};
    krs_error err = {KRS_OK, ""};
    long before = memory_alive();
    memcpy(l.kernels, kernels, sizeof l.kernels);
    (and_all_after ? memory_fail_from : memory_fail_at)(n);
    *out = live(&l, &err);
    bool struck = memory_struck();
    end(&l);
    ck_assert_msg(*out == KRS_OK || (struck && *out == KRS_E_MEMORY &&
                                     strncmp(err.text, "cpu: ", 5) == 0),
                  "call %ld: %s: %s", n, krs_status_name(*out), err.text);
    for (int i = 0; *out == KRS_OK && i < N; i++)
        ck_assert_float_eq(l.x[i], 6);
    ck_assert_msg(memory_alive() == before, "call %ld: %ld leak: %s", n,
                  memory_alive() - before, err.text);
    return struck;
}

static void
check(bool and_all_after)
{
    krs_kernel *kernels[KERNELS] = {make_kernel(1), make_kernel(2),
                                    make_kernel(3)};
    const krs_kernel *list[KERNELS] = {kernels[0], kernels[1], kernels[2]};
    krs_status status;
    long n = 1, failures = 0;
    while (survives(list, n, and_all_after, &status)) {
        failures += status != KRS_OK;
        n++;
    }
    ck_assert_int_eq(status, KRS_OK);
    ck_assert_int_gt(failures, 20);
    for (int k = 0; k < KERNELS; k++)
        krs_kernel_free(kernels[k]);
}

START_TEST(each_allocation_thread_and_mapping_may_fail_alone)
{
    check(false);
}
END_TEST

START_TEST(all_allocations_threads_and_mappings_may_fail_from_any_one_on)
{
    check(true);
}
END_TEST

SUITE(each_allocation_thread_and_mapping_may_fail_alone,
      all_allocations_threads_and_mappings_may_fail_from_any_one_on)
