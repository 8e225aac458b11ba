/* doctor.c -- kersey doctor: what this machine offers, and whether the
 * library computes right on it.
 *
 * Out: version, processor and its vector features, memory, the limits of the
 * library, every device with the result of a self-test: loss and gradient of
 * a two-row regression whose values are known. A device that is not there is
 * named with its reason; one that is there and computes wrongly makes the
 * exit code 1. Each is opened and tested in a process of its own: a driver that
 * ends it, for lack of memory say, is a finding like others.
 */
#include "command.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const char *const device_names[] = {"eval", "interp", "cpu", "vulkan",
                                           "opencl"};

/* ---- the processor ---- */

#if defined(__x86_64__)

/* leaf, subleaf, register (0..3 = a b c d), bit: Intel SDM volume 2A, CPUID */
static const struct {
    const char *name;
    unsigned leaf, subleaf, reg, bit;
} features[] = {
    {"sse4.2",      1, 0, 2, 20},
    {"avx",         1, 0, 2, 28},
    {"f16c",        1, 0, 2, 29},
    {"fma",         1, 0, 2, 12},
    {"avx2",        7, 0, 1, 5 },
    {"avx512f",     7, 0, 1, 16},
    {"avx512bw",    7, 0, 1, 30},
    {"avx512vl",    7, 0, 1, 31},
    {"avx512_vnni", 7, 0, 2, 11},
    {"avx512_bf16", 7, 1, 0, 5 },
    {"avx512_fp16", 7, 0, 3, 23},
    {"avx_vnni",    7, 1, 0, 4 },
    {"amx_bf16",    7, 0, 3, 22},
    {"amx_int8",    7, 0, 3, 25},
};

static bool
has_feature(size_t i)
{
    unsigned regs[4];
    if (!__get_cpuid_count(features[i].leaf, features[i].subleaf, &regs[0],
                           &regs[1], &regs[2], &regs[3]))
        return false;
    return regs[features[i].reg] >> features[i].bit & 1;
}

/* The brand string, leaves 0x80000002 to 4. */
static void
name_processor(char name[64])
{
    unsigned regs[12] = {0};
    for (unsigned i = 0; i < 3; i++) {
        unsigned *r = regs + (size_t)4 * i;
        if (!__get_cpuid(0x80000002U + i, r, r + 1, r + 2, r + 3)) {
            strcpy(name, "x86-64");
            return;
        }
    }
    memcpy(name, regs, sizeof regs);
    name[sizeof regs] = 0;
    size_t spaces = strspn(name, " ");
    memmove(name, name + spaces, strlen(name + spaces) + 1);
}

static json_t *
describe_features(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        if (has_feature(i))
            json_array_append_new(list, json_string(features[i].name));
    }
    return list;
}

#else

static void
name_processor(char name[64])
{
#if defined(__aarch64__)
    strcpy(name, "aarch64");
#else
    strcpy(name, "unknown");
#endif
}

static json_t *
describe_features(void)
{
    json_t *list = json_array();
#if defined(__aarch64__)
    json_array_append_new(list, json_string("neon"));
#endif
    return list;
}

#endif

/* ---- the self-test ---- */

/* x [2,2], w [2,1]: mean(tanh(x w)^2) and its gradient for w, by hand from
 * tanh(0) = 0 and tanh(1/2) */
static const float test_x[4] = {1, 2, 3, 4}, test_w[2] = {0.5F, -0.25F};
static const double test_loss = 0.10677613351703628;
static const double test_gradient[2] = {1.090292972075381, 1.4537239627671745};

static krs_status
compute(krs_program *program, float *loss, float gradient[2], krs_error *err)
{
    KRS_TRY(krs_program_set_input(program, "x", test_x, sizeof test_x, err));
    KRS_TRY(krs_program_set_input(program, "w", test_w, sizeof test_w, err));
    KRS_TRY(krs_program_run(program, err));
    KRS_TRY(krs_program_read(program, 0, loss, sizeof *loss, err));
    return krs_program_read(program, 1, gradient, 2 * sizeof *gradient, err);
}

static krs_status
check_close(const char *what, float got, double want, krs_error *err)
{
    if (fabs((double)got - want) <= 1e-6 * fabs(want))
        return KRS_OK;
    return krs_fail(err, KRS_E_CHECK, "%s is %.9g instead of %.9g", what,
                    (double)got, want);
}

