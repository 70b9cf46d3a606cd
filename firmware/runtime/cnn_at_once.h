/* Kernels of a step that is one sample: gradients of some processors' weights at a time, applied as
 * soon as they are made; nothing is kept of them. */
#ifndef CNN_AT_ONCE_H
#define CNN_AT_ONCE_H

#include "cnn_layers.h"

/* A layer's kernels learn from its error and what it multiplies: int16 [row][column][out] and int8
 * [row][column][in].  shift: of the gradients, to their unit; gradients, scratch: of the layer. */
void cnn_learn_at_once(const cnn_layer *layer, const int16_t *error, const int8_t *data,
                       int32_t shift, int32_t *gradients, int16_t *scratch);

#endif
