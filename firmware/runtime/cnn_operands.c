#include "cnn_operands.h"

#include "cnn_arithmetic.h"
#include "cnn_blocks.h"
#include "cnn_train_config.h"

enum { LOWEST = -128, HIGHEST = 127, SHARE_BITS = 15, MANTISSA_BITS = 15 };
enum { CHANNELS = 16 }; /* that are pooled together */

/* Element of the first operand at the first pixel of a window. */
static uint32_t window_at(const cnn_source *source, unsigned row, unsigned column)
{
    const uint32_t top = (uint32_t)row * source->stride_rows;

    return (top * source->columns + (uint32_t)column * source->stride_columns)
           * source->pixel_step;
}

/* From a window's first pixel to another one: elements. */
static uint32_t step_to(const cnn_source *source, unsigned row, unsigned column)
{
    return ((uint32_t)row * source->columns + column) * source->pixel_step;
}

static int32_t largest_of(const cnn_source *source, const int8_t *window)
{
    int32_t largest = window[0];

    for (unsigned row = 0; row < source->pool_rows; row++)
        for (unsigned column = 0; column < source->pool_columns; column++)
            if (window[step_to(source, row, column)] > largest)
                largest = window[step_to(source, row, column)];
    return largest;
}

static int32_t pooled(const cnn_source *source, const int8_t *window)
{
    const int32_t count = source->pool_rows * source->pool_columns;
    int32_t total = 0;

    if (source->share == 0 || count == 0)
        return largest_of(source, window);
    for (unsigned row = 0; row < source->pool_rows; row++)
        for (unsigned column = 0; column < source->pool_columns; column++)
            total += window[step_to(source, row, column)];
    return cnn_average(total, count, CNN_AVERAGE_ROUNDING);
}

static unsigned combines_first(const cnn_source *source)
{
    return source->operands > 1 && !source->pool_first;
}

static void combine(const cnn_source *source, int8_t *operands)
{
    const uint32_t pixels = (uint32_t)source->rows * source->columns;

    for (uint32_t pixel = 0; pixel < pixels; pixel++)
        for (unsigned channel = 0; channel < source->channels; channel++) {
            int8_t *first = operands + pixel * source->pixel_step + channel;
            int32_t sum = *first;

            for (unsigned n = 1; n < source->operands; n++)
                sum += source->sign * first[n * source->operand_step];
            *first = (int8_t)cnn_saturate(sum);
        }
}

/* A window of one operand, of up to CHANNELS channels: one pixel after the other. */
static void pool_window(const cnn_source *source, const int8_t *window, unsigned channels,
                        int8_t *data)
{
    const int32_t count = source->pool_rows * source->pool_columns;
    const int average = source->share != 0 && count > 0;
    int32_t found[CHANNELS];

    for (unsigned n = 0; n < channels; n++)
        found[n] = window[n];
    for (unsigned row = 0; row < source->pool_rows; row++)
        for (unsigned column = row == 0; column < source->pool_columns; column++) {
            const int8_t *const from = window + step_to(source, row, column);

            if (average)
                for (unsigned n = 0; n < channels; n++)
                    found[n] += from[n];
            else
                for (unsigned n = 0; n < channels; n++)
                    found[n] = from[n] > found[n] ? from[n] : found[n];
        }
    if (average)
        for (unsigned n = 0; n < channels; n++)
            found[n] = cnn_average(found[n], count, CNN_AVERAGE_ROUNDING);
    for (unsigned n = 0; n < channels; n++)
        data[n] = (int8_t)found[n];
}

/* All windows of one operand. */
static void pool_all(const cnn_source *source, const int8_t *operands, int8_t *data)
{
    const unsigned channels = source->channels;

    for (unsigned row = 0; row < source->pooled_rows; row++)
        for (unsigned column = 0; column < source->pooled_columns; column++, data += channels) {
            const int8_t *const window = operands + window_at(source, row, column);

            for (unsigned n = 0; n < channels; n += CHANNELS)
                pool_window(source, window + n, channels - n < CHANNELS ? channels - n : CHANNELS,
                            data + n);
        }
}

void cnn_reduce(const cnn_source *source, int8_t *operands, int8_t *data)
{
    const unsigned operand_count = combines_first(source) ? 1 : source->operands;

    if (combines_first(source))
        combine(source, operands);
    if (data == operands)
        return;
    if (operand_count == 1) {
        pool_all(source, operands, data);
        return;
    }
    for (unsigned row = 0; row < source->pooled_rows; row++)
        for (unsigned column = 0; column < source->pooled_columns; column++)
            for (unsigned channel = 0; channel < source->channels; channel++) {
                const int8_t *window = operands + window_at(source, row, column) + channel;
                int32_t sum = pooled(source, window);

                for (unsigned n = 1; n < operand_count; n++)
                    sum += source->sign * pooled(source, window + n * source->operand_step);
                *data++ = (int8_t)cnn_saturate(sum);
            }
}

/* ---- the way back ---- */

