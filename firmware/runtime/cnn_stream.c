#include "cnn_stream.h"

#include "cnn_dsp.h"
#include "cnn_layout.h"
#include "cnn_port.h"

/* A slot holds stream bytes 0 to 3 in its third word, 4 to 7 in its second, 8 in its first.  In
 * SRAM they follow each other, at any address: words are loaded and stored unaligned. */
enum { TOGETHER = 4, GROUP_BYTES = TOGETHER * CNN_KERNEL_BYTES };

static inline void put_slot(uint8_t *bytes, uint32_t first, uint32_t second, uint32_t last)
{
    __builtin_memcpy(bytes, &first, 4);
    __builtin_memcpy(bytes + 4, &second, 4);
    bytes[8] = (uint8_t)last;
}

/* Two slots' words, loaded in a row: a load right after a load takes one cycle. */
static inline void read_two(uint32_t address, uint8_t *bytes)
{
    const uint32_t a0 = cnn_read(address + 8), a1 = cnn_read(address + 4), a2 = cnn_read(address);
    const uint32_t b0 = cnn_read(address + 24), b1 = cnn_read(address + 20);
    const uint32_t b2 = cnn_read(address + 16);

    put_slot(bytes, a0, a1, a2);
    put_slot(bytes + CNN_KERNEL_BYTES, b0, b1, b2);
}

void cnn_stream_read(uint32_t address, unsigned slots, uint8_t *bytes)
{
    for (unsigned n = slots / 4; n > 0; n--) {
        read_two(address, bytes);
        read_two(address + 2 * CNN_KERNEL_SLOT, bytes + 2 * CNN_KERNEL_BYTES);
        address += 4 * CNN_KERNEL_SLOT;
        bytes += 4 * CNN_KERNEL_BYTES;
    }
    if (slots & 2) {
        read_two(address, bytes);
        address += 2 * CNN_KERNEL_SLOT;
        bytes += 2 * CNN_KERNEL_BYTES;
    }
    if (slots & 1)
        put_slot(bytes, cnn_read(address + 8), cnn_read(address + 4), cnn_read(address));
}

#ifdef CNN_HOST /* memory images have no packed writes */
void cnn_stream_write(uint32_t address, unsigned slots, const uint8_t *bytes)
{
    for (; slots > 0; slots--, address += CNN_KERNEL_SLOT, bytes += CNN_KERNEL_BYTES) {
        cnn_write(address, bytes[8]);
        cnn_write(address + 4, cnn_load(bytes + 4));
        cnn_write(address + 8, cnn_load(bytes));
        cnn_write(address + 12, 0); /* commits */
    }
}
#else
/* A packed word counts from its most significant byte, a kernel word from its last stream byte:
 *     8 7 6 5 | 4 3 2 1 | 0 17 16 15 | 14 13 12 11 | 10 9 26 25 | 24 23 22 21 | 20 19 18 35 | ...
 * Words 0 to 8 of four slots: */
static inline uint32_t with_top(uint32_t word, uint32_t byte)
{
    return (word & 0x00ffffffu) | byte << 24; /* BFI */
}

static inline uint32_t with_bottom(uint32_t word, uint32_t byte)
{
    return (word & 0xffffff00u) | byte; /* BFI */
}

static inline uint32_t halves(const uint8_t *low, const uint8_t *high)
{
    uint16_t bottom, top;

    __builtin_memcpy(&bottom, low, 2);
    __builtin_memcpy(&top, high, 2);
    return bottom | (uint32_t)top << 16;
}

static inline void write_group(uint32_t address, const uint8_t *bytes)
{
    const uint32_t e0 = cnn_load(bytes + 5), e1 = cnn_load(bytes + 1);
    const uint32_t e2 = with_top(cnn_load(bytes + 15), bytes[0]);
    const uint32_t e3 = cnn_load(bytes + 11);
    uint32_t e4, e5, e6, e7, e8;

    cnn_write(address, e0);
    cnn_write(address, e1);
    cnn_write(address, e2);
    cnn_write(address, e3);
    e4 = halves(bytes + 25, bytes + 9);
    e5 = cnn_load(bytes + 21);
    e6 = with_bottom(cnn_load(bytes + 17), bytes[35]);
    e7 = cnn_load(bytes + 31);
    e8 = cnn_load(bytes + 27);
    cnn_write(address, e4);
    cnn_write(address, e5);
    cnn_write(address, e6);
    cnn_write(address, e7);
    cnn_write(address, e8);
}

/* The last one to three slots; bytes that fill no kernel word are dropped. */
static void write_rest(uint32_t address, unsigned slots, const uint8_t *bytes)
{
    cnn_write(address, cnn_load(bytes + 5));
    cnn_write(address, cnn_load(bytes + 1));
    cnn_write(address, with_top(cnn_load(bytes + 15), bytes[0]));
    if (slots == 1)
        return;
    cnn_write(address, cnn_load(bytes + 11));
    cnn_write(address, halves(bytes + 25, bytes + 9));
    if (slots == 2)
        return;
    cnn_write(address, cnn_load(bytes + 21));
    cnn_write(address, cnn_load(bytes + 17));
}

void cnn_stream_write(uint32_t address, unsigned slots, const uint8_t *bytes)
{
    const uint32_t first = address & (CNN_KERNEL_UNIT_STRIDE - 1);

    address = address - first + first / (CNN_KERNEL_SLOT / 4); /* as packed streams count */
    *(volatile uint8_t *)(uintptr_t)(address + 1) = 1;
    for (; slots >= TOGETHER; slots -= TOGETHER, bytes += GROUP_BYTES)
        write_group(address, bytes);
    if (slots > 0)
        write_rest(address, slots, bytes);
}
#endif
