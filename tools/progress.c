/* progress.c -- the reports of a training, for people and for programs; and
 * that of compiling, for people at a terminal, where it takes long enough to
 * be read.
 *
 * People, on stderr: on a terminal one live line with the remaining time, and
 * a line that stays after each evaluation; elsewhere about forty plain lines
 * a run. Programs, with --json: one strict JSON object a line on stdout, with
 * the fields of metrics.jsonl; a number that is not finite is null.
 */
#include "progress.h"
#include "command.h"

#include <math.h>
#include <time.h>

#define LINES_A_RUN 40
#define SHORT_S     0.3 /* nobody wants to read of what takes no longer */

struct progress
progress_start(int64_t steps, bool json)
{
    return (struct progress){.steps = steps,
                             .every =
                                 steps > LINES_A_RUN ? steps / LINES_A_RUN : 1,
                             .live = talk_is_live(),
                             .json = json};
}

static void
print_member(const char *name, double value)
{
    if (isfinite(value))
        printf(",\"%s\":%.9g", name, value);
    else
        printf(",\"%s\":null", name);
}

static void
print_json(const krs_train_report *r)
{
    printf("{\"step\":%lld", (long long)r->step);
    print_member("loss", r->loss);
    print_member("grad_norm", r->grad_norm);
    print_member("lr", r->learning_rate);
    printf(",\"tokens\":%lld", (long long)r->tokens);
    print_member("tok_s", r->tokens_s);
    print_member("seconds", r->seconds);
    if (r->evaluated) {
        print_member("val_loss", r->validation_loss);
        print_member("val_bits_per_byte", r->bits_per_byte);
    }
    printf("}\n");
    fflush(stdout);
}

/* "1:02:03", "2:03" */
static void
print_duration(double seconds)
{
    long long s = isfinite(seconds) && seconds < 1e9 ? llround(seconds) : 0;
    if (s >= 3600)
        fprintf(stderr, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else
        fprintf(stderr, "%lld:%02lld", s / 60, s % 60);
}

static void
print_line(const struct progress *p, const krs_train_report *r)
{
    fprintf(stderr,
            "step %lld/%lld  loss %.4f  grad norm %.3f  lr %.2e  %.0f tok/s  "
            "ETA ",
            (long long)r->step, (long long)p->steps, r->loss, r->grad_norm,
            r->learning_rate, r->tokens_s);
    print_duration(r->eta_s);
    if (!r->evaluated)
        return;
    fprintf(stderr, "\n%sstep %lld/%lld  validation loss %.4f",
            p->live ? "\r\033[K" : "", (long long)r->step, (long long)p->steps,
            r->validation_loss);
    if (r->bits_per_byte > 0)
        fprintf(stderr, "  %.3f bits per byte", r->bits_per_byte);
}

void
progress_report(void *progress, const krs_train_report *r)
{
    const struct progress *p = progress;
    if (p->json)
        print_json(r);
    if (p->live) {
        /* without wrapping at the right edge, which \r could not undo */
        fprintf(stderr, "\r\033[K\033[?7l");
        print_line(p, r);
        fprintf(stderr, "\033[?7h");
        if (r->evaluated || r->step == p->steps)
            fputc('\n', stderr);
    } else if (r->step == 1 || r->step == p->steps || r->evaluated ||
               r->step % p->every == 0) {
        print_line(p, r);
        fputc('\n', stderr);
    }
    fflush(stderr);
}

void
progress_end(const struct progress *p)
{
    if (p->live)
        fprintf(stderr, "\r\033[K");
}

static double
seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

bool
progress_compiling(void *context, size_t done, size_t total)
{
    static double began;
    (void)context;
    if (done == 0)
        began = seconds_now();
    if (done == total)
        talk_over();
    else if (seconds_now() - began > SHORT_S)
        talk_live("compiling: %zu of %zu kernels", done, total);
    return true;
}
