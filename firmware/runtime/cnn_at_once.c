#include "cnn_at_once.h"

#include "cnn_state.h"
#include "cnn_train_config.h"
#include "cnn_update.h"
#include "cnn_weights.h"

#if CNN_TRAIN_AT_ONCE

enum { LARGEST_INPUT = 128, MOST = 4 /* processors together */ };

/* Segments of processors whose channels are neighbours, of the same outputs. */
typedef struct {
    const cnn_segment *segment;
    uint32_t segments;
    uint32_t output, channel; /* the first ones of the first segment */
    uint32_t runs;            /* of an output: passes whose weights lie side by side */
    uint32_t taps;
    uint32_t channels, width; /* of a run of one processor: channels, weights */
} group;

/* Outputs whose errors are arranged, and what their gradients are made from. */
typedef struct {
    const cnn_layer *layer;
    const int16_t *error;
    const int8_t *data;
    unsigned first, count; /* outputs */
    int32_t shift;         /* of gradients */
    uint32_t largest;      /* no gradient is larger */
    int takes;             /* gradients are taken (cnn_take_gradients) before they are applied */
    int32_t *gradients;
    int16_t *scratch;
} block;

/* A gradient is a sum of errors of one output, times data.  sums: a number an output. */
static uint32_t largest_gradient(const cnn_layer *layer, const int16_t *error, int32_t *sums)
{
    const uint32_t channels = layer->how.out_channels;
    const int16_t *const end = error + layer->outputs;
    int32_t largest = 0;

    for (uint32_t out = 0; out < channels; out++)
        sums[out] = 0;
    for (; error < end; error += channels)
        for (uint32_t out = 0; out < channels; out++)
            sums[out] += error[out] < 0 ? -error[out] : error[out];
    for (uint32_t out = 0; out < channels; out++)
        largest = sums[out] > largest ? sums[out] : largest;
    return (uint32_t)largest * LARGEST_INPUT;
}

static int follows(const cnn_segment *before, const cnn_segment *segment, uint32_t width)
{
    return segment->element == before->element + width && segment->outputs == before->outputs
           && segment->first_pass == before->first_pass;
}

static group find_group(const cnn_layer *layer, uint32_t first)
{
    const cnn_kernels *kernels = layer->kernels;
    const cnn_segment *const segment = &kernels->segment[first];
    const uint32_t taps = (uint32_t)layer->how.kernel_rows * layer->how.kernel_columns;
    const uint32_t channels = cnn_side_by_side(kernels, kernels->pass + segment->first_pass);
    const uint32_t within = segment->element % kernels->output_step;
    group found = {segment,  1, segment->element / kernels->output_step, within / taps,
                   kernels->passes / channels, taps, channels, channels * taps};

    while (found.segments < MOST && first + found.segments < kernels->segments
           && within + (found.segments + 1) * found.width <= kernels->output_step
           && follows(segment + found.segments - 1, segment + found.segments, found.width))
        found.segments++;
    return found;
}

/* The first channel of a run, CNN_NONE where it does not exist. */
static uint32_t channel_of(const block *of, const group *some, uint32_t run)
{
    const cnn_kernels *kernels = of->layer->kernels;
    const uint32_t offset = kernels->pass[some->segment->first_pass + run * some->channels];

    return offset == CNN_NONE ? CNN_NONE : some->channel + offset / some->taps;
}

/* Gradients of all weights of a group: int32 [run][output][processor][weight of the run]. */
static void make_gradients(const block *of, const group *some)
{
    const uint32_t row = some->segments * some->width;
    int32_t *gradients = of->gradients;

    for (uint32_t run = 0; run < some->runs; run++, gradients += of->count * row) {
        const uint32_t channel = channel_of(of, some, run);

        if (channel != CNN_NONE)
            cnn_channel_gradients(&of->layer->how, of->error, of->data, of->first, of->count,
                                  channel, some->segments * some->channels, gradients,
                                  of->scratch);
    }
}

/* What the step takes of those of outputs from begin on, up to end, in their place; others belong
 * to another group.  Returns a number of at least the largest magnitude. */
static uint32_t take_gradients(const block *of, const group *some, uint32_t begin, uint32_t end)
{
    const cnn_kernels *kernels = of->layer->kernels;
    const uint32_t row = some->segments * some->width;
    uint32_t largest = 0;

    for (uint32_t run = 0; run < some->runs; run++) {
        const uint32_t channel = channel_of(of, some, run);
        int32_t *const gradients = of->gradients + run * of->count * row;

        for (uint32_t out = begin; out < end && channel != CNN_NONE; out++)
            largest |= cnn_take_gradients(kernels->first + out * kernels->output_step
                                              + channel * some->taps,
                                          gradients + (out - of->first) * row, row, of->shift,
                                          of->largest);
    }
    return largest;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* The group's kernels of the block's outputs. */
static void step_group(const block *of, const group *some)
{
    const uint32_t outputs = some->segment->outputs, row = some->segments * some->width;
    const uint32_t begin = larger(of->first, some->output);
    const uint32_t end_of_block = of->first + of->count, end_of_group = some->output + outputs;
    const uint32_t end = end_of_block < end_of_group ? end_of_block : end_of_group;
    uint32_t largest = CNN_QUICK;
    cnn_part part;

    if (begin >= end)
        return;
    make_gradients(of, some);
    if (of->takes && !cnn_are_quick(of->gradients, some->runs * of->count * row))
        largest = take_gradients(of, some, begin, end);
    part = (cnn_part){of->gradients + (begin - of->first) * row, row, of->count * row,
                      (uint16_t)(begin - some->output), (uint16_t)(end - begin)};
    cnn_step_parts(of->layer, some->segment, some->segments, &part, some->width, largest);
}

void cnn_learn_at_once(const cnn_layer *layer, const int16_t *error, const int8_t *data,
                       int32_t shift, int32_t *gradients, int16_t *scratch)
{
    const unsigned outputs = layer->how.out_channels, most = layer->outputs_at_once;
    const uint32_t largest = largest_gradient(layer, error, gradients);
    const int takes = cnn_step_begin(layer, shift, largest);
    block now = {layer, error, data, 0, 0, shift, largest, takes, gradients, scratch};

    for (; now.first < outputs; now.first += now.count) {
        now.count = outputs - now.first < most ? outputs - now.first : most;
        cnn_arrange_errors(&layer->how, error, now.first, now.count, scratch);
        for (uint32_t n = 0; n < layer->kernels->segments;) {
            const group some = find_group(layer, n);

            step_group(&now, &some);
            n += some.segments;
        }
    }
}

#endif
