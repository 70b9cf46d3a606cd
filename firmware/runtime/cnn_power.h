/* Powers of e for the soft-max; the twin of trainer/losses.py. */
#ifndef CNN_POWER_H
#define CNN_POWER_H

#include <stdint.h>

#include "cnn_train_config.h"

/* exp(-distance * 2^shift / 2^14) in units of 1/65536; shift: of the last layer's output. */
static inline uint32_t cnn_power_of_e(uint64_t distance)
{
    static const uint32_t powers[] = CNN_POWERS;
    const uint64_t exponent = distance * CNN_LOG2_E >> CNN_EXPONENT_SCALE;
    const uint32_t low = (uint32_t)exponent;
    const uint32_t step = low >> CNN_STEP_BITS & ((1u << (CNN_EXPONENT_BITS - CNN_STEP_BITS)) - 1);
    const uint32_t rest = low & ((1u << CNN_STEP_BITS) - 1);
    const uint32_t power = powers[step] - ((powers[step] - powers[step + 1]) * rest >> CNN_STEP_BITS);

    if (exponent >> 32 != 0 || low >> CNN_EXPONENT_BITS > CNN_LARGEST_EXPONENT)
        return 0;
    return power >> (low >> CNN_EXPONENT_BITS);
}

#endif
