/* test_driver_fault.c -- drivers that fail. Every call of Vulkan or OpenCL that
 * can fail does so once, at each place where the backend makes it: opening,
 * building, memory, copies, launches and waiting end with a status and a
 * sentence, nothing is left over, and the next device works. Then a table of all
 * that may be wrong with a device: one sentence each, and other backends go on.
 *
 * The arguments are the backend and the file of what fails: a layer
 * (vulkan_fault_layer.c) or a loader (opencl_fault_loader.c), which ctest puts
 * between the backend and the real driver.
 */
#include "driver_fault.h"
#include "graph/kernel/kernel.h"
#include "noted.h"
#include "parity.h"
#include "temp_folder.h"

#include <krs/krs.h>

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const add_text = "kernel add\n"
                                    "buffer @x i32 readwrite align 64\n"
                                    "scratch @s i32 16\n"
                                    "grid 1\n"
                                    "%i:i64 = axis 0\n"
                                    "%0:i64 = const 0\n"
                                    "%1:i32 = const 1\n"
                                    "%v:i32 = load @x %i\n"
                                    "%w:i32 = add %v %1\n"
                                    "store @s %0 %w\n"
                                    "%u:i32 = load @s %0\n"
                                    "store @x %i %u\n";

enum { ELEMENTS = 24, TIMES = 3 };

/* A life of a device, as far as it comes. */
typedef struct life {
    krsi_registry_entry entry;
    krs_backend_device *device;
    krs_backend_code *code;
    krs_backend_memory *memory;
} life;

static krs_status
add_once(life *l, krs_backend_span *span, krs_error *err)
{
    krs_backend_binding binding = {l->memory, 0, sizeof(int32_t) * ELEMENTS};
    krs_backend_launch launch = {
        l->code, &binding, NULL, {ELEMENTS, 1, 1}
    };
    return parity_launch_one(l->entry.backend, l->device, &launch, span, err);
}

static krs_status
live(life *l, const krs_kernel *kernel, krs_backend_effort effort,
     krsi_cache *cache, krs_error *err)
{
    const krs_backend *b = l->entry.backend;
    krs_backend_options options = {.struct_size = sizeof options,
                                   .effort = effort};
    int32_t x[ELEMENTS] = {0};
    krs_backend_span span;
    KRS_TRY(b->open(&options, &l->device, err));
    KRS_TRY(krsi_backend_build(b, l->device, cache, &kernel, 1, NULL, &l->code,
                               err));
    KRS_TRY(b->alloc(l->device, sizeof x, &l->memory, err));
    KRS_TRY(b->write(l->device, l->memory, 0, x, sizeof x, err));
    for (int i = 0; i < TIMES; i++)
        KRS_TRY(add_once(l, i ? &span : NULL, err));
    KRS_TRY(b->read(l->device, l->memory, 0, x, sizeof x, err));
    for (int i = 0; i < ELEMENTS; i++)
        ck_assert_int_eq(x[i], TIMES);
    return KRS_OK;
}

static void
end(life *l)
{
    const krs_backend *b = l->entry.backend;
    if (!l->device)
        return;
    b->free(l->device, l->memory);
    b->drop(l->device, l->code);
    b->close(l->device);
}

static const char *fault_file;

