/* progress.h -- how a training, and a compilation, talk while they run. */
#ifndef KERSEY_PROGRESS_H
#define KERSEY_PROGRESS_H

#include <krs/train.h>

/* What the reports of a run are printed by. */
struct progress {
    int64_t steps; /* the last one */
    int64_t every; /* steps between plain lines */
    bool live;     /* stderr is a terminal: one line, written over */
    bool json;     /* every report as JSON on stdout */
};

/* progress_start(steps, json) -- looks at stderr, TERM and the steps. */
struct progress progress_start(int64_t steps, bool json);

/* progress_report(progress, report) -- as krs_train_run.report. */
void progress_report(void *progress, const krs_train_report *report);

/* progress_end(progress) -- leave the live line. */
void progress_end(const struct progress *progress);

/* progress_compiling -- as krs_device_options.compiling, on a terminal: a live
 * line, gone when all is compiled. For one program at a time. */
bool progress_compiling(void *context, size_t done, size_t total);

#endif
