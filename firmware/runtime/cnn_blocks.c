#include "cnn_blocks.h"

enum { SUM_BITS = 31 }; /* of an int32, without its sign */

int32_t cnn_limit_shift(int32_t shift)
{
    return shift > SUM_BITS ? SUM_BITS : shift < -SUM_BITS ? -SUM_BITS : shift;
}

static uint32_t magnitude(int32_t value)
{
    return value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
}

int32_t cnn_bit_length(const int32_t *values, uint32_t count)
{
    uint32_t any = 0; /* bits that are set in any magnitude: the highest one is the largest's */
    int32_t length = 0;

    for (uint32_t n = 0; n < count; n++)
        any |= magnitude(values[n]);
    for (; any != 0; any >>= 1)
        length++;
    return length;
}

int32_t cnn_mantissa(int32_t sum, int32_t shift, int32_t bits)
{
    const int32_t limit = (int32_t)((1u << bits) - 1), value = cnn_rounded(sum, shift);

    return value > limit ? limit : value < -limit ? -limit : value;
}

int32_t cnn_normalise(const int32_t *sums, uint32_t count, int32_t bits, int16_t *mantissas)
{
    const int32_t over = cnn_bit_length(sums, count) - bits, limit = (int32_t)((1u << bits) - 1);

    if (over <= 0) {
        for (uint32_t n = 0; n < count; n++)
            mantissas[n] = (int16_t)sums[n];
        return 0;
    }
    for (uint32_t n = 0; n < count; n++) { /* rounded, the lowest is -2^bits */
        const int32_t value = cnn_rounded(sums[n], over);

        mantissas[n] = (int16_t)(value > limit ? limit : value < -limit ? -limit : value);
    }
    return over;
}

/* Bits that hold numbers from 0 to count - 1. */
static int32_t bits_of(unsigned count)
{
    int32_t bits = 0;

    for (count--; count != 0; count >>= 1)
        bits++;
    return bits;
}

int32_t cnn_merge(int32_t *const *parts, const int32_t *exponents, unsigned blocks,
                  uint32_t count)
{
    int32_t top = 0, found = 0;

    if (blocks == 1)
        return exponents[0];
    for (unsigned n = 0; n < blocks; n++) {
        const int32_t length = cnn_bit_length(parts[n], count);

        if (length > 0 && (!found || exponents[n] + length > top))
            top = exponents[n] + length;
        found |= length > 0;
    }
    if (!found)
        top = exponents[0];
    top -= SUM_BITS - 1 - bits_of(blocks);
    for (unsigned n = 0; n < blocks; n++) {
        const int32_t shift = cnn_limit_shift(top - exponents[n]);

        for (uint32_t place = 0; place < count; place++) {
            const int32_t aligned = cnn_rounded(parts[n][place], shift);

            parts[0][place] = n == 0 ? aligned : parts[0][place] + aligned;
        }
    }
    return top;
}