static struct driver_fault *
open_fault(void)
{
    void *module = dlopen(fault_file, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(module != NULL, "%s", dlerror());
    struct driver_fault *(*get)(void);
    *(void **)&get = dlsym(module, "driver_fault");
    ck_assert_ptr_nonnull((void *)module);
    return get();
}

/* How many calls failed, each in a life of its own. */
static int
fail_each_call(krs_backend_effort effort)
{
    struct driver_fault *fault = open_fault();
    char prefix[32];
    krs_kernel *kernel;
    krs_error err;
    int failed = 0;
    snprintf(prefix, sizeof prefix, "%s: ", parity_backend);
    ck_assert_int_eq(krs_kernel_parse(add_text, &kernel, &err), KRS_OK);
    for (int n = 1;; n++) {
        life l = {.device = NULL};
        ck_assert(krsi_registry_find(parity_backend, KERSEY_MODULE_DIR,
                                     &l.entry, &err) == KRS_OK);
        *fault = (struct driver_fault){.fail_at = n};
        krs_status status = live(&l, kernel, effort, NULL, &err);
        end(&l);
        krsi_registry_release(&l.entry);
        ck_assert_msg(fault->calls > 0, "what fails is not in use");
        ck_assert_msg(fault->live == 0, "%s failed: %d objects are left",
                      fault->name ? fault->name : "nothing", fault->live);
        if (!fault->name) {
            ck_assert_msg(status == KRS_OK, "%s", err.text);
            break;
        }
        failed++;
        ck_assert_msg(status ==
                          (fault->is_memory ? KRS_E_MEMORY : KRS_E_DEVICE),
                      "call %d, %s: status %d, %s", n, fault->name, (int)status,
                      status == KRS_OK ? "no error" : err.text);
        ck_assert_msg(strncmp(err.text, prefix, strlen(prefix)) == 0, "%s",
                      err.text);
    }
    *fault = (struct driver_fault){0};
    krs_kernel_free(kernel);
    return failed;
}

START_TEST(each_call_that_fails_is_a_status_and_leaves_nothing)
{
    int failed = fail_each_call(KRS_EFFORT_NORMAL);
    ck_assert_int_gt(failed, 30);
}
END_TEST

START_TEST(so_it_is_where_bytes_go_through_staging_memory)
{
    if (strcmp(parity_backend, "vulkan") == 0)
        ck_assert_int_gt(fail_each_call(KRS_EFFORT_NONE), 50);
}
END_TEST

/* ---- what may be wrong with a device ---- */

enum { VALUES = 8 };

/* exp(x), on a device that is opened for it. */
static krs_status
compute(const char *name, float out[VALUES], krs_error *err)
{
    krs_device_options options = {.struct_size = sizeof options,
                                  .modules = KERSEY_MODULE_DIR};
    krs_device *device = NULL;
    krs_store *store = NULL;
    krs_program *program = NULL;
    float x[VALUES];
    krs_graph *g = krs_graph_new();
    krs_node y = krs_exp(krs_input(g, "x", KRS_F32, KRS_SHAPE(VALUES)));
    for (int i = 0; i < VALUES; i++)
        x[i] = (float)i * 0.25F;
    krs_status status = krs_device_open_with(name, &options, &device, err);
    if (status == KRS_OK)
        status = krs_store_new(device, &store, err);
    if (status == KRS_OK)
        status = krs_program_new(store, &y, 1, &program, err);
    if (status == KRS_OK)
        status = krs_program_set_input(program, "x", x, sizeof x, err);
    if (status == KRS_OK)
        status = krs_program_run(program, err);
    if (status == KRS_OK)
        status = krs_program_read(program, 0, out, VALUES * sizeof *out, err);
    krs_program_free(program);
    krs_store_free(store);
    krs_device_close(device);
    krs_graph_free(g);
    return status;
}

static void
check_values(const char *name)
{
    float got[VALUES];
    krs_error err;
    ck_assert_msg(compute(name, got, &err) == KRS_OK, "%s: %s", name, err.text);
    for (int i = 0; i < VALUES; i++)
        ck_assert_float_eq_tol(got[i], expf((float)i * 0.25F), 1e-5F);
}

/* What is wrong, the status that comes of it, and parts of the sentence: what,
 * where, why, and what to do where something can be done. */
typedef struct bad_device {
    const char *backend, *name; /* of the device, as --backend has it */
    struct driver_fault fault;
    krs_status status;
    const char *begins, *has;
} bad_device;

#define VULKAN(...)     \
    "vulkan", "vulkan", \
    {                   \
        __VA_ARGS__     \
    }
#define OPENCL(...)     \
    "opencl", "opencl", \
    {                   \
        __VA_ARGS__     \
    }
enum { /* codes of the drivers */
       NO_DRIVER = -9,
       NO_MEMORY = -2,
       LOST = -4,
       UNKNOWN = -13,
       INVALID_SHADER = -1000012000,
       NO_PLATFORM = -1001,
       NOT_AVAILABLE = -2,
       ALLOCATION_FAILED = -4,
       OUT_OF_RESOURCES = -5,
       BUILD_FAILED = -11
};

/* clang-format off */
static const bad_device bad_devices[] = {
    {"vulkan", "vulkan:7", {0}, KRS_E_DEVICE,
     "vulkan: no device 7; there are 0 to ", ""},
    {VULKAN(.refuses = "CreateInstance", .refusal = NO_DRIVER), KRS_E_DEVICE,
     "vulkan: the loader knows no driver (Debian: mesa-vulkan-drivers", ""},
    {VULKAN(.lacks = LACKS_DEVICES), KRS_E_DEVICE,
     "vulkan: drivers are installed, but none offers a device", ""},
    {VULKAN(.refuses = "EnumeratePhysicalDevices", .refusal = NO_MEMORY),
     KRS_E_MEMORY, "vulkan: the list of devices: no device memory", ""},
    {VULKAN(.lacks = LACKS_VULKAN_1_1), KRS_E_UNSUPPORTED,
     "vulkan: ", " lacks Vulkan 1.1"},
    {VULKAN(.lacks = LACKS_COMPUTE), KRS_E_UNSUPPORTED,
     "vulkan: ", " lacks a queue for compute"},
    {VULKAN(.lacks = LACKS_FINE_OFFSETS), KRS_E_UNSUPPORTED,
     "vulkan: ", " lacks offsets of buffers in steps of 64 bytes"},
    {VULKAN(.lacks = LACKS_MAPPING), KRS_E_UNSUPPORTED,
     "vulkan: ", " lacks memory that the host can map"},
    {VULKAN(.refuses = "CreateDevice", .refusal = LOST), KRS_E_DEVICE,
     "vulkan: ", ": the device is lost"},
    {VULKAN(.refuses = "CreateShaderModule", .refusal = INVALID_SHADER),
     KRS_E_INTERNAL, "vulkan: exp: ",
     " words (it is invalid); kersey graph --stage spirv shows it"},
    {VULKAN(.refuses = "CreateComputePipelines", .refusal = UNKNOWN),
     KRS_E_INTERNAL, "vulkan: exp: ", " refuses the shader of "},
    {VULKAN(.refuses = "AllocateMemory", .refusal = NO_MEMORY), KRS_E_MEMORY,
     "vulkan: no memory of ", " in all: no device memory"},
    {VULKAN(.refuses = "CreateBuffer", .refusal = NO_MEMORY), KRS_E_MEMORY,
     "vulkan: no memory of ", " in all: no device memory"},
    {VULKAN(.refuses = "QueueSubmit", .refusal = LOST), KRS_E_DEVICE,
     "", "vulkan: launches submitted: the device is lost"},
    {"opencl", "opencl:63", {0}, KRS_E_DEVICE,
     "opencl: no device 63; there are 0 to ", ""},
    {OPENCL(.refuses = "GetPlatformIDs", .refusal = NO_PLATFORM), KRS_E_DEVICE,
     "opencl: the ICD loader knows no driver (Debian: pocl-opencl-icd", ""},
    {OPENCL(.lacks = LACKS_DEVICES), KRS_E_DEVICE,
     "opencl: ", " drivers, none with a device"},
    {OPENCL(.lacks = LACKS_PRESENCE), KRS_E_UNSUPPORTED,
     "opencl: ", " is not available"},
    {OPENCL(.lacks = LACKS_COMPILER), KRS_E_UNSUPPORTED,
     "opencl: ", " has no compiler"},
    {OPENCL(.lacks = LACKS_FULL_PROFILE), KRS_E_UNSUPPORTED,
     "opencl: ", " has the embedded profile, which may lack 64-bit integers"},
    {OPENCL(.lacks = LACKS_NANS), KRS_E_UNSUPPORTED,
     "opencl: ", " has no rounding to nearest, or no infinities and NaNs"},
    {OPENCL(.refuses = "CreateContext", .refusal = NOT_AVAILABLE), KRS_E_DEVICE,
     "opencl: ", " cannot be opened: CL_DEVICE_NOT_AVAILABLE (-2)"},
    {OPENCL(.refuses = "BuildProgram", .refusal = BUILD_FAILED), KRS_E_INTERNAL,
     "opencl: exp: ", " refuses its text (CL_BUILD_PROGRAM_FAILURE (-11): "},
    {OPENCL(.refuses = "CreateBuffer", .refusal = ALLOCATION_FAILED),
     KRS_E_MEMORY, "", "opencl: no memory of "},
    {OPENCL(.refuses = "EnqueueNDRangeKernel", .refusal = OUT_OF_RESOURCES),
     KRS_E_MEMORY, "", "exp was not started: CL_OUT_OF_RESOURCES (-5)"},
    {OPENCL(.refuses = "Finish", .refusal = NOT_AVAILABLE), KRS_E_DEVICE,
     "", "opencl: the device stopped: CL_DEVICE_NOT_AVAILABLE (-2)"},
};
/* clang-format on */

START_TEST(a_bad_device_is_one_sentence_and_other_backends_go_on)
{
    struct driver_fault *fault = open_fault();
    parity_device cpu;
    krs_error err;
    int rows = 0;
    bool has_cpu =
        parity_try_open("cpu", "native", KRS_EFFORT_NORMAL, 1, &cpu, &err);
    const char *other = has_cpu ? "cpu" : "interp";
    if (has_cpu)
        parity_close(&cpu);
    for (size_t i = 0; i < sizeof bad_devices / sizeof *bad_devices; i++) {
        const bad_device *bad = &bad_devices[i];
        float got[VALUES];
        if (strcmp(bad->backend, parity_backend) != 0)
            continue;
        *fault = bad->fault;
        krs_status status = compute(bad->name, got, &err);
        ck_assert_msg(status == bad->status, "row %zu: status %d, %s", i,
                      (int)status, status == KRS_OK ? "no error" : err.text);
        ck_assert_msg(strncmp(err.text, bad->begins, strlen(bad->begins)) ==
                              0 &&
                          strstr(err.text, bad->has) != NULL &&
                          strchr(err.text, '\n') == NULL,
                      "row %zu: %s", i, err.text);
        check_values(other);
        *fault = (struct driver_fault){0};
        rows++;
    }
    check_values(parity_backend);
    ck_assert_int_gt(rows, 10);
}
END_TEST

START_TEST(of_many_kernels_the_one_that_a_compiler_refuses_is_named)
{
    static const char *const names[] = {"exp", "cumsum"};
    struct driver_fault *fault = open_fault();
    krs_device_options options = {.struct_size = sizeof options,
                                  .modules = KERSEY_MODULE_DIR};
    krs_device *device = NULL;
    krs_store *store = NULL;
    krs_error err;
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(VALUES));
    krs_node outputs[] = {krs_exp(x), krs_cumsum(x, 0)};
    if (strcmp(parity_backend, "opencl") != 0) {
        krs_graph_free(g);
        return;
    }
    ck_assert(krs_device_open_with("opencl", &options, &device, &err) ==
                  KRS_OK &&
              krs_store_new(device, &store, &err) == KRS_OK);
    for (int i = 0; i < 2; i++) {
        krs_program *program = NULL;
        char word[32], begins[32];
        snprintf(word, sizeof word, "/* %s */", names[i]);
        snprintf(begins, sizeof begins, "opencl: %s: ", names[i]);
        *fault = (struct driver_fault){.spoils = word, .live = fault->live};
        int live = fault->live;
        ck_assert_int_eq(krs_program_new(store, outputs, 2, &program, &err),
                         KRS_E_INTERNAL);
        ck_assert_msg(strncmp(err.text, begins, strlen(begins)) == 0 &&
                          strstr(err.text, "refuses its text") != NULL &&
                          strstr(err.text, "spoiled") != NULL &&
                          strchr(err.text, '\n') == NULL,
                      "%s", err.text);
        ck_assert_int_eq(fault->live, live);
    }
    *fault = (struct driver_fault){0};
    krs_store_free(store);
    krs_device_close(device);
    krs_graph_free(g);
}
END_TEST

