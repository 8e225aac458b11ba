/* trace.c -- every launch of every run as an event of the Trace Event Format
 * (Google 2016), written as runs end.
 *
 * One process a program; launches that overlap lie in lanes of their own, and
 * each event has its kernel, scope, line of C, rates. The format allows a file
 * whose closing bracket is missing, so one that was cut short can be read.
 */
#include "trace.h"

#include "command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 64 };

struct traced {
    struct traced *next;
    const krs_program *program;
    int number;
};

static FILE *file;
static bool has_event;
static struct traced *all_traced;
static int programs;
/* the observer that was there before */
static void (*next_observe)(void *context, krs_program *program,
                            krs_program_event event);
static void *next_context;

static void
write_text(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fputc('\\', file);
        if (*c < 0x20)
            fprintf(file, "\\u%04x", *c);
        else
            fputc(*c, file);
    }
}

/* the first lane that is free again, or the last */
static int
lane_for(uint64_t busy_until[LANES], const krs_launch_info *info)
{
    int lane = 0;
    while (lane < LANES - 1 && busy_until[lane] > info->start_ns)
        lane++;
    busy_until[lane] = info->start_ns + info->time_ns;
    return lane;
}

static void
write_launch(int number, int lane, const krs_launch_info *info)
{
    double ns = info->time_ns > 0 ? (double)info->time_ns : 1;
    fprintf(file, "%s{\"name\":\"", has_event ? ",\n" : "");
    write_text(info->primitives);
    fprintf(file,
            "\",\"cat\":\"kernel\",\"ph\":\"X\",\"pid\":%d,\"tid\":%d,"
            "\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"kernel\":%zu,\"wave\":%d,"
            "\"GB/s\":%.2f,\"GFLOP/s\":%.2f,\"scope\":\"",
            number, lane, (double)info->start_ns * 1e-3, ns * 1e-3,
            info->kernel, info->wave, info->bytes / ns, info->operations / ns);
    write_text(info->scope);
    fputs("\",\"at\":\"", file);
    write_text(info->file);
    fprintf(file, ":%d\"}}", info->line);
    has_event = true;
}

static void
write_run(const struct traced *t)
{
    uint64_t busy_until[LANES] = {0};
    krs_launch_info info = {.struct_size = sizeof info};
    for (size_t i = 0; krs_program_launch(t->program, i, &info, NULL) == KRS_OK;
         i++) {
        if (info.start_ns && info.time_ns)
            write_launch(t->number, lane_for(busy_until, &info), &info);
        info.struct_size = sizeof info;
    }
}

static struct traced *
find(const krs_program *program)
{
    struct traced *t = all_traced;
    while (t && t->program != program)
        t = t->next;
    return t;
}

static void
add(krs_program *program)
{
    struct traced *t = calloc(1, sizeof *t);
    if (!t)
        return;
    *t = (struct traced){all_traced, program, ++programs};
    all_traced = t;
    krs_program_profile(program, true);
}

static void
drop(const krs_program *program)
{
    for (struct traced **at = &all_traced; *at; at = &(*at)->next)
        if ((*at)->program == program) {
            struct traced *t = *at;
            *at = t->next;
            free(t);
            return;
        }
}

static void
observe(void *context, krs_program *program, krs_program_event event)
{
    const struct traced *t = find(program);
    (void)context;
    if (next_observe)
        next_observe(next_context, program, event);
    if (event == KRS_PROGRAM_MADE)
        add(program);
    else if (event == KRS_PROGRAM_RAN && t)
        write_run(t);
    else if (event != KRS_PROGRAM_RAN)
        drop(program);
}

static void
end_file(void)
{
    fputs("\n]}\n", file);
    if (fclose(file) != 0)
        talk("kersey: warning: the trace is not whole: %s", strerror(errno));
}

int
start_trace(const char *path, krs_device_options *options)
{
    if (!path)
        return EXIT_OK;
    file = fopen(path, "w");
    if (!file || atexit(end_file) != 0) {
        krs_error err;
        krs_status status = KRS_E_IO;
        snprintf(err.text, sizeof err.text, "%s: cannot be written: %s", path,
                 strerror(errno));
        err.status = status;
        return complain(&err);
    }
    fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", file);
    next_observe = options->observe;
    next_context = options->context;
    options->observe = observe;
    return EXIT_OK;
}
