#include "cnn_update.h"

#include <stddef.h>

#include "cnn_arithmetic.h"
#include "cnn_fast_step.h"
#include "cnn_narrow_step.h"
#include "cnn_port.h"
#include "cnn_random.h"
#include "cnn_schedule.h"
#include "cnn_state.h"
#include "cnn_train.h"
#include "cnn_weight_step.h"
#include "cnn_weights.h"

static cnn_stepping now;
#if CNN_FAST_STEP
static cnn_fast fast; /* its rate is 0 where kernels take the general way */
#endif
#if CNN_TRAIN_AT_ONCE
enum { ANY = 0x7fffffff }; /* gradients of biases: how large they may be */
static uint32_t quick_most; /* the largest gradient that steps as it is; 0: none does */
#if CNN_FAST_STEP
static cnn_fast quick; /* their step */
#endif
#endif

const uint32_t cnn_update_sram = sizeof cnn_state + sizeof now;

static int step_slot(cnn_slot *slot, const cnn_layer *layer)
{
    int changed = 0;

    (void)layer;
    for (uint32_t n = 0; n < slot->count; n++) {
        const int32_t given = CNN_TRAIN_AT_ONCE ? slot->values[slot->value[n]] : 0;
        const int32_t weight = cnn_stepped(&now, slot->weight[n], slot->element[n], given);

        changed |= weight != slot->weight[n];
        slot->weight[n] = (int8_t)weight;
    }
    return changed;
}

/* gradients: at once, of the biases; else not needed. */
static void step_biases(const cnn_runs *runs, const int32_t *gradients)
{
    for (uint32_t n = 0; n < runs->count; n++) {
        const cnn_run *run = &runs->run[n];
        const unsigned shift = 8u * run->first_lane;

        for (unsigned place = 0; place < run->words; place++) {
            const uint32_t address = run->address + place * run->step, word = cnn_read(address);
            const int32_t element = (int32_t)run->element + (int32_t)place * run->word_step;
            int32_t old = (int32_t)(word >> shift & 0xffu), new;

            old -= old < 128 ? 0 : 256;
            new = cnn_stepped(&now, old, (uint32_t)element,
                              gradients == NULL ? 0 : gradients[element]);
            if (new == old)
                continue;
            cnn_write(address, (word & ~(0xffu << shift)) | ((uint32_t)new & 0xffu) << shift);
            cnn_train_bias_bytes++;
        }
    }
}

#if CNN_TRAIN_WIDE_BIAS
static void step_wide_bias(unsigned class, int32_t given)
{
    const uint32_t number = CNN_TRAIN_WIDE_FIRST + class;

    cnn_state.wide[class] -= cnn_wide_step(&now, number, given);
}
#endif

int64_t cnn_wide_bias(unsigned class)
{
#if CNN_TRAIN_WIDE_BIAS
    return cnn_state.wide[class];
#else
    (void)class;
    return 0;
#endif
}

static void prepare(uint32_t first, int bits, int fraction_bits)
{
    now.first = first;
    now.bits = bits;
    now.fraction_bits = fraction_bits;
}

static void prepare_layer(const cnn_layer *layer)
{
    now.salt = cnn_salt(cnn_state.seed, cnn_state.step);
    now.rate = CNN_TRAIN_RATE_MANTISSA * cnn_schedule_factor(cnn_state.step);
    now.shift = layer->right_shift;
    now.whole = cnn_fast_rate(now.rate, now.shift);
}

#if CNN_FAST_STEP
/* Narrow kernels: where parts of a segment begin with a slot, because they are whole segments. */
static int takes_fast(const cnn_layer *layer)
{
    const int whole = !CNN_TRAIN_AT_ONCE || layer->outputs_at_once >= layer->how.out_channels;

    return cnn_fast_step_takes(layer->kernels) || (whole && cnn_narrow_takes(layer->kernels));
}
#endif

static void prepare_kernels(const cnn_layer *layer)
{
    const cnn_kernels *kernels = layer->kernels;

    prepare_layer(layer);
    prepare(kernels->first, kernels->bits, kernels->fraction_bits);
#if CNN_FAST_STEP
    fast.salt = now.salt;
    fast.shift = 0;
    fast.rate = takes_fast(layer) ? now.whole : 0;
#endif
}

#if CNN_TRAIN_AT_ONCE
#if CNN_FAST_STEP && !CNN_TRAIN_VELOCITIES
static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Gradients that are neither limited nor change a weight by more than 127 step as they are: to be
 * rounded, or with their shift in the rate. */