/* ---- binaries that a driver does not take ---- */

/* A life whose code goes through a cache, and so many warnings. */
static void
live_with(krsi_cache *cache, noted *notes, const krs_kernel *kernel,
          int warnings)
{
    life l = {.device = NULL};
    krs_error err;
    notes->count = 0;
    ck_assert(krsi_registry_find(parity_backend, KERSEY_MODULE_DIR, &l.entry,
                                 &err) == KRS_OK);
    ck_assert_msg(live(&l, kernel, KRS_EFFORT_NORMAL, cache, &err) == KRS_OK,
                  "%s", err.text);
    ck_assert_msg(notes->count == warnings, "%d warnings, not %d: %s",
                  notes->count, warnings, notes->text);
    end(&l);
    krsi_registry_release(&l.entry);
}

enum damage { OTHER_MAGIC, OTHER_DEVICE, NOT_A_BINARY, DAMAGES };

/* A blob whose binary is damaged in a way that the cache cannot know of: of a
 * header of our own, and PoCL's, which begins with eight characters and a hash
 * of the device. */
static void
damage_binary(krs_backend_blob *blob, enum damage how)
{
    enum { HEADER = 56, MAGIC = 8 };
    char *binary = (char *)blob->data + HEADER;
    ck_assert_uint_gt(blob->bytes, HEADER + 2 * MAGIC);
    if (how == NOT_A_BINARY)
        memset(binary, 'x', blob->bytes - HEADER);
    else
        binary[how == OTHER_DEVICE ? MAGIC : 0] ^= 1;
}

