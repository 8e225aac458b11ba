/* opencl_build.c -- kernels to blobs, blobs to code.
 *
 * The compiler of a driver takes long to start and little for each further
 * kernel, so all kernels of a call become one program, and on processors, where
 * it links kernels one by one, functions of one kernel. The binary is in the
 * blob of the first; the others name the build that they are part of.
 * So blobs of a call are loaded in their order; one whose first is not loaded
 * is refused by NAME, a binary that the driver does not take by FORMAT, and both
 * are built anew by ../build.c.
 */
#include "opencl_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_TEXT = 240 };

static const char magic[8] = "krs-cl2";

typedef struct header {
    char magic[8];
    uint64_t build[2]; /* the hash of the hashes of its kernels */
    uint64_t kernel[2];
    uint32_t place;        /* in the build */
    uint32_t entry_params; /* buffers of KRSI_CLC_ENTRY */
    uint64_t binary_bytes; /* behind the header; 0: with the first kernel */
} header;

static bool
has_groups(const krs_kernel *kernel)
{
    return kernel->group[0] * kernel->group[1] * kernel->group[2] > 1;
}

static krsi_clc_walk
walk_of(const krs_backend_device *device, const krs_kernel *kernel)
{
    if (has_groups(kernel))
        return KRSI_CLC_GROUPS;
    if (!device->limits.is_processor)
        return krsi_clc_has(kernel, KRS_K_SCRATCH) ? KRSI_CLC_TAKE
                                                   : KRSI_CLC_SPREAD;
    return krsi_clc_has(kernel, KRS_K_SHARED) ? KRSI_CLC_TAKE : KRSI_CLC_CALLED;
}

static krs_status
check_limits(const krs_backend_device *device, const krs_kernel *kernel,
             krs_error *err)
{
    const krs_backend_limits *limits = &device->limits;
    uint64_t items =
        (uint64_t)kernel->group[0] * kernel->group[1] * kernel->group[2];
    bool fits = items <= limits->group_items;
    for (int i = 0; i < KRS_K_AXES; i++)
        fits &= kernel->group[i] <= limits->group[i];
    if (!fits || (has_groups(kernel) && krsi_clc_has(kernel, KRS_K_SCRATCH)))
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "opencl: %s: groups of %llu items%s; %s has up to %u, "
                        "without scratch",
                        kernel->name, (unsigned long long)items,
                        fits ? " with scratch" : "", limits->name,
                        limits->group_items);
    if (kernel->param_count > limits->max_params ||
        kernel->inst_count > limits->max_insts)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "opencl: %s: %u buffers and %u instructions; at most "
                        "%u and %u",
                        kernel->name, kernel->param_count, kernel->inst_count,
                        limits->max_params, limits->max_insts);
    return KRS_OK;
}

/* The first line of a log that names an error, or its first line. */
static void
first_complaint(const char *log, char out[LOG_TEXT])
{
    const char *from = strstr(log, "error:");
    from = from ? from : log;
    snprintf(out, LOG_TEXT, "%.*s", (int)strcspn(from, "\n"), from);
}

/* ---- build ---- */

static void
build_name(const krs_kernel *const *kernels, size_t count, uint64_t out[2])
{
    out[0] = 0xcbf29ce484222325U;
    out[1] = count;
    for (size_t i = 0; i < count; i++) {
        uint64_t hash[2];
        krs_kernel_hash(kernels[i], hash);
        for (int k = 0; k < 2; k++)
            out[k] = (out[k] ^ hash[k]) * 0x100000001b3U;
    }
}

/* The text of a program: the prelude, kernels, and the entry of those that are
 * called. */
typedef struct program_text {
    const krs_kernel *const *kernels;
    size_t count;
    krsi_clc_walk *walks;
    const char **texts; /* text_count, of which the first is not ours */
    size_t text_count;
    uint32_t entry_params;
} program_text;

static void
release_text(program_text *t)
{
    for (size_t i = 1; i < t->text_count; i++)
        free((void *)(uintptr_t)t->texts[i]);
    free((void *)t->texts);
    free(t->walks);
}

