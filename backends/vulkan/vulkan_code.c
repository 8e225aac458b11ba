/* vulkan_code.c -- kernels to blobs, blobs to code.
 *
 * A blob is a header with the hash of its kernel, what the bindings are, the
 * words of a module, and what the driver keeps of the pipeline that it made of
 * them (VkPipelineCache). The first three depend on the kernel and on the target
 * alone; a blob whose last part another driver made is refused by FORMAT, and
 * ../build.c builds it anew.
 */
#include "vulkan.h"

#include <krs/status.h>
#include <stdlib.h>
#include <string.h>

static krs_status
write_module(krs_backend_device *d, const krs_kernel *kernel,
             krs_backend_blob *out, krs_error *err)
{
    if (kernel->param_count > d->limits.max_params)
        return krs_fail(err, KRS_E_UNSUPPORTED,
                        "vulkan: %s: %u buffers; %s binds %u at most",
                        kernel->name, kernel->param_count, d->limits.name,
                        d->limits.max_params);
    return krsi_spv_kernel(kernel, &d->target, &out->data, &out->bytes, err);
}

/* The parts of a blob, copied so that they are aligned. */
typedef struct parts {
    krsi_spv_header header;
    krsi_spv_binding *binding;
    uint32_t *words;
    size_t count;      /* of words */
    const char *cache; /* header.cache_bytes, in the blob */
} parts;

static void
free_parts(parts *p)
{
    free(p->binding);
    free(p->words);
}

/* Whole instructions, of which the last one ends a function. */
static bool
is_module(const uint32_t *words, size_t count)
{
    enum { HEADER = 5 };
    uint32_t last = 0;
    for (size_t at = HEADER; at < count;) {
        size_t length = words[at] >> SpvWordCountShift;
        if (length == 0 || length > count - at)
            return false;
        last = words[at] & SpvOpCodeMask;
        at += length;
    }
    return words[0] == SpvMagicNumber && last == SpvOpFunctionEnd;
}

/* false: no blob of this kernel. Without memory the parts are NULL. */
static bool
take_apart(const krs_kernel *kernel, const krs_backend_blob *blob, parts *out)
{
    enum { MODULE_HEADER = 5 };
    uint64_t hash[2];
    *out = (parts){0};
    if (blob->bytes < sizeof out->header)
        return false;
    const char *data = (const char *)blob->data + sizeof out->header;
    size_t bytes = blob->bytes - sizeof out->header;
    memcpy(&out->header, blob->data, sizeof out->header);
    krs_kernel_hash(kernel, hash);
    size_t bindings = out->header.bindings * sizeof *out->binding;
    if (out->header.cache_bytes > bytes)
        return false;
    bytes -= out->header.cache_bytes;
    out->cache = data + bytes;
    if (memcmp(hash, out->header.hash, sizeof hash) != 0 || bindings > bytes ||
        (bytes - bindings) % sizeof(uint32_t) != 0 ||
        (bytes - bindings) / sizeof(uint32_t) < MODULE_HEADER)
        return false;
    out->count = (bytes - bindings) / sizeof(uint32_t);
    out->binding = malloc(bindings + 1);
    out->words = malloc(bytes - bindings);
    if (!out->binding || !out->words)
        return true;
    memcpy(out->binding, data, bindings);
    memcpy(out->words, data + bindings, bytes - bindings);
    bool is_good = is_module(out->words, out->count);
    for (uint32_t i = 0; i < out->header.bindings; i++)
        is_good &= out->binding[i].slot <= kernel->param_count + 1 &&
                   out->binding[i].texel < KRSI_VIEWS;
    return is_good;
}

/* Code of the parts, whose bindings it takes. */
static krs_status
make(krs_backend_device *d, const krs_kernel *kernel, parts *p,
     krs_backend_code **out, krs_backend_blob *out_kept, krs_error *err)
{
    krs_backend_code *code = calloc(1, sizeof *code);
    *out = NULL;
    if (!p->words || !p->binding || !code) {
        free(code);
        return krs_fail(err, KRS_E_MEMORY, "vulkan: %s: no memory to load it",
                        kernel->name);
    }
    code->kernel = kernel;
    code->words = krsi_spv_argument_word(kernel, kernel->arg_count);
    code->binding = p->binding;
    code->binding_count = p->header.bindings;
    p->binding = NULL;
    pthread_mutex_lock(&d->lock);
    code->serial = ++d->serials;
    pthread_mutex_unlock(&d->lock);
    krs_status status = krsi_vulkan_make_code(
        d,
        &(krsi_vulkan_module){kernel, code->binding, code->binding_count,
                              p->words, p->count, p->cache,
                              p->header.cache_bytes},
        code, out_kept, err);
    if (status != KRS_OK)
        krsi_vulkan_drop(d, code);
    else
        *out = code;
    return status;
}

