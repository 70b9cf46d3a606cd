/* What is kept of each weight from one step to the next, and gradients on their way into it; the
 * twin of trainer/state.py and of the first half of trainer/optimizers.py. */
#ifndef CNN_STATE_H
#define CNN_STATE_H

#include <stdint.h>

#include "cnn_arithmetic.h"
#include "cnn_train_config.h"

enum { CNN_WEIGHTS_KEPT = CNN_TRAIN_WEIGHTS };

/* By number of the weight. */
typedef struct {
    uint32_t seed, step;
#if CNN_TRAIN_VELOCITIES
    int32_t velocity[CNN_WEIGHTS_KEPT]; /* without Adam, also the sum over a batch */
#endif
#if CNN_TRAIN_ADAM && !CNN_TRAIN_AT_ONCE
    int32_t gradient[CNN_WEIGHTS_KEPT]; /* of this batch */
#endif
#if CNN_TRAIN_ADAM
    uint32_t second[CNN_WEIGHTS_KEPT]; /* the decaying sum of squares of gradients */
#endif
#if CNN_TRAIN_FRACTION == 1
    int8_t fraction[CNN_WEIGHTS_KEPT];
#elif CNN_TRAIN_FRACTION == 2
    int16_t fraction[CNN_WEIGHTS_KEPT];
#endif
#if CNN_TRAIN_WIDE_BIAS
    int64_t wide[CNN_TRAIN_CLASSES];
#endif
} cnn_kept;

extern cnn_kept cnn_state;

/* Of a negative number one less: its bits without the sign. */
static inline uint32_t cnn_magnitude(int32_t value)
{
    return (uint32_t)(value ^ cnn_shift_right(value, 31));
}

/* A velocity after a batch with this gradient. */
static inline int32_t cnn_moved(int32_t velocity, int32_t gradient)
{
    return velocity - cnn_shift_right(velocity, CNN_TRAIN_MOMENTUM_SHIFT) + gradient;
}

/* A batch's gradient of a weight, with the momentum of what came before. */
static inline int32_t cnn_with_momentum(uint32_t number, int32_t gradient)
{
#if CNN_TRAIN_VELOCITIES
    return cnn_state.velocity[number] = cnn_moved(cnn_state.velocity[number], gradient);
#else
    (void)number;
    return gradient;
#endif
}

/* What a weight's step begins with: given, in steps of one sample; else the sum of the batch. */
static inline int32_t cnn_gradient_of(uint32_t number, int32_t given)
{
    (void)number;
    (void)given;
#if CNN_TRAIN_AT_ONCE
    return given;
#elif CNN_TRAIN_ADAM
    return cnn_state.gradient[number];
#else
    return cnn_state.velocity[number];
#endif
}

#if CNN_TRAIN_AT_ONCE
/* What the step takes of gradients of weights `first` on, in their place: each / 2^shift, rounded
 * half up and limited and, with momentum, added to the velocity.  largest: no gradient is larger.
 * Returns all bits that are set in any magnitude (of negative numbers: one less). */
uint32_t cnn_take_gradients(uint32_t first, int32_t *gradients, uint32_t count, int32_t shift,
                            uint32_t largest);
#endif

#endif
