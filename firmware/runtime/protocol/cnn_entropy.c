#include "cnn_entropy.h"

#define LOG2_E 94548u   /* log2(e) in units of 1/65536 */
#define LN_2 45426u     /* ln(2), likewise */
#define POWER_BITS 30u  /* a power of 2^30 stands for 1 */
#define WHOLE_MOST 30u  /* exponents from here on count as powers of 0 */
#define LARGEST 0xFFFFFFFFu
#define LOG2_MOST ((uint64_t)1 << 40) /* above any loss that 32 bits hold */

/* Distance of two scores as a base-2 exponent, units of 1/65536; saturated. */
static uint64_t exponent_of(uint32_t distance, int fraction)
{
    uint64_t exponent = (uint64_t)distance * LOG2_E; /* < 2^49 */

    return fraction >= 0 ? exponent >> fraction : exponent << -fraction;
}

/* 2^-exponent, units of 2^-POWER_BITS: a factor for each bit of the fraction. */
static uint32_t power_of_2(uint64_t exponent)
{
    static const uint32_t factor[CNN_ENTROPY_BITS] = { /* 2^-(2^-1), 2^-(2^-2) ..., units of 2^-32 */
        0xB504F334u, 0xD744FCCBu, 0xEAC0C6E8u, 0xF5257D15u, 0xFA83B2DBu, 0xFD3E0C0Du,
        0xFE9E115Cu, 0xFF4ECB59u, 0xFFA75652u, 0xFFD3A752u, 0xFFE9D2B3u, 0xFFF4E91Cu,
        0xFFFA747Fu, 0xFFFD3A3Bu, 0xFFFE9D1Du, 0xFFFF4E8Eu,
    };
    uint64_t whole = exponent >> CNN_ENTROPY_BITS;
    uint64_t power = 1u << POWER_BITS;

    if (whole >= WHOLE_MOST)
        return 0;
    for (unsigned n = 0; n < CNN_ENTROPY_BITS; n++)
        if (exponent >> (CNN_ENTROPY_BITS - 1 - n) & 1u)
            power = power * factor[n] >> 32;
    return (uint32_t)(power >> whole);
}

/* log2(sum / 2^POWER_BITS) of a sum of at least that, units of 1/65536: square, and look whether
 * it passes 2. */
static uint32_t log_2(uint64_t sum)
{
    uint32_t whole = 0, log;
    uint64_t value = sum;

    while (value >> (POWER_BITS + 1) != 0) {
        value >>= 1;
        whole++;
    }
    log = whole;
    for (unsigned n = 0; n < CNN_ENTROPY_BITS; n++) {
        value = value * value >> POWER_BITS;
        log <<= 1;
        if (value >> (POWER_BITS + 1) != 0) {
            value >>= 1;
            log |= 1u;
        }
    }
    return log;
}

uint32_t cnn_cross_entropy(const int32_t *scores, uint32_t classes, uint32_t label, int fraction)
{
    uint32_t best = 0;
    uint64_t sum = 0, loss;

    for (uint32_t n = 1; n < classes; n++)
        if (scores[n] > scores[best])
            best = n;
    for (uint32_t n = 0; n < classes; n++)
        sum += power_of_2(exponent_of((uint32_t)scores[best] - (uint32_t)scores[n], fraction));
    loss = exponent_of((uint32_t)scores[best] - (uint32_t)scores[label], fraction) + log_2(sum);
    loss = loss > LOG2_MOST ? LARGEST : loss * LN_2 >> CNN_ENTROPY_BITS;
    return (uint32_t)(loss > LARGEST ? LARGEST : loss);
}
