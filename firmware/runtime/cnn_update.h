/* From gradients to new weights; the twin of trainer/optimizers.py, quantized_update.py and
 * parameter.py.  All state of what is trained is here. */
#ifndef CNN_UPDATE_H
#define CNN_UPDATE_H

#include "cnn_layers.h"
#include "cnn_train_config.h"

/* Bytes of SRAM that the state takes. */
extern const uint32_t cnn_update_sram;

/* Forget everything; seed of the draws. */
void cnn_update_reset(uint32_t seed);

/* Before a batch. */
void cnn_update_begin(void);

#define CNN_QUICK 0xffffffffu

#if CNN_TRAIN_AT_ONCE /* a step is one sample: weights step as soon as their gradients are known */

/* Before a layer's kernels: its gradients are to be divided by 2^shift, and none is larger than
 * `largest`.  Returns whether some may have to be taken; if not, all step as they are. */
int cnn_step_begin(const cnn_layer *layer, int32_t shift, uint32_t largest);

/* Whether these gradients step as they are. */
int cnn_are_quick(const int32_t *gradients, uint32_t count);

/* Read the kernels of a part of some segments that follow each other, step, write what changed.
 * part: of the first of them; the others' values are `width` further on each.  largest: of what was
 * taken, or CNN_QUICK: gradients step as they are. */
void cnn_step_parts(const cnn_layer *layer, const cnn_segment *segment, uint32_t segments,
                    const cnn_part *part, uint32_t width, uint32_t largest);

/* The same for a layer's biases, of which these are the gradients, each / 2^shift; and for 32-bit
 * biases. */
void cnn_step_biases(const cnn_layer *layer, int32_t *gradients, int32_t shift);
void cnn_step_wide_bias(unsigned class, int32_t gradient, int32_t shift);

#else

/* A sample's gradients of weights `first` on, each / 2^shift, rounded half up and limited. */
void cnn_add_gradients(uint32_t first, const int32_t *gradients, uint32_t count, int32_t shift);

/* After a batch, for each trained layer from the last one down: read, step, write what changed. */
void cnn_step_layer(const cnn_layer *layer);

#endif

/* After all layers of a batch. */
void cnn_update_end(void);

/* What the processor adds to the last layer's sum of a class: 0 without 32-bit biases. */
int64_t cnn_wide_bias(unsigned class);

#endif
