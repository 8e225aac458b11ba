/* inspect_compile.c -- what becomes of a softmax: the graph that was written,
 * the one that runs, which operations became one kernel and why, the kernel,
 * its launches, and on cpu the machine code.
 *
 *     inspect_compile [DEVICE]
 */
#include "try.h"
#include <string.h>

static void
show(const krs_program *p, const char *stage)
{
    char *text;
    if (krs_program_print(p, stage, &text, &err) != KRS_OK) {
        printf("== %s: %s\n", stage, err.text); /* not of this device */
        return;
    }
    size_t lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    printf("== %s, %zu lines\n%s", stage, lines, text);
    free(text);
}

int
main(int argc, char **argv)
{
    static const char *const stages[] = {"opt",    "fusion", "sched", "memory",
                                         "kernel", "launch", "asm"};
    krs_device *device;
    krs_store *store;
    krs_program *p;
    char *text;
    krs_graph *g = krs_graph_new();
    krs_node x = krs_input(g, "x", KRS_F32, KRS_SHAPE(4, 100));
    krs_node y = krs_softmax(x, -1);
    TRY(krs_graph_print(g, &y, 1, NULL, &text, &err));
    printf("== graph\n%s", text);
    free(text);

    TRY(krs_device_open(argc > 1 ? argv[1] : "cpu", &device, &err));
    TRY(krs_store_new(device, &store, &err));
    TRY(krs_program_new(store, &y, 1, &p, &err));
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        show(p, stages[i]);

    krs_memory_info memory = {.struct_size = sizeof memory};
    if (krs_program_memory(p, &memory, NULL) == KRS_OK)
        printf("== %llu bytes in all, %llu of them temporary\n",
               (unsigned long long)memory.total_bytes,
               (unsigned long long)memory.temporaries_bytes);
    krs_program_free(p), krs_store_free(store), krs_device_close(device);
    krs_graph_free(g);
}