/* Nothing passes what was clipped, or may have been. */
static void mask(const int8_t *values, int32_t *errors, uint32_t count)
{
    for (uint32_t n = 0; n < count; n++)
        if (values[n] == LOWEST || values[n] == HIGHEST)
            errors[n] = 0;
}

/* All of a window's error to its largest value, the first row by row if there are several. */
static void spread_largest(const cnn_source *source, const int8_t *window, int32_t error,
                           int32_t *back)
{
    const int32_t largest = largest_of(source, window);

    for (unsigned row = 0; row < source->pool_rows; row++)
        for (unsigned column = 0; column < source->pool_columns; column++) {
            const uint32_t place = step_to(source, row, column);

            if (window[place] == largest) {
                back[place] += error;
                return;
            }
        }
}

/* To each value of a window its share. */
static void spread_share(const cnn_source *source, int32_t error, int32_t *back)
{
    for (unsigned row = 0; row < source->pool_rows; row++)
        for (unsigned column = 0; column < source->pool_columns; column++)
            back[step_to(source, row, column)] += error;
}

/* One operand's part of the error of what was pooled, which becomes signed error before it is
 * divided; returns what is added to the exponent. */
static int32_t spread(const cnn_source *source, int32_t sign, const int8_t *operand,
                      const int32_t *sums, int32_t *back)
{
    const uint32_t pixels = (uint32_t)source->pooled_rows * source->pooled_columns;
    int32_t shift = source->overlap_shift;

    if (source->share != 0) {
        shift = cnn_bit_length(sums, pixels * source->channels) - MANTISSA_BITS;
        shift = shift > 0 ? shift : 0;
    }
    for (unsigned row = 0; row < source->pooled_rows; row++)
        for (unsigned column = 0; column < source->pooled_columns; column++)
            for (unsigned channel = 0; channel < source->channels; channel++) {
                const uint32_t place = window_at(source, row, column) + channel;
                const int32_t error = sign * *sums++;

                if (source->share != 0)
                    spread_share(source,
                                 source->share * cnn_mantissa(error, shift, MANTISSA_BITS),
                                 back + place);
                else
                    spread_largest(source, operand + place, cnn_rounded(error, shift),
                                   back + place);
            }
    return source->share != 0 ? shift - SHARE_BITS : shift;
}

/* The error of a sum to all that was added: turned for what was subtracted. */
static void share_out(const cnn_source *source, const int8_t *operands, int32_t *back)
{
    const uint32_t pixels = (uint32_t)source->rows * source->columns;

    for (uint32_t pixel = 0; pixel < pixels; pixel++)
        for (unsigned channel = 0; channel < source->channels; channel++) {
            const uint32_t place = pixel * source->pixel_step + channel;

            if (operands[place] == LOWEST || operands[place] == HIGHEST)
                back[place] = 0;
            for (unsigned n = 1; n < source->operands; n++)
                back[place + n * source->operand_step] = source->sign * back[place];
        }
}

int32_t cnn_spread_error(const cnn_source *source, const int8_t *operands, const int8_t *data,
                         int32_t *sums, int32_t *back)
{
    const uint32_t pooled_size
        = (uint32_t)source->pooled_rows * source->pooled_columns * source->channels;
    int32_t shift = 0;

    if (back == sums)
        return 0;
    for (uint32_t n = 0; n < source->size; n++)
        back[n] = 0;
    if (source->operands > 1 && source->pool_first)
        mask(data, sums, pooled_size);
    for (unsigned n = 0; n < (combines_first(source) ? 1u : source->operands); n++) {
        const uint32_t first = n * source->operand_step;

        shift = spread(source, n == 0 ? 1 : source->sign, operands + first, sums, back + first);
    }
    if (combines_first(source))
        share_out(source, operands, back);
    return shift;
}

/* ---- views ---- */

void cnn_view(const cnn_layer *layer, const int8_t *data, int8_t *view)
{
    const unsigned channels = layer->source.channels;
    const uint32_t rows = layer->source.pooled_rows, columns = layer->source.pooled_columns;

    if (layer->view_kind == CNN_WIDENED)
        for (uint32_t n = 0; n < 4 * rows * columns * channels; n++)
            view[n] = 0;
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t column = 0; column < columns; column++)
            for (unsigned channel = 0; channel < channels; channel++) {
                uint32_t place = (channel * rows + row) * columns + column;

                if (layer->view_kind == CNN_WIDENED)
                    place = (4 * row * columns + 2 * column) * channels + channel;
                view[place] = *data++;
            }
}

void cnn_view_back(const cnn_layer *layer, const int32_t *errors, int32_t *data)
{
    const unsigned channels = layer->source.channels;
    const uint32_t rows = layer->source.pooled_rows, columns = layer->source.pooled_columns;

    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t column = 0; column < columns; column++)
            for (unsigned channel = 0; channel < channels; channel++) {
                uint32_t place = (channel * rows + row) * columns + column;

                if (layer->view_kind == CNN_WIDENED)
                    place = (4 * row * columns + 2 * column) * channels + channel;
                *data++ = errors[place];
            }
}
