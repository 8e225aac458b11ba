/* mutant_backend.c -- the kernel interpreter with one fault of mutations.def:
 * the module "mutant", whose option `cpu` is the name of a row, or "none"; if
 * there is none, $MUTANT.
 *
 * In: kernels and launches. Out: what the interpreter makes of them after they
 * were changed, or before what it wrote is. Kernels are changed in their text
 * form, so whatever is made is a kernel that the verifier accepts.
 */
#include "backends/backend.h"
#include "backends/host_memory.h"
#include "graph/base/base.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((visibility("default")))
krs_backend_entry_function krs_backend_entry;

/* ---- results ---- */

/* what a launch wrote: count elements */
typedef struct written {
    krs_dtype dtype;
    void *data;
    size_t count, bytes; /* of an element */
} written;

static double
get(const written *w, size_t i)
{
    return krsi_load_double(w->dtype, w->data, i);
}

static void
set(const written *w, size_t i, double value)
{
    krsi_store_double(w->dtype, w->data, i, value);
}

static bool
is_float(const written *w)
{
    return krs_dtype_is_float(w->dtype);
}

static void
mutate_nan_is_zero(const written *w)
{
    for (size_t i = 0; is_float(w) && i < w->count; i++)
        if (isnan(get(w, i)))
            set(w, i, 0);
}

static void
mutate_minus_zero_is_zero(const written *w)
{
    for (size_t i = 0; is_float(w) && i < w->count; i++)
        if (get(w, i) == 0)
            set(w, i, 0);
}

static void
mutate_zero_is_minus_zero(const written *w)
{
    for (size_t i = 0; is_float(w) && i < w->count; i++)
        if (get(w, i) == 0)
            set(w, i, -0.0);
}

static void
mutate_infinity_is_largest(const written *w)
{
    for (size_t i = 0; is_float(w) && i < w->count; i++)
        if (isinf(get(w, i)))
            set(w, i, copysign((double)FLT_MAX, get(w, i)));
}

static void
mutate_subnormal_is_zero(const written *w)
{
    for (size_t i = 0; w->dtype == KRS_F32 && i < w->count; i++)
        if (fabs(get(w, i)) < (double)FLT_MIN)
            set(w, i, copysign(0, get(w, i)));
}

static void
mutate_through_f16(const written *w)
{
    for (size_t i = 0; w->dtype == KRS_F32 && i < w->count; i++)
        set(w, i, (double)krsi_f16_to_float(krsi_f16_from_double(get(w, i))));
}

static void
mutate_through_bf16(const written *w)
{
    for (size_t i = 0; w->dtype == KRS_F32 && i < w->count; i++)
        set(w, i, (double)krsi_bf16_to_float(krsi_bf16_from_double(get(w, i))));
}

static void
mutate_one_element_off(const written *w)
{
    size_t i = w->count / 2;
    if (is_float(w))
        set(w, i, get(w, i) * 1.01 + 0.01);
}

static void
mutate_one_bit_off(const written *w)
{
    if (is_float(w)) /* the last bit of the last element */
        ((uint8_t *)w->data)[(w->count - 1) * w->bytes] ^= 1;
}

static void
mutate_sign_of_last(const written *w)
{
    if (is_float(w))
        set(w, w->count - 1, -get(w, w->count - 1));
}

static void
mutate_last_is_zero(const written *w)
{
    memset((char *)w->data + (w->count - 1) * w->bytes, 0, w->bytes);
}

static void
mutate_first_is_zero(const written *w)
{
    memset(w->data, 0, w->bytes);
}

static void
mutate_one_is_nan(const written *w)
{
    if (is_float(w))
        set(w, w->count / 3, NAN);
}

static void
mutate_shifted_by_one(const written *w)
{
    memmove((char *)w->data + w->bytes, w->data, (w->count - 1) * w->bytes);
}

