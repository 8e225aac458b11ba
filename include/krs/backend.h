/* backend.h -- the seam: what a machine must offer to run kernels.
 *
 * In: kernels of kernel.h that passed krs_kernel_verify, and memory. Out:
 * code, launches, times. A backend never sees a graph, a shape or a program:
 * only kernels and buffers with byte offsets. What it can do is data
 * (krs_backend_limits), from which the schedules are chosen; a kernel outside
 * the limits is never given to it.
 *
 * A backend is one constant struct krs_backend whose functions are all
 * present. It is either part of the library or a shared object
 * libkersey-NAME.so that exports krs_backend_entry. It keeps no state outside
 * its devices, prints nothing, reads no environment, and leaves the floating-
 * point control word as it found it. backends/README.md shows how to add one.
 *
 * Threads. build, alloc, free, wrap, write, read, load and drop may be called for
 * one device by several threads at once. submit and its wait belong together:
 * at most one submission of a device is in flight. open, close: any thread,
 * close when nothing else runs.
 *
 * Errors. Every function that returns a status fills err (NULL is fine) with
 * one sentence. MEMORY when host or device memory is out; DEVICE when the
 * machine or its driver failed; others are named below.
 */
#ifndef KRS_BACKEND_H
#define KRS_BACKEND_H

#include <krs/kernel.h>
#include <krs/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Handles that only the backend looks into. */
typedef struct krs_backend_device krs_backend_device;
typedef struct krs_backend_memory krs_backend_memory;
typedef struct krs_backend_code krs_backend_code;

/* How much work goes into code. Results are the same bits for each. */
typedef enum krs_backend_effort {
    KRS_EFFORT_NORMAL,
    KRS_EFFORT_NONE, /* no optimisation at all: for tests */
    KRS_EFFORT_MOST  /* every pass there is: for tests */
} krs_backend_effort;

typedef struct krs_backend_options {
    size_t struct_size;
    uint32_t index;   /* which device, below count() */
    uint32_t workers; /* at most so many threads; 0: one a processor */
    const char *cpu;  /* "x86-64-v2" ... "native"; NULL is "native". Backends
                         without such a choice take NULL and "native" only,
                         or "lanes" and "groups", schedules of other devices
                         than this one. */
    krs_backend_effort effort;
    const krs_allocator *allocator; /* of alloc; copied; NULL: the backend's
                                       own. UNSUPPORTED if its memory is not
                                       the host's. */
} krs_backend_options;

#define KRS_BACKEND_TEXT        64
#define KRS_BACKEND_TARGET_TEXT 1024

/* What a device offers: data from which schedules are chosen. */
typedef struct krs_backend_limits {
    size_t struct_size;
    char name[KRS_BACKEND_TEXT]; /* for people: the model of the device */
    /* all that code depends on: triple, processor, features, compiler and its
     * version, effort. Equal strings: code is interchangeable. */
    char target[KRS_BACKEND_TARGET_TEXT];
    krs_kfacts facts;
    uint32_t dtypes;   /* bit krs_dtype: buffers may have it. Indices are i64
                          on every device. */
    bool is_processor; /* runs on the host's processors and in its memory:
                          register tiles and scratch, no groups */
    bool has_dot2_bf16, has_dot4_i8; /* as one instruction */
    bool has_texel;                  /* a texel view is faster for loads */
    bool code_is_dear;     /* compiling is slow: small kernels are wanted, with
                          loops for what is unrolled elsewhere */
    uint32_t workers;      /* items that run at the same time, at least */
    uint32_t vector_lanes; /* f32 in one register; 1 without vectors */
    uint32_t registers;    /* vector registers that a kernel can count on */
    uint32_t group_items;  /* items in one group, at most */
    uint32_t group[KRS_K_AXES];
    int64_t grid[KRS_K_AXES]; /* groups along each axis, at most */
    uint32_t max_params;      /* buffers bound to one launch */
    uint32_t max_insts;       /* instructions of one kernel */
    uint64_t memory_align;    /* bytes: every memory starts so */
    uint64_t offset_align;    /* bytes: every bound offset is a multiple */
    uint64_t tail_bytes; /* behind a bound stretch, which views of it may cover
                            without use: left free by whatever is written */
    uint64_t max_alloc_bytes; /* one memory */
    uint64_t max_bind_bytes;  /* one binding */
    uint64_t scratch_bytes;   /* of one worker, all scratch buffers */
    uint64_t shared_bytes;    /* of one group, all shared buffers */
    uint64_t memory_bytes;    /* all there is; 0 if unknown */
    uint64_t cache_bytes[3];  /* level 1 (data), 2, 3; 0 if unknown */
    uint64_t item_turns; /* of all loops of one item, after which the device
                            ends them: each time a loop is come to, its trips
                            and one more; 0 if there is no such bound */
    bool has_groups;     /* items of a group share memory faster than they read
                            any other: schedules by groups, as for GPUs. Not
                            where is_processor. */
    uint32_t loaders;    /* threads that load code at once, at most, because a
                            load takes long; 0: one */
} krs_backend_limits;