static krs_status
test_device(krs_device *device, krs_error *err)
{
    krs_store *store = NULL;
    krs_program *program = NULL;
    krs_graph *g = krs_graph_new();
    if (!g)
        return krs_fail(err, KRS_E_MEMORY, "no memory for a graph");
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(2, 2));
    krs_node w = krs_input(g, "w", KRS_F32, KRS_SHAPE(2, 1));
    krs_node outputs[2];
    outputs[0] = krs_mean(krs_square(krs_tanh(krs_matmul(x, w))), KRS_ALL_AXES);
    krs_grad(outputs[0], &w, 1, &outputs[1]);
    float loss = 0, gradient[2] = {0};
    krs_status status = krs_graph_check(g, err);
    if (status == KRS_OK)
        status = krs_store_new(device, &store, err);
    if (status == KRS_OK)
        status = krs_program_new(store, outputs, 2, &program, err);
    if (status == KRS_OK)
        status = compute(program, &loss, gradient, err);
    if (status == KRS_OK)
        status = check_close("the loss", loss, test_loss, err);
    for (int i = 0; status == KRS_OK && i < 2; i++)
        status =
            check_close("the gradient", gradient[i], test_gradient[i], err);
    krs_program_free(program);
    krs_store_free(store);
    krs_graph_free(g);
    return status;
}

/* What was found out about a device. */
struct finding {
    bool is_present, works;
    char text[KRS_ERROR_TEXT];
};

/* bytes with the largest unit of which there is one */
static const char *
size_text(uint64_t bytes, char text[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;
    while (size >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        size /= 1024;
        unit++;
    }
    snprintf(text, 32, "%.3g %s", size, units[unit]);
    return text;
}

/* "; 62 GiB, at most 2 GiB in one memory" and so on: the limits that there are */
static void
add_limits(const krs_device_info *info, char text[KRS_ERROR_TEXT])
{
    const struct {
        uint64_t bytes;
        const char *before, *behind;
    } sizes[] = {
        {info->memory_bytes,    "",         ""                  },
        {info->max_alloc_bytes, "at most ", " in one memory"    },
        {info->max_bind_bytes,  "at most ", " of it in a kernel"},
        {info->shared_bytes,    "",         " shared by a group"},
    };
    const char *join = "; ";
    size_t at = strlen(text);
    char size[32];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (!sizes[i].bytes || at >= KRS_ERROR_TEXT)
            continue;
        at += (size_t)snprintf(text + at, KRS_ERROR_TEXT - at, "%s%s%s%s", join,
                               sizes[i].before, size_text(sizes[i].bytes, size),
                               sizes[i].behind);
        join = ", ";
    }
    if (info->group_items > 1 && at < KRS_ERROR_TEXT)
        at +=
            (size_t)snprintf(text + at, KRS_ERROR_TEXT - at, "%sgroups of %llu",
                             join, (unsigned long long)info->group_items);
    if (info->item_turns && at < KRS_ERROR_TEXT)
        snprintf(text + at, KRS_ERROR_TEXT - at, ", loops of %llu turns",
                 (unsigned long long)info->item_turns);
}

/* "self-test passed; znver4, 2 items at once, fused multiply-add" */
static void
praise(const krs_device *device, char text[KRS_ERROR_TEXT])
{
    krs_device_info info = {.struct_size = sizeof info};
    krs_error err;
    snprintf(text, KRS_ERROR_TEXT, "self-test passed");
    if (krs_device_describe(device, &info, &err) == KRS_OK && info.model &&
        info.model[0])
        snprintf(text, KRS_ERROR_TEXT,
                 "self-test passed; %.64s, %u items at once, %s multiply-add",
                 info.model, info.threads, info.has_fma ? "fused" : "no fused");
    add_limits(&info, text);
}

/* Tells what it found into the pipe, from an own process: that the device can
 * be opened, or not, and then what became of the self-test. */
static bool
examine(const char *name, int pipe)
{
    krs_error err = {0};
    krs_device *device = NULL;
    struct finding f = {.is_present =
                            krs_device_open(name, &device, &err) == KRS_OK};
    snprintf(f.text, sizeof f.text, "%s", err.text);
    bool is_told = write(pipe, &f, sizeof f) == (ssize_t)sizeof f;
    if (!f.is_present || !is_told)
        return is_told;
    f.works = test_device(device, &err) == KRS_OK;
    snprintf(f.text, sizeof f.text, "%s", err.text);
    if (f.works)
        praise(device, f.text);
    is_told = write(pipe, &f, sizeof f) == (ssize_t)sizeof f;
    krs_device_close(device);
    return is_told;
}

/* A finding from a pipe; false if there is no further one. What is written at
 * once is shorter than PIPE_BUF, so it comes whole. */
static bool
receive(int pipe, struct finding *out)
{
    struct finding f;
    ssize_t got;
    do
        got = read(pipe, &f, sizeof f);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof f)
        return false;
    *out = f;
    return true;
}

