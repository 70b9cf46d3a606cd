/* One training step of a linear last layer with 8-bit kernels, for one sample, without momentum:
 * from sums and activations in the accelerator's memories to changed kernels and biases there.
 *
 * linear/cnn_train.c makes of it what cnn_train.h promises, equal to the step of any layers to the
 * bit.  It keeps nothing between steps but (where CNN_LINEAR_COPY is 1) a copy of the kernels.
 * firmware/training/linear.py says which layers and recipes it takes, and prints cnn_linear_config.h with
 * the layer's numbers and tables.
 */
#ifndef CNN_LINEAR_H
#define CNN_LINEAR_H

#include <stdint.h>

/* Bytes of SRAM that it takes. */
extern const uint32_t cnn_linear_sram;

/* Kernel words that a step writes: all of the layer. */
extern const uint32_t cnn_linear_kernel_words;

/* Read the kernels into the copy, where there is one: at the start, and after others wrote. */
void cnn_linear_begin(void);

/* After an inference: the class that was predicted; nothing is kept. */
uint32_t cnn_linear_predict(void);

/* After an inference: keep the activations, and the errors times the rate, of which `factor` (of the
 * schedule, cnn_schedule.h) is a part; returns the class that was predicted. */
uint32_t cnn_linear_learn(uint32_t label, int32_t factor);

/* From what was kept to new kernels and biases; salt: of the step's draws (cnn_random.h).  Returns how
 * many biases changed. */
uint32_t cnn_linear_apply(uint32_t salt);

#endif
