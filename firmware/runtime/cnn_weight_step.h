/* One weight's step; the twin of the second half of trainer/optimizers.py, and of
 * trainer/quantized_update.py. */
#ifndef CNN_WEIGHT_STEP_H
#define CNN_WEIGHT_STEP_H

#include <stdint.h>

#include "cnn_train_config.h"

/* Recipes whose steps are long products (cnn_fast_step.h). */
#define CNN_FAST_STEP                                                                  \
    (CNN_ROUNDING == CNN_ROUNDING_STOCHASTIC && !CNN_TRAIN_ADAM && !CNN_TRAIN_FRACTION \
     && CNN_TRAIN_DECAY_SHIFT == 0)

/* What the weights of one tensor have in common in one step. */
typedef struct {
    uint32_t salt, first; /* first: number of the first weight */
    int32_t rate;         /* 2^8 stands for 1 */
    int32_t whole;        /* cnn_fast_rate */
    int shift, bits, fraction_bits;
} cnn_stepping;

/* A weight after its step.  element: of its tensor; given: what was taken of its gradient, where a
 * step is one sample. */
int32_t cnn_stepped(const cnn_stepping *how, int32_t weight, uint32_t element, int32_t given);

/* What a 32-bit bias of the processor loses. */
int64_t cnn_wide_step(const cnn_stepping *how, uint32_t number, int32_t given);

#endif