static krs_status
print_program(const krs_backend_device *device, program_text *t, krs_error *err)
{
    t->walks = calloc(t->count, sizeof *t->walks);
    t->texts = calloc(t->count + 2, sizeof *t->texts);
    if (!t->walks || !t->texts)
        return krs_fail(err, KRS_E_MEMORY, "opencl: no memory to build");
    t->texts[t->text_count++] = krsi_clc_prelude(device->limits.is_processor,
                                                 device->limits.facts.has_fma);
    for (size_t i = 0; i < t->count; i++) {
        char *text = NULL;
        t->walks[i] = walk_of(device, t->kernels[i]);
        KRS_TRY(check_limits(device, t->kernels[i], err));
        KRS_TRY(krsi_clc_print(t->kernels[i], t->walks[i], &text, err));
        t->texts[t->text_count++] = text;
    }
    char *entry;
    KRS_TRY(krsi_clc_print_entry(t->kernels, t->walks, t->count, &entry,
                                 &t->entry_params, err));
    if (entry)
        t->texts[t->text_count++] = entry;
    return KRS_OK;
}

/* The program of a text, and what building it gave. */
static krs_status
compile(const krs_backend_device *device, const program_text *t,
        cl_program *out, cl_int *code, krs_error *err)
{
    const krsi_cl *cl = &device->cl;
    *out = cl->CreateProgramWithSource(device->context, (cl_uint)t->text_count,
                                       t->texts, NULL, code);
    if (!*out)
        return krsi_cl_fail(err, *code, "no program of %zu kernels", t->count);
    *code = cl->BuildProgram(*out, 1, &device->id, device->options, NULL, NULL);
    return KRS_OK;
}

static void
read_log(const krs_backend_device *device, cl_program program,
         char out[LOG_TEXT])
{
    const krsi_cl *cl = &device->cl;
    size_t bytes = 0;
    char *log = NULL;
    snprintf(out, LOG_TEXT, "no reason given");
    if (cl->GetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0,
                                NULL, &bytes) == CL_SUCCESS)
        log = calloc(bytes + 1, 1);
    if (log)
        cl->GetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG,
                                bytes, log, NULL);
    if (log && log[0])
        first_complaint(log, out);
    free(log);
}

/* The driver's reason why it refuses a program, and the first of its kernels
 * that it refuses alone: for that it is asked again, kernel by kernel. */
static krs_status
refuse(krs_backend_device *device, const program_text *t, cl_program program,
       cl_int code, krs_error *err)
{
    char log[LOG_TEXT], text[KRSI_CL_CODE_TEXT];
    const char *guilty = t->count == 1 ? t->kernels[0]->name : NULL;
    if (code == CL_OUT_OF_HOST_MEMORY || code == CL_OUT_OF_RESOURCES)
        return krsi_cl_fail(err, code, "the kernels were not compiled");
    read_log(device, program, log);
    for (size_t i = 0; !guilty && i < t->count; i++) {
        program_text one = {.kernels = t->kernels + i, .count = 1};
        cl_program alone = NULL;
        cl_int now = CL_SUCCESS;
        if (print_program(device, &one, err) == KRS_OK &&
            compile(device, &one, &alone, &now, err) == KRS_OK &&
            now != CL_SUCCESS) {
            guilty = t->kernels[i]->name;
            code = now;
            read_log(device, alone, log);
        }
        if (alone)
            device->cl.ReleaseProgram(alone);
        release_text(&one);
    }
    if (!guilty)
        return krs_fail(err, KRS_E_INTERNAL,
                        "opencl: %s refuses %zu kernels together, none alone: "
                        "%s: %s",
                        device->limits.name, t->count, krsi_cl_code(code, text),
                        log);
    return krs_fail(err, KRS_E_INTERNAL,
                    "opencl: %s: %s refuses its text (%s: %s); kersey graph "
                    "--stage opencl shows it",
                    guilty, device->limits.name, krsi_cl_code(code, text), log);
}

static krs_status
make_binary(krs_backend_device *device, const program_text *t,
            unsigned char **out_binary, size_t *out_bytes, krs_error *err)
{
    const krsi_cl *cl = &device->cl;
    cl_program program;
    cl_int code;
    KRS_TRY(compile(device, t, &program, &code, err));
    if (code != CL_SUCCESS) {
        krs_status status = refuse(device, t, program, code, err);
        cl->ReleaseProgram(program);
        return status;
    }
    code = cl->GetProgramInfo(program, CL_PROGRAM_BINARY_SIZES,
                              sizeof *out_bytes, out_bytes, NULL);
    *out_binary = code == CL_SUCCESS ? malloc(*out_bytes + 1) : NULL;
    if (*out_binary)
        code = cl->GetProgramInfo(program, CL_PROGRAM_BINARIES,
                                  sizeof *out_binary, out_binary, NULL);
    else if (code == CL_SUCCESS)
        code = CL_OUT_OF_HOST_MEMORY;
    cl->ReleaseProgram(program);
    return code == CL_SUCCESS
               ? KRS_OK
               : krsi_cl_fail(err, code, "no binary of %zu kernels", t->count);
}

