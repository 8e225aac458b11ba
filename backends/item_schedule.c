/* item_schedule.c -- schedules of other devices than the one that is there.
 *
 * In: option `cpu` of a backend, and the limits of a device. Out: limits from
 * which the schedules of another kind of device are chosen, so that these can
 * be read, run and compared on any machine. Code and bits stay right, as every
 * schedule is for every device: only speed depends on the choice. The target
 * names it, so that no code is taken for that of another choice.
 */
#include "item_schedule.h"

#include <krs/status.h>

#include <stdio.h>
#include <string.h>

static const char *const names[] = {[KRSI_ITEMS_NATIVE] = "native",
                                    [KRSI_ITEMS_LANES] = "lanes",
                                    [KRSI_ITEMS_GROUPS] = "groups"};

krs_status
krsi_item_schedule_of(const char *who, const char *why,
                      const krs_backend_options *options,
                      krsi_item_schedule *out, krs_error *err)
{
    *out = KRSI_ITEMS_NATIVE;
    if (!options || !options->cpu)
        return KRS_OK;
    for (int i = KRSI_ITEMS_NATIVE; i <= KRSI_ITEMS_GROUPS; i++)
        if (strcmp(options->cpu, names[i]) == 0) {
            *out = (krsi_item_schedule)i;
            return KRS_OK;
        }
    return krs_fail(err, KRS_E_UNSUPPORTED,
                    "%s: no processor level '%s': %s; 'lanes' and 'groups' "
                    "take the schedules of devices whose items work alone, or "
                    "share memory",
                    who, options->cpu, why);
}

void
krsi_item_schedule_set(krsi_item_schedule schedule, krs_backend_limits *limits)
{
    enum { LANES = 4 };
    if (schedule == KRSI_ITEMS_NATIVE)
        return;
    limits->is_processor = false;
    limits->vector_lanes = LANES;
    limits->has_groups = schedule == KRSI_ITEMS_GROUPS;
    size_t length = strlen(limits->target);
    snprintf(limits->target + length, sizeof limits->target - length, " %s",
             names[schedule]);
}
