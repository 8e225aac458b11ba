/* schedule.c -- the learning rate as graph code.
 *
 * In: the i64 step counter and a krs_schedule. Out: an f32 scalar factor.
 *
 * Every schedule is a product of three readings of the step: the rise of the
 * warm-up, the falling ratio r = (total - s) / (total - warmup) in [0, 1], and
 * a shape of r. The differences are taken in i64, so r has one rounding; the
 * half cosine is sin^2(pi r / 2), which keeps its digits near the end where
 * 1 + cos cancels. The invariant that the tests hold: the factor agrees with
 * the f64 formula to 1e-6 at every step, past the end included.
 *
 * Not here: the peak rate (optimizer.c multiplies it).
 */
#include <krs/ops.h>
#include <krs/train.h>

#include <math.h>
#include <string.h>

static const char *const schedule_names[] = {
#define NAME_OF(NAME, name) #name,
    KRS_SCHEDULE_LIST(NAME_OF)
#undef NAME_OF
};

const char *
krs_schedule_name(krs_schedule_kind kind)
{
    return (unsigned)kind < KRS_SCHEDULE_COUNT ? schedule_names[kind] : "?";
}

bool
krs_schedule_parse(const char *name, krs_schedule_kind *out)
{
    for (int i = 0; name && i < KRS_SCHEDULE_COUNT; i++)
        if (!strcmp(name, schedule_names[i])) {
            *out = (krs_schedule_kind)i;
            return true;
        }
    return false;
}

krs_schedule
krs_schedule_default(void)
{
    return (krs_schedule){.struct_size = sizeof(krs_schedule),
                          .kind = KRS_SCHEDULE_COSINE,
                          .warmup_offset = 1,
                          .min_ratio = 0.1,
                          .power = 1,
                          .model_size = 512};
}

/* Does the shape need an end? */
static bool
decays_to_an_end(krs_schedule_kind kind)
{
    return kind != KRS_SCHEDULE_CONSTANT && kind != KRS_SCHEDULE_NOAM &&
           kind != KRS_SCHEDULE_INVERSE_SQRT;
}

/* NULL, or what is wrong with the schedule */
static const char *
fault_of(const krs_schedule *s)
{
    if (s->struct_size != sizeof *s)
        return "struct_size is not the size of krs_schedule; start from "
               "krs_schedule_default()";
    if ((unsigned)s->kind >= KRS_SCHEDULE_COUNT)
        return "kind is not one of the list";
    if (s->warmup_steps < 0 || s->stable_steps < 0 || s->total_steps < 0)
        return "a number of steps is negative";
    if (s->warmup_offset != 0 && s->warmup_offset != 1)
        return "warmup_offset is neither 0 nor 1";
    if (!(s->min_ratio >= 0 && s->min_ratio <= 1))
        return "min_ratio is outside [0, 1]";
    if (!(s->power > 0 && s->power < 1e6))
        return "power is not positive";
    bool rises =
        s->kind == KRS_SCHEDULE_NOAM || s->kind == KRS_SCHEDULE_INVERSE_SQRT;
    if (rises && s->warmup_steps == 0)
        return "noam and inverse_sqrt need warmup_steps of at least 1";
    if (s->kind == KRS_SCHEDULE_NOAM && !(s->model_size > 0))
        return "noam needs a positive model_size";
    int64_t before_decay = 0;
    if (__builtin_add_overflow(s->warmup_steps, s->stable_steps, &before_decay))
        return "warmup_steps + stable_steps is too large";
    bool stays =
        s->kind == KRS_SCHEDULE_WSD || s->kind == KRS_SCHEDULE_WSD_COSINE;
    if (!stays)
        before_decay = s->warmup_steps;
    if (decays_to_an_end(s->kind) && s->total_steps <= before_decay)
        return "total_steps leaves no step for the decay; raise it or lower "
               "warmup_steps";
    return NULL;
}

static krs_node
i64_like(krs_place at, krs_node x, int64_t value)
{
    return krs_constant_at(at, x.graph, KRS_I64, KRS_SCALAR, &value);
}

