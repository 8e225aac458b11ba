/* conform.c -- kersey conform: the golden cases of operations on a backend.
 *
 * In: a folder with cases.json and tensors.safetensors, and second_order.json
 * with second_order.safetensors where it has them. Out: a line for each case
 * that failed or was skipped, and the counts in the last line. With --json
 * one object: {"backend", "passed", "failed", "skipped", "cases": [{"name",
 * "op", "verdict", "text"}]}.
 */
#include "conform.h"

#include <string.h>
#include <unistd.h>

static const char *const verdict_names[] = {
    [CASE_PASSED] = "passed",
    [CASE_FAILED] = "failed",
    [CASE_SKIPPED] = "skipped",
};

struct tally {
    int count[3]; /* by verdict */
    json_t *rows; /* of --json, else NULL */
};

static const char *
field(json_t *description, const char *key)
{
    const char *text = json_string_value(json_object_get(description, key));
    return text ? text : "";
}

/* what --only may name beside the case itself */
static const char *
op_of(json_t *description)
{
    return json_object_get(description, "function") ? "second_order"
                                                    : field(description, "op");
}

static void
report(struct tally *tally, json_t *description, enum case_verdict verdict,
       const char *text)
{
    const char *name = field(description, "name"), *op = op_of(description);
    tally->count[verdict]++;
    if (tally->rows)
        json_array_append_new(tally->rows,
                              json_pack("{s:s, s:s, s:s, s:s}", "name", name,
                                        "op", op, "verdict",
                                        verdict_names[verdict], "text", text));
    else if (verdict != CASE_PASSED)
        printf("%s %s (%s): %s\n", verdict_names[verdict], name, op, text);
}

/* All cases of one file that --only lets through. */
static krs_status
run_file(const char *folder, const char *stem, const char *tensor_stem,
         const char *only, krs_device *device, struct tally *tally,
         krs_error *err)
{
    char path[4096], text[KRS_ERROR_TEXT];
    json_error_t problem;
    snprintf(path, sizeof path, "%s/%s.json", folder, stem);
    json_t *cases = json_load_file(path, JSON_REJECT_DUPLICATES, &problem),
           *description;
    if (!cases && problem.line < 0)
        return krs_fail(err, KRS_E_IO, "%s", problem.text);
    if (!cases)
        return krs_fail(err, KRS_E_FORMAT, "%s: line %d: %s", path,
                        problem.line, problem.text);
    if (!json_is_array(cases)) {
        json_decref(cases);
        return krs_fail(err, KRS_E_FORMAT, "%s: expected a list of cases",
                        path);
    }
    krs_weights *tensors = NULL;
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, tensor_stem);
    krs_status status = krs_weights_open(path, &tensors, err);
    for (size_t i = 0; status == KRS_OK && i < json_array_size(cases); i++) {
        description = json_array_get(cases, i);
        if (only && strcmp(only, field(description, "name")) != 0 &&
            strcmp(only, op_of(description)) != 0)
            continue;
        enum case_verdict verdict =
            conform_run_case(device, tensors, description, text);
        report(tally, description, verdict, text);
    }
    krs_weights_close(tensors);
    json_decref(cases);
    return status;
}

static int
print_tally(const krs_device *device, struct tally *tally)
{
    int passed = tally->count[CASE_PASSED], failed = tally->count[CASE_FAILED],
        skipped = tally->count[CASE_SKIPPED];
    if (tally->rows) {
        json_t *all =
            json_pack("{s:s, s:i, s:i, s:i, s:O}", "backend",
                      krs_device_name(device), "passed", passed, "failed",
                      failed, "skipped", skipped, "cases", tally->rows);
        int written = all ? json_dumpf(all, stdout, JSON_COMPACT) : -1;
        json_decref(all);
        if (written != 0) {
            krs_error err;
            krs_fail(&err, KRS_E_IO, "cannot write the result as JSON");
            return complain(&err);
        }
        printf("\n");
    } else {
        printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    }
    return failed ? EXIT_SHORT : EXIT_OK;
}

int
command_conform(const struct command_line *line)
{
    const char *folder = line->flags.cases, *only = line->flags.only;
    char path[4096];
    krs_device *device;
    krs_error err;
    if (!folder)
        return complain_usage("--cases DIR is missing");
    int code = open_device(line, &device);
    if (code != EXIT_OK)
        return code;
    struct tally tally = {.rows = line->flags.json ? json_array() : NULL};
    krs_status status =
        run_file(folder, "cases", "tensors", only, device, &tally, &err);
    snprintf(path, sizeof path, "%s/second_order.json", folder);
    if (status == KRS_OK && access(path, F_OK) == 0)
        status = run_file(folder, "second_order", "second_order", only, device,
                          &tally, &err);
    if (status != KRS_OK)
        code = complain(&err);
    else if (tally.count[0] + tally.count[1] + tally.count[2] == 0)
        code = complain_usage("--only %s: no case and no operation of that "
                              "name in %s",
                              only ? only : "", folder);
    else
        code = print_tally(device, &tally);
    json_decref(tally.rows);
    krs_device_close(device);
    return code;
}