/* Code as bytes. data comes from malloc and belongs to whoever holds the
 * blob; free() it. */
typedef struct krs_backend_blob {
    void *data;
    size_t bytes;
} krs_backend_blob;

/* A stretch of a memory: what parameter i of a kernel is at a launch. */
typedef struct krs_backend_binding {
    krs_backend_memory *memory;
    size_t offset_bytes, bytes;
} krs_backend_binding;

typedef struct krs_backend_launch {
    krs_backend_code *code;
    const krs_backend_binding *bindings; /* param_count of its kernel */
    const krs_kargument *args;           /* arg_count of its kernel */
    int64_t grid[KRS_K_AXES]; /* groups along each axis; unused axes: 1; a
                                 zero makes the launch a no-op */
} krs_backend_launch;

/* When a launch ran, by a clock of the machine that only goes forwards. */
typedef struct krs_backend_span {
    uint64_t begin_ns, end_ns; /* of its first, its last item; 0: none ran */
} krs_backend_span;

/* All launches of a program. Wave w holds the launches wave_ends[w - 1] (0
 * for the first) up to wave_ends[w]; they are independent of each other, and
 * see everything that earlier waves wrote. */
typedef struct krs_backend_work {
    size_t struct_size;
    const krs_backend_launch *launches;
    size_t launch_count;
    const size_t *wave_ends; /* ascending, the last is launch_count */
    size_t wave_count;
    krs_backend_span *spans; /* NULL, or launch_count places */
    const int *cancel;       /* NULL, or read with __atomic_load_n now and then:
                           not 0 asks to stop. Another thread may set it. */
} krs_backend_work;

/* What a backend is. */
typedef struct krs_backend {
    uint64_t (*abi)(void); /* krs_backend_abi, as compiled into the backend;
                              the only member read before it is compared */
    const char *name;      /* "cpu": as in libkersey-cpu.so */

    /* count(err) -- devices there are; 0, with err filled, if none. */
    uint32_t (*count)(krs_error *err);

    /* open(options, &device, err) -- one device, ready. options NULL: all
     * zero. Errors: ARGUMENT (index), UNSUPPORTED (the machine lacks what
     * options->cpu asks for). */
    krs_status (*open)(const krs_backend_options *options,
                       krs_backend_device **out, krs_error *err);

    /* close(device) -- NULL is fine. Memories are freed and code is dropped
     * before. */
    void (*close)(krs_backend_device *device);

    /* limits(device) -- borrowed until close, and constant. */
    const krs_backend_limits *(*limits)(const krs_backend_device *device);

    /* alloc(device, bytes, &memory, err) -- contents undefined; bytes == 0 is
     * fine. free(device, memory) -- NULL is fine; never one that work in
     * flight uses. */
    krs_status (*alloc)(krs_backend_device *device, size_t bytes,
                        krs_backend_memory **out, krs_error *err);
    void (*free)(krs_backend_device *device, krs_backend_memory *memory);

    /* wrap(device, data, bytes, &memory, err) -- a memory that is the caller's:
     * nothing is copied, the device reads and writes data itself until free,
     * which leaves it alone. data is a multiple of limits->memory_align.
     * Errors: ARGUMENT (it is not); UNSUPPORTED (not this device's to reach). */
    krs_status (*wrap)(krs_backend_device *device, void *data, size_t bytes,
                       krs_backend_memory **out, krs_error *err);

    /* write(device, memory, offset, data, bytes, err) -- from the host; read
     * -- to the host. Not while work in flight uses the memory.
     * Errors: RANGE (beyond the end). */
    krs_status (*write)(krs_backend_device *device, krs_backend_memory *memory,
                        size_t offset_bytes, const void *data, size_t bytes,
                        krs_error *err);
    krs_status (*read)(krs_backend_device *device,
                       const krs_backend_memory *memory, size_t offset_bytes,
                       void *data, size_t bytes, krs_error *err);

    /* build(device, kernels, count, blobs, err) -- code for each kernel. Pure:
     * the bytes depend on the kernels and limits->target alone, so they can be
     * kept on disk. All at once, so that the backend can compile in parallel,
     * or as one program: a blob may then hold what later ones need, so those of
     * one call are loaded in their order. After an error no blob is left over.
     * Errors: UNSUPPORTED (outside the limits), INTERNAL (code refused). */
    krs_status (*build)(krs_backend_device *device,
                        const krs_kernel *const *kernels, size_t count,
                        krs_backend_blob *out_blobs, krs_error *err);

    /* load(device, kernel, blob, &code, err) -- make built code ready to run.
     * blob must come from build for this kernel (or an equal one) and this
     * target, and may be freed afterwards; kernel is borrowed until drop.
     * Errors: FORMAT (not such a blob, or what the driver keeps in it is not
     * its own); NAME (an earlier one is needed, which is not loaded).
     * drop(device, code) -- NULL is fine; never one that work in flight uses. */
    krs_status (*load)(krs_backend_device *device, const krs_kernel *kernel,
                       const krs_backend_blob *blob, krs_backend_code **out,
                       krs_error *err);
    void (*drop)(krs_backend_device *device, krs_backend_code *code);

    /* submit(device, work, err) -- start all of work. Everything that work
     * points to is borrowed until wait returns; after a failed submit there
     * is nothing to wait for, and memories that the work writes are undefined.
     * Errors: ARGUMENT, RANGE (a binding beyond its memory). */
    krs_status (*submit)(krs_backend_device *device,
                         const krs_backend_work *work, krs_error *err);

    /* wait(device, err) -- until the submission is done; OK if there is none.
     * Errors: CANCELLED (some launches did not run). */
    krs_status (*wait)(krs_backend_device *device, krs_error *err);

    /* listing(device, kernel, stage, &text, err) -- what build makes of a
     * kernel, for people: the backend's own stages, such as "llvm" and "asm"
     * of the CPU. Free the text with free().
     * Errors: NAME (a stage it does not have; the text lists those it has). */
    krs_status (*listing)(krs_backend_device *device, const krs_kernel *kernel,
                          const char *stage, char **out_text, krs_error *err);
} krs_backend;

