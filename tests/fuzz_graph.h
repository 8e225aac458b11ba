/* fuzz_graph.h -- random valid graphs, and the judge of what runs them.
 *
 * A case is a graph made from a seed through the public builders, with
 * outputs and two settings of its runtime integers. The data of its inputs
 * and states is a function of seed and name, so the text of a graph and the
 * seed say everything.
 *
 * The judge needs no tolerance for a whole graph. It runs a case on a device
 * with every primitive as an output, then lets the f64 interpreter compute
 * each primitive alone from the operands that the device had. So comparisons,
 * roundings, indices and all other decisions must be the same, and a float
 * may differ by what one operation is allowed (backends/check/alone.h).
 * What a program with other outputs, another number of runs, a graph read
 * back from its text, one that is not optimised or another device gives must be
 * the same bits.
 */
#ifndef TESTS_FUZZ_GRAPH_H
#define TESTS_FUZZ_GRAPH_H

#include "graph/opt/rewrite.h"

#include <krs/program.h>

enum { FUZZ_OUTPUTS = 12, FUZZ_SETTINGS = 2, FUZZ_VARS = 16 };

/* Data of an input that stands for a node which was shrunk away. */
typedef struct fuzz_fixed {
    char name[16];
    void *data;
    size_t bytes;
} fuzz_fixed;

typedef struct fuzz_case {
    uint64_t seed;
    krs_graph *graph;
    krs_node output[FUZZ_OUTPUTS];
    size_t outputs;
    fuzz_fixed *fixed;
    size_t fixed_count;
} fuzz_case;

/* What happened so far, over all cases. */
typedef struct fuzz_counts {
    size_t cases, with_gradient, with_updates, refused_runs, on_cpu;
    size_t op[KRSI_OP_COUNT]; /* nodes that outputs need */
    size_t unsupported;       /* addresses of more than 3 runtime integers */
    size_t asked, refused;    /* uses that builders were asked for */
    size_t values, exact;     /* elements judged; without any tolerance */
    krsi_rewrites rewrites;   /* rules that were applied */
} fuzz_counts;

/* Ways to open a device, any two settings of two factors together in one of
 * them: last pass (all, or graphs as they are defined), fusion, threads, memory,
 * effort. The bits are to be the same. */
enum { FUZZ_WAYS = 9 };

typedef struct fuzz_way {
    const char *stage;
    bool unfused;
    uint32_t threads;
    krs_memory_use memory;
    const char *effort;
    int share; /* of the graphs on cpu: less where compiling takes longer */
} fuzz_way;

extern const fuzz_way fuzz_ways[FUZZ_WAYS];

/* What runs a case: eval, interp as it is, and of interp and cpu the way whose
 * turn it is. cpu may be absent: NULL. Or eval and `only`, another backend. */
typedef struct fuzz_devices {
    krs_device *eval, *interp, *interp_way[FUZZ_WAYS], *cpu_way[FUZZ_WAYS];
    krs_device *only;
    int way;
    bool on_cpu; /* wanted for this case */
} fuzz_devices;

/* ---- fuzz_graph.c ---- */

/* At most `most` uses of builders, before gradients and updates; 0: as the seed
 * has it. Free with fuzz_free. */
void fuzz_build(uint64_t seed, int most, fuzz_case *out, fuzz_counts *counts);
void fuzz_free(fuzz_case *c);
/* value of a runtime integer in a setting, within its bounds */
int64_t fuzz_var(const fuzz_case *c, int setting, const char *name, int64_t low,
                 int64_t high);
/* data of a leaf: count elements of dtype */
void fuzz_data(const fuzz_case *c, const char *name, krs_dtype dtype,
               int64_t count, void *out);
/* splitmix64 (Steele 2014) */
uint64_t fuzz_mix(uint64_t a, uint64_t b);

/* ---- fuzz_judge.c ---- */

/* A device that takes the place of interp and cpu. */
typedef struct fuzz_only {
    const char *backend, *cpu; /* cpu: option of that name, or NULL */
    bool unfused;
} fuzz_only;

/* Open all devices; false, said on standard output, without eval or interp.
 * cache: folder of compiled code, or NULL; modules: folder of modules; only:
 * NULL, or what is judged in place of interp and cpu. */
bool fuzz_open(const char *cache, const char *modules, const fuzz_only *only,
               fuzz_devices *out);
void fuzz_close(fuzz_devices *d);
/* The way of the n-th graph: on cpu by shares, elsewhere in turn. */
int fuzz_way_of(bool on_cpu, uint64_t n);
/* NULL, or what is wrong, to be freed. */
char *fuzz_judge(const fuzz_case *c, const fuzz_devices *d,
                 fuzz_counts *counts);
/* What a device gives for node x in the last setting, to be freed; false if it
 * does not run. */
bool fuzz_value(const fuzz_case *c, krs_device *device, krs_node x, void **out,
                size_t *out_bytes);

/* ---- fuzz_opt.c ---- */

/* The same for the optimiser on its own, in f64; counts the rules. */
char *fuzz_judge_rewrites(const fuzz_case *c, krsi_rewrites *counts);

/* ---- fuzz_shrink.c ---- */

/* Make a failing case smaller as long as it fails: outputs are dropped, nodes
 * become inputs. Gives what is wrong with the smallest. */
char *fuzz_shrink(fuzz_case *c, const fuzz_devices *d, char *wrong);

#endif
