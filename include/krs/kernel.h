/* kernel.h -- the kernel language, for those who write backends.
 *
 * In the source tree the header lies beside its implementation; an installed
 * tree holds that file here, with scalar.def beside it.
 */
#ifndef KRS_KERNEL_PUBLIC_H
#define KRS_KERNEL_PUBLIC_H

#include "../../graph/kernel/kernel.h"

#endif
