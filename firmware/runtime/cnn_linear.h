/* One training step of a linear last layer with 8-bit kernels, for one sample, without momentum:
 * from sums and activations in the accelerator's memories to changed kernels and biases there.
 *
 * It does what begin, learn and apply of cnn_train.h do with batch 1 and momentum_shift 0, to the
 * bit, and keeps nothing but (where CNN_LINEAR_COPY is 1) a copy of the kernels.  It takes layers
 * whose channels have a processor each, and pixels a multiple of 4; and recipes of which
 * cnn_linear_takes() says so.  cnn_linear_config.h has the layer's numbers and tables.
 */
#ifndef CNN_LINEAR_H
#define CNN_LINEAR_H

#include <stdint.h>

/* Whether the step can be taken with a rate of mantissa * factor / 2^(shift + 8): no bit of it may
 * be lost, and no weight move by more than 64. */
int cnn_linear_takes(int32_t mantissa, int32_t factor, int shift);

/* Read the kernels into the copy, where there is one: at the start, and after others wrote. */
void cnn_linear_begin(void);

/* After an inference: learn, with the step's salt (cnn_salt of cnn_random.h) and rate;
 * returns the class that was predicted. */
uint32_t cnn_linear_step(uint32_t label, uint32_t salt, int32_t mantissa, int32_t factor,
                         int shift);

#endif