/* What kind of device it is, the one that most users want first. Devices are
 * numbered by it, so that NAME:0 is the fastest kind on a machine that has a
 * processor's driver too. */
typedef enum krs_backend_kind {
    KRS_BACKEND_DISCRETE,   /* a processor of graphics with its own memory */
    KRS_BACKEND_INTEGRATED, /* one in the host's memory */
    KRS_BACKEND_OTHER,      /* an accelerator, a part of one, unknown */
    KRS_BACKEND_PROCESSOR   /* the host's own processors */
} krs_backend_kind;

/* krs_backend_pick(kinds, count, index) -- which of a driver's devices has the
 * number `index`: by kind, those of one kind as the driver lists them. index is
 * less than count. Cost: count^2 comparisons. */
static inline uint32_t
krs_backend_pick(const krs_backend_kind *kind, uint32_t count, uint32_t index)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t before = 0;
        for (uint32_t k = 0; k < count; k++)
            before += kind[k] < kind[i] || (kind[k] == kind[i] && k < i);
        if (before == index)
            return i;
    }
    return index;
}

/* A module exports this function under this name; the struct is constant. */
#define KRS_BACKEND_ENTRY "krs_backend_entry"
typedef const krs_backend *krs_backend_entry_function(void);

/* krs_backend_abi() -- a number that changes when the tables or structs that
 * cross the seam change: FNV-1a over scalar.def, the instructions, the
 * element types and the struct sizes. Each side computes it from the headers
 * it was compiled with. */
static inline uint64_t
krs_backend_abi(void)
{
    static const char *const rows[] = {
#define SCALAR(NAME, name, arity, rule, flags, text) \
#name "/" #arity "/" #rule "/" #flags "/" text,
#include <krs/scalar.def>
#undef SCALAR
#define KRS_BACKEND_ROW(NAME, name, result, text) #name "/" #result "/" text,
        KRS_KOP_LIST(KRS_BACKEND_ROW)
#undef KRS_BACKEND_ROW
#define KRS_BACKEND_ROW(NAME, name, class, elements, bytes) \
#name "/" #class "/" #elements "/" #bytes,
            KRS_DTYPE_LIST(KRS_BACKEND_ROW)
#undef KRS_BACKEND_ROW
    };
    const size_t sizes[] = {sizeof(krs_kinst),
                            sizeof(krs_kbuffer),
                            sizeof(krs_karg),
                            sizeof(krs_kernel),
                            sizeof(krs_kargument),
                            sizeof(krs_kfacts),
                            sizeof(krs_error),
                            sizeof(krs_allocator),
                            sizeof(krs_backend_options),
                            sizeof(krs_backend_limits),
                            sizeof(krs_backend_blob),
                            sizeof(krs_backend_binding),
                            sizeof(krs_backend_launch),
                            sizeof(krs_backend_span),
                            sizeof(krs_backend_work),
                            sizeof(krs_backend)};
    uint64_t hash = 0xcbf29ce484222325U;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (const char *c = rows[i]; *c; c++)
            hash = (hash ^ (unsigned char)*c) * 0x100000001b3U;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        hash = (hash ^ sizes[i]) * 0x100000001b3U;
    return hash;
}

#ifdef __cplusplus
}
#endif
#endif
