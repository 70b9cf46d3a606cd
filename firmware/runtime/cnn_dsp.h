/* The Cortex-M4's instructions on pairs of int16 and on bytes, as functions.
 *
 * Where the processor has none of them, plain C takes their place, with the same bits: what is
 * written with these functions runs, and is tested, on any computer.  Words are loaded as
 * little-endian processors do.
 */
#ifndef CNN_DSP_H
#define CNN_DSP_H

#include <stdint.h>

#ifdef __ARM_FEATURE_DSP
#define CNN_HAS_DSP 1
#else
#define CNN_HAS_DSP 0
#endif

/* A function with registers of its own. */
#define CNN_APART __attribute__((noinline))

/* A function that is part of its callers, where some of its arguments are constants. */
#define CNN_WITHIN static inline __attribute__((always_inline))

/* A phase of a step: with -DCNN_PHASE=CNN_APART a function of its own in profiles. */
#ifndef CNN_PHASE
#define CNN_PHASE
#endif

/* ---- int32 from the bits of a uint32, and halves of words ---- */

static inline int32_t cnn_signed(uint32_t bits)
{
    return bits < 0x80000000u ? (int32_t)bits : -(int32_t)(~bits) - 1;
}

static inline int32_t cnn_low(uint32_t pair)
{
    return (int16_t)(uint16_t)pair;
}

static inline int32_t cnn_high(uint32_t pair)
{
    return cnn_low(pair >> 16);
}

/* The word at any address. */
static inline uint32_t cnn_load(const void *place)
{
    uint32_t word;

    __builtin_memcpy(&word, place, sizeof word); /* one LDR, also without a C library */
    return word;
}

static inline void cnn_store(void *place, uint32_t word)
{
    __builtin_memcpy(place, &word, sizeof word);
}

/* ---- rearranging ---- */

/* PKHBT: the low halves of two words, the first one below. */
static inline uint32_t cnn_pack_low(uint32_t first, uint32_t second)
{
    return (first & 0xffffu) | second << 16;
}

/* PKHTB: the high halves of two words, the first one below. */
static inline uint32_t cnn_pack_high(uint32_t first, uint32_t second)
{
    return first >> 16 | (second & 0xffff0000u);
}

static inline uint32_t cnn_turn_right(uint32_t word, unsigned bits) /* ROR; bits: 1 to 31 */
{
    return word >> bits | word << (32 - bits);
}

/* SXTB16: bytes 0 and 2, as int16. */
static inline uint32_t cnn_bytes_02(uint32_t word)
{
#if CNN_HAS_DSP
    uint32_t pair;

    __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
    return pair;
#else
    const uint32_t signs = (word & 0x00800080u) >> 7;

    return (word & 0x00ff00ffu) | signs * 0xff00u;
#endif
}

/* SXTB16 of the word turned by a byte: bytes 1 and 3, as int16. */
static inline uint32_t cnn_bytes_13(uint32_t word)
{
#if CNN_HAS_DSP
    uint32_t pair;

    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
#else
    return cnn_bytes_02(word >> 8);
#endif
}

/* value / 2^shift, rounded half up: the shift leaves half in the carry.  shift: 1 to 31. */
static inline int32_t cnn_round_right(int32_t value, uint32_t shift)
{
#if CNN_HAS_DSP
    __asm__("asrs %0, %0, %1\n\t adc %0, %0, #0" : "+r"(value) : "r"(shift) : "cc");
    return value;
#else
    return (value >> shift) + (value >> (shift - 1) & 1);
#endif
}

/* SMMULR: the upper word of a product, rounded half up: with a factor of 2^(32 - shift) the same. */
static inline int32_t cnn_upper_rounded(int32_t value, int32_t factor)
{
#if CNN_HAS_DSP
    int32_t upper;

    __asm__("smmulr %0, %1, %2" : "=r"(upper) : "r"(value), "r"(factor));
    return upper;
#else
    return (int32_t)(((int64_t)value * factor + 0x80000000) >> 32);
#endif
}

/* ---- products ---- */

/* SMLAD: sum + low * low + high * high, modulo 2^32. */
static inline int32_t cnn_add_products(int32_t sum, uint32_t first, uint32_t second)
{
#if CNN_HAS_DSP
    __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(first), "r"(second));
    return sum;
#else
    return cnn_signed((uint32_t)sum + (uint32_t)(cnn_low(first) * cnn_low(second))
                      + (uint32_t)(cnn_high(first) * cnn_high(second)));
#endif
}

/* SMLAL: the upper word of (upper, lower) + factor * value. */
static inline uint32_t cnn_add_long(uint32_t upper, uint32_t lower, int32_t factor, int32_t value)
{
#if CNN_HAS_DSP
    __asm__("smlal %0, %1, %2, %3" : "+r"(lower), "+r"(upper) : "r"(factor), "r"(value));
    return upper;
#else
    const uint64_t product = (uint64_t)((int64_t)factor * value);

    return (uint32_t)((((uint64_t)upper << 32 | lower) + product) >> 32);
#endif
}

/* The same where the upper word is 0. */
static inline uint32_t cnn_first_long(uint32_t lower, int32_t factor, int32_t value)
{
#if CNN_HAS_DSP
    uint32_t upper;

    __asm__("mov %1, #0\n\t smlal %0, %1, %2, %3"
            : "+&r"(lower), "=&r"(upper) : "r"(factor), "r"(value));
    return upper;
#else
    return cnn_add_long(0, lower, factor, value);
#endif
}

/* ---- saturating ---- */

/* SSAT: limited to -2^(bits - 1) ... 2^(bits - 1) - 1. */
#if CNN_HAS_DSP
#define cnn_limit(value, bits)                                             \
    (__extension__({                                                       \
        int32_t limited_;                                                  \
        __asm__("ssat %0, %2, %1" : "=r"(limited_) : "r"(value), "I"(bits)); \
        limited_;                                                          \
    }))
#else
static inline int32_t cnn_limit(int32_t value, unsigned bits)
{
    const int32_t limit = (int32_t)1 << (bits - 1);

    return value < -limit ? -limit : value >= limit ? limit - 1 : value;
}
#endif

/* QSUB8: four differences of int8, each limited to int8. */
static inline uint32_t cnn_subtract_bytes(uint32_t first, uint32_t second)
{
#if CNN_HAS_DSP
    uint32_t word;

    __asm__("qsub8 %0, %1, %2" : "=r"(word) : "r"(first), "r"(second));
    return word;
#else
    uint32_t word = 0;

    for (unsigned bit = 0; bit < 32; bit += 8) {
        const int32_t from = cnn_low(cnn_bytes_02(first >> bit));
        const int32_t what = cnn_low(cnn_bytes_02(second >> bit));

        word |= ((uint32_t)cnn_limit(from - what, 8) & 0xffu) << bit;
    }
    return word;
#endif
}

#endif