/* In a process of its own. */
static void
examine_apart(const char *name, struct finding *out)
{
    int ends[2], status = 0;
    *out = (struct finding){.text = "no process to test it in"};
    if (pipe(ends) != 0)
        return;
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        _exit(examine(name, ends[1]) ? EXIT_OK : EXIT_FAILED);
    }
    close(ends[1]);
    while (child > 0 && receive(ends[0], out))
        continue;
    close(ends[0]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (child > 0 && status != 0) {
        out->works = false;
        snprintf(out->text, sizeof out->text,
                 "its driver ended the process: %s",
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit");
    }
}

/* [{"name", "present", "works", "text"}]; of a kind that has several, those
 * that are there: opencl, opencl:1, ... */
static json_t *
describe_devices(bool *all_work)
{
    enum { MOST = 16 };
    json_t *list = json_array();
    *all_work = true;
    own_driver_cache();
    for (size_t i = 0; i < sizeof device_names / sizeof *device_names; i++) {
        bool has_several = !strcmp(device_names[i], "vulkan") ||
                           !strcmp(device_names[i], "opencl");
        struct finding found = {.is_present = true};
        for (int k = 0; found.is_present && k < (has_several ? MOST : 1); k++) {
            char name[32];
            snprintf(name, sizeof name, k ? "%s:%d" : "%s", device_names[i], k);
            examine_apart(name, &found);
            if (k && !found.is_present)
                break;
            *all_work &= found.works || !found.is_present;
            json_array_append_new(
                list, json_pack("{s:s, s:b, s:b, s:s}", "name", name, "present",
                                found.is_present, "works", found.works, "text",
                                found.text));
        }
    }
    return list;
}

/* ---- printing ---- */

static json_t *
describe_types(void)
{
    json_t *list = json_array();
    for (int t = 0; t < KRS_DTYPE_COUNT; t++)
        json_array_append_new(list, json_string(krs_dtype_name((krs_dtype)t)));
    return list;
}

static void
print_words(const char *title, json_t *list)
{
    json_t *word;
    size_t i;
    printf("%-10s", title);
    json_array_foreach(list, i, word) printf(" %s", json_string_value(word));
    printf("\n");
}

static void
print_text(json_t *all)
{
    json_t *device;
    size_t i;
    printf("%-10s %s, jansson %s\n", "kersey",
           json_string_value(json_object_get(all, "version")),
           json_string_value(json_object_get(all, "jansson")));
    printf("%-10s %s, %lld online\n", "processor",
           json_string_value(json_object_get(all, "processor")),
           (long long)json_integer_value(json_object_get(all, "processors")));
    print_words("features", json_object_get(all, "features"));
    printf("%-10s %.1f GiB\n", "memory",
           json_number_value(json_object_get(all, "memory_bytes")) /
               (1024.0 * 1024 * 1024));
    print_words("types", json_object_get(all, "types"));
    printf("%-10s rank %lld, %d runtime integers in an index\n", "limits",
           (long long)json_integer_value(json_object_get(all, "max_rank")),
           KRS_INDEX_TERMS);
    printf("devices\n");
    json_array_foreach(json_object_get(all, "devices"), i, device)
    {
        bool present = json_is_true(json_object_get(device, "present"));
        bool works = json_is_true(json_object_get(device, "works"));
        printf("  %-8s %-7s %s\n",
               json_string_value(json_object_get(device, "name")),
               works     ? "works"
               : present ? "WRONG"
                         : "absent",
               json_string_value(json_object_get(device, "text")));
    }
}

int
command_doctor(const struct command_line *line)
{
    char processor[64] = "";
    bool all_work;
    krs_error err;
    name_processor(processor);
    json_int_t bytes =
        (json_int_t)sysconf(_SC_PHYS_PAGES) * (json_int_t)sysconf(_SC_PAGESIZE);
    json_t *devices = describe_devices(&all_work);
    json_t *all = json_pack(
        "{s:s, s:s, s:s, s:I, s:o, s:I, s:o, s:i, s:o}", "version",
        krs_version(), "jansson", jansson_version_str(), "processor", processor,
        "processors", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "features",
        describe_features(), "memory_bytes", bytes, "types", describe_types(),
        "max_rank", KRS_MAX_RANK, "devices", devices);
    int code = all_work ? EXIT_OK : EXIT_FAILED;
    if (!all) {
        krs_fail(&err, KRS_E_MEMORY, "no memory for the report");
        return complain(&err);
    }
    if (line->flags.json) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        printf("\n");
    } else {
        print_text(all);
    }
    json_decref(all);
    return code;
}
