/* program.h -- devices, stores, programs: how a graph is run.
 *
 *     krs_device *device;
 *     krs_store *store;
 *     krs_program *program;
 *     krs_device_open("eval", &device, &err);
 *     krs_store_new(device, &store, &err);
 *     krs_program_new(store, outputs, 2, &program, &err);
 *     krs_program_set_input(program, "x", data, sizeof data, &err);
 *     krs_program_run(program, &err);
 *     krs_program_read(program, 0, &loss, sizeof loss, &err);
 *
 * Every function that can fail returns a status and fills err (NULL is fine).
 */
#ifndef KRS_PROGRAM_H
#define KRS_PROGRAM_H

#include <krs/graph.h>
#include <krs/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A place where programs run. Thread-safe after krs_device_open. */
typedef struct krs_device krs_device;

/* Named tensors that live between runs (parameters, moments, caches). Several
 * programs may bind one store. One thread at a time: a run of a program counts
 * as use of its store, but for programs without updates, which may run at once
 * as long as nobody writes to the store. */
typedef struct krs_store krs_store;

/* A graph made ready to run. Keeps what it needs of the graph: the graph may
 * be freed. One thread at a time, but for krs_program_cancel; for more threads
 * there is krs_program_clone. */
typedef struct krs_program krs_program;

/* What happens to a program, for an observer. */
typedef enum krs_program_event {
    KRS_PROGRAM_MADE, /* krs_program_new is about to return it */
    KRS_PROGRAM_RAN,  /* krs_program_run has succeeded */
    KRS_PROGRAM_ENDS  /* krs_program_free is about to free it */
} krs_program_event;

/* How a device lays out the temporaries of programs and updates states. The
 * results are the same bits. */
typedef enum krs_memory_use {
    KRS_MEMORY_SHARED,   /* temporaries share memory, states are updated in
                            place where the old value is not needed */
    KRS_MEMORY_SEPARATE, /* each has memory of its own: the oracle of the
                            former, for tests */
    KRS_MEMORY_POISONED  /* shared, and what is no longer needed is filled
                            with NaN between waves, so that using it shows:
                            for tests, slow */
} krs_memory_use;

/* How a device is opened. Zeroed fields ask for the default. */
typedef struct krs_device_options {
    size_t struct_size; /* sizeof (krs_device_options) */
    uint32_t threads;   /* at most so many; 0: one a processor */
    const char *cpu;    /* cpu: "x86-64-v2", "x86-64-v3", ...; NULL: native;
                           interp, opencl, vulkan: "lanes", "groups", schedules
                           of devices whose items work alone or share memory:
                           the same bits, for tests */
    const char *effort; /* what backends put into code: "none" (on cpu, compiled
                            in a third of the time, and slower), "most" (in twice
                            the time), NULL: "normal"; the same bits */
    const char *modules; /* folder of libkersey-NAME.so; NULL: where the
                             program or library is */
    const char *cache;   /* folder of compiled code; NULL: none is kept */
    bool unfused;        /* no kernel computes more than one primitive: what
                            fusion is compared with */
    krs_memory_use memory;
    const char *stage; /* last pass over the graphs of programs: "expand" runs
                            them as they are defined, the oracle of the
                            optimiser; NULL: "opt", all of them */
    const krs_allocator *allocator; /* of memory for tensors; copied; NULL: the
                                       system's. It outlives the device.
                                       UNSUPPORTED where memory is the
                                       driver's: opencl, vulkan */
    /* told when an entry of the cache is damaged or not to be trusted; NULL:
     * nobody is. context is passed on. By the thread that
     * makes a program. */
    void (*warning)(void *context, const char *text);
    /* told of every program on the device, whoever makes it, so that it can
     * be printed and profiled; it must not run, free or make programs. NULL:
     * nobody is. */
    void (*observe)(void *context, krs_program *program,
                    krs_program_event event);
    /* told how many of a program's kernels are compiled and loaded: first that
     * none is, then after each, by the thread that makes the program. False:
     * stop, and krs_program_new returns CANCELLED. Not called on eval, nor
     * where there are no kernels. Nothing else may be asked of the device from
     * within. NULL: nobody is. */
    bool (*compiling)(void *context, size_t done, size_t total);
    void *context;
} krs_device_options;