static void
swap(const written *w, size_t i, size_t k)
{
    char *a = (char *)w->data + i * w->bytes;
    char *b = (char *)w->data + k * w->bytes;
    for (size_t n = 0; n < w->bytes; n++) {
        char t = a[n];
        a[n] = b[n];
        b[n] = t;
    }
}

static void
mutate_reversed(const written *w)
{
    for (size_t i = 0; i < w->count / 2; i++)
        swap(w, i, w->count - 1 - i);
}

static void
mutate_halves_swapped(const written *w)
{
    for (size_t i = 0; i < w->count / 2; i++)
        swap(w, i, w->count / 2 + i);
}

static void
mutate_i64_through_f32(const written *w)
{
    for (size_t i = 0; w->dtype == KRS_I64 && i < w->count; i++)
        set(w, i, (double)(float)krsi_load_int(KRS_I64, w->data, i));
}

static void
mutate_bools_inverted(const written *w)
{
    for (size_t i = 0; w->dtype == KRS_BOOL && i < w->count; i++)
        ((uint8_t *)w->data)[i] ^= 1;
}

/* ---- launches ---- */

/* One launch that may be changed; false: it does not run. */
typedef struct altered {
    krs_backend_launch *launch;
    const krs_kernel *kernel;
    krs_kargument *args;
    krs_backend_binding *bindings;
    bool is_first; /* of all that the device ran */
} altered;

static bool
break_tail_dropped(const altered *a)
{
    a->launch->grid[0] -= a->kernel->axes > 0;
    return true;
}

static bool
break_launch_skipped(const altered *a)
{
    (void)a;
    return false;
}

static bool
break_launch_skipped_once(const altered *a)
{
    return !a->is_first;
}

static bool
break_arguments_swapped(const altered *a)
{
    for (uint32_t i = 0; i + 1 < a->kernel->arg_count; i++)
        if (a->kernel->args[i].dtype == KRS_I64 &&
            a->kernel->args[i + 1].dtype == KRS_I64) {
            krs_kargument t = a->args[i];
            a->args[i] = a->args[i + 1];
            a->args[i + 1] = t;
            break;
        }
    return true;
}

static bool
break_last_argument_one_less(const altered *a)
{
    for (uint32_t i = a->kernel->arg_count; i-- > 0;)
        if (a->kernel->args[i].dtype == KRS_I64 && a->args[i].i > 0) {
            a->args[i].i--;
            break;
        }
    return true;
}

static bool
break_first_argument_one_less(const altered *a)
{
    if (a->kernel->arg_count && a->kernel->args[0].dtype == KRS_I64)
        a->args[0].i -= a->args[0].i > 0;
    return true;
}

static bool
break_float_argument_off(const altered *a)
{
    for (uint32_t i = 0; i < a->kernel->arg_count; i++)
        if (a->kernel->args[i].dtype == KRS_F32)
            a->args[i].f = a->args[i].f * 1.001F + 1e-3F;
    return true;
}

static bool
break_inputs_swapped(const altered *a)
{
    for (uint32_t i = 0; i + 1 < a->kernel->param_count; i++) {
        const krs_kbuffer *x = &a->kernel->buffers[i], *y = x + 1;
        if (x->access != KRS_K_READ || y->access != KRS_K_READ ||
            a->bindings[i].bytes != a->bindings[i + 1].bytes)
            continue;
        krs_backend_binding t = a->bindings[i];
        a->bindings[i] = a->bindings[i + 1];
        a->bindings[i + 1] = t;
    }
    return true;
}

static bool
break_run_backwards(const altered *a)
{
    (void)a; /* submit turns the list of launches around */
    return true;
}

/* ---- the table ---- */

typedef struct mutation {
    const char *name;
    const char *op, *type, *needs, *lines; /* KERNEL */
    void (*mutate)(const written *w);      /* RESULT */
    bool (*alter)(const altered *a);       /* LAUNCH */
} mutation;

