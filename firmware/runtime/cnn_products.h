/* Products of errors by data and by weights: all that the way back multiplies.
 *
 * cnn_products.c is plain C; another file may take its place, with the same bits.
 */
#ifndef CNN_PRODUCTS_H
#define CNN_PRODUCTS_H

#include <stdint.h>

/* A correlation of stride 1: conv2d; conv1d has one row; linear has one pixel whose channels are
 * the features.  Of "rows" and "columns" there are pixels; padding lies on both sides. */
typedef struct {
    uint16_t in_rows, in_columns, in_channels, out_rows, out_columns, out_channels;
    uint8_t kernel_rows, kernel_columns, pad_rows, pad_columns, dilation_rows, dilation_columns;
} cnn_correlation;

/* Gradients of the weights of outputs first to first + count - 1, before any rounding:
 * int32 [output - first][in][kernel row][kernel column].
 * error: int16 [row][column][out]; data: int8 [row][column][in]; scratch: CNN_TRAIN_SCRATCH
 * numbers (cnn_train_config.h) that the function may use as it likes. */
void cnn_weight_gradients(const cnn_correlation *how, const int16_t *error, const int8_t *data,
                          unsigned first, unsigned count, int32_t *gradients, int16_t *scratch);

/* The same in two parts, for the inputs channel to channel + channels - 1 alone:
 * int32 [output - first][in - channel][kernel row][kernel column].  cnn_arrange_errors comes first,
 * once for all channels of the same outputs; the scratch between the calls is theirs. */
void cnn_arrange_errors(const cnn_correlation *how, const int16_t *error, unsigned first,
                        unsigned count, int16_t *scratch);
void cnn_channel_gradients(const cnn_correlation *how, const int16_t *error, const int8_t *data,
                           unsigned first, unsigned count, unsigned channel, unsigned channels,
                           int32_t *gradients, int16_t *scratch);

/* The error of what was convolved: int32 [row][column][in].
 * weights: int8 [out][in][kernel row][kernel column]. */
void cnn_data_gradients(const cnn_correlation *how, const int16_t *error, const int8_t *weights,
                        int32_t *sums, int16_t *scratch);

/* One sum of the way forward, without its bias: of an output at a row and a column. */
int32_t cnn_sum(const cnn_correlation *how, const int8_t *data, const int8_t *weights,
                unsigned row, unsigned column, unsigned output);

#endif