/* What the driver keeps, behind the words of a blob. */
static krs_status
append(const krs_kernel *kernel, const krs_backend_blob *kept,
       krs_backend_blob *blob, krs_error *err)
{
    krsi_spv_header header;
    char *grown = realloc(blob->data, blob->bytes + kept->bytes);
    if (!grown)
        return krs_fail(err, KRS_E_MEMORY,
                        "vulkan: %s: no memory for %zu bytes of code",
                        kernel->name, kept->bytes);
    memcpy(&header, grown, sizeof header);
    header.cache_bytes = (uint32_t)kept->bytes;
    memcpy(grown, &header, sizeof header);
    if (kept->bytes)
        memcpy(grown + blob->bytes, kept->data, kept->bytes);
    *blob = (krs_backend_blob){grown, blob->bytes + kept->bytes};
    return KRS_OK;
}

krs_status
krsi_vulkan_build_one(krs_backend_device *d, const krs_kernel *kernel,
                      krs_backend_blob *out, krs_backend_code **out_code,
                      krs_error *err)
{
    parts p;
    krs_backend_code *code = NULL;
    krs_backend_blob kept = {0};
    *out = (krs_backend_blob){0};
    KRS_TRY(write_module(d, kernel, out, err));
    (void)take_apart(kernel, out, &p); /* written a moment ago: a module */
    krs_status status = make(d, kernel, &p, &code, &kept, err);
    if (status == KRS_OK)
        status = append(kernel, &kept, out, err);
    free_parts(&p);
    free(kept.data);
    if (status != KRS_OK) {
        free(out->data);
        *out = (krs_backend_blob){0};
    }
    if (status != KRS_OK || !out_code)
        krsi_vulkan_drop(d, code);
    if (out_code)
        *out_code = status == KRS_OK ? code : NULL;
    return status;
}

krs_status
krsi_vulkan_build(krs_backend_device *d, const krs_kernel *const *kernels,
                  size_t count, krs_backend_blob *out_blobs, krs_error *err)
{
    krs_status status = KRS_OK;
    for (size_t i = 0; i < count; i++)
        out_blobs[i] = (krs_backend_blob){0};
    krsi_vulkan_warm(d, kernels, count, out_blobs);
    for (size_t i = 0; i < count && status == KRS_OK; i++)
        if (!out_blobs[i].data)
            status =
                krsi_vulkan_build_one(d, kernels[i], &out_blobs[i], NULL, err);
    for (size_t i = 0; status != KRS_OK && i < count; i++) {
        free(out_blobs[i].data);
        out_blobs[i] = (krs_backend_blob){0};
    }
    return status;
}

krs_status
krsi_vulkan_listing(krs_backend_device *d, const krs_kernel *kernel,
                    const char *stage, char **out_text, krs_error *err)
{
    krs_backend_blob blob = {0};
    parts p;
    *out_text = NULL;
    if (strcmp(stage, "spirv") != 0)
        return krs_fail(err, KRS_E_NAME,
                        "vulkan: no stage '%s'; there is spirv", stage);
    KRS_TRY(write_module(d, kernel, &blob, err));
    if (take_apart(kernel, &blob, &p) && p.words)
        *out_text = krsi_spv_print(p.words, p.count);
    free_parts(&p);
    free(blob.data);
    return *out_text
               ? KRS_OK
               : krs_fail(err, KRS_E_MEMORY, "vulkan: %s: no memory to list it",
                          kernel->name);
}

/* ---- loading ---- */

krs_status
krsi_vulkan_load(krs_backend_device *d, const krs_kernel *kernel,
                 const krs_backend_blob *blob, krs_backend_code **out,
                 krs_error *err)
{
    parts p;
    *out = NULL;
    if (!take_apart(kernel, blob, &p)) {
        free_parts(&p);
        return krs_fail(err, KRS_E_FORMAT,
                        "vulkan: %s: %zu bytes that are not its code",
                        kernel->name, blob->bytes);
    }
    if (p.header.cache_bytes &&
        !krsi_vulkan_is_kept(d, p.cache, p.header.cache_bytes)) {
        free_parts(&p);
        return krs_fail(err, KRS_E_FORMAT,
                        "vulkan: %s: the %u bytes that a driver kept of its "
                        "pipeline are damaged, or not of %s",
                        kernel->name, p.header.cache_bytes, d->limits.name);
    }
    krs_status status = make(d, kernel, &p, out, NULL, err);
    free_parts(&p);
    return status;
}

void
krsi_vulkan_drop(krs_backend_device *d, krs_backend_code *code)
{
    if (!code)
        return;
    krsi_vulkan_unmake_code(d, code);
    free(code->binding);
    free(code);
}
