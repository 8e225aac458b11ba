/* plan.c -- kersey plan: the memory of a training step, before any of it is
 * allocated.
 *
 * In: a model folder or preset, --batch, --seq; --forward for the logits
 * alone. Out: bytes of each part as the device would allocate them, and the
 * wave and the launch that need most.
 *
 * Gradients and activations are those temporaries that live in the fullest
 * wave; spare is what the arena of all temporaries has besides.
 */
#include "bench.h"
#include "presets.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct estimate {
    krs_memory_info info;
    uint64_t weights; /* bytes; the other states are the optimizer's */
    int64_t parameters;
    krs_program *program; /* has the strings of info */
};

static int
choose_model(const char *name, int64_t seq, krs_model_config *out)
{
    struct stat is;
    krs_error err;
    if (stat(name, &is) != 0)
        return find_preset(name, seq, out)
                   ? EXIT_OK
                   : refuse_preset(name, "neither a folder nor a preset");
    return read_folder_config(name, out, &err) == KRS_OK ? EXIT_OK
                                                         : complain(&err);
}

/* The logits of all positions in place of the step. */
static krs_status
keep_forward(struct model_step *s, const struct flags *f, krs_error *err)
{
    s->outputs[0] = s->logits;
    s->count = 1;
    if (!s->is_causal)
        return KRS_OK;
    krs_node ids =
        krs_input(s->graph, "ids", KRS_I64, KRS_SHAPE(f->batch, f->seq));
    krs_causal_call call = {.struct_size = sizeof call, .ids = ids};
    krs_causal_result result = {.struct_size = sizeof result};
    s->outputs[0] = krs_causal_forward(s->graph, &s->model, &call, &result);
    return krs_graph_check(s->graph, err);
}

static krs_status
measure(krs_device *device, const krs_model_config *config,
        const struct flags *f, struct estimate *out, krs_error *err)
{
    struct model_step step;
    krs_status status = make_model_step(config, f->batch, f->seq, &step, err);
    if (status == KRS_OK && f->forward)
        status = keep_forward(&step, f, err);
    if (status == KRS_OK)
        status = krs_program_plan(device, step.outputs, step.count,
                                  &out->program, err);
    out->info.struct_size = sizeof out->info;
    if (status == KRS_OK)
        status = krs_program_memory(out->program, &out->info, err);
    out->weights = step.parameter_bytes;
    out->parameters = step.parameters;
    free_model_step(&step);
    return status;
}

static uint64_t
spare_bytes(const krs_memory_info *m)
{
    return m->temporaries_bytes - m->gradients_bytes - m->activations_bytes;
}

static void
print_text(const struct command_line *line, const struct estimate *e,
           const krs_device *device)
{
    const struct flags *f = &line->flags;
    const krs_memory_info *m = &e->info;
    const struct {
        const char *name;
        uint64_t bytes;
        const char *what;
    } rows[] = {
        {"weights",     e->weights,                   ""                                    },
        {"optimizer",   m->states_bytes - e->weights, "moments and step"                    },
        {"gradients",   m->gradients_bytes,           "in the fullest wave"                 },
        {"activations", m->activations_bytes,         "in the fullest wave"                 },
        {"spare",       spare_bytes(m),               "between temporaries, and unused then"},
        {"workspace",   m->workspace_bytes,           "scratch of the workers"              },
        {"constants",   m->constants_bytes,           ""                                    },
        {"inputs",      m->inputs_bytes,              ""                                    },
        {"outputs",     m->outputs_bytes,             ""                                    },
        {"total",       m->total_bytes,               ""                                    },
    };
    printf("%s, %s of %lld x %lld tokens, %lld parameters, on %s\n",
           line->operands[0], f->forward ? "forward pass" : "training step",
           (long long)f->batch, (long long)f->seq, (long long)e->parameters,
           krs_device_name(device));
    int width = snprintf(NULL, 0, "%llu", (unsigned long long)m->total_bytes);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        printf("%-12s %*llu bytes %*.2f MB%s%s\n", rows[i].name, width,
               (unsigned long long)rows[i].bytes, width,
               (double)rows[i].bytes * 1e-6, *rows[i].what ? "  " : "",
               rows[i].what);
    if (m->exchanged_bytes)
        printf("%-12s %*llu bytes of the outputs: states that are not updated "
               "in place\n",
               "exchanged", width, (unsigned long long)m->exchanged_bytes);
    printf("fullest is wave %d of %d: %s%s%s (%s:%d)\n", m->peak_wave, m->waves,
           m->peak_op, *m->peak_scope ? " in " : "", m->peak_scope,
           m->peak_file, m->peak_line);
}

static int
print_json(const struct command_line *line, const struct estimate *e)
{
    const struct flags *f = &line->flags;
    const krs_memory_info *m = &e->info;
    json_t *o = json_pack(
        "{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
        "s:I, s:I, s:I, s:i, s:i, s:s, s:s, s:s, s:i}",
        "model", line->operands[0], "forward", f->forward, "batch",
        (json_int_t)f->batch, "seq", (json_int_t)f->seq, "parameters",
        (json_int_t)e->parameters, "weights_bytes", (json_int_t)e->weights,
        "optimizer_bytes", (json_int_t)(m->states_bytes - e->weights),
        "gradients_bytes", (json_int_t)m->gradients_bytes, "activations_bytes",
        (json_int_t)m->activations_bytes, "spare_bytes",
        (json_int_t)spare_bytes(m), "workspace_bytes",
        (json_int_t)m->workspace_bytes, "constants_bytes",
        (json_int_t)m->constants_bytes, "inputs_bytes",
        (json_int_t)m->inputs_bytes, "outputs_bytes",
        (json_int_t)m->outputs_bytes, "exchanged_bytes",
        (json_int_t)m->exchanged_bytes, "total_bytes",
        (json_int_t)m->total_bytes, "waves", m->waves, "peak_wave",
        m->peak_wave, "peak_op", m->peak_op, "peak_scope", m->peak_scope,
        "peak_file", m->peak_file, "peak_line", m->peak_line);
    return print_json_line(o);
}

int
command_plan(const struct command_line *line)
{
    const struct flags *f = &line->flags;
    krs_model_config config;
    krs_device *device;
    krs_error err;
    struct estimate e = {.program = NULL};
    int code = choose_model(line->operands[0], f->seq, &config);
    if (code == EXIT_OK)
        code = open_device_cached(line, NULL, &device);
    if (code != EXIT_OK)
        return code;
    if (measure(device, &config, f, &e, &err) != KRS_OK)
        code = complain(&err);
    else if (f->json)
        code = print_json(line, &e);
    else
        print_text(line, &e, device);
    krs_program_free(e.program);
    krs_device_close(device);
    return code;
}
