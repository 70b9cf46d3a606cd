/* The step of 8-bit kernels, rounded stochastically and in place, without a table look-up a weight:
 * what cnn_step_layer does of such kernels, to the bit. */
#ifndef CNN_FAST_STEP_H
#define CNN_FAST_STEP_H

#include "cnn_layers.h"

/* Whether a layer's kernels can be stepped so with a rate of rate / 2^(shift + 8): bytes in their
 * order, no bit of the rate lost, no change of more than 127 with these velocities (by number of the
 * weight). */
int cnn_fast_step_takes(const cnn_layer *layer, const int32_t *velocity, int32_t rate, int shift);

/* Read, step, write the kernel words that changed; how many.  salt: what the step's draws have in
 * common. */
uint32_t cnn_fast_step(const cnn_kernels *kernels, const int32_t *velocity, uint32_t salt,
                       int32_t rate, int shift);

/* A layer's weights: int8 [out][in][kernel row][kernel column]; 0 where kernels do not lie as bytes in
 * their order, and nothing is read. */
int cnn_fast_read(const cnn_kernels *kernels, int8_t *weights);

#endif