static krs_status
make_blobs(const program_text *t, const unsigned char *binary, size_t bytes,
           krs_backend_blob *out, krs_error *err)
{
    header h = {.entry_params = t->entry_params};
    memcpy(h.magic, magic, sizeof h.magic);
    build_name(t->kernels, t->count, h.build);
    for (size_t i = 0; i < t->count; i++) {
        h.place = (uint32_t)i;
        h.binary_bytes = i ? 0 : bytes;
        krs_kernel_hash(t->kernels[i], h.kernel);
        out[i].bytes = sizeof h + h.binary_bytes;
        out[i].data = malloc(out[i].bytes);
        if (!out[i].data)
            return krs_fail(err, KRS_E_MEMORY, "opencl: no memory to build");
        memcpy(out[i].data, &h, sizeof h);
        memcpy((char *)out[i].data + sizeof h, binary, h.binary_bytes);
    }
    return KRS_OK;
}

krs_status
krsi_opencl_build(krs_backend_device *device, const krs_kernel *const *kernels,
                  size_t count, krs_backend_blob *out_blobs, krs_error *err)
{
    program_text text = {.kernels = kernels, .count = count};
    unsigned char *binary = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        out_blobs[i] = (krs_backend_blob){0};
    if (!count)
        return KRS_OK;
    krs_status status = print_program(device, &text, err);
    if (status == KRS_OK)
        status = make_binary(device, &text, &binary, &bytes, err);
    if (status == KRS_OK)
        status = make_blobs(&text, binary, bytes, out_blobs, err);
    for (size_t i = 0; status != KRS_OK && i < count; i++) {
        free(out_blobs[i].data);
        out_blobs[i] = (krs_backend_blob){0};
    }
    free(binary);
    release_text(&text);
    return status;
}

/* ---- load ---- */

static krsi_cl_program *
find_program(const krs_backend_device *device, const header *h)
{
    krsi_cl_program *p = device->programs;
    while (p && (p->build[0] != h->build[0] || p->build[1] != h->build[1]))
        p = p->next;
    return p;
}

/* Programs without users, but for the first of the list: or that one too. */
static void
sweep(krs_backend_device *device, bool keeps_first)
{
    krsi_cl_program **at = &device->programs;
    if (keeps_first && *at)
        at = &(*at)->next;
    while (*at) {
        krsi_cl_program *p = *at;
        if (p->users) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        device->cl.ReleaseProgram(p->program);
        free(p);
    }
}

void
krsi_opencl_forget(krs_backend_device *device)
{
    sweep(device, false);
}

static krs_status
open_program(krs_backend_device *device, const krs_kernel *kernel,
             const header *h, const krs_backend_blob *blob,
             krsi_cl_program **out, krs_error *err)
{
    const unsigned char *binary = (const unsigned char *)blob->data + sizeof *h;
    const krsi_cl *cl = &device->cl;
    size_t bytes = h->binary_bytes;
    cl_int refused = CL_SUCCESS, code;
    krsi_cl_program *p = calloc(1, sizeof *p);
    if (!p)
        return krs_fail(err, KRS_E_MEMORY, "opencl: no memory for a program");
    memcpy(p->build, h->build, sizeof p->build);
    p->program = cl->CreateProgramWithBinary(device->context, 1, &device->id,
                                             &bytes, &binary, &refused, &code);
    if (p->program && code == CL_SUCCESS)
        code = refused != CL_SUCCESS
                   ? refused
                   : cl->BuildProgram(p->program, 1, &device->id,
                                      device->options, NULL, NULL);
    if (!p->program || code != CL_SUCCESS) {
        char text[KRSI_CL_CODE_TEXT];
        if (p->program)
            cl->ReleaseProgram(p->program);
        free(p);
        if (code == CL_OUT_OF_HOST_MEMORY || code == CL_OUT_OF_RESOURCES)
            return krsi_cl_fail(err, code, "a binary was not loaded");
        return krs_fail(err, KRS_E_FORMAT,
                        "opencl: %s: the driver refuses a binary of %zu "
                        "bytes: %s",
                        kernel->name, bytes, krsi_cl_code(code, text));
    }
    p->next = device->programs;
    device->programs = p;
    sweep(device, true);
    *out = p;
    return KRS_OK;
}

