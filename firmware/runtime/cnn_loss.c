#include "cnn_loss.h"

#include <stddef.h>

#include "cnn_arithmetic.h"
#include "cnn_power.h"
#include "cnn_train_config.h"

enum { CLASSES = CNN_TRAIN_CLASSES, ONE = 1 << CNN_ERROR_BITS, TEACHER_ONE = 256 };

/* Soft-max, in units of 2^-15, rounded down. */
static void probabilities(const int64_t *logits, int64_t largest, int64_t *found)
{
    uint32_t power[CLASSES], sum = 0;

    for (unsigned n = 0; n < CLASSES; n++) {
        power[n] = cnn_power_of_e((uint64_t)(largest - logits[n]));
        sum += power[n];
    }
    for (unsigned n = 0; n < CLASSES; n++)
        found[n] = (int64_t)(((uint64_t)power[n] << CNN_ERROR_BITS) / sum);
}

/* Logits as real numbers, in units of 2^-15. */
static void real_values(const int64_t *logits, int64_t *found)
{
    for (unsigned n = 0; n < CLASSES; n++) {
#if CNN_SQUARED_SHIFT >= 0
        found[n] = logits[n] * ((int64_t)1 << CNN_SQUARED_SHIFT);
#else
        found[n] = cnn_floor_shift(logits[n] + ((int64_t)1 << (-CNN_SQUARED_SHIFT - 1)),
                                   -CNN_SQUARED_SHIFT);
#endif
    }
}

/* What the network should say, in units of 2^-15. */
static int32_t goal(uint32_t class, uint32_t label, const uint8_t *said)
{
    const int32_t wanted = class == label ? ONE : 0;

    if (said == NULL || CNN_TEACHER_SHARE == 0)
        return wanted;
    return (wanted * (TEACHER_ONE - CNN_TEACHER_SHARE)
            + ((int32_t)said[class] << (CNN_ERROR_BITS - 8)) * CNN_TEACHER_SHARE)
           >> 8;
}

/* What 16 bits hold. */
static int32_t limited(int64_t error)
{
    if (error > CNN_ERROR_LIMIT)
        return CNN_ERROR_LIMIT;
    return error < -CNN_ERROR_LIMIT ? -CNN_ERROR_LIMIT : (int32_t)error;
}

uint32_t cnn_loss(const int64_t *logits, uint32_t label, const uint8_t *said, int32_t *errors)
{
    int64_t found[CLASSES];
    uint32_t best = 0;

    for (uint32_t n = 1; n < CLASSES; n++)
        if (logits[n] > logits[best])
            best = n;
    if (CNN_LOSS_SQUARED)
        real_values(logits, found);
    else
        probabilities(logits, logits[best], found);
    for (uint32_t n = 0; n < CLASSES; n++)
        errors[n] = limited(found[n] - goal(n, label, said));
    return best;
}
