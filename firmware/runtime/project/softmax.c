/* Soft-max in integers: p_out[i] = e^x[i] / (e^x[0] + ... + e^x[n - 1]), as 2^(x / ln 2).
 *
 * Within 2 of 32768 of the real one.  (The vendor's function of this name takes powers of two, and
 * rounds their exponents to whole numbers.)
 */
#include "cnn.h"

#define FRACTION 14              /* bits of the input's fraction */
#define LOG2_E 94548             /* log2(e) in 16 bits of fraction */
#define MOST_Q15 32767
#define NEGLIGIBLE 31            /* powers of two below the largest term */

/* 2^-x in Q30; x >= 0 in Q16.  A polynomial for the fraction, a shift for the rest. */
static uint32_t power_q30(uint32_t x)
{
    /* 2^-f on [0, 1): coefficients in Q30, of f to the power 0 to 5 */
    static const int32_t coefficients[]
        = {1073741765, -744256846, 257890763, -59377501, 9890102, -1017428};
    const int64_t f = x & 0xFFFFu;
    int64_t sum = 0;

    for (unsigned n = sizeof coefficients / sizeof coefficients[0]; n > 0; n--)
        sum = coefficients[n - 1] + sum * f / 65536;
    return (uint32_t)sum >> (x >> 16);
}

static q31_t largest(const q31_t *values, uint16_t count)
{
    q31_t most = values[0];

    for (unsigned n = 1; n < count; n++)
        if (values[n] > most)
            most = values[n];
    return most;
}

/* A term of the sum, in Q30; the largest is 1. */
static uint32_t term(q31_t value, q31_t most)
{
    uint64_t below = (uint64_t)((int64_t)most - value) * LOG2_E >> FRACTION; /* Q16 */

    return below >> 16 >= NEGLIGIBLE ? 0 : power_q30((uint32_t)below);
}

void softmax_q17p14_q15(const q31_t *vec_in, const uint16_t dim_vec, q15_t *p_out)
{
    uint64_t sum = 0;
    q31_t most;

    if (dim_vec == 0)
        return;
    most = largest(vec_in, dim_vec);
    for (unsigned n = 0; n < dim_vec; n++)
        sum += term(vec_in[n], most);
    for (unsigned n = 0; n < dim_vec; n++) {
        uint64_t share = (((uint64_t)term(vec_in[n], most) << 15) + sum / 2) / sum;

        p_out[n] = (q15_t)(share > MOST_Q15 ? MOST_Q15 : share);
    }
}

void softmax_shift_q17p14_q15(q31_t *vec_in, const uint16_t dim_vec, uint8_t in_shift, q15_t *p_out)
{
    for (unsigned n = 0; n < dim_vec; n++)
        vec_in[n] = (q31_t)((uint32_t)vec_in[n] << in_shift);
    softmax_q17p14_q15(vec_in, dim_vec, p_out);
}
