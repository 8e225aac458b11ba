/* verify.c -- kersey verify: model folders against their golden results.
 *
 * In: folders with config.json, weights and golden data. Out, on stdout: for
 * each folder a line a kind of tensor with the one nearest to (or farthest
 * over) its tolerance, a line for every tensor that falls short, and the
 * count. EXIT_SHORT if one does.
 */
#include "command.h"

#include <krs/verify.h>

#include <stdlib.h>
#include <string.h>

#define KINDS 8

/* What is printed of the checks of one kind. */
struct kind {
    char name[16], worst_name[160];
    size_t passed, failed;
    double ratio, got, want; /* of the worst element */
};

struct summary {
    struct kind kinds[KINDS];
    size_t count;
};

static struct kind *
find_kind(struct summary *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->kinds[i].name, name) == 0)
            return &s->kinds[i];
    if (s->count == KINDS)
        return &s->kinds[KINDS - 1];
    struct kind *k = &s->kinds[s->count++];
    snprintf(k->name, sizeof k->name, "%s", name);
    k->ratio = -1.0;
    return k;
}

static void
take_check(void *user, const krs_verify_check *check)
{
    struct kind *k = find_kind(user, check->kind);
    if (check->reason == NULL) {
        k->passed++;
    } else {
        k->failed++;
        printf("  %s: %s\n", check->name, check->reason);
    }
    if (check->comparison.worst >= 0 && check->comparison.ratio > k->ratio) {
        k->ratio = check->comparison.ratio;
        k->got = check->comparison.got;
        k->want = check->comparison.want;
        snprintf(k->worst_name, sizeof k->worst_name, "%s", check->name);
    }
}

static void
print_summary(const struct summary *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct kind *k = &s->kinds[i];
        printf("  %-7s %3zu passed, %zu failed", k->name, k->passed, k->failed);
        if (k->ratio > 0.0)
            printf("; worst %.3f of its tolerance: %s, %.9g for %.9g", k->ratio,
                   k->worst_name, k->got, k->want);
        else if (k->ratio == 0.0)
            printf("; exact");
        printf("\n");
    }
}

int
command_verify(const struct command_line *line)
{
    krs_device *device;
    size_t passed = 0, failed = 0;
    int code = open_device(line, &device);
    if (code != EXIT_OK)
        return code;
    for (int i = 0; i < line->operand_count && code == EXIT_OK; i++) {
        struct summary summary = {.count = 0};
        size_t good, bad;
        krs_error err;
        printf("%s\n", line->operands[i]);
        krs_status status = krs_verify_folder(
            line->operands[i], device, take_check, &summary, &good, &bad, &err);
        print_summary(&summary);
        passed += good;
        failed += bad;
        if (status != KRS_OK)
            code = complain(&err);
    }
    krs_device_close(device);
    printf("%zu passed, %zu failed\n", passed, failed);
    if (code == EXIT_OK && failed > 0)
        code = EXIT_SHORT;
    return code;
}
