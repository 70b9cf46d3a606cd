#include "cnn_backward.h"

#include <stddef.h>

#include "cnn_activations.h"
#include "cnn_at_once.h"
#include "cnn_arithmetic.h"
#include "cnn_blocks.h"
#include "cnn_layers.h"
#include "cnn_operands.h"
#include "cnn_train_config.h"
#include "cnn_update.h"
#include "cnn_weights.h"

enum { FRACTION_BITS = 7 };

static int32_t sums[CNN_TRAIN_SUMS];       /* errors as sums, gradients: places are planned */
static int16_t mantissas[CNN_TRAIN_ERRORS]; /* the error of a layer's sums */
static int8_t maps[CNN_TRAIN_MAPS];        /* what a layer reads and multiplies */
static int8_t weights[CNN_TRAIN_KERNELS];  /* of a layer that errors pass */
static int8_t biases[CNN_TRAIN_BIASES];
static int16_t scratch[CNN_TRAIN_SCRATCH];
static int32_t exponents[CNN_TRAIN_EXPONENTS]; /* of errors */

void (*cnn_backward_run)(int32_t last);

const uint32_t cnn_backward_sram = sizeof sums + sizeof mantissas + sizeof maps + sizeof weights
                                   + sizeof biases + sizeof scratch + sizeof exponents;

int32_t *cnn_error_of_logits(void)
{
    exponents[cnn_layers[0].part[0].exponent] = -CNN_ERROR_BITS;
    return &sums[cnn_layers[0].part[0].sums];
}

/* The errors of an output's readers, added in the place of the first; returns the exponent. */
static int32_t merge(const cnn_layer *layer)
{
    int32_t *parts[CNN_TRAIN_PARTS], exponent[CNN_TRAIN_PARTS];

    for (unsigned n = 0; n < layer->parts; n++) {
        parts[n] = &sums[layer->part[n].sums];
        exponent[n] = exponents[layer->part[n].exponent];
    }
    return cnn_merge(parts, exponent, layer->parts, layer->outputs);
}

/* Where later layers wrote over what is read next, the first ones run again. */
static void run_again(int32_t last)
{
    if (last != CNN_THERE && cnn_backward_run != NULL)
        cnn_backward_run(last);
}

static void read_operands(const cnn_layer *layer)
{
    if (!layer->reads)
        return;
    run_again(layer->operands_again);
    cnn_read_map(&layer->operands, maps);
    cnn_reduce(&layer->source, maps, &maps[layer->data]);
    if (layer->view_kind != CNN_PLAIN)
        cnn_view(layer, &maps[layer->data], &maps[layer->view]);
}

/* An absolute value has lost its sign: the sums are computed again where an error is. */
static void turn_signs(const cnn_layer *layer, int32_t *errors)
{
    const cnn_correlation *how = &layer->how;

    for (unsigned row = 0; row < how->out_rows; row++)
        for (unsigned column = 0; column < how->out_columns; column++)
            for (unsigned out = 0; out < how->out_channels; out++, errors++)
                if (*errors != 0
                    && cnn_sum(how, &maps[layer->view], weights, row, column, out)
                               + biases[out] * CNN_BIAS_INPUT
                           < 0)
                    *errors = -*errors;
}

/* From the error of an output to that of its sums: mantissas; returns what is added to the
 * exponent.  What the layer reads is read on the way. */
static int32_t find_mantissas(const cnn_layer *layer)
{
    int32_t *errors = &sums[layer->part[0].sums];

    if (layer->activation != CNN_WIDE) {
        run_again(layer->output_again);
        cnn_mask_errors(layer, errors);
    }
    read_operands(layer);
    if (layer->needs_weights)
        cnn_read_weights(layer, weights);
    if (layer->activation == CNN_ABS) {
        cnn_read_biases(layer, biases);
        turn_signs(layer, errors);
    }
    return cnn_normalise(errors, layer->outputs, layer->error_bits, mantissas);
}

static int32_t bias_gradient(const cnn_layer *layer, uint32_t out)
{
    int32_t sum = 0;

    for (uint32_t n = out; n < layer->outputs; n += layer->how.out_channels)
        sum += mantissas[n];
    return sum;
}

#if CNN_TRAIN_AT_ONCE
static void learn_kernels(const cnn_layer *layer, int32_t shift)
{
    cnn_learn_at_once(layer, mantissas, &maps[layer->view], shift, &sums[layer->gradients],
                      scratch);
}

static void learn_biases(const cnn_layer *layer, int32_t shift)
{
    int32_t *const gradients = &sums[layer->gradients];

    for (uint32_t out = 0; out < layer->how.out_channels; out++)
        gradients[out] = bias_gradient(layer, out);
    cnn_step_biases(layer, gradients, shift);
}

