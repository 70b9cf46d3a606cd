#include "cnn_update.h"

#include <stddef.h>

#include "cnn_arithmetic.h"
#include "cnn_blocks.h"
#include "cnn_fast_step.h"
#include "cnn_port.h"
#include "cnn_random.h"
#include "cnn_schedule.h"
#include "cnn_train.h"
#include "cnn_train_config.h"
#include "cnn_weights.h"

enum { WEIGHTS = CNN_TRAIN_WEIGHTS };

/* By number of the weight. */
static struct {
    uint32_t seed, step;
    int32_t velocity[WEIGHTS];
#if CNN_TRAIN_ADAM
    int32_t gradient[WEIGHTS]; /* of this batch */
    uint32_t second[WEIGHTS];  /* the decaying sum of its squares */
#endif
#if CNN_TRAIN_FRACTION == 1
    int8_t fraction[WEIGHTS];
#elif CNN_TRAIN_FRACTION == 2
    int16_t fraction[WEIGHTS];
#endif
#if CNN_TRAIN_WIDE_BIAS
    int64_t wide[CNN_TRAIN_CLASSES];
#endif
} state;

/* What the weights of one tensor have in common in one step. */
typedef struct {
    uint32_t salt, first;
    int32_t rate; /* in units of 2^-CNN_FACTOR_BITS */
    int shift, bits, fraction_bits;
} stepping;

static stepping now;

const uint32_t cnn_update_sram = sizeof state + sizeof now;

/* ---- gradients ---- */

static int32_t *gradients_of_batch(void)
{
#if CNN_TRAIN_ADAM
    return state.gradient;
#else
    return state.velocity;
#endif
}

static void decay(int32_t *velocity)
{
    *velocity -= cnn_shift_right(*velocity, CNN_TRAIN_MOMENTUM_SHIFT);
}

void cnn_update_reset(uint32_t seed)
{
    state.seed = seed;
    state.step = 0;
    for (uint32_t n = 0; n < WEIGHTS; n++) {
        state.velocity[n] = 0;
#if CNN_TRAIN_ADAM
        state.second[n] = 0;
#endif
#if CNN_TRAIN_FRACTION
        state.fraction[n] = 0;
#endif
    }
#if CNN_TRAIN_WIDE_BIAS
    for (unsigned n = 0; n < CNN_TRAIN_CLASSES; n++)
        state.wide[n] = 0;
#endif
}

void cnn_update_begin(void)
{
    for (uint32_t n = 0; n < WEIGHTS; n++) {
#if CNN_TRAIN_ADAM
        state.gradient[n] = 0;
#else
        decay(&state.velocity[n]);
#endif
    }
}

void cnn_add_gradients(uint32_t first, const int32_t *gradients, uint32_t count, int32_t shift)
{
    const int32_t limit = CNN_TRAIN_LIMIT;
    int32_t *const sums = gradients_of_batch() + first;

    if (shift > 0) {
        for (uint32_t n = 0; n < count; n++) {
            const int32_t value = cnn_rounded(gradients[n], shift);

            sums[n] += value > limit ? limit : value < -limit ? -limit : value;
        }
    } else {
        const int32_t bound = cnn_shift_right(limit, (unsigned)-shift);

        for (uint32_t n = 0; n < count; n++) {
            const int32_t value = gradients[n];

            sums[n] += value > bound    ? limit
                       : value < -bound ? -limit
                                        : (int32_t)((uint32_t)value << -shift);
        }
    }
}

/* ---- steps ---- */

