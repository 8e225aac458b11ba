/* fuzz_parse.c -- libFuzzer target for the text form of graphs.
 *
 *     CC=clang cmake -B build-fuzz -DKERSEY_FUZZ=ON -DKERSEY_SANITIZE=ON
 *     cmake --build build-fuzz --target fuzz_parse
 *     build-fuzz/tests/fuzz_parse -max_total_time=600 tests/graphs
 *
 * Whatever is read must be sound, and print to a text that reads back to the
 * same text; what is differentiated must be sound too. A trap is a finding.
 */
#include "graph/ir/ir.h"

#include <stdlib.h>
#include <string.h>

enum { OUTPUTS = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void
require(bool holds)
{
    if (!holds)
        __builtin_trap();
}

/* the sum of the first output by every float leaf */
static void
differentiate(krs_graph *g, krs_node y)
{
    krs_node wrt[OUTPUTS], out[OUTPUTS];
    size_t count = 0;
    for (uint32_t id = 1; id <= krs_graph_size(g) && count < OUTPUTS; id++) {
        krs_node x = krs_graph_node(g, id);
        if (*krs_node_name(x) && krs_dtype_is_float(krs_node_dtype(x)))
            wrt[count++] = x;
    }
    krs_grad(y, wrt, count, out);
    require(krsi_verify(g, NULL) == KRS_OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 1), *once, *twice;
    krs_node out[OUTPUTS];
    krs_graph *g, *back;
    size_t count;
    memcpy(text, data, bytes);
    text[bytes] = 0;
    krs_status status = krs_graph_parse(text, &g, out, OUTPUTS, &count, NULL);
    free(text);
    if (status != KRS_OK)
        return 0;
    require(krsi_verify(g, NULL) == KRS_OK);
    require(krs_graph_print(g, NULL, 0, NULL, &once, NULL) == KRS_OK);
    require(krs_graph_parse(once, &back, NULL, 0, NULL, NULL) == KRS_OK);
    require(krs_graph_print(back, NULL, 0, NULL, &twice, NULL) == KRS_OK);
    require(strcmp(once, twice) == 0);
    if (count > 0)
        differentiate(g, out[0]);
    free(once);
    free(twice);
    krs_graph_free(back);
    krs_graph_free(g);
    return 0;
}
