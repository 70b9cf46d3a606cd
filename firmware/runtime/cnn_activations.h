/* Activations, read at their addresses in the accelerator's data memory. */
#ifndef CNN_ACTIVATIONS_H
#define CNN_ACTIVATIONS_H

#include "cnn_layers.h"

/* Elements of 8 bits to their places. */
void cnn_read_map(const cnn_runs *runs, int8_t *map);

/* Elements of 32 bits to their places. */
void cnn_read_sums(const cnn_runs *runs, int32_t *sums);

/* Errors of outputs become 0 where an output was clipped, or may have been. */
void cnn_mask_errors(const cnn_layer *layer, int32_t *errors);

#endif
