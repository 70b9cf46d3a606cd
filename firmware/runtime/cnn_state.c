#include "cnn_state.h"

#include <stddef.h>

#include "cnn_blocks.h"
#include "cnn_update.h"

cnn_kept cnn_state;

void cnn_update_reset(uint32_t seed)
{
    uint8_t *byte = (uint8_t *)&cnn_state;

    for (size_t n = 0; n < sizeof cnn_state; n++)
        byte[n] = 0;
    cnn_state.seed = seed;
}

/* A sample's gradient / 2^shift, rounded half up and limited. */
static inline int32_t limited(int32_t gradient, int32_t shift)
{
    const int32_t limit = CNN_TRAIN_LIMIT, bound = shift < 0 ? limit >> -shift : limit;
    const int32_t value = shift > 0 ? cnn_rounded(gradient, shift) : gradient;

    if (value > bound)
        return limit;
    if (value < -bound)
        return -limit;
    return shift < 0 ? (int32_t)((uint32_t)value << -shift) : value;
}

#if CNN_TRAIN_AT_ONCE
void cnn_update_begin(void)
{
}

uint32_t cnn_take_gradients(uint32_t first, int32_t *gradients, uint32_t count, int32_t shift)
{
    uint32_t any = 0;

    for (uint32_t n = 0; n < count; n++) {
        int32_t value = limited(gradients[n], shift);

#if !CNN_TRAIN_ADAM
        value = cnn_with_momentum(first + n, value);
#endif
        any |= cnn_magnitude(value);
        gradients[n] = value;
    }
    (void)first;
    return any;
}
#else
void cnn_update_begin(void)
{
    for (uint32_t n = 0; n < CNN_WEIGHTS_KEPT; n++) {
#if CNN_TRAIN_ADAM
        cnn_state.gradient[n] = 0;
#else
        cnn_decay(&cnn_state.velocity[n]);
#endif
    }
}

void cnn_add_gradients(uint32_t first, const int32_t *gradients, uint32_t count, int32_t shift)
{
#if CNN_TRAIN_ADAM
    int32_t *const sums = cnn_state.gradient + first;
#else
    int32_t *const sums = cnn_state.velocity + first;
#endif

    if (shift > 0)
        for (uint32_t n = 0; n < count; n++)
            sums[n] += limited(gradients[n], shift);
    else
        for (uint32_t n = 0; n < count; n++)
            sums[n] += limited(gradients[n], shift);
}
#endif