START_TEST(a_binary_that_a_driver_does_not_take_is_named_and_made_anew)
{
    noted notes = {0};
    krsi_registry_entry entry;
    krs_backend_device *device;
    krs_kernel *kernel;
    krsi_cache *cache;
    krs_error err;
    char target[sizeof((krs_backend_limits *)0)->target];
    if (strcmp(parity_backend, "opencl") != 0) /* test_vulkan.c has its own */
        return;
    ck_assert_int_eq(krs_kernel_parse(add_text, &kernel, &err), KRS_OK);
    ck_assert(krsi_registry_find(parity_backend, KERSEY_MODULE_DIR, &entry,
                                 &err) == KRS_OK);
    ck_assert(entry.backend->open(NULL, &device, &err) == KRS_OK);
    strcpy(target, entry.backend->limits(device)->target);
    entry.backend->close(device);
    krsi_registry_release(&entry);
    ck_assert_msg(
        krsi_cache_open(temp_folder(), 0, note, &notes, &cache, &err) == KRS_OK,
        "%s", err.text);
    live_with(cache, &notes, kernel, 0);
    for (enum damage how = 0; how < DAMAGES; how++) {
        krs_backend_blob blob;
        ck_assert(krsi_cache_find(cache, kernel, target, &blob));
        damage_binary(&blob, how);
        krsi_cache_store(cache, kernel, target, &blob);
        free(blob.data);
        live_with(cache, &notes, kernel, 1);
        ck_assert_msg(
            strstr(notes.text,
                   "opencl: add: the driver refuses a binary of ") &&
                strstr(notes.text, "; 1 of 1 kernels are compiled again"),
            "%s", notes.text);
        live_with(cache, &notes, kernel, 0);
    }
    krsi_cache_close(cache);
    krs_kernel_free(kernel);
}
END_TEST

int
main(int argc, char **argv)
{
    const TTest *tests[] = {
        each_call_that_fails_is_a_status_and_leaves_nothing,
        so_it_is_where_bytes_go_through_staging_memory,
        a_bad_device_is_one_sentence_and_other_backends_go_on,
        of_many_kernels_the_one_that_a_compiler_refuses_is_named,
        a_binary_that_a_driver_does_not_take_is_named_and_made_anew};
    if (argc != 3) {
        printf("usage: test_driver_fault BACKEND FILE\n");
        return 2;
    }
    fault_file = argv[2];
    return parity_main(argc, argv, __FILE__, tests,
                       sizeof tests / sizeof *tests);
}
