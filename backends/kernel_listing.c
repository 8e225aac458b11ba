/* kernel_listing.c -- looking inside a program on a backend: its stages as
 * text, its launches and their times.
 */
#include "kernel_device.h"

#include <stdlib.h>
#include <string.h>

void
krsi_ready_profile(void *prepared, bool on)
{
    krsi_ready *r = prepared;
    size_t count = r->plan.launch_count + 1;
    free(r->spans);
    free(r->totals);
    r->spans = on ? calloc(count, sizeof *r->spans) : NULL;
    r->totals = on && r->is_body ? calloc(count, sizeof *r->totals) : NULL;
    if (r->is_body && !r->totals) {
        free(r->spans);
        r->spans = NULL;
    }
    for (size_t i = 0; i < r->plan.loop_count; i++)
        krsi_ready_profile(r->body[i], on);
}

/* Launch *i, counting those of a body where its loop stands; *i becomes its
 * number there. NULL past the last, *i less those there are. */
static const krsi_ready *
find_launch(const krsi_ready *r, size_t *i)
{
    for (size_t k = 0; k < r->plan.launch_count; k++) {
        int loop = r->plan.launches[k].loop;
        if (loop < 0) {
            if (*i == 0) {
                *i = k;
                return r;
            }
            --*i;
            continue;
        }
        const krsi_ready *found = find_launch(r->body[loop], i);
        if (found)
            return found;
    }
    return NULL;
}

/* the launch, all times that it runs in a run, i being its number in r */
static krs_launch_info
describe_launch(const krsi_ready *r, size_t i)
{
    const krs_graph *g = r->plan.sched.graph;
    const krsi_launch *l = &r->plan.launches[i];
    const krsi_node *n = g->node[l->node];
    krs_launch_info out = {
        .struct_size = sizeof out,
        .kernel = r->first_kernel + l->kernel,
        .op = krsi_ops[n->op].name,
        .scope = g->string[n->scope],
        .file = g->string[n->file],
        .line = (int)n->line,
        .wave = l->wave,
        .primitives = l->primitives,
        .operations = (double)r->times * l->work.operations,
        .bytes = (double)r->times * l->work.bytes,
    };
    if (r->spans) {
        out.start_ns =
            r->is_body ? r->totals[i].begin_ns : r->spans[i].begin_ns;
        out.time_ns = r->is_body ? r->totals[i].time_ns
                                 : r->spans[i].end_ns - r->spans[i].begin_ns;
    }
    return out;
}

bool
krsi_ready_launch(const void *prepared, size_t i, krs_launch_info *out)
{
    const krsi_ready *r = find_launch(prepared, &i);
    if (!r)
        return false;
    *out = describe_launch(r, i);
    return true;
}

static void
print_launches(const krsi_ready *r, int depth, krsi_string *text)
{
    for (size_t i = 0; i < r->plan.launch_count; i++) {
        krs_launch_info info = describe_launch(r, i);
        int loop = r->plan.launches[i].loop;
        krsi_string_format(text, "%*swave %d  ", 2 * depth, "", info.wave);
        if (loop < 0)
            krsi_string_format(text, "kernel %zu  %s  %.0f bytes", info.kernel,
                               info.primitives, r->plan.launches[i].work.bytes);
        else
            krsi_string_format(
                text, "scan  %lld times",
                (long long)r->plan.sched.loops[loop].loop.length);
        krsi_string_format(text, "  %s %s:%d\n", info.scope, info.file,
                           info.line);
        if (loop >= 0)
            print_launches(r->body[loop], depth + 1, text);
    }
}

static bool
print_kernels(const krsi_ready *r, krsi_string *text)
{
    for (size_t i = 0; i < r->plan.kernel_count; i++) {
        char *kernel = krs_kernel_print(r->plan.kernels[i]);
        if (!kernel)
            return false;
        krsi_string_format(text, "# kernel %zu\n", r->first_kernel + i);
        krsi_string_add(text, kernel);
        free(kernel);
    }
    return true;
}

