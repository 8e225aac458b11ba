/* inspect.c -- kersey inspect: what a weights file or model folder holds.
 *
 * Out: what krs_weights_describe (weights.h) says, line by line: settings,
 * tokenizer, names, types, shapes, bytes, totals; with --stats the range, mean
 * and non-finite values; with --tensor of one alone, and with --npy that one
 * as an array of NumPy. With --diff, what is not the same in another model:
 * EXIT_SHORT if anything is.
 */
#include "command.h"

#include <krs/weights.h>

static bool
print_line(void *user, const char *line)
{
    (void)user;
    return puts(line) >= 0;
}

static krs_status
describe(const struct flags *f, const krs_weights *weights, krs_error *err)
{
    krs_describe_options options = {
        .struct_size = sizeof options,
        .format = f->json ? KRS_DESCRIBE_JSON : KRS_DESCRIBE_TEXT,
        .stats = f->stats,
        .tensor = f->tensor,
    };
    return krs_weights_describe(weights, &options, print_line, NULL, err);
}

static krs_status
write_array(const struct flags *f, const krs_weights *weights, krs_error *err)
{
    krs_convert_options options = {.struct_size = sizeof options,
                                   .format = KRS_WEIGHTS_NPY,
                                   .tensor = f->tensor};
    return krs_weights_convert(weights, f->npy, &options, err);
}

static krs_status
compare(const struct flags *f, const krs_weights *weights, krs_error *err)
{
    krs_weights *other;
    size_t differing;
    KRS_TRY(krs_weights_open(f->diff, &other, err));
    krs_status status =
        krs_weights_diff(weights, other, print_line, NULL, &differing, err);
    krs_weights_close(other);
    KRS_TRY(status);
    if (differing == 0) {
        puts("the same");
        return KRS_OK;
    }
    return krs_fail(err, KRS_E_CHECK, "%zu tensor%s differ%s", differing,
                    differing == 1 ? "" : "s", differing == 1 ? "s" : "");
}

int
command_inspect(const struct command_line *line)
{
    const struct flags *f = &line->flags;
    krs_weights *weights;
    krs_error err;
    if (f->npy && !f->tensor)
        return complain_usage("--npy writes one tensor: --tensor NAME");
    if (f->diff && (f->tensor || f->stats || f->json))
        return complain_usage("--diff stands alone");
    if (krs_weights_open(line->operands[0], &weights, &err) != KRS_OK)
        return complain(&err);
    krs_status status = f->diff  ? compare(f, weights, &err)
                        : f->npy ? write_array(f, weights, &err)
                                 : describe(f, weights, &err);
    krs_weights_close(weights);
    /* a stdout that takes nothing more is reported by main */
    if (status == KRS_E_CANCELLED)
        return EXIT_OK;
    return status == KRS_OK ? EXIT_OK : complain(&err);
}
