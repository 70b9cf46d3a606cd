/* Random numbers; the twin of trainer/quantized_update.py.
 *
 * A draw is a function of seed, step and number of the weight: CNN_SHARING weights share one, and
 * each turns it by its own count of bits.  See "Random numbers" in docs/training-arithmetic.md.
 */
#ifndef CNN_RANDOM_H
#define CNN_RANDOM_H

#include <stdint.h>

#include "cnn_train_config.h" /* CNN_MIX_..., CNN_STEP_FACTOR, CNN_SHARING: the trainer's */

enum { CNN_DRAW_TURN = 32 / CNN_SHARING }; /* bits, to the left, from a weight to the next */

/* What a permutation of the 32-bit numbers does to a number whose first shift is done. */
static inline uint32_t cnn_mix_shifted(uint32_t value)
{
    value *= CNN_MIX_FACTOR_1;
    value = (value ^ value >> CNN_MIX_SHIFT_2) * CNN_MIX_FACTOR_2;
    return (value ^ value >> CNN_MIX_SHIFT_3) * CNN_MIX_FACTOR_3;
}

static inline uint32_t cnn_mix(uint32_t value)
{
    return cnn_mix_shifted(value ^ value >> CNN_MIX_SHIFT_1);
}

/* What all draws of a step have in common. */
static inline uint32_t cnn_salt(uint32_t seed, uint32_t step)
{
    return cnn_mix(seed + step * CNN_STEP_FACTOR);
}

/* The draw of the first weight of a group; number of a group: that of a weight / CNN_SHARING. */
static inline uint32_t cnn_draw_of_group(uint32_t salt, uint32_t group)
{
    return cnn_mix(salt ^ group);
}

/* The same in two parts, where numbers of groups are below 2^CNN_MIX_SHIFT_1: what is done once for a
 * salt, and for each group. */
static inline uint32_t cnn_shifted_salt(uint32_t salt)
{
    return salt ^ salt >> CNN_MIX_SHIFT_1;
}

static inline uint32_t cnn_draw_of_small_group(uint32_t shifted_salt, uint32_t group)
{
    return cnn_mix_shifted(shifted_salt ^ group);
}

/* From a weight's draw to that of the next one in its group. */
static inline uint32_t cnn_next_draw(uint32_t draw)
{
    return draw << CNN_DRAW_TURN | draw >> (32 - CNN_DRAW_TURN);
}

/* The draw of any weight, by its number. */
static inline uint32_t cnn_draw(uint32_t salt, uint32_t number)
{
    const uint32_t draw = cnn_draw_of_group(salt, number / CNN_SHARING);
    const uint32_t turn = number % CNN_SHARING * CNN_DRAW_TURN;

    return turn == 0 ? draw : draw << turn | draw >> (32 - turn);
}

#endif
