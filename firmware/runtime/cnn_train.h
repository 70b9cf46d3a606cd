/* Training of the last layer, on the chip.  No heap; all state is one static struct.
 *
 * For every step:  cnn_train_begin();
 *                  for each example: load it, run the accelerator, cnn_train_learn(label);
 *                  cnn_train_apply();
 *
 * The arithmetic is written down in docs/training-arithmetic.md; trainer/ is its twin in Python,
 * equal to the bit.
 */
#ifndef CNN_TRAIN_H
#define CNN_TRAIN_H

#include <stdint.h>

/* Bytes of SRAM that training keeps between calls. */
extern const uint32_t cnn_train_sram;

/* Kernel words (72 bits) and bias bytes written since the reset. */
extern uint32_t cnn_train_kernel_words;
extern uint32_t cnn_train_bias_bytes;

/* Forget all velocities and start from step 0 with a seed. */
void cnn_train_reset(uint32_t seed);

/* Before a batch: the velocities decay. */
void cnn_train_begin(void);

/* Add the gradient of the example that the accelerator has just run; returns the class that the
 * network took it for. */
uint32_t cnn_train_learn(uint32_t label);

/* After a batch: read the kernels at their addresses, step, write the words that changed. */
void cnn_train_apply(void);

#endif
