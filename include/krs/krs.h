/* krs.h -- the tour: everything a user needs, in the order of the path.
 *
 *   status.h    how errors are told
 *   dtype.h     element types
 *   graph.h     declare a computation: nodes, scopes, states, gradients
 *   ops.h       the operations
 *   random.h    the random numbers that graphs use, on the host
 *   program.h   devices, stores of tensors, programs: run a graph
 *   weights.h   tensors in safetensors files: list, read, write, describe
 *   data.h      text as training batches
 *   check.h     compare results element by element
 */
#ifndef KRS_KRS_H
#define KRS_KRS_H

#include <krs/check.h>
#include <krs/data.h>
#include <krs/dtype.h>
#include <krs/graph.h>
#include <krs/ops.h>
#include <krs/program.h>
#include <krs/random.h>
#include <krs/status.h>
#include <krs/weights.h>

#endif
