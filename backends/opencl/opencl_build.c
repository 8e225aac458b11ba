/* opencl_build.c -- kernels to blobs, blobs to code.
 *
 * The compiler of a driver takes long to start and little for each further
 * kernel, so all kernels of a call become one program. Its binary is in the
 * blob of the first kernel; the others name the build that they are part of.
 * So blobs of a call are loaded in their order; one whose first is not loaded
 * is refused by NAME, a binary that the driver does not take by FORMAT, and both
 * are built anew by ../build.c.
 */
#include "opencl_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SYMBOL_TEXT = 40, LOG_TEXT = 240 };

static const char magic[8] = "krs-cl1";

typedef struct header {
    char magic[8];
    uint64_t build[2]; /* the hash of the hashes of its kernels */
    uint64_t kernel[2];
    uint64_t binary_bytes; /* behind the header; 0: with the first kernel */
} header;

static void
symbol_of(const krs_kernel *kernel, char out[SYMBOL_TEXT])
{
    uint64_t hash[2];
    krs_kernel_hash(kernel, hash);
    snprintf(out, SYMBOL_TEXT, "k_%016llx%016llx", (unsigned long long)hash[0],
             (unsigned long long)hash[1]);
}

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
    return device->limits.is_processor || krsi_clc_has_scratch(kernel)
               ? KRSI_CLC_TAKE
               : KRSI_CLC_SPREAD;
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
    if (!fits || (has_groups(kernel) && krsi_clc_has_scratch(kernel)))
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

static krs_status
print_one(const krs_backend_device *device, const krs_kernel *kernel,
          char **out, krs_error *err)
{
    char symbol[SYMBOL_TEXT];
    symbol_of(kernel, symbol);
    return krsi_clc_print(kernel, symbol, walk_of(device, kernel), out, err);
}

/* The first line of a log that names an error, or its first line. */
static void
first_complaint(char *log)
{
    char *from = strstr(log, "error:");
    from = from ? from : log;
    from[strcspn(from, "\n")] = 0;
    memmove(log, from, strlen(from) + 1);
    if (strlen(log) >= LOG_TEXT)
        log[LOG_TEXT - 1] = 0;
}

static krs_status
refuse(const krs_backend_device *device, cl_program program, cl_int code,
       krs_error *err)
{
    const krsi_cl *cl = &device->cl;
    size_t bytes = 0;
    char *log = NULL, text[KRSI_CL_CODE_TEXT];
    if (code == CL_OUT_OF_HOST_MEMORY || code == CL_OUT_OF_RESOURCES)
        return krsi_cl_fail(err, code, "the kernels were not compiled");
    if (cl->GetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0,
                                NULL, &bytes) == CL_SUCCESS)
        log = calloc(bytes + 1, 1);
    if (log)
        cl->GetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG,
                                bytes, log, NULL);
    if (log)
        first_complaint(log);
    krs_status status =
        krs_fail(err, KRS_E_INTERNAL, "opencl: %s refuses the kernels: %s: %s",
                 device->limits.name, krsi_cl_code(code, text),
                 log && log[0] ? log : "no reason given");
    free(log);
    return status;
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

static krs_status
compile(const krs_backend_device *device, const char **texts, size_t count,
        unsigned char **out_binary, size_t *out_bytes, krs_error *err)
{
    const krsi_cl *cl = &device->cl;
    cl_int code;
    krs_status status = KRS_OK;
    cl_program program = cl->CreateProgramWithSource(
        device->context, (cl_uint)count + 1, texts, NULL, &code);
    if (!program)
        return krsi_cl_fail(err, code, "no program of %zu kernels", count);
    code =
        cl->BuildProgram(program, 1, &device->id, device->options, NULL, NULL);
    if (code != CL_SUCCESS)
        status = refuse(device, program, code, err);
    if (status == KRS_OK) {
        code = cl->GetProgramInfo(program, CL_PROGRAM_BINARY_SIZES,
                                  sizeof *out_bytes, out_bytes, NULL);
        *out_binary = code == CL_SUCCESS ? malloc(*out_bytes + 1) : NULL;
        if (*out_binary)
            code = cl->GetProgramInfo(program, CL_PROGRAM_BINARIES,
                                      sizeof *out_binary, out_binary, NULL);
        else if (code == CL_SUCCESS)
            code = CL_OUT_OF_HOST_MEMORY;
        if (code != CL_SUCCESS)
            status = krsi_cl_fail(err, code, "no binary of %zu kernels", count);
    }
    cl->ReleaseProgram(program);
    return status;
}

static krs_status
make_blobs(const krs_kernel *const *kernels, size_t count,
           const unsigned char *binary, size_t bytes, krs_backend_blob *out,
           krs_error *err)
{
    header h = {.build = {0}};
    memcpy(h.magic, magic, sizeof h.magic);
    build_name(kernels, count, h.build);
    for (size_t i = 0; i < count; i++) {
        h.binary_bytes = i ? 0 : bytes;
        krs_kernel_hash(kernels[i], h.kernel);
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
    krs_status status = KRS_OK;
    unsigned char *binary = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        out_blobs[i] = (krs_backend_blob){0};
    if (!count)
        return KRS_OK;
    const char **texts = calloc(count + 1, sizeof *texts);
    if (!texts)
        return krs_fail(err, KRS_E_MEMORY, "opencl: no memory to build");
    texts[0] = krsi_clc_prelude(device->limits.is_processor,
                                device->limits.facts.has_fma);
    for (size_t i = 0; status == KRS_OK && i < count; i++) {
        char *one = NULL;
        status = check_limits(device, kernels[i], err);
        if (status == KRS_OK)
            status = print_one(device, kernels[i], &one, err);
        texts[i + 1] = one;
    }
    if (status == KRS_OK)
        status = compile(device, texts, count, &binary, &bytes, err);
    if (status == KRS_OK)
        status = make_blobs(kernels, count, binary, bytes, out_blobs, err);
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)texts[i + 1]);
        if (status == KRS_OK)
            continue;
        free(out_blobs[i].data);
        out_blobs[i] = (krs_backend_blob){0};
    }
    free(binary);
    free((void *)texts);
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
open_program(krs_backend_device *device, const header *h,
             const unsigned char *binary, krsi_cl_program **out, krs_error *err)
{
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
                        "opencl: the driver refuses a "
                        "binary of %zu bytes: %s",
                        bytes, krsi_cl_code(code, text));
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

static krs_status
load_into(krs_backend_device *device, krs_backend_code *code, const header *h,
          const krs_backend_blob *blob, krs_error *err)
{
    char symbol[SYMBOL_TEXT];
    cl_int failed;
    krsi_cl_program *p = find_program(device, h);
    if (!p && !h->binary_bytes)
        return krs_fail(err, KRS_E_NAME,
                        "opencl: %s: its code is part of a build whose first "
                        "kernel is not loaded",
                        code->kernel->name);
    if (!p)
        KRS_TRY(open_program(
            device, h, (const unsigned char *)blob->data + sizeof *h, &p, err));
    symbol_of(code->kernel, symbol);
    code->function = device->cl.CreateKernel(p->program, symbol, &failed);
    if (!code->function)
        return krsi_cl_fail(err, failed, "%s: no code to load",
                            code->kernel->name);
    code->program = p;
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
    return print_one(device, kernel, out_text, err);
}
