#include "cnn_address.h"

#include "cnn_map.h"
#include "cnn_port.h"

static uint32_t entry(const cnn_column *column, uint32_t i)
{
    return column->table ? column->table[i] : (uint32_t)((int32_t)i * column->step);
}

static uint32_t slot_offset(uint32_t stream_byte)
{
    static const uint8_t byte_in_slot[CNN_KERNEL_BYTES] = CNN_KERNEL_BYTE;

    return stream_byte / CNN_KERNEL_BYTES * CNN_KERNEL_SLOT
           + byte_in_slot[stream_byte % CNN_KERNEL_BYTES];
}

static uint32_t sum_of_codes(const cnn_placement *place, const uint16_t *index)
{
    uint32_t code = place->origin_code;

    for (unsigned n = 0; n < place->axes; n++)
        code += entry(&place->axis[n].code, index[n]);
    return code;
}

uint32_t cnn_address(const cnn_placement *place, const uint16_t *index)
{
    uint32_t address = place->origin;
    uint32_t tap = place->origin_tap;

    for (unsigned n = 0; n < place->axes; n++) {
        address += entry(&place->axis[n].base, index[n]);
        tap += entry(&place->axis[n].tap, index[n]);
    }
    if (place->taps)
        address += slot_offset((sum_of_codes(place, index) >> 3) * place->taps + tap);
    return address;
}

uint32_t cnn_bit(const cnn_placement *place, const uint16_t *index)
{
    return place->taps ? sum_of_codes(place, index) & 7u : 0;
}

uint32_t cnn_address_of(const cnn_placement *place, uint32_t n)
{
    uint16_t index[CNN_AXES] = {0};

    for (unsigned axis = place->axes; axis-- > 0;) {
        index[axis] = (uint16_t)(n % place->shape[axis]);
        n /= place->shape[axis];
    }
    return cnn_address(place, index);
}

int8_t cnn_read_byte(uint32_t address)
{
    uint32_t byte = cnn_read(address & ~3u) >> 8 * (address & 3u) & 0xffu;

    return (int8_t)(byte < 128 ? (int)byte : (int)byte - 256);
}