static const mutation mutations[] = {
    {.name = "none"},
#define KERNEL(name, op, type, needs, lines) \
    {#name, op, type, needs, lines, NULL, NULL},
#define RESULT(name) {#name, NULL, NULL, NULL, NULL, mutate_##name, NULL},
#define LAUNCH(name) {#name, NULL, NULL, NULL, NULL, NULL, break_##name},
#include "mutations.def"
#undef KERNEL
#undef RESULT
#undef LAUNCH
};

/* Pointers of these types are the interpreter's; ours are looked into here. */
struct krs_backend_device {
    krs_backend_device *inner;
    const mutation *m;
    bool has_run;
};

struct krs_backend_code {
    krs_backend_code *inner;
    const krs_kernel *kernel; /* that runs */
    krs_kernel *mutated;      /* NULL: it is the one that was given */
};

static const krs_backend *const base = &krsi_interp_backend;

/* ---- kernels as text ---- */

/* One line "  %d:t = op a b c mask %m ..." taken apart. */
typedef struct parts {
    char result[40], type[24], lanes[8], op[16], in[3][48], mask[48];
    char constant[64];
} parts;

static void
take_apart(const char *line, size_t length, parts *p)
{
    char text[512], *word[24], *state = NULL;
    int words = 0, operands = 0;
    memset(p, 0, sizeof *p);
    snprintf(text, sizeof text, "%.*s", (int)length, line);
    for (char *w = strtok_r(text, " ", &state); w && words < 24;
         w = strtok_r(NULL, " ", &state))
        word[words++] = w;
    int at = 0;
    if (words > 2 && !strcmp(word[1], "=")) {
        char *colon = strchr(word[0], ':');
        if (!colon)
            return;
        snprintf(p->result, sizeof p->result, "%.*s", (int)(colon - word[0]),
                 word[0]);
        snprintf(p->type, sizeof p->type, "%s", colon + 1);
        const char *x = strchr(p->type, 'x');
        snprintf(p->lanes, sizeof p->lanes, "%s", x ? x : "");
        at = 2;
    }
    if (at < words)
        snprintf(p->op, sizeof p->op, "%s", word[at++]);
    for (; at < words; at++) {
        if (!strcmp(word[at], "mask") && at + 1 < words)
            snprintf(p->mask, sizeof p->mask, " mask %s", word[++at]);
        else if (!strcmp(word[at], "align"))
            at++; /* no promise is kept */
        else if (strchr("%@", word[at][0]) && operands < 3)
            snprintf(p->in[operands++], sizeof p->in[0], "%s", word[at]);
        else if (!strcmp(p->op, "const"))
            snprintf(p->constant, sizeof p->constant, "%s", word[at]);
    }
}

static void
write_lines(krsi_string *s, const parts *p, const char *lines, int number)
{
    const char *end;
    double constant = 0;
    char text[KRSI_NUMBER_TEXT];
    krsi_parse_double(p->constant, &end, &constant);
    for (const char *at = lines; *at; at++) {
        if (*at != '$') {
            krsi_string_add_bytes(s, at, 1);
            continue;
        }
        switch (*++at) {
        case 'd': krsi_string_add(s, p->result); break;
        case 't': krsi_string_add(s, p->type); break;
        case 'l': krsi_string_add(s, p->lanes); break;
        case 'm': krsi_string_add(s, p->mask); break;
        case 'n': krsi_string_format(s, "%d", number); break;
        case 'c':
            krsi_string_add(s,
                            krsi_print_float(text, (float)(constant * 1.001)));
            break;
        default: krsi_string_add(s, p->in[*at - '1']);
        }
    }
}

/* NULL: it stays as it is */
static krs_kernel *
mutate_kernel(const mutation *m, const krs_kernel *kernel)
{
    krs_kernel *made = NULL;
    char *text = m->op ? krs_kernel_print(kernel) : NULL;
    krsi_string s = {0};
    int number = 0;
    if (!text || !strstr(text, m->needs)) {
        free(text);
        return NULL;
    }
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        parts p;
        take_apart(line, length, &p);
        if (!strcmp(p.op, m->op) && !strncmp(p.type, m->type, strlen(m->type)))
            write_lines(&s, &p, m->lines, number++);
        else
            krsi_string_format(&s, "%.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    krs_error err;
    if (number && krs_kernel_parse(s.text, &made, &err) != KRS_OK) {
        fprintf(stderr, "%s: %s\n%s\n", m->name, err.text, s.text);
        abort(); /* a row that makes no kernel is a mistake in the table */
    }
    free(text);
    krsi_string_free(&s);
    return made;
}

/* ---- the seam ---- */

static krs_status
open_mutant(const krs_backend_options *options, krs_backend_device **out,
            krs_error *err)
{
    krs_backend_options plain = *options;
    const char *name = options->cpu ? options->cpu : getenv("MUTANT");
    size_t i = 0, count = sizeof mutations / sizeof *mutations;
    name = name ? name : "none";
    while (i < count && strcmp(mutations[i].name, name) != 0)
        i++;
    if (i == count)
        return krs_fail(err, KRS_E_UNSUPPORTED, "mutant: no fault '%s'", name);
    krs_backend_device *device = calloc(1, sizeof *device);
    if (!device)
        return krs_fail(err, KRS_E_MEMORY, "mutant: out of memory");
    device->m = &mutations[i];
    plain.cpu = NULL;
    *out = device;
    krs_status status = base->open(&plain, &device->inner, err);
    if (status != KRS_OK)
        free(device);
    return status;
}

static void
close_mutant(krs_backend_device *device)
{
    if (device)
        base->close(device->inner);
    free(device);
}

static const krs_backend_limits *
limits(const krs_backend_device *device)
{
    return base->limits(device->inner);
}

static krs_status
alloc(krs_backend_device *device, size_t bytes, krs_backend_memory **out,
      krs_error *err)
{
    KRS_TRY(base->alloc(device->inner, bytes, out, err));
    memset((*out)->data, 0x11, bytes);
    return KRS_OK;
}

static void
free_memory(krs_backend_device *device, krs_backend_memory *memory)
{
    base->free(device->inner, memory);
}

static krs_status
wrap(krs_backend_device *device, void *data, size_t bytes,
     krs_backend_memory **out, krs_error *err)
{
    return base->wrap(device->inner, data, bytes, out, err);
}

static krs_status
write_memory(krs_backend_device *device, krs_backend_memory *memory,
             size_t offset, const void *data, size_t bytes, krs_error *err)
{
    return base->write(device->inner, memory, offset, data, bytes, err);
}

static krs_status
read_memory(krs_backend_device *device, const krs_backend_memory *memory,
            size_t offset, void *data, size_t bytes, krs_error *err)
{
    return base->read(device->inner, memory, offset, data, bytes, err);
}

static krs_status
build(krs_backend_device *device, const krs_kernel *const *kernels,
      size_t count, krs_backend_blob *blobs, krs_error *err)
{
    return base->build(device->inner, kernels, count, blobs, err);
}

/* The blob is of the kernel that was given; the one that runs may be another. */
static krs_status
load(krs_backend_device *device, const krs_kernel *kernel,
     const krs_backend_blob *blob, krs_backend_code **out, krs_error *err)
{
    krs_backend_code *code = calloc(1, sizeof *code);
    krs_backend_blob own = {NULL, 0};
    if (!code)
        return krs_fail(err, KRS_E_MEMORY, "mutant: out of memory");
    code->mutated = mutate_kernel(device->m, kernel);
    code->kernel = code->mutated ? code->mutated : kernel;
    krs_status status = KRS_OK;
    if (code->mutated)
        status = base->build(device->inner, &code->kernel, 1, &own, err);
    if (status == KRS_OK)
        status = base->load(device->inner, code->kernel,
                            code->mutated ? &own : blob, &code->inner, err);
    free(own.data);
    *out = code;
    return status;
}

static void
drop(krs_backend_device *device, krs_backend_code *code)
{
    if (!code)
        return;
    base->drop(device->inner, code->inner);
    krs_kernel_free(code->mutated);
    free(code);
}

static void
mutate_results(const mutation *m, const krs_kernel *kernel,
               const krs_backend_launch *launch)
{
    for (uint32_t i = 0; m->mutate && i < kernel->param_count; i++) {
        const krs_backend_binding *b = &launch->bindings[i];
        written w = {(krs_dtype)kernel->buffers[i].dtype,
                     (char *)b->memory->data + b->offset_bytes, 0, 1};
        krs_dtype_bytes(w.dtype, 1, &w.bytes);
        w.count = b->bytes / w.bytes;
        if (kernel->buffers[i].access & KRS_K_WRITE && w.count > 0)
            m->mutate(&w);
    }
}

/* One launch after the other, each as a submission of its own. */
static krs_status
run_launch(krs_backend_device *device, const krs_backend_launch *given,
           krs_error *err)
{
    const krs_backend_code *code = given->code;
    const krs_kernel *kernel = code->kernel;
    krs_kargument args[64];
    krs_backend_binding bindings[64];
    krs_backend_launch launch = *given;
    if (kernel->arg_count > 64 || kernel->param_count > 64)
        return krs_fail(err, KRS_E_UNSUPPORTED, "mutant: too large a kernel");
    memcpy(args, given->args, kernel->arg_count * sizeof *args);
    memcpy(bindings, given->bindings, kernel->param_count * sizeof *bindings);
    launch.code = code->inner;
    launch.args = args;
    launch.bindings = bindings;
    altered a = {&launch, kernel, args, bindings, !device->has_run};
    device->has_run = true;
    if (device->m->alter && !device->m->alter(&a))
        return KRS_OK;
    size_t end = 1;
    krs_backend_work one = {.struct_size = sizeof one,
                            .launches = &launch,
                            .launch_count = 1,
                            .wave_ends = &end,
                            .wave_count = 1};
    KRS_TRY(base->submit(device->inner, &one, err));
    KRS_TRY(base->wait(device->inner, err));
    mutate_results(device->m, kernel, &launch);
    return KRS_OK;
}

static krs_status
submit(krs_backend_device *device, const krs_backend_work *work, krs_error *err)
{
    bool backwards = device->m->alter == break_run_backwards;
    for (size_t i = 0; i < work->launch_count; i++)
        KRS_TRY(run_launch(
            device, &work->launches[backwards ? work->launch_count - 1 - i : i],
            err));
    return KRS_OK;
}

static krs_status
wait_work(krs_backend_device *device, krs_error *err)
{
    return base->wait(device->inner, err);
}

static krs_status
listing(krs_backend_device *device, const krs_kernel *kernel, const char *stage,
        char **out_text, krs_error *err)
{
    return base->listing(device->inner, kernel, stage, out_text, err);
}

static uint32_t
count_devices(krs_error *err)
{
    (void)err;
    return 1;
}

const krs_backend *
krs_backend_entry(void)
{
    static const krs_backend table = {.abi = krs_backend_abi,
                                      .name = "mutant",
                                      .count = count_devices,
                                      .open = open_mutant,
                                      .close = close_mutant,
                                      .limits = limits,
                                      .alloc = alloc,
                                      .free = free_memory,
                                      .wrap = wrap,
                                      .write = write_memory,
                                      .read = read_memory,
                                      .build = build,
                                      .load = load,
                                      .drop = drop,
                                      .submit = submit,
                                      .wait = wait_work,
                                      .listing = listing};
    return &table;
}
