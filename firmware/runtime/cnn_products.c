#include "cnn_products.h"

/* The pixel that a tap of the kernel meets, or -1 where that is padding. */
static int32_t pixel_at(const cnn_correlation *how, unsigned row, unsigned column, unsigned tap)
{
    const unsigned kernel_row = tap / how->kernel_columns, kernel_column = tap % how->kernel_columns;
    const unsigned down = row + kernel_row * how->dilation_rows;
    const unsigned across = column + kernel_column * how->dilation_columns;

    if (down < how->pad_rows || down >= how->pad_rows + (unsigned)how->in_rows)
        return -1;
    if (across < how->pad_columns || across >= how->pad_columns + (unsigned)how->in_columns)
        return -1;
    return (int32_t)((down - how->pad_rows) * how->in_columns + across - how->pad_columns);
}

static unsigned taps_of(const cnn_correlation *how)
{
    return (unsigned)how->kernel_rows * how->kernel_columns;
}

#ifndef __ARM_FEATURE_DSP /* there: cnn_weight_gradients_m4.c, cnn_data_gradients_m4.c */

/* One output's error at one pixel, into the gradients [in][tap] of one tap. */
static void add_products(int32_t *gradients, int32_t error, const int8_t *data, unsigned channels,
                         unsigned taps)
{
    for (unsigned in = 0; in < channels; in++)
        gradients[in * taps] += error * data[in];
}

void cnn_arrange_errors(const cnn_correlation *how, const int16_t *error, unsigned first,
                        unsigned count, int16_t *scratch)
{
    (void)how, (void)error, (void)first, (void)count, (void)scratch;
}

void cnn_channel_gradients(const cnn_correlation *how, const int16_t *error, const int8_t *data,
                           unsigned first, unsigned count, unsigned channel, unsigned channels,
                           int32_t *gradients, int16_t *scratch)
{
    const unsigned taps = taps_of(how), each = channels * taps;

    (void)scratch;
    for (unsigned n = 0; n < count * each; n++)
        gradients[n] = 0;
    for (unsigned row = 0; row < how->out_rows; row++)
        for (unsigned column = 0; column < how->out_columns; column++, error += how->out_channels)
            for (unsigned tap = 0; tap < taps; tap++) {
                const int32_t pixel = pixel_at(how, row, column, tap);

                if (pixel < 0)
                    continue;
                for (unsigned n = 0; n < count; n++)
                    if (error[first + n] != 0)
                        add_products(&gradients[n * each + tap], error[first + n],
                                     &data[(uint32_t)pixel * how->in_channels + channel], channels,
                                     taps);
            }
}

void cnn_weight_gradients(const cnn_correlation *how, const int16_t *error, const int8_t *data,
                          unsigned first, unsigned count, int32_t *gradients, int16_t *scratch)
{
    cnn_channel_gradients(how, error, data, first, count, 0, how->in_channels, gradients, scratch);
}

void cnn_data_gradients(const cnn_correlation *how, const int16_t *error, const int8_t *weights,
                        int32_t *sums, int16_t *scratch)
{
    const unsigned taps = taps_of(how), each = how->in_channels * taps;
    const uint32_t count = (uint32_t)how->in_rows * how->in_columns * how->in_channels;

    (void)scratch;
    for (uint32_t n = 0; n < count; n++)
        sums[n] = 0;
    for (unsigned row = 0; row < how->out_rows; row++)
        for (unsigned column = 0; column < how->out_columns; column++, error += how->out_channels)
            for (unsigned tap = 0; tap < taps; tap++) {
                const int32_t pixel = pixel_at(how, row, column, tap);
                int32_t *target;

                if (pixel < 0)
                    continue;
                target = &sums[(uint32_t)pixel * how->in_channels];
                for (unsigned out = 0; out < how->out_channels; out++)
                    if (error[out] != 0)
                        for (unsigned in = 0; in < how->in_channels; in++)
                            target[in] += error[out] * weights[out * each + in * taps + tap];
            }
}

#endif

int32_t cnn_sum(const cnn_correlation *how, const int8_t *data, const int8_t *weights,
                unsigned row, unsigned column, unsigned output)
{
    const unsigned taps = taps_of(how);
    int32_t sum = 0;

    weights += output * how->in_channels * taps;
    for (unsigned tap = 0; tap < taps; tap++) {
        const int32_t pixel = pixel_at(how, row, column, tap);

        if (pixel < 0)
            continue;
        for (unsigned in = 0; in < how->in_channels; in++)
            sum += data[(uint32_t)pixel * how->in_channels + in] * weights[in * taps + tap];
    }
    return sum;
}
