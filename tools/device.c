/* device.c -- opening the device that the flags and the environment ask for.
 *
 * In: --backend, --threads, --cpu, --stage expand, --trace; KRS_BACKEND,
 * KRS_CACHE, KRS_DEBUG, KRS_FUSE, KRS_MODULE_PATH, KRS_OPT, KRS_PLAN,
 * XDG_CACHE_HOME and HOME, which are read here and nowhere else. Out: a device,
 * or a complaint.
 *
 * A backend that was asked for is opened or refused, never replaced; without
 * --backend it is cpu, or eval with a line of talk where cpu is not there, but
 * for flags that only cpu understands. A cache that cannot be used costs time,
 * not results: it is left out with a line of talk.
 */
#include "command.h"

#include "debug.h"
#include "progress.h"
#include "trace.h"

#include <stdlib.h>
#include <string.h>

static void
pass_warning(void *context, const char *text)
{
    (void)context;
    talk("kersey: warning: %s", text);
}

/* KRS_CACHE, else a folder below XDG_CACHE_HOME (absolute paths only, as its
 * specification says) or HOME. */
const char *
find_cache_folder(void)
{
    static char path[PATH_BYTES];
    const char *chosen = getenv("KRS_CACHE"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    int length = 0;
    if (chosen && chosen[0])
        return strcmp(chosen, "off") != 0 ? chosen : NULL;
    if (xdg && xdg[0] == '/')
        length = snprintf(path, sizeof path, "%s/kersey", xdg);
    else if (home && home[0] == '/')
        length = snprintf(path, sizeof path, "%s/.cache/kersey", home);
    return length > 0 && (size_t)length < sizeof path ? path : NULL;
}

/* --backend, else KRS_BACKEND, else the default */
static const char *
backend_name(const struct flags *f)
{
    const char *chosen = getenv("KRS_BACKEND");
    return f->given[FLAG_ID_backend] || !chosen || !chosen[0] ? f->backend
                                                              : chosen;
}

/* KRS_FUSE=off; "on" and "" are the default */
static bool
is_unfused(void)
{
    const char *fuse = getenv("KRS_FUSE");
    return fuse && strcmp(fuse, "off") == 0;
}

/* The last pass over graphs: all of them, unless KRS_OPT=off or `kersey graph
 * --stage expand` ask for graphs as they are defined. */
static int
choose_stage(const struct flags *f, krs_device_options *options)
{
    const char *opt = getenv("KRS_OPT");
    bool is_off = opt && !strcmp(opt, "off");
    if (opt && opt[0] && !is_off && strcmp(opt, "on") != 0)
        return complain_usage("KRS_OPT=%.20s: expected on or off", opt);
    if (is_off || !strcmp(f->stage, "expand"))
        options->stage = "expand";
    return EXIT_OK;
}

/* EXIT_OK, or EXIT_USAGE after a complaint */
static int
check_flags(const struct flags *f)
{
    const char *fuse = getenv("KRS_FUSE");
    if (fuse && fuse[0] && strcmp(fuse, "off") != 0 && strcmp(fuse, "on") != 0)
        return complain_usage("KRS_FUSE=%s: expected on or off", fuse);
    if (f->given[FLAG_ID_cpu] && !strcmp(backend_name(f), "eval"))
        return complain_usage("--cpu is for backends that have kernels, not "
                              "eval");
    if (f->given[FLAG_ID_threads] && (f->threads < 1 || f->threads > 1024))
        return complain_usage("--threads %lld: expected 1 to 1024",
                              (long long)f->threads);
    return EXIT_OK;
}

/* KRS_PLAN: how memory is used */
static int
choose_memory(krs_memory_use *out)
{
    static const struct {
        const char *name;
        krs_memory_use use;
    } choices[] = {
        {"on",     KRS_MEMORY_SHARED  },
        {"off",    KRS_MEMORY_SEPARATE},
        {"poison", KRS_MEMORY_POISONED},
    };
    const char *text = getenv("KRS_PLAN");
    if (!text || !text[0])
        return EXIT_OK;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        *out = choices[i].use;
        if (!strcmp(choices[i].name, text))
            return EXIT_OK;
    }
    return complain_usage("KRS_PLAN=%.20s: expected on, off or poison", text);
}

/* With a cache if it can be used. */
static krs_status
open_named(const char *name, krs_device_options *options, krs_device **out,
           krs_error *err)
{
    krs_status status = krs_device_open_with(name, options, out, err);
    if (status != KRS_E_IO || !options->cache)
        return status;
    talk("kersey: warning: %s; no code is kept", err->text);
    options->cache = NULL;
    return krs_device_open_with(name, options, out, err);
}

int
open_device_cached(const struct command_line *line, const char *cache,
                   krs_device **out)
{
    const struct flags *f = &line->flags;
    const char *modules = getenv("KRS_MODULE_PATH");
    bool has_target = f->given[FLAG_ID_cpu] && strcmp(f->cpu, "native") != 0;
    const char *name = backend_name(f);
    bool is_open_choice = !f->given[FLAG_ID_backend] && name == f->backend &&
                          !f->given[FLAG_ID_cpu] && !f->given[FLAG_ID_threads];
    krs_device_options options = {
        .struct_size = sizeof options,
        .threads = (uint32_t)f->threads,
        .cpu = has_target ? f->cpu : NULL,
        .modules = modules && modules[0] ? modules : NULL,
        .cache = cache,
        .unfused = is_unfused(),
        .warning = pass_warning,
        .compiling = talk_is_live() ? progress_compiling : NULL,
    };
    krs_error err;
    int code = check_flags(f);
    if (code == EXIT_OK)
        code = choose_memory(&options.memory);
    if (code == EXIT_OK)
        code = choose_stage(f, &options);
    if (code == EXIT_OK)
        code = start_debug(&options);
    if (code == EXIT_OK)
        code = start_trace(f->trace, &options);
    if (code != EXIT_OK)
        return code;
    if (!strncmp(name, "opencl", 6))
        own_driver_cache();
    krs_status status = open_named(name, &options, out, &err);
    if (status == KRS_E_DEVICE && is_open_choice) {
        talk("kersey: there is no backend cpu; eval, which is slow, takes its "
             "place (kersey doctor says why)");
        status = open_named("eval", &options, out, &err);
    }
    if (status == KRS_OK) {
        debug_device(*out, &options);
        return EXIT_OK;
    }
    code = complain(&err);
    return status == KRS_E_DEVICE || status == KRS_E_NAME ? EXIT_ABSENT : code;
}

int
open_device(const struct command_line *line, krs_device **out)
{
    return open_device_cached(line, find_cache_folder(), out);
}