static void find_quick(int32_t shift)
{
    quick = fast;
    if (shift == 1)
        return; /* a factor of 2^31, for cnn_fast, is too large */
    if (shift >= 0) {
        const uint32_t limit = cnn_fast_limit(fast.rate);
        const uint32_t most = smaller(limit, CNN_TRAIN_LIMIT) - 1;

        quick.shift = (uint32_t)shift;
        quick_most = most > 0x7fffffffu >> shift ? 0x7fffffffu : most << shift;
    } else if (fast.rate >> (31 + shift) == 0) {
        quick.rate = fast.rate << -shift;
        quick_most = smaller(cnn_fast_limit(quick.rate), (uint32_t)CNN_TRAIN_LIMIT >> -shift);
    }
}
#endif

int cnn_step_begin(const cnn_layer *layer, int32_t shift, uint32_t largest)
{
    (void)shift;
    prepare_kernels(layer);
    quick_most = 0;
#if CNN_FAST_STEP && !CNN_TRAIN_VELOCITIES
    if (fast.rate != 0)
        find_quick(shift);
#endif
    return quick_most == 0 || largest > quick_most;
}

int cnn_are_quick(const int32_t *gradients, uint32_t count)
{
    uint32_t any = 0;

    if (quick_most == 0)
        return 0;
    for (; count >= 4; count -= 4, gradients += 4)
        any |= cnn_magnitude(gradients[0]) | cnn_magnitude(gradients[1])
               | cnn_magnitude(gradients[2]) | cnn_magnitude(gradients[3]);
    for (; count > 0; count--)
        any |= cnn_magnitude(*gradients++);
    return any < quick_most;
}

void cnn_step_parts(const cnn_layer *layer, const cnn_segment *segment, uint32_t segments,
                    const cnn_part *part, uint32_t width, uint32_t largest)
{
    cnn_part one = *part;

#if CNN_FAST_STEP
    if (largest == CNN_QUICK || (fast.rate != 0 && largest < cnn_fast_limit(fast.rate))) {
        const cnn_fast *const how = largest == CNN_QUICK ? &quick : &fast;

        cnn_train_kernel_words += cnn_fast_steps(how, layer->kernels, segment, segments, part,
                                                 width);
        return;
    }
#endif
    (void)largest;
    for (; segments > 0; segments--, one.value += width)
        cnn_train_kernel_words += cnn_visit_part(layer, segment++, &one, step_slot);
}

void cnn_step_biases(const cnn_layer *layer, int32_t *gradients, int32_t shift)
{
    prepare_layer(layer);
    prepare(layer->biases->first, 8, layer->biases->fraction_bits);
    cnn_take_gradients(now.first, gradients, layer->how.out_channels, shift, ANY);
    step_biases(&layer->biases->at, gradients);
}

void cnn_step_wide_bias(unsigned class, int32_t gradient, int32_t shift)
{
#if CNN_TRAIN_WIDE_BIAS
    prepare_layer(cnn_layers);
    cnn_take_gradients(CNN_TRAIN_WIDE_FIRST + class, &gradient, 1, shift, ANY);
    step_wide_bias(class, gradient);
#else
    (void)class, (void)gradient, (void)shift;
#endif
}
#else
#if CNN_FAST_STEP
/* Whether no change of a layer's kernels is larger than the fast step takes. */
static int are_small(const cnn_layer *layer)
{
    const uint32_t limit = cnn_fast_limit(fast.rate);
    const int32_t *next = cnn_state.velocity + now.first;
    const int32_t *const end
        = next + (uint32_t)layer->how.out_channels * layer->kernels->output_step;
    uint32_t any = 0;

    for (; next < end; next++)
        any |= cnn_magnitude(*next);
    return any < limit;
}

static uint32_t step_fast(const cnn_kernels *kernels)
{
    uint32_t written = 0;

    for (unsigned n = 0; n < kernels->segments; n++) {
        const cnn_segment *segment = &kernels->segment[n];
        const cnn_part part = {cnn_state.velocity + now.first + segment->element,
                               kernels->output_step, 0, 0, segment->outputs};

        written += cnn_fast_steps(&fast, kernels, segment, 1, &part, 0);
    }
    return written;
}
#endif

static uint32_t step_kernels(const cnn_layer *layer)
{
#if CNN_FAST_STEP
    if (fast.rate != 0 && are_small(layer))
        return step_fast(layer->kernels);
#endif
    return cnn_visit_kernels(layer, step_slot);
}

void cnn_step_layer(const cnn_layer *layer)
{
    if (layer->kernels != NULL && layer->kernels->first != CNN_NONE) {
        prepare_kernels(layer);
        cnn_train_kernel_words += step_kernels(layer);
    }
    prepare_layer(layer);
    if (layer->biases != NULL && layer->biases->first != CNN_NONE) {
        prepare(layer->biases->first, 8, layer->biases->fraction_bits);
        step_biases(&layer->biases->at, NULL);
    }
#if CNN_TRAIN_WIDE_BIAS
    if (layer == cnn_layers)
        for (unsigned class = 0; class < CNN_TRAIN_CLASSES; class++)
            step_wide_bias(class, 0);
#endif
}
#endif

void cnn_update_end(void)
{
    cnn_state.step++;
}