/* krs_device_open(name, &device, err) -- "eval": the graph interpreter in f64,
 * slow and trusted; "interp": the kernel interpreter behind the seam; "cpu":
 * kernels compiled for this processor; "NAME:i": the i-th device of a backend.
 * krs_device_open_with takes options (NULL: all default).
 * Errors: DEVICE for a name that is not there; NAME for a stage or an effort that
 * is not;
 * UNSUPPORTED if the machine lacks what the options ask for. */
KRS_API krs_status krs_device_open(const char *name, krs_device **out,
                                   krs_error *err);
KRS_API krs_status krs_device_open_with(const char *name,
                                        const krs_device_options *options,
                                        krs_device **out, krs_error *err);
KRS_API void krs_device_close(krs_device *device);
KRS_API const char *krs_device_name(const krs_device *device);

/* What a device is. The strings are borrowed from it. */
typedef struct krs_device_info {
    size_t struct_size; /* sizeof (krs_device_info) */
    const char *model;  /* for people: "AMD EPYC 9R14"; "" if there is none */
    const char *target; /* all that compiled code depends on; "" without code */
    uint32_t threads;   /* that work at the same time */
    bool has_fma;       /* products are added with one rounding */
    bool updates_in_place; /* states take their new values where they lie,
                              wherever that can be */
    uint64_t memory_align; /* bytes: where memory of the user's must begin that
                              is bound without a copy */
    /* memory of stores and programs on the device now, and the most there was;
     * not counted: the scratch of its workers. eval counts none. */
    uint64_t bytes, most_bytes;
    /* limits; 0: unknown, or none. Bytes: all its memory; one memory of it; what
     * a kernel sees of one memory; shared by a group of items. Then items of a
     * group, and turns of all loops of an item. */
    uint64_t memory_bytes, max_alloc_bytes, max_bind_bytes, shared_bytes;
    uint64_t group_items, item_turns;
} krs_device_info;

/* krs_device_describe(device, &info, err) -- fill info. Errors: ARGUMENT for
 * an unknown struct_size. */
KRS_API krs_status krs_device_describe(const krs_device *device,
                                       krs_device_info *out, krs_error *err);

/* krs_store_new(device, &store, err); the device outlives the store. */
KRS_API krs_status krs_store_new(krs_device *device, krs_store **out,
                                 krs_error *err);
KRS_API void krs_store_free(krs_store *store);

/* krs_store_add(store, name, dtype, shape, err) -- make room for a tensor,
 * zeroed. Nothing happens if it is there with the same type and shape.
 * Errors: NAME if it is there with another type or shape; MEMORY. */
KRS_API krs_status krs_store_add(krs_store *store, const char *name,
                                 krs_dtype dtype, krs_shape shape,
                                 krs_error *err);

/* krs_store_count(store), krs_store_entry(store, i, ...) -- walk the tensors in
 * order of their names (bytes compared). Any out pointer may be NULL. */
KRS_API size_t krs_store_count(const krs_store *store);
KRS_API krs_status krs_store_entry(const krs_store *store, size_t i,
                                   const char **out_name, krs_dtype *out_dtype,
                                   krs_shape *out_shape, krs_error *err);
/* type and shape of one; NAME if absent */
KRS_API krs_status krs_store_find(const krs_store *store, const char *name,
                                  krs_dtype *out_dtype, krs_shape *out_shape,
                                  krs_error *err);

/* krs_store_write / read -- the whole tensor, row-major, in its own type;
 * bytes must be exact. Errors: NAME, RANGE (bytes differ). */
KRS_API krs_status krs_store_write(krs_store *store, const char *name,
                                   const void *data, size_t bytes,
                                   krs_error *err);
KRS_API krs_status krs_store_read(const krs_store *store, const char *name,
                                  void *data, size_t bytes, krs_error *err);

/* krs_program_new(store, outputs, count, &program, err) -- prepare to compute
 * the outputs, which are nodes of one graph. krs_update nodes among them take
 * effect at the end of each run. Every state of the graph part is added to
 * the store if absent. A state that the graph declares as f32 and the store
 * holds block-quantised, in the same shape, is read there: products (as b of
 * krs_matmul_nt) and krs_take read the blocks, others their numbers.
 * Errors: the graph's own first error; NAME (a state updated twice; a state
 * in the store with another shape); DTYPE (an update of blocks); MEMORY; CANCELLED (krs_device_options). */
KRS_API krs_status krs_program_new(krs_store *store, const krs_node *outputs,
                                   size_t count, krs_program **out,
                                   krs_error *err);
KRS_API void krs_program_free(krs_program *program);

