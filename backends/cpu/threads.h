/* threads.h -- one team of threads that do the same task together.
 *
 *     krsi_team *team = krsi_team_new(4);
 *     krsi_team_run(team, task, context);    // task(context, worker) on each
 *
 * The caller is worker 0. Within a task krsi_team_barrier lets no worker pass
 * before all have arrived; what was written before it is seen after it.
 */
#ifndef KRSI_THREADS_H
#define KRSI_THREADS_H

#include <stdint.h>

typedef struct krsi_team krsi_team;
typedef void krsi_team_task(void *context, uint32_t worker);

/* A team of at most `workers` (at least 1), fewer if threads cannot be had;
 * NULL when memory is out. */
krsi_team *krsi_team_new(uint32_t workers);
void krsi_team_free(krsi_team *team);
uint32_t krsi_team_workers(const krsi_team *team);
/* Until every worker has returned from task. Callers of several threads take
 * turns. A task must not run the team again. */
void krsi_team_run(krsi_team *team, krsi_team_task *task, void *context);
void krsi_team_barrier(krsi_team *team);

#endif
