/* registry.c -- backends by name.
 *
 * In: a name and a path of folders. Out: the constant struct of a backend,
 * built in or from a shared object, whose ABI number was compared with ours
 * before anything else in it was used. The environment is not read: whoever
 * calls passes the path in.
 *
 * A module is opened RTLD_NOW (a missing library is noticed here, not in the
 * middle of a run) and RTLD_LOCAL (its symbols are nobody else's). There is
 * no list of open modules: the system's loader counts references.
 */
#define _GNU_SOURCE /* dladdr */
#include "backend.h"

#include "../graph/base/base.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const krs_backend *const built_in[] = {
    &krsi_interp_backend, &krsi_null_backend, &krsi_fault_backend};

enum {
    BUILT_IN = sizeof built_in / sizeof *built_in,
    NAME_BYTES = 32,
    PATH_BYTES = 4096
};

/* "vulkan:1": name and index. The name becomes part of a file name, so only
 * lower-case letters, digits and '_' are taken. */
static krs_status
split_name(const char *text, char name[NAME_BYTES], uint32_t *index,
           krs_error *err)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
    const char *at = text + length;
    *index = 0;
    bool good = length > 0 && length < NAME_BYTES && (*at == 0 || *at == ':');
    if (good && *at == ':') {
        size_t digits = strspn(++at, "0123456789");
        good = digits > 0 && digits < 6 && at[digits] == 0;
        if (good)
            *index = (uint32_t)strtoul(at, NULL, 10);
    }
    if (!good)
        return krs_fail(err, KRS_E_NAME,
                        "backend: '%s' is no name of a backend; those are as "
                        "cpu or vulkan:1",
                        text);
    memcpy(name, text, length);
    name[length] = 0;
    return KRS_OK;
}

/* The folder of a file, or nothing if it has none. */
static void
add_folder(krsi_string *path, const char *file, const char *below)
{
    const char *slash = strrchr(file, '/');
    if (!slash)
        return;
    krsi_string_add(path, path->length ? ":" : "");
    krsi_string_add_bytes(path, file, (size_t)(slash - file));
    krsi_string_add(path, below);
}

char *
krsi_registry_path(void)
{
    char program[PATH_BYTES];
    krsi_string path = {0};
    Dl_info library;
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length > 0) {
        program[length] = 0;
        add_folder(&path, program, "");
        add_folder(&path, program, KERSEY_MODULES);
    }
    if (dladdr((const void *)&built_in, &library) && library.dli_fname &&
        strcmp(library.dli_fname, program) != 0) {
        add_folder(&path, library.dli_fname, "");
        add_folder(&path, library.dli_fname, "/kersey");
    }
    krsi_string_add(&path, "");
    if (path.failed)
        krsi_string_free(&path);
    return path.text;
}

/* The first folder of the path that has the file; false if none has. */
static bool
find_file(const char *path, const char *name, char out[PATH_BYTES])
{
    krsi_string file = {0};
    bool found = false;
    while (*path && !found) {
        size_t length = strcspn(path, ":");
        file.length = 0;
        krsi_string_add_bytes(&file, path, length);
        krsi_string_format(&file, "/libkersey-%s.so", name);
        found = length > 0 && !file.failed && file.length < PATH_BYTES &&
                access(file.text, F_OK) == 0;
        if (found)
            memcpy(out, file.text, file.length + 1);
        path += length + (path[length] == ':');
    }
    krsi_string_free(&file);
    return found;
}

/* All functions, in the order of the struct. */
static bool
is_complete(const krs_backend *b)
{
    return b->name && b->count && b->open && b->close && b->limits &&
           b->alloc && b->free && b->wrap && b->write && b->read && b->build &&
           b->load && b->drop && b->submit && b->wait && b->listing;
}

static krs_status
check_module(const char *file, const char *name, void *module,
             krsi_registry_entry *out, krs_error *err)
{
    krs_backend_entry_function *entry;
    void *symbol = dlsym(module, KRS_BACKEND_ENTRY);
    if (!symbol)
        return krs_fail(err, KRS_E_DEVICE,
                        "backend %s: %s does not export %s: it is no module "
                        "of this library",
                        name, file, KRS_BACKEND_ENTRY);
    memcpy(&entry, &symbol, sizeof entry);
    const krs_backend *backend = entry();
    if (!backend || !backend->abi || backend->abi() != krs_backend_abi())
        return krs_fail(
            err, KRS_E_DEVICE,
            "backend %s: %s was built for another version of the "
            "library (ABI %016llx, not %016llx): build both from "
            "the same source",
            name, file,
            backend && backend->abi ? (unsigned long long)backend->abi() : 0ULL,
            (unsigned long long)krs_backend_abi());
    if (!is_complete(backend) || strcmp(backend->name, name) != 0)
        return krs_fail(err, KRS_E_DEVICE,
                        "backend %s: %s holds %s backend '%s'", name, file,
                        is_complete(backend) ? "the" : "an incomplete",
                        backend->name ? backend->name : "");
    out->backend = backend;
    out->module = module;
    return KRS_OK;
}

static krs_status
open_module(const char *name, const char *path, krsi_registry_entry *out,
            krs_error *err)
{
    char file[PATH_BYTES];
    if (!find_file(path, name, file))
        return krs_fail(err, KRS_E_DEVICE,
                        "backend %s: libkersey-%s.so is in none of the "
                        "folders %s",
                        name, name, path);
    void *module = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!module) {
        const char *reason = dlerror();
        return krs_fail(err, KRS_E_DEVICE,
                        "backend %s: %s cannot be loaded: %s", name, file,
                        reason ? reason : "no reason given");
    }
    krs_status status = check_module(file, name, module, out, err);
    if (status != KRS_OK)
        dlclose(module);
    return status;
}

krs_status
krsi_registry_find(const char *name, const char *module_path,
                   krsi_registry_entry *out, krs_error *err)
{
    char plain[NAME_BYTES];
    *out = (krsi_registry_entry){0};
    KRS_TRY(split_name(name ? name : "", plain, &out->index, err));
    for (size_t i = 0; i < BUILT_IN; i++)
        if (strcmp(built_in[i]->name, plain) == 0) {
            out->backend = built_in[i];
            return KRS_OK;
        }
    if (module_path)
        return open_module(plain, module_path, out, err);
    char *path = krsi_registry_path();
    if (!path)
        return krs_fail(err, KRS_E_MEMORY, "backend %s: no memory", plain);
    krs_status status = open_module(plain, path, out, err);
    free(path);
    return status;
}

void
krsi_registry_release(krsi_registry_entry *entry)
{
    if (entry->module)
        dlclose(entry->module);
    *entry = (krsi_registry_entry){0};
}