/* krs_program_set_input(program, name, data, bytes, err) -- copied. Every
 * input that the outputs need must be set before the first run, and keeps its
 * value for the next. Setting one that the program does not need is fine if
 * the graph has it. Errors: NAME, RANGE (bytes differ). */
KRS_API krs_status krs_program_set_input(krs_program *program, const char *name,
                                         const void *data, size_t bytes,
                                         krs_error *err);

/* ---- memory of the user's, without a copy ----
 *
 * data must be bytes long as stated, begin at a multiple of memory_align
 * (krs_device_info; 64 on eval, interp and cpu: aligned_alloc(64, ...)) and stay
 * there until the program or store is freed, or something else is bound.
 * Errors of all three: NAME, RANGE, as for the functions that copy; ARGUMENT
 * (data begins elsewhere); UNSUPPORTED (a device with memory of its own);
 * MEMORY. After an error what was bound before still is. */

/* krs_program_bind_input(program, name, data, bytes, err) -- every run reads
 * the input from data, as it is then; not to be written while one goes on.
 * krs_program_set_input ends it. */
KRS_API krs_status krs_program_bind_input(krs_program *program,
                                          const char *name, const void *data,
                                          size_t bytes, krs_error *err);

/* krs_program_bind_output(program, i, data, bytes, err) -- every run writes
 * output i to data; after a run that failed its contents are undefined.
 * UNSUPPORTED also for an update, whose value lies where its state does. */
KRS_API krs_status krs_program_bind_output(krs_program *program, size_t i,
                                           void *data, size_t bytes,
                                           krs_error *err);

/* krs_store_bind(store, name, dtype, shape, data, bytes, err) -- a new tensor
 * of the store that lies in data: programs read it there and write its updates
 * there. Errors, besides: those of krs_store_add; NAME also if it is there. */
KRS_API krs_status krs_store_bind(krs_store *store, const char *name,
                                  krs_dtype dtype, krs_shape shape, void *data,
                                  size_t bytes, krs_error *err);

/* krs_program_set_var(program, name, value, err) -- a runtime integer.
 * Errors: NAME, RANGE (outside the bounds of krs_var). */
KRS_API krs_status krs_program_set_var(krs_program *program, const char *name,
                                       int64_t value, krs_error *err);

/* krs_program_run(program, err) -- compute all outputs, then apply updates.
 * Updates are written into the states' own memory where they can be; that
 * begins when everything that may be refused is done. So after a failure the
 * store is as before the run; only DEVICE, a machine that breaks down in the
 * middle of the updates, leaves the states that were being updated undefined.
 * Errors: NAME (an input or variable never set), RANGE (an index outside its
 * axis), MEMORY, CANCELLED, DEVICE. */
KRS_API krs_status krs_program_run(krs_program *program, krs_error *err);

/* krs_program_output(program, i, &dtype, &shape, err) -- its type and maximal
 * shape. krs_program_read(program, i, data, bytes, err) -- the value after a
 * run; bytes as the maximal shape; elements beyond a live length are zero. */
KRS_API krs_status krs_program_output(const krs_program *program, size_t i,
                                      krs_dtype *out_dtype,
                                      krs_shape *out_shape, krs_error *err);
KRS_API krs_status krs_program_read(const krs_program *program, size_t i,
                                    void *data, size_t bytes, krs_error *err);

/* krs_program_clone(program, store, &clone, err) -- the same program for another
 * thread: code, constants and plan are shared; inputs, variables, outputs and
 * temporaries are its own, and not set. Its states are those of store, which is
 * of the same device; those that the code uses are added if absent. It may be
 * freed before or after the program. Thread-safe: program may be running.
 *
 * Each of several threads has a clone, and a store if the program updates
 * states; without updates they may share one. Runs on one device of a backend
 * take turns at the machine, each using all of it; on eval they run at once.
 * Errors: ARGUMENT (of krs_program_plan; a store of another device); NAME (a
 * state with another type or shape in the store); MEMORY. */
KRS_API krs_status krs_program_clone(const krs_program *program,
                                     krs_store *store, krs_program **out,
                                     krs_error *err);

/* ---- looking inside ---- */

