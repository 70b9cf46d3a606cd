/* The step of kernels of 4, 2 and 1 bits, rounded stochastically and in place: the changes of 8-bit
 * kernels (cnn_changes.h), applied to weights that share bytes. */
#ifndef CNN_NARROW_STEP_H
#define CNN_NARROW_STEP_H

#include "cnn_fast_step.h"

/* Whether a layer's kernels lie in their order, from the first lane of whole slots on. */
int cnn_narrow_takes(const cnn_kernels *kernels);

/* As cnn_fast_step; the part begins with a slot. */
uint32_t cnn_narrow_step(const cnn_fast *how, const cnn_kernels *kernels,
                         const cnn_segment *segment, const cnn_part *part);

#endif