static krs_status
read_header(const krs_kernel *kernel, const krs_backend_blob *blob, header *out,
            krs_error *err)
{
    uint64_t hash[2];
    krs_kernel_hash(kernel, hash);
    if (blob->bytes >= sizeof *out)
        memcpy(out, blob->data, sizeof *out);
    if (blob->bytes < sizeof *out ||
        memcmp(out->magic, magic, sizeof magic) != 0 ||
        memcmp(out->kernel, hash, sizeof hash) != 0 ||
        out->binary_bytes != blob->bytes - sizeof *out)
        return krs_fail(err, KRS_E_FORMAT,
                        "opencl: %s: %zu bytes that are not its code",
                        kernel->name, blob->bytes);
    return KRS_OK;
}

/* A kernel with its arguments that never change: of the entry, which function
 * it calls, and no memory for what that does not take. */
static cl_kernel
open_function(const krs_backend_device *device, const krs_backend_code *code,
              const header *h, cl_int *failed)
{
    const krsi_cl *cl = &device->cl;
    char symbol[KRSI_CLC_SYMBOL];
    cl_int which = (cl_int)h->place;
    krsi_clc_symbol(code->kernel, symbol);
    if (code->walk != KRSI_CLC_CALLED)
        return cl->CreateKernel(code->program->program, symbol, failed);
    cl_kernel entry =
        cl->CreateKernel(code->program->program, KRSI_CLC_ENTRY, failed);
    const cl_uint first = KRSI_CLC_ARGUMENTS;
    for (cl_uint i = code->kernel->param_count;
         entry && *failed == CL_SUCCESS && i < h->entry_params; i++)
        *failed = cl->SetKernelArg(entry, first + i, sizeof(cl_mem), NULL);
    if (entry && *failed == CL_SUCCESS)
        *failed = cl->SetKernelArg(entry, first + h->entry_params, sizeof which,
                                   &which);
    if (entry && *failed != CL_SUCCESS) {
        cl->ReleaseKernel(entry);
        return NULL;
    }
    return entry;
}

static krs_status
load_into(krs_backend_device *device, krs_backend_code *code, const header *h,
          const krs_backend_blob *blob, krs_error *err)
{
    cl_int failed = CL_SUCCESS;
    krsi_cl_program *p = find_program(device, h);
    if (!p && !h->binary_bytes)
        return krs_fail(err, KRS_E_NAME,
                        "opencl: %s: its code is part of a build whose first "
                        "kernel is not loaded",
                        code->kernel->name);
    if (!p)
        KRS_TRY(open_program(device, code->kernel, h, blob, &p, err));
    code->program = p;
    code->function = open_function(device, code, h, &failed);
    if (!code->function)
        return krsi_cl_fail(err, failed, "%s: no code to load",
                            code->kernel->name);
    p->users++;
    return KRS_OK;
}

krs_status
krsi_opencl_load(krs_backend_device *device, const krs_kernel *kernel,
                 const krs_backend_blob *blob, krs_backend_code **out,
                 krs_error *err)
{
    header h;
    *out = NULL;
    KRS_TRY(read_header(kernel, blob, &h, err));
    krs_backend_code *code = calloc(1, sizeof *code);
    if (!code)
        return krs_fail(err, KRS_E_MEMORY, "opencl: %s: no memory to load it",
                        kernel->name);
    code->kernel = kernel;
    code->walk = walk_of(device, kernel);
    pthread_mutex_lock(&device->lock);
    krs_status status = load_into(device, code, &h, blob, err);
    pthread_mutex_unlock(&device->lock);
    if (status != KRS_OK)
        free(code);
    else
        *out = code;
    return status;
}

void
krsi_opencl_drop(krs_backend_device *device, krs_backend_code *code)
{
    if (!code)
        return;
    pthread_mutex_lock(&device->lock);
    device->cl.ReleaseKernel(code->function);
    code->program->users--;
    sweep(device, true);
    pthread_mutex_unlock(&device->lock);
    free(code);
}

krs_status
krsi_opencl_listing(krs_backend_device *device, const krs_kernel *kernel,
                    const char *stage, char **out_text, krs_error *err)
{
    *out_text = NULL;
    if (strcmp(stage, "opencl") != 0)
        return krs_fail(err, KRS_E_NAME,
                        "opencl: no stage '%s'; there is opencl", stage);
    program_text t = {.kernels = &kernel, .count = 1};
    krs_status status = print_program(device, &t, err);
    krsi_string both = {0};
    for (size_t i = 1; status == KRS_OK && i < t.text_count; i++)
        krsi_string_add(&both, t.texts[i]);
    release_text(&t);
    if (status == KRS_OK && both.failed) {
        krsi_string_free(&both);
        status = krs_fail(err, KRS_E_MEMORY,
                          "opencl: %s: no memory for its "
                          "text",
                          kernel->name);
    }
    *out_text = status == KRS_OK ? both.text : NULL;
    return status;
}
