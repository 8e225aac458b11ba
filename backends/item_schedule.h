/* item_schedule.h -- schedules that a user asks for by name, of backends that
 * have no processor levels: option `cpu` is "lanes" or "groups".
 */
#ifndef KRSI_ITEM_SCHEDULE_H
#define KRSI_ITEM_SCHEDULE_H

#include <krs/backend.h>

typedef enum krsi_item_schedule {
    KRSI_ITEMS_NATIVE, /* what fits the device */
    KRSI_ITEMS_LANES,  /* an item works alone, and many run at once */
    KRSI_ITEMS_GROUPS  /* items of a group share memory */
} krsi_item_schedule;

/* `who` is the backend, `why` says why it has no level. Errors: UNSUPPORTED for
 * another name. */
krs_status krsi_item_schedule_of(const char *who, const char *why,
                                 const krs_backend_options *options,
                                 krsi_item_schedule *out, krs_error *err);
/* as if the device were of that kind; NATIVE: as it is */
void krsi_item_schedule_set(krsi_item_schedule schedule,
                            krs_backend_limits *limits);

#endif
