/* From gradients to new weights; the twin of trainer/optimizers.py, quantized_update.py and
 * parameter.py.  All state of what is trained is here. */
#ifndef CNN_UPDATE_H
#define CNN_UPDATE_H

#include "cnn_layers.h"

/* Bytes of SRAM that the state takes. */
extern const uint32_t cnn_update_sram;

/* Forget everything; seed of the draws. */
void cnn_update_reset(uint32_t seed);

/* Before a batch. */
void cnn_update_begin(void);

/* A sample's gradients of weights `first` on, each / 2^shift, rounded half up and limited. */
void cnn_add_gradients(uint32_t first, const int32_t *gradients, uint32_t count, int32_t shift);

/* After a batch, for each trained layer from the last one down: read, step, write what changed. */
void cnn_step_layer(const cnn_layer *layer);

/* After all layers of a batch. */
void cnn_update_end(void);

/* What the processor adds to the last layer's sum of a class: 0 without 32-bit biases. */
int64_t cnn_wide_bias(unsigned class);

#endif