#if CNN_TRAIN_WIDE_BIAS
static void learn_wide_biases(int32_t shift)
{
    for (uint32_t class = 0; class < CNN_TRAIN_CLASSES; class++)
        cnn_step_wide_bias(class, bias_gradient(cnn_layers, class), shift);
}
#endif
#else
static void learn_kernels(const cnn_layer *layer, int32_t shift)
{
    const cnn_correlation *how = &layer->how;
    const uint32_t each = (uint32_t)how->in_channels * how->kernel_rows * how->kernel_columns;
    int32_t *gradients = &sums[layer->gradients];

    for (unsigned first = 0; first < how->out_channels; first += layer->outputs_at_once) {
        const unsigned left = how->out_channels - first;
        const unsigned count = left < layer->outputs_at_once ? left : layer->outputs_at_once;

        cnn_weight_gradients(how, mantissas, &maps[layer->view], first, count, gradients, scratch);
        cnn_add_gradients(layer->kernels->first + first * each, gradients, count * each, shift);
    }
}

static void learn_biases(const cnn_layer *layer, int32_t shift)
{
    for (uint32_t out = 0; out < layer->how.out_channels; out++) {
        const int32_t sum = bias_gradient(layer, out);

        cnn_add_gradients(layer->biases->first + out, &sum, 1, shift);
    }
}

#if CNN_TRAIN_WIDE_BIAS
static void learn_wide_biases(int32_t shift)
{
    for (uint32_t class = 0; class < CNN_TRAIN_CLASSES; class++) {
        const int32_t sum = bias_gradient(cnn_layers, class);

        cnn_add_gradients(CNN_TRAIN_WIDE_FIRST + class, &sum, 1, shift);
    }
}
#endif
#endif

/* Gradients of what is trained.  A bias is a weight whose input is CNN_BIAS_INPUT everywhere. */
static void learn(const cnn_layer *layer, int32_t exponent)
{
    const int32_t shift = cnn_limit_shift(layer->gradient_exponent + FRACTION_BITS - exponent);
    const int32_t bias_shift = cnn_limit_shift(shift - CNN_BIAS_BITS);

    if (layer->kernels->first != CNN_NONE)
        learn_kernels(layer, shift);
    if (layer->biases != NULL && layer->biases->first != CNN_NONE)
        learn_biases(layer, bias_shift);
#if CNN_TRAIN_WIDE_BIAS
    if (layer == cnn_layers)
        learn_wide_biases(bias_shift);
#endif
}

/* Side by side: channels of the error to whom they belong. */
static void share_channels(const cnn_layer *layer)
{
    const uint32_t pixels = (uint32_t)layer->source.rows * layer->source.columns;

    for (uint32_t n = 0; n < layer->slices; n++) {
        const cnn_slice *slice = &layer->slice[n];
        const int32_t *from = &sums[layer->back.sums + slice->channel];
        int32_t *to = &sums[slice->to.sums];

        for (uint32_t pixel = 0; pixel < pixels; pixel++, from += layer->source.channels)
            for (uint32_t channel = 0; channel < slice->channels; channel++)
                *to++ = from[channel];
        exponents[slice->to.exponent] = exponents[layer->back.exponent];
    }
}

/* The error of what a layer reads, from that of what it convolves (or passes through). */
static void pass_down(const cnn_layer *layer, int32_t *pooled, int32_t exponent)
{
    exponent += cnn_spread_error(&layer->source, maps, &maps[layer->data], pooled,
                                 &sums[layer->back.sums]);
    exponents[layer->back.exponent] = exponent;
    share_channels(layer);
}

static void back_through_kernels(const cnn_layer *layer, int32_t exponent)
{
    exponent += find_mantissas(layer);
    learn(layer, exponent);
    if (!layer->passes_down)
        return;
    cnn_data_gradients(&layer->how, mantissas, weights, &sums[layer->product], scratch);
    if (layer->view_kind != CNN_PLAIN)
        cnn_view_back(layer, &sums[layer->product], &sums[layer->pooled]);
    pass_down(layer, &sums[layer->pooled], exponent + layer->output_shift - FRACTION_BITS);
}

void cnn_backward(void)
{
    for (unsigned n = 0; n < CNN_TRAIN_LAYERS; n++) {
        const cnn_layer *layer = &cnn_layers[n];
        const int32_t exponent = merge(layer);

        if (layer->kernels != NULL) {
            back_through_kernels(layer, exponent);
        } else {
            read_operands(layer);
            pass_down(layer, &sums[layer->part[0].sums], exponent);
        }
    }
}
