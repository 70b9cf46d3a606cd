/* How the learning rate goes down; the twin of SCHEDULES in trainer/recipe.py. */
#ifndef CNN_SCHEDULE_H
#define CNN_SCHEDULE_H

#include <stdint.h>

#include "cnn_train_config.h"

enum { CNN_FACTOR_BITS = 8, CNN_FACTOR_ONE = 1 << CNN_FACTOR_BITS }; /* leaves the rate as it is */

/* The factor of a step, in units of 2^-CNN_FACTOR_BITS; 0 past the end of what falls to 0. */
static inline int32_t cnn_schedule_factor(uint32_t step)
{
#if CNN_SCHEDULE == CNN_SCHEDULE_LINEAR
    const uint64_t left = step < CNN_TRAIN_STEPS ? CNN_TRAIN_STEPS - step : 0;

    return (int32_t)(CNN_FACTOR_ONE * left / CNN_TRAIN_STEPS);
#elif CNN_SCHEDULE == CNN_SCHEDULE_HALVING
    const uint32_t quarter = (uint32_t)(4 * (uint64_t)step / CNN_TRAIN_STEPS);

    return quarter > CNN_FACTOR_BITS ? 0 : CNN_FACTOR_ONE >> quarter;
#else
    (void)step;
    return CNN_FACTOR_ONE;
#endif
}

#endif
