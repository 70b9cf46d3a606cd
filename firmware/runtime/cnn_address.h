/* Where each element of a tensor lives; the twin of max78k_sim/placement.py.
 *
 *     address = origin + sum(base) + slot_offset((sum(code) >> 3) * taps + sum(tap))
 *     bit     = sum(code) & 7
 *
 * summed over the axes of the tensor.  base is in bytes; code (bits of a tap) and tap (bytes of a
 * kernel) are used by kernels only, whose byte stream is spread over 16-byte slots.
 */
#ifndef CNN_ADDRESS_H
#define CNN_ADDRESS_H

#include <stdint.h>

#define CNN_AXES 4

/* Entry i of a column is table[i], or i * step where there is no table. */
typedef struct {
    const uint32_t *table;
    int32_t step;
} cnn_column;

typedef struct {
    cnn_column base; /* bytes */
    cnn_column code; /* bits of a tap */
    cnn_column tap;  /* bytes of a kernel */
} cnn_axis;

typedef struct {
    uint32_t origin;
    uint32_t origin_code;
    uint32_t origin_tap;
    uint8_t taps; /* bytes of an 8-bit kernel; 0 for tensors that are not kernels */
    uint8_t bits; /* of an element */
    uint8_t axes;
    uint16_t shape[CNN_AXES];
    cnn_axis axis[CNN_AXES];
} cnn_placement;

/* Byte address of the element at index[0 .. axes - 1]. */
uint32_t cnn_address(const cnn_placement *place, const uint16_t *index);

/* Lowest bit of that element within its byte. */
uint32_t cnn_bit(const cnn_placement *place, const uint16_t *index);

/* Byte address of element number n in row-major order. */
uint32_t cnn_address_of(const cnn_placement *place, uint32_t n);

/* One 8-bit element at a byte address. */
int8_t cnn_read_byte(uint32_t address);

#endif
