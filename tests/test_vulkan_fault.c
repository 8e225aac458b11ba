/* test_vulkan_fault.c -- every call of Vulkan that can fail fails once, at each
 * place where the backend makes it: opening, building, memory, copies, launches
 * and waiting end with a status and a sentence, nothing is left over, and the
 * next device works. ctest puts the layer (vulkan_fault_layer.c) into the
 * environment.
 */
#include "graph/kernel/kernel.h"
#include "parity.h"
#include "vulkan_fault_layer.h"

#include <dlfcn.h>
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
    const krs_backend *b = l->entry.backend;
    krs_backend_binding binding = {l->memory, 0, sizeof(int32_t) * ELEMENTS};
    krs_backend_launch launch = {
        l->code, &binding, NULL, {ELEMENTS, 1, 1}
    };
    krs_backend_work work = {.struct_size = sizeof work,
                             .launches = &launch,
                             .launch_count = 1,
                             .wave_ends = (const size_t[]){1},
                             .wave_count = 1,
                             .spans = span};
    KRS_TRY(b->submit(l->device, &work, err));
    return b->wait(l->device, err);
}

static krs_status
live(life *l, const krs_kernel *kernel, krs_backend_effort effort,
     krs_error *err)
{
    const krs_backend *b = l->entry.backend;
    krs_backend_options options = {.struct_size = sizeof options,
                                   .effort = effort};
    int32_t x[ELEMENTS] = {0};
    krs_backend_span span;
    KRS_TRY(b->open(&options, &l->device, err));
    KRS_TRY(krsi_backend_build(b, l->device, NULL, &kernel, 1, NULL, &l->code,
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

static struct fault_layer *
open_layer(void)
{
    void *module = dlopen(FAULT_LAYER, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(module != NULL, "%s", dlerror());
    struct fault_layer *(*get)(void);
    *(void **)&get = dlsym(module, "fault_layer");
    ck_assert_ptr_nonnull((void *)module);
    return get();
}

static bool
is_memory(VkResult result)
{
    return result == VK_ERROR_OUT_OF_DEVICE_MEMORY ||
           result == VK_ERROR_OUT_OF_HOST_MEMORY ||
           result == VK_ERROR_OUT_OF_POOL_MEMORY ||
           result == VK_ERROR_MEMORY_MAP_FAILED;
}

/* How many calls failed, each in a life of its own. */
static int
fail_each_call(krs_backend_effort effort)
{
    struct fault_layer *layer = open_layer();
    krs_kernel *kernel;
    krs_error err;
    int failed = 0;
    ck_assert_int_eq(krs_kernel_parse(add_text, &kernel, &err), KRS_OK);
    for (int n = 1;; n++) {
        life l = {.device = NULL};
        ck_assert(krsi_registry_find("vulkan", KERSEY_MODULE_DIR, &l.entry,
                                     &err) == KRS_OK);
        *layer = (struct fault_layer){.fail_at = n};
        krs_status status = live(&l, kernel, effort, &err);
        end(&l);
        krsi_registry_release(&l.entry);
        ck_assert_msg(layer->calls > 0, "the layer is not in use");
        ck_assert_msg(layer->live == 0, "%s failed: %d objects are left",
                      layer->name ? layer->name : "nothing", layer->live);
        if (!layer->name) {
            ck_assert_msg(status == KRS_OK, "%s", err.text);
            break;
        }
        failed++;
        ck_assert_msg(
            status == (is_memory(layer->result) ? KRS_E_MEMORY : KRS_E_DEVICE),
            "call %d, %s: status %d, %s", n, layer->name, (int)status,
            status == KRS_OK ? "no error" : err.text);
        ck_assert_msg(strncmp(err.text, "vulkan: ", 8) == 0, "%s", err.text);
    }
    krs_kernel_free(kernel);
    return failed;
}

START_TEST(each_call_that_fails_is_a_status_and_leaves_nothing)
{
    ck_assert_int_gt(fail_each_call(KRS_EFFORT_NORMAL), 40);
}
END_TEST

START_TEST(so_it_is_where_bytes_go_through_staging_memory)
{
    ck_assert_int_gt(fail_each_call(KRS_EFFORT_NONE), 50);
}
END_TEST

int
main(void)
{
    char *arguments[] = {"test_vulkan_fault", "vulkan"};
    const TTest *tests[] = {each_call_that_fails_is_a_status_and_leaves_nothing,
                            so_it_is_where_bytes_go_through_staging_memory};
    return parity_main(2, arguments, __FILE__, tests,
                       sizeof tests / sizeof *tests);
}
