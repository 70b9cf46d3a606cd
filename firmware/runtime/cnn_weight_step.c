#include "cnn_weight_step.h"

#include "cnn_arithmetic.h"
#include "cnn_dsp.h"
#include "cnn_random.h"
#include "cnn_schedule.h"
#include "cnn_state.h"

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
static int64_t adam_change(uint32_t number, int32_t gradient, int32_t velocity)
{
    const int32_t coarse = cnn_shift_right(gradient, CNN_ADAM_SQUARE_SHIFT);
    const uint32_t size = coarse < 0 ? 0u - (uint32_t)coarse : (uint32_t)coarse;
    uint32_t root;
    int64_t scaled;

    cnn_state.second[number] += size * size - (cnn_state.second[number] >> CNN_ADAM_SECOND_SHIFT);
    root = integer_root(cnn_state.second[number]);
    root = root < CNN_ADAM_LEAST_ROOT ? CNN_ADAM_LEAST_ROOT : root;
    scaled = (int64_t)velocity * (1 << CNN_ADAM_VELOCITY_SHIFT);
    return cnn_floor_division(scaled, root);
}
#endif

/* What the rate is multiplied with.  given: at once, what was taken of the weight's gradient. */
static int64_t velocity_of(uint32_t number, int32_t given, unsigned plain)
{
#if CNN_TRAIN_ADAM
    const int32_t gradient = cnn_gradient_of(number, given);
    const int32_t velocity = cnn_with_momentum(number, gradient);

    return plain ? velocity : adam_change(number, gradient, velocity);
#else
    (void)plain;
    return cnn_gradient_of(number, given);
#endif
}

/* The change of a weight before it is rounded. */
static int64_t change_of(const cnn_stepping *how, uint32_t number, int32_t given, unsigned plain)
{
    return cnn_floor_shift(velocity_of(number, given, plain) * how->rate, CNN_FACTOR_BITS);
}

/* change / 2^shift, rounded as the recipe says. */
static int64_t rounded(const cnn_stepping *how, int64_t change, int shift, uint32_t number)
{
    if (shift <= 0)
        return change * ((int64_t)1 << -shift);
#if CNN_ROUNDING == CNN_ROUNDING_STOCHASTIC
    return cnn_floor_shift(change + (cnn_draw(how->salt, number) >> (32 - shift)), (unsigned)shift);
#elif CNN_ROUNDING == CNN_ROUNDING_NEAREST
    (void)how, (void)number;
    return cnn_floor_shift(change + ((int64_t)1 << (shift - 1)), (unsigned)shift);
#else
    (void)how, (void)number;
    return change >= 0 ? change >> shift : -(-change >> shift);
#endif
}

/* What weights lose of themselves, in units of a change. */
static int64_t decay_of(const cnn_stepping *how, int64_t total)
{
#if CNN_TRAIN_DECAY_SHIFT == 0
    (void)how, (void)total;
    return 0;
#else
    const int left = how->shift - how->fraction_bits - CNN_TRAIN_DECAY_SHIFT;

    return left >= 0 ? total * ((int64_t)1 << left) : cnn_floor_shift(total, (unsigned)-left);
#endif
}

static int32_t fraction_of(uint32_t number)
{
#if CNN_TRAIN_FRACTION
    return cnn_state.fraction[number];
#else
    (void)number;
    return 0;
#endif
}

static void keep_fraction(uint32_t number, int64_t fraction)
{
#if CNN_TRAIN_FRACTION == 1
    cnn_state.fraction[number] = (int8_t)fraction;
#elif CNN_TRAIN_FRACTION == 2
    cnn_state.fraction[number] = (int16_t)fraction;
#else
    (void)number;
    (void)fraction;
#endif
}

#if CNN_FAST_STEP
/* The same where no bit of the rate is lost in units of 2^-32: the upper word of a long product. */
static int32_t stepped_fast(const cnn_stepping *how, int32_t weight, uint32_t number,
                            int32_t value)
{
    const int32_t lowest = -(1 << (how->bits - 1)), highest = -lowest - 1;
    const int32_t total
        = weight - cnn_signed(cnn_add_long(0, cnn_draw(how->salt, number), how->whole, value));

    return total < lowest ? lowest : total > highest ? highest : total;
}
#endif

int32_t cnn_stepped(const cnn_stepping *how, int32_t weight, uint32_t element, int32_t given)
{
    const uint32_t number = how->first + element;
    const int64_t one = (int64_t)1 << how->fraction_bits;
    const int64_t lowest = -((int64_t)1 << (how->bits - 1)) * one;
    const int64_t highest = -lowest - one;
    int64_t total, change;

#if CNN_FAST_STEP
    if (how->whole != 0)
        return stepped_fast(how, weight, number, cnn_gradient_of(number, given));
#endif
    total = weight * one + fraction_of(number);
    change = change_of(how, number, given, 0);
    total -= rounded(how, change + decay_of(how, total), how->shift - how->fraction_bits, number);
    total = total < lowest ? lowest : total > highest ? highest : total;
    weight = (int32_t)cnn_floor_shift(total + (one >> 1), (unsigned)how->fraction_bits);
    keep_fraction(number, total - weight * one);
    return weight;
}

int64_t cnn_wide_step(const cnn_stepping *how, uint32_t number, int32_t given)
{
    return rounded(how, change_of(how, number, given, 1), CNN_TRAIN_WIDE_SHIFT, number);
}
