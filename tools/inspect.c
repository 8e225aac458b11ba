/* inspect.c -- kersey inspect: the tensors of a weights file or model folder.
 *
 * Out: what krs_weights_describe (weights.h) says, line by line: names, types,
 * shapes, bytes, totals; with --stats the range, mean and non-finite values.
 */
#include "command.h"

#include <krs/weights.h>

static bool
print_line(void *user, const char *line)
{
    (void)user;
    return puts(line) >= 0;
}

int
command_inspect(const struct command_line *line)
{
    krs_describe_options options = {
        .struct_size = sizeof options,
        .format = line->flags.json ? KRS_DESCRIBE_JSON : KRS_DESCRIBE_TEXT,
        .stats = line->flags.stats,
    };
    krs_weights *weights;
    krs_error err;
    if (krs_weights_open(line->operands[0], &weights, &err) != KRS_OK)
        return complain(&err);
    krs_status status =
        krs_weights_describe(weights, &options, print_line, NULL, &err);
    krs_weights_close(weights);
    /* a stdout that takes nothing more is reported by main */
    if (status == KRS_E_CANCELLED)
        return EXIT_OK;
    return status == KRS_OK ? EXIT_OK : complain(&err);
}