#if CNN_TRAIN_ADAM
static uint32_t integer_root(uint32_t value)
{
    uint32_t root = 0;

    for (uint32_t bit = 1u << 30; bit != 0; bit >>= 2) {
        if (value >= root + bit) {
            value -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return root;
}

/* Velocity over root of the mean square. */
static int64_t adam_change(uint32_t number)
{
    const int32_t coarse = cnn_shift_right(state.gradient[number], CNN_ADAM_SQUARE_SHIFT);
    const uint32_t size = coarse < 0 ? 0u - (uint32_t)coarse : (uint32_t)coarse;
    uint32_t root;
    int64_t scaled;

    state.second[number] += size * size - (state.second[number] >> CNN_ADAM_SECOND_SHIFT);
    root = integer_root(state.second[number]);
    root = root < CNN_ADAM_LEAST_ROOT ? CNN_ADAM_LEAST_ROOT : root;
    scaled = (int64_t)state.velocity[number] * (1 << CNN_ADAM_VELOCITY_SHIFT);
    return cnn_floor_division(scaled, root);
}
#endif

/* The change of a weight before it is rounded. */
static int64_t change_of(uint32_t number, unsigned plain)
{
    int64_t change;

#if CNN_TRAIN_ADAM
    decay(&state.velocity[number]);
    state.velocity[number] += state.gradient[number];
    change = plain ? state.velocity[number] : adam_change(number);
#else
    (void)plain;
    change = state.velocity[number];
#endif
    return cnn_floor_shift(change * now.rate, CNN_FACTOR_BITS);
}

/* change / 2^shift, rounded as the recipe says. */
static int64_t rounded(int64_t change, int shift, uint32_t number)
{
    if (shift <= 0)
        return change * ((int64_t)1 << -shift);
#if CNN_ROUNDING == CNN_ROUNDING_STOCHASTIC
    return cnn_floor_shift(change + (cnn_draw(now.salt, number) >> (32 - shift)), (unsigned)shift);
#elif CNN_ROUNDING == CNN_ROUNDING_NEAREST
    (void)number;
    return cnn_floor_shift(change + ((int64_t)1 << (shift - 1)), (unsigned)shift);
#else
    (void)number;
    return change >= 0 ? change >> shift : -(-change >> shift);
#endif
}

/* What weights lose of themselves, in units of a change. */
static int64_t decay_of(int64_t total)
{
    const int left = now.shift - now.fraction_bits - CNN_TRAIN_DECAY_SHIFT;

    if (CNN_TRAIN_DECAY_SHIFT == 0)
        return 0;
    return left >= 0 ? total * ((int64_t)1 << left) : cnn_floor_shift(total, (unsigned)-left);
}

static int32_t fraction_of(uint32_t number)
{
#if CNN_TRAIN_FRACTION
    return state.fraction[number];
#else
    (void)number;
    return 0;
#endif
}

static void keep_fraction(uint32_t number, int64_t fraction)
{
#if CNN_TRAIN_FRACTION == 1
    state.fraction[number] = (int8_t)fraction;
#elif CNN_TRAIN_FRACTION == 2
    state.fraction[number] = (int16_t)fraction;
#else
    (void)number;
    (void)fraction;
#endif
}

/* A weight after its step; element: of its tensor. */
static int32_t stepped(int32_t weight, uint32_t element)
{
    const uint32_t number = now.first + element;
    const int64_t one = (int64_t)1 << now.fraction_bits;
    const int64_t lowest = -((int64_t)1 << (now.bits - 1)) * one;
    const int64_t highest = -lowest - one;
    int64_t total = weight * one + fraction_of(number), change = change_of(number, 0);

    total -= rounded(change + decay_of(total), now.shift - now.fraction_bits, number);
    total = total < lowest ? lowest : total > highest ? highest : total;
    weight = (int32_t)cnn_floor_shift(total + (one >> 1), (unsigned)now.fraction_bits);
    keep_fraction(number, total - weight * one);
    return weight;
}

static int step_slot(cnn_slot *slot, const cnn_layer *layer)
{
    int changed = 0;

    (void)layer;
    for (uint32_t n = 0; n < slot->count; n++) {
        const int32_t weight = stepped(slot->weight[n], slot->element[n]);

        changed |= weight != slot->weight[n];
        slot->weight[n] = (int8_t)weight;
    }
    return changed;
}

static void step_biases(const cnn_runs *runs)
{
    for (uint32_t n = 0; n < runs->count; n++) {
        const cnn_run *run = &runs->run[n];
        const unsigned shift = 8u * run->first_lane;

        for (unsigned place = 0; place < run->words; place++) {
            const uint32_t address = run->address + place * run->step, word = cnn_read(address);
            const int32_t element = (int32_t)run->element + (int32_t)place * run->word_step;
            int32_t old = (int32_t)(word >> shift & 0xffu), new;

            old -= old < 128 ? 0 : 256;
            new = stepped(old, (uint32_t)element);
            if (new == old)
                continue;
            cnn_write(address, (word & ~(0xffu << shift)) | ((uint32_t)new & 0xffu) << shift);
            cnn_train_bias_bytes++;
        }
    }
}

#if CNN_TRAIN_WIDE_BIAS
static void step_wide_biases(void)
{
    for (unsigned n = 0; n < CNN_TRAIN_CLASSES; n++) {
        const uint32_t number = CNN_TRAIN_WIDE_FIRST + n;

        state.wide[n] -= rounded(change_of(number, 1), CNN_TRAIN_WIDE_SHIFT, number);
    }
}
#endif

int64_t cnn_wide_bias(unsigned class)
{
#if CNN_TRAIN_WIDE_BIAS
    return state.wide[class];
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

/* Kernels of 8 bits, as they mostly are, have a step of their own. */
static uint32_t step_kernels(const cnn_layer *layer)
{
#if CNN_ROUNDING == CNN_ROUNDING_STOCHASTIC && !CNN_TRAIN_ADAM && !CNN_TRAIN_FRACTION \
    && CNN_TRAIN_DECAY_SHIFT == 0
    if (cnn_fast_step_takes(layer, state.velocity, now.rate, now.shift))
        return cnn_fast_step(layer->kernels, state.velocity, now.salt, now.rate, now.shift);
#endif
    return cnn_visit_kernels(layer, step_slot);
}

void cnn_step_layer(const cnn_layer *layer)
{
    now.salt = cnn_salt(state.seed, state.step);
    now.rate = CNN_TRAIN_RATE_MANTISSA * cnn_schedule_factor(state.step);
    now.shift = layer->right_shift;
    if (layer->kernels != NULL && layer->kernels->first != CNN_NONE) {
        prepare(layer->kernels->first, layer->kernels->bits, layer->kernels->fraction_bits);
        cnn_train_kernel_words += step_kernels(layer);
    }
    if (layer->biases != NULL && layer->biases->first != CNN_NONE) {
        prepare(layer->biases->first, 8, layer->biases->fraction_bits);
        step_biases(&layer->biases->at);
    }
#if CNN_TRAIN_WIDE_BIAS
    if (layer == cnn_layers)
        step_wide_biases();
#endif
}

void cnn_update_end(void)
{
    state.step++;
}