/* (f32)(a - b) / divisor held in [0, 1], the difference taken in i64 */
static krs_node
ratio(krs_place at, krs_node a, krs_node b, int64_t divisor)
{
    krs_node difference = krs_cast_at(at, krs_sub_at(at, a, b), KRS_F32);
    krs_node whole = krs_like_at(at, difference, (double)divisor);
    return krs_clamp_at(at, krs_div_at(at, difference, whole), 0, 1);
}

/* low + (1 - low) * shape */
static krs_node
raised(krs_place at, krs_node shape, double low)
{
    return krs_offset_at(at, krs_scale_at(at, shape, 1 - low), low);
}

static krs_node
half_cosine(krs_place at, krs_node r)
{
    double quarter = acos(-1.0) / 2;
    return krs_square_at(at, krs_sin_at(at, krs_scale_at(at, r, quarter)));
}

/* The factor after the warm-up; step is an i64 scalar. */
static krs_node
after_warmup(krs_place at, krs_node step, const krs_schedule *s)
{
    int64_t start = s->warmup_steps;
    if (s->kind == KRS_SCHEDULE_WSD || s->kind == KRS_SCHEDULE_WSD_COSINE)
        start += s->stable_steps;
    krs_node r = KRS_NONE;
    if (decays_to_an_end(s->kind))
        r = ratio(at, i64_like(at, step, s->total_steps), step,
                  s->total_steps - start);
    switch (s->kind) {
    case KRS_SCHEDULE_LINEAR:
    case KRS_SCHEDULE_WSD: return raised(at, r, s->min_ratio);
    case KRS_SCHEDULE_COSINE:
    case KRS_SCHEDULE_WSD_COSINE:
        return raised(at, half_cosine(at, r), s->min_ratio);
    case KRS_SCHEDULE_POLYNOMIAL:
        return raised(at, krs_pow_scalar_at(at, r, s->power), s->min_ratio);
    case KRS_SCHEDULE_INVERSE_SQRT: {
        krs_node least = i64_like(at, step, 1);
        krs_node after =
            krs_cast_at(at, krs_maximum_at(at, step, least), KRS_F32);
        return krs_scale_at(at, krs_rsqrt_at(at, after),
                            sqrt((double)s->warmup_steps));
    }
    case KRS_SCHEDULE_NOAM: {
        krs_node one = i64_like(at, step, 1);
        krs_node next = krs_cast_at(at, krs_add_at(at, step, one), KRS_F32);
        double warmup = (double)s->warmup_steps;
        krs_node rising = krs_scale_at(at, next, pow(warmup, -1.5));
        krs_node falling = krs_rsqrt_at(at, next);
        return krs_scale_at(at, krs_minimum_at(at, rising, falling),
                            1 / sqrt(s->model_size));
    }
    case KRS_SCHEDULE_CONSTANT:
    case KRS_SCHEDULE_COUNT: break;
    }
    return krs_scalar_at(at, step.graph, KRS_F32, 1);
}

krs_node
krs_schedule_factor_at(krs_place at, krs_node step,
                       const krs_schedule *schedule)
{
    if (!krs_node_is_valid(step))
        return step;
    if (krs_node_dtype(step) != KRS_I64 || krs_node_shape(step).rank != 0)
        return krs_graph_fail(
            step.graph, at, KRS_E_DTYPE,
            "schedule_factor: the step is %s of rank %d, not an i64 scalar",
            krs_dtype_name(krs_node_dtype(step)), krs_node_shape(step).rank);
    const char *fault = fault_of(schedule);
    if (fault)
        return krs_graph_fail(
            step.graph, at, KRS_E_RANGE,
            "schedule_factor: %s: %s (warm-up %lld, stable %lld, total %lld "
            "steps)",
            krs_schedule_name(schedule->kind), fault,
            (long long)schedule->warmup_steps,
            (long long)schedule->stable_steps,
            (long long)schedule->total_steps);
    krs_node later = after_warmup(at, step, schedule);
    if (schedule->warmup_steps == 0 || schedule->kind == KRS_SCHEDULE_NOAM)
        return later;
    krs_node offset = i64_like(at, step, -schedule->warmup_offset);
    krs_node rise = ratio(at, step, offset, schedule->warmup_steps);
    krs_node end = i64_like(at, step, schedule->warmup_steps);
    return krs_where_at(at, krs_lt_at(at, step, end), rise, later);
}
