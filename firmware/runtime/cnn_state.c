#include "cnn_state.h"

#include <stddef.h>

#include "cnn_dsp.h"
#include "cnn_update.h"

cnn_kept cnn_state;

void cnn_update_reset(uint32_t seed)
{
    uint8_t *byte = (uint8_t *)&cnn_state;

    for (size_t n = 0; n < sizeof cnn_state; n++)
        byte[n] = 0;
    cnn_state.seed = seed;
}

/* What becomes of a sample's gradient: / 2^shift, rounded half up and limited; by the shift, and by
 * whether any may be so large that it is limited. */
enum { WIDENED, ROUNDED, WIDENED_SMALL, ROUNDED_SMALL };

static int way_of(int32_t shift, uint32_t largest)
{
    if (shift > 0)
        return largest >> shift < CNN_TRAIN_LIMIT ? ROUNDED_SMALL : ROUNDED;
    return largest <= (uint32_t)CNN_TRAIN_LIMIT >> -shift ? WIDENED_SMALL : WIDENED;
}

CNN_WITHIN int32_t scaled(int32_t gradient, int32_t shift, int way)
{
    const int widened = way == WIDENED || way == WIDENED_SMALL;
    const int32_t limit = CNN_TRAIN_LIMIT, bound = widened ? limit >> -shift : limit;
    const int32_t value = widened ? gradient : cnn_round_right(gradient, (uint32_t)shift);

    if (way == WIDENED || way == ROUNDED) {
        if (value > bound)
            return limit;
        if (value < -bound)
            return -limit;
    }
    return widened ? (int32_t)((uint32_t)value << -shift) : value;
}

/* A call of a function whose last argument is a constant: the way of a shift. */
#define BY_WAY(WAY, FUNCTION, ...)                                           \
    ((WAY) == ROUNDED_SMALL   ? FUNCTION(__VA_ARGS__, ROUNDED_SMALL)         \
     : (WAY) == WIDENED_SMALL ? FUNCTION(__VA_ARGS__, WIDENED_SMALL)         \
     : (WAY) == ROUNDED       ? FUNCTION(__VA_ARGS__, ROUNDED)               \
                              : FUNCTION(__VA_ARGS__, WIDENED))

/* Several weights at a time, because loads that follow each other take a cycle each. */
#if CNN_TRAIN_AT_ONCE
void cnn_update_begin(void)
{
}

#if CNN_TRAIN_VELOCITIES && !CNN_TRAIN_ADAM
/* With the momentum of what came before. */
CNN_WITHIN uint32_t take(uint32_t first, int32_t *gradient, uint32_t count, int32_t shift, int way)
{
    int32_t *velocity = cnn_state.velocity + first;
    uint32_t any = 0, left = count;

    for (; left >= 4; left -= 4, gradient += 4, velocity += 4) {
        const int32_t a = gradient[0], b = gradient[1], c = gradient[2], d = gradient[3];
        const int32_t e = velocity[0], f = velocity[1], g = velocity[2], h = velocity[3];
        const int32_t i = cnn_moved(e, scaled(a, shift, way));
        const int32_t j = cnn_moved(f, scaled(b, shift, way));
        const int32_t k = cnn_moved(g, scaled(c, shift, way));
        const int32_t l = cnn_moved(h, scaled(d, shift, way));

        gradient[0] = velocity[0] = i, any |= cnn_magnitude(i);
        gradient[1] = velocity[1] = j, any |= cnn_magnitude(j);
        gradient[2] = velocity[2] = k, any |= cnn_magnitude(k);
        gradient[3] = velocity[3] = l, any |= cnn_magnitude(l);
    }
    for (; left > 0; left--, gradient++, velocity++) {
        *gradient = *velocity = cnn_moved(*velocity, scaled(*gradient, shift, way));
        any |= cnn_magnitude(*gradient);
    }
    return any;
}
#else
CNN_WITHIN uint32_t take(uint32_t first, int32_t *gradient, uint32_t count, int32_t shift, int way)
{
    uint32_t any = 0;

    (void)first;
    for (; count > 0; count--, gradient++) {
        *gradient = scaled(*gradient, shift, way);
        any |= cnn_magnitude(*gradient);
    }
    return any;
}
#endif

uint32_t cnn_take_gradients(uint32_t first, int32_t *gradients, uint32_t count, int32_t shift,
                            uint32_t largest)
{
    return BY_WAY(way_of(shift, largest), take, first, gradients, count, shift);
}
#else
void cnn_update_begin(void)
{
    for (uint32_t n = 0; n < CNN_WEIGHTS_KEPT; n++) {
#if CNN_TRAIN_ADAM
        cnn_state.gradient[n] = 0;
#else
        cnn_state.velocity[n] = cnn_moved(cnn_state.velocity[n], 0);
#endif
    }
}

CNN_WITHIN void add(int32_t *sum, const int32_t *gradient, uint32_t count, int32_t shift, int way)
{
    const int32_t *const end = gradient + (count & ~1u);

    for (; gradient < end; gradient += 2, sum += 2) {
        const int32_t a = gradient[0], b = gradient[1], c = sum[0], d = sum[1];

        sum[0] = c + scaled(a, shift, way);
        sum[1] = d + scaled(b, shift, way);
    }
    if (count % 2 != 0)
        *sum += scaled(*gradient, shift, way);
}

void cnn_add_gradients(uint32_t first, const int32_t *gradients, uint32_t count, int32_t shift)
{
#if CNN_TRAIN_ADAM
    int32_t *const sums = cnn_state.gradient + first;
#else
    int32_t *const sums = cnn_state.velocity + first;
#endif

    BY_WAY(way_of(shift, 0x80000000u), add, sums, gradients, count, shift);
}
#endif