/* krs_program_print(program, stage, &text, err) -- what became of the graph:
 *
 *   opt      the graph of primitives, and of composites with kernels of their
 *            own (unless the device is unfused), optimised; expand instead
 *            where the device was opened to stop there
 *   fusion   which primitives became one kernel, which not and why (not eval)
 *   sched    the cuts: which kernel computes what (not eval)
 *   kernel   the kernels, in the kernel language (not eval)
 *   launch   one line a launch: wave, kernel, operation, place (not eval)
 *   memory   one line a value: where it lies, and when it is in use (not eval)
 *   and what the backend compiles to: llvm, asm on cpu; opencl; spirv on vulkan
 *
 * Free the text with free(). Errors: NAME for a stage that the device does
 * not have; MEMORY. */
KRS_API krs_status krs_program_print(const krs_program *program,
                                     const char *stage, char **out_text,
                                     krs_error *err);

/* Memory of a program, in bytes. */
typedef struct krs_memory_info {
    size_t struct_size;       /* sizeof (krs_memory_info) */
    uint64_t states_bytes;    /* tensors of the store that it binds */
    uint64_t inputs_bytes;    /* that it needs */
    uint64_t outputs_bytes;   /* but for updates in place */
    uint64_t exchanged_bytes; /* part of outputs: updates that are not */
    uint64_t constants_bytes;
    uint64_t temporaries_bytes; /* the arena that they share */
    uint64_t workspace_bytes;   /* scratch of all workers; reserved at the first
                                   run, and kept for the next programs */
    uint64_t total_bytes;       /* of the above */
    /* of the temporaries that live in the fullest wave, rounded up to places:
     * what output 0 is made of, and the rest: gradients, if output 0 is the
     * loss */
    uint64_t activations_bytes, gradients_bytes;
    int waves, peak_wave;
    /* the launch that uses most temporaries in that wave; borrowed from the
     * program; "" and 0 if there are none */
    const char *peak_op, *peak_scope, *peak_file;
    int peak_line;
} krs_memory_info;

/* krs_program_memory(program, &info, err) -- known when the program is made,
 * and exact but for workspace that depends on runtime integers: then it is the
 * most there can be. Errors: ARGUMENT (struct_size); UNSUPPORTED on eval, which
 * plans no memory; MEMORY. */
KRS_API krs_status krs_program_memory(const krs_program *program,
                                      krs_memory_info *out, krs_error *err);

/* krs_program_plan(device, outputs, count, &program, err) -- as far as
 * krs_program_new goes without compiling, allocating memory of the device or
 * needing a store: the program can be printed and asked for its memory, and
 * freed; all else is refused with ARGUMENT. */
KRS_API krs_status krs_program_plan(krs_device *device, const krs_node *outputs,
                                    size_t count, krs_program **out,
                                    krs_error *err);

/* krs_program_require_in_place(program, err) -- OK if every update is written
 * where its state lies, or the device never does so (eval,
 * KRS_MEMORY_SEPARATE). For programs that must not copy, such as those that add
 * to a large cache. Errors: UNSUPPORTED, naming the first state of which a
 * second copy is made. */
KRS_API krs_status krs_program_require_in_place(const krs_program *program,
                                                krs_error *err);

/* One launch of a program, in the order they run. Those of a scan's body stand
 * where the scan does; bytes, operations and time are of all iterations. */
typedef struct krs_launch_info {
    size_t struct_size; /* sizeof (krs_launch_info) */
    size_t kernel;      /* number; equal kernels have one */
    const char *op;     /* "softmax"; borrowed from the program, as are: */
    const char *scope;
    const char *file;
    int line;
    int wave;               /* launches of one wave are independent */
    const char *primitives; /* all that the kernel computes: "sub exp sum" */
    double bytes;           /* read and written, each element once, at most */
    double operations; /* scalar ones, at most: 2 M N K of a matrix product; a
                          transcendental function counts 10 to 60 */
    /* of the last run, if the program was profiled: begin, by a clock of the
     * machine, and from there to the end of the last item */
    uint64_t start_ns, time_ns;
} krs_launch_info;

/* krs_program_profile(program, on) -- measure launches from the next run on.
 * krs_program_launch(program, i, &info, err) -- the i-th launch.
 * Errors: RANGE past the last (a device without launches has none). */
KRS_API void krs_program_profile(krs_program *program, bool on);
KRS_API krs_status krs_program_launch(const krs_program *program, size_t i,
                                      krs_launch_info *out, krs_error *err);

/* krs_program_cancel(program) -- ask a run in another thread (or the next one)
 * to stop with CANCELLED. A run that has begun to write states ends, and the
 * next one is stopped. Async-signal-safe. */
KRS_API void krs_program_cancel(krs_program *program);

#ifdef __cplusplus
}
#endif
#endif
