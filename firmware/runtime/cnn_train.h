/* Training on the chip.  No heap; all state is static.
 *
 * For every step:  cnn_train_begin();
 *                  for each example (at most CNN_TRAIN_BATCH, of cnn_train_config.h):
 *                      load it, run the accelerator, cnn_train_learn(label);
 *                  cnn_train_apply();
 *
 * The arithmetic is written down in docs/training-arithmetic.md; trainer/ is its twin in Python,
 * equal to the bit.
 */
#ifndef CNN_TRAIN_H
#define CNN_TRAIN_H

#include <stdint.h>

/* Bytes of SRAM that training takes, stack aside; known after the reset. */
extern uint32_t cnn_train_sram;

/* Kernel words (72 bits) and bias bytes written since the reset: those that changed; of a layer that
 * learns from one sample a step (cnn_linear_config.h), all kernel words of it. */
extern uint32_t cnn_train_kernel_words;
extern uint32_t cnn_train_bias_bytes;

/* Where CNN_TRAIN_RUNS (cnn_train_config.h) is not 0, layers write over what the way back reads, and
 * cnn_train_learn asks so many times for the first ones again: `run` loads the example, runs layers
 * 0 to `last` (none for -1), and returns when they are done. */
void cnn_train_use(void (*run)(int32_t last));

/* Forget all velocities and start from step 0 with a seed. */
void cnn_train_reset(uint32_t seed);

/* After others wrote kernels: where a copy of them is kept, it is made again. */
void cnn_train_reload(void);

/* Before a batch. */
void cnn_train_begin(void);

/* What a teacher said of the next example: [class], in units of 1/256; NULL (as after each
 * example): nothing. */
void cnn_train_teach(const uint8_t *said);

/* Add the gradient of the example that the accelerator has just run; returns the class that the
 * network took it for.  Where a step is one example (CNN_TRAIN_AT_ONCE of cnn_train_config.h), the
 * kernels step here, each as soon as its gradient is known, and no gradient is kept. */
uint32_t cnn_train_learn(uint32_t label);

/* After a batch: read the kernels at their addresses, step, write the words that changed; where a step
 * is one example, that is done. */
void cnn_train_apply(void);

/* The class of what the accelerator has just run; nothing is learnt. */
uint32_t cnn_train_predict(void);

#endif
