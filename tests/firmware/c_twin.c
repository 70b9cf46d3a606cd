/* What the tests ask of the generated C, through ctypes. */
#include "cnn_arithmetic.h"
#include "cnn_map.h"

void twin_addresses(uint32_t placement, uint32_t *address);
void twin_bits(uint32_t placement, uint8_t *bit);
void twin_requantise(const int32_t *accumulator, int32_t count, int shift, int64_t *result);
void twin_average(const int32_t *total, int32_t count, int32_t divisor, int rounding,
                  int32_t *result);

static uint32_t elements(const cnn_placement *place)
{
    uint32_t count = 1;

    for (unsigned n = 0; n < place->axes; n++)
        count *= place->shape[n];
    return count;
}

void twin_addresses(uint32_t placement, uint32_t *address)
{
    const cnn_placement *place = cnn_placements[placement];

    for (uint32_t n = 0; n < elements(place); n++)
        address[n] = cnn_address_of(place, n);
}

void twin_bits(uint32_t placement, uint8_t *bit)
{
    const cnn_placement *place = cnn_placements[placement];

    for (uint32_t n = 0; n < elements(place); n++) {
        uint16_t index[CNN_AXES] = {0};
        uint32_t rest = n;

        for (unsigned axis = place->axes; axis-- > 0;) {
            index[axis] = (uint16_t)(rest % place->shape[axis]);
            rest /= place->shape[axis];
        }
        bit[n] = (uint8_t)cnn_bit(place, index);
    }
}

void twin_requantise(const int32_t *accumulator, int32_t count, int shift, int64_t *result)
{
    for (int32_t n = 0; n < count; n++)
        result[n] = cnn_requantise(accumulator[n], shift);
}

void twin_average(const int32_t *total, int32_t count, int32_t divisor, int rounding,
                  int32_t *result)
{
    for (int32_t n = 0; n < count; n++)
        result[n] = cnn_average(total[n], divisor, rounding);
}
