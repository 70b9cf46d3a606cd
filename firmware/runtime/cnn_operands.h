/* What a layer does before it multiplies, and its way back: pooling, sums and differences; the
 * twin of trainer/operands.py. */
#ifndef CNN_OPERANDS_H
#define CNN_OPERANDS_H

#include "cnn_layers.h"

/* Combines and pools operands (as cnn_read_map left them) to what is convolved: int8 [row]
 * [column][channel].  Operands that are combined before they are pooled become their sum, in the
 * place of the first; data may be operands where neither is done. */
void cnn_reduce(const cnn_source *source, int8_t *operands, int8_t *data);

/* From the error of what was convolved, `sums` [row][column][channel], to that of the operands;
 * operands and data as cnn_reduce left them.  Returns what is added to the exponent.
 * back may be sums where nothing is combined or pooled. */
int32_t cnn_spread_error(const cnn_source *source, const int8_t *operands, const int8_t *data,
                         int32_t *sums, int32_t *back);

/* What is multiplied, as the products take it: of CNN_FEATURES [channel][row][column], of
 * CNN_WIDENED with a zero behind every row and column. */
void cnn_view(const cnn_layer *layer, const int8_t *data, int8_t *view);

/* The inverse, of errors. */
void cnn_view_back(const cnn_layer *layer, const int32_t *errors, int32_t *data);

#endif