static const char *
place_name(const krsi_layout *l, uint32_t value)
{
    static const char *const name[] = {
        [KRSI_STORAGE_INPUT] = "input",
        [KRSI_STORAGE_STATE] = "state",
        [KRSI_STORAGE_CONSTANT] = "constant",
        [KRSI_STORAGE_TEMPORARY] = "arena",
        [KRSI_STORAGE_OUTPUT] = "output",
        [KRSI_STORAGE_FUSED] = "",
    };
    return krsi_layout_in_place(l, value) ? "in place"
                                          : name[l->values[value].kind];
}

static void
print_memory(const krsi_ready *r, krsi_string *text)
{
    const krsi_layout *l = &r->plan.layout;
    const krs_graph *g = r->plan.sched.graph;
    krsi_string_format(text,
                       "arena %zu bytes, at least %zu live in wave %d of %d; "
                       "states are written from wave %d on\n",
                       l->arena_bytes, l->live_bytes, l->peak, l->waves,
                       l->commit);
    for (uint32_t v = 0; v < l->value_count; v++) {
        const krsi_node *n = g->node[l->values[v].node];
        if (l->values[v].kind == KRSI_STORAGE_FUSED)
            continue;
        krsi_string_format(text, "v%u  %s", v, place_name(l, v));
        if (l->values[v].kind == KRSI_STORAGE_TEMPORARY)
            krsi_string_format(text, " at %zu", l->offset[v]);
        if (l->home[v] != v)
            krsi_string_format(text, " of v%u", l->home[v]);
        krsi_string_format(text, "  %zu bytes  waves %d to %d  %s  %s %s:%u\n",
                           l->values[v].bytes, l->first[v], l->last[v],
                           krsi_ops[n->op].name, g->string[n->scope],
                           g->string[n->file], (unsigned)n->line);
    }
}

/* takes the schedule's text over */
static bool
print_schedule(char *schedule, krsi_string *text)
{
    if (!schedule)
        return false;
    krsi_string_add(text, schedule);
    free(schedule);
    return true;
}

/* What the backend makes of each kernel. */
static krs_status
print_code(const krsi_ready *r, const char *stage, krsi_string *text,
           krs_error *err)
{
    const krsi_machine *m = r->m;
    for (size_t i = 0; i < r->plan.kernel_count; i++) {
        char *code;
        KRS_TRY(m->backend->listing(m->device, r->plan.kernels[i], stage, &code,
                                    err));
        krsi_string_format(text, "# kernel %zu\n", r->first_kernel + i);
        krsi_string_add(text, code);
        free(code);
    }
    return KRS_OK;
}

static krs_status
print_stage(const krsi_ready *r, const char *stage, krsi_string *text,
            krs_error *err)
{
    bool ok = true;
    krs_status status = KRS_OK;
    if (strcmp(stage, "sched") == 0)
        ok = print_schedule(krsi_sched_print(&r->plan.sched), text);
    else if (strcmp(stage, "fusion") == 0)
        ok = print_schedule(krsi_sched_print_fusion(&r->plan.sched), text);
    else if (strcmp(stage, "kernel") == 0)
        ok = print_kernels(r, text);
    else if (strcmp(stage, "memory") == 0)
        print_memory(r, text);
    else
        status = print_code(r, stage, text, err);
    if (status == KRS_OK && !ok)
        status = krs_fail(err, KRS_E_MEMORY,
                          "program_print: no memory for the text");
    for (size_t i = 0; status == KRS_OK && i < r->plan.loop_count; i++) {
        krsi_string_format(text, "\n# body of the scan %%%u\n",
                           (unsigned)r->plan.sched.loops[i].node);
        status = print_stage(r->body[i], stage, text, err);
    }
    return status;
}

krs_status
krsi_ready_print(void *prepared, const char *stage, char **out_text,
                 krs_error *err)
{
    const krsi_ready *r = prepared;
    krsi_string text = {0};
    krs_status status = KRS_OK;
    krsi_string_add(&text, "");
    if (strcmp(stage, "launch") == 0)
        print_launches(r, 0, &text);
    else
        status = print_stage(r, stage, &text, err);
    if (status == KRS_OK && text.failed)
        status = krs_fail(err, KRS_E_MEMORY,
                          "program_print: no memory for the text");
    if (status != KRS_OK) {
        krsi_string_free(&text);
        return status;
    }
    *out_text = text.text;
    return KRS_OK;
}
