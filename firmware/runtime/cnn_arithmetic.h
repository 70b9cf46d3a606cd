/* The accelerator's integer arithmetic; the twin of max78k_sim/arithmetic.py, equal to the bit. */
#ifndef CNN_ARITHMETIC_H
#define CNN_ARITHMETIC_H

#include <stdint.h>

enum { CNN_BIAS_BITS = 7, CNN_BIAS_INPUT = 1 << CNN_BIAS_BITS }; /* a bias is a weight of this input */

/* floor(value / 2^shift), whatever the compiler makes of >> on negative numbers */
static inline int64_t cnn_floor_shift(int64_t value, unsigned shift)
{
    return value >= 0 ? value >> shift : ~(~value >> shift);
}

/* floor(value / 2^shift) as one instruction: the shift of a negative number rounds down wherever
 * this compiles, or it does not compile. */
typedef char cnn_shifts_round_down[(-1 >> 1) == -1 ? 1 : -1];

static inline int32_t cnn_shift_right(int32_t value, unsigned shift)
{
    return value >> shift; /* cppcheck-suppress shiftTooManyBitsSigned */
}

/* Clip to -128..127. */
static inline int32_t cnn_saturate(int64_t value)
{
    return (int32_t)(value < -128 ? -128 : value > 127 ? 127 : value);
}

/* accumulator * 2^shift / 128, rounded half towards positive infinity; not clipped.
 * shift: -15 to 15. */
static inline int64_t cnn_requantise(int32_t accumulator, int shift)
{
    if (shift >= 0)
        return cnn_floor_shift((int64_t)accumulator * ((int64_t)1 << shift) + 64, 7);
    return cnn_floor_shift((int64_t)accumulator + ((int64_t)64 << -shift), (unsigned)(7 - shift));
}

/* floor(value / divisor); divisor above 0 */
static inline int64_t cnn_floor_division(int64_t value, int64_t divisor)
{
    return value >= 0 ? value / divisor : -((-value + divisor - 1) / divisor);
}

/* Mean of count values that sum to total: truncated toward zero, or rounded half away from zero. */
static inline int32_t cnn_average(int32_t total, int32_t count, int rounding)
{
    int32_t size = total < 0 ? -total : total;
    int32_t mean = rounding ? (2 * size + count) / (2 * count) : size / count;

    return total < 0 ? -mean : mean;
}

#endif
