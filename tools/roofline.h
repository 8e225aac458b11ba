/* roofline.h -- the most that a device can do. */
#ifndef KERSEY_ROOFLINE_H
#define KERSEY_ROOFLINE_H

#include <krs/krs.h>

struct roofline {
    double operations; /* scalar ones a second, multiply-adds count two */
    double bytes;      /* a second, from and to memory */
};

/* Measured by a few short programs; zeros where they do not run. */
struct roofline measure_roofline(krs_device *device);

#endif
