/* Numbers that share an exponent: value * 2^exponent; the twin of trainer/blocks.py. */
#ifndef CNN_BLOCKS_H
#define CNN_BLOCKS_H

#include <stdint.h>

#include "cnn_arithmetic.h"

/* value / 2^shift, rounded half up; a negative shift is to the left, exact.  shift: -31 to 31. */
static inline int32_t cnn_rounded(int32_t value, int32_t shift)
{
    if (shift <= 0)
        return (int32_t)((uint32_t)value << -shift);
    return cnn_shift_right(value, (unsigned)shift)
           + (cnn_shift_right(value, (unsigned)shift - 1) & 1);
}

/* A shift that is beyond 31 counts as 31. */
int32_t cnn_limit_shift(int32_t shift);

/* Bits of the largest magnitude; 0 for nothing but zeros. */
int32_t cnn_bit_length(const int32_t *values, uint32_t count);

/* Sums as mantissas of at most `bits` bits; returns what is added to the exponent. */
int32_t cnn_normalise(const int32_t *sums, uint32_t count, int32_t bits, int16_t *mantissas);

/* The same for one of those numbers, when the shift is known. */
int32_t cnn_mantissa(int32_t sum, int32_t shift, int32_t bits);

/* Adds blocks of `count` sums into the first of them; returns the exponent of the sum. */
int32_t cnn_merge(int32_t *const *parts, const int32_t *exponents, unsigned blocks,
                  uint32_t count);

#endif
