/* code_load.c -- blobs to code, several at once.
 *
 * In: parts with a blob. Out: their code, or why there is none, in each part.
 * A driver may take milliseconds for each (it parses the module again), so
 * where the device says that it gains, threads take the next part from a
 * counter, this one among them; where none can be made, this one does all.
 */
#include "code_load.h"

#include <pthread.h>

enum { MOST = 8 };

typedef struct loading {
    const krs_backend *backend;
    krs_backend_device *device;
    krsi_code_part *parts;
    size_t count;
    size_t next; /* atomic */
} loading;

static bool
is_wanted(const krsi_code_part *p)
{
    return p->blob.data && !p->code;
}

static void *
load(void *context)
{
    loading *l = context;
    for (;;) {
        size_t i = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
        if (i >= l->count)
            return NULL;
        krsi_code_part *p = &l->parts[i];
        if (is_wanted(p))
            p->status = l->backend->load(l->device, p->kernel, &p->blob,
                                         &p->code, &p->reason);
    }
}

void
krsi_code_load(const krs_backend *backend, krs_backend_device *device,
               krsi_code_part *parts, size_t count)
{
    loading l = {backend, device, parts, count, 0};
    pthread_t threads[MOST];
    size_t wanted = 0, most = backend->limits(device)->loaders, running = 0;
    for (size_t i = 0; i < count; i++)
        wanted += is_wanted(&parts[i]);
    most = most < wanted ? most : wanted;
    most = most < MOST ? most : MOST;
    while (running + 1 < most &&
           pthread_create(&threads[running], NULL, load, &l) == 0)
        running++;
    load(&l);
    while (running > 0)
        pthread_join(threads[--running], NULL);
}
