/* How everything here reaches the accelerator: one 32-bit word at a time (and by one byte, which
 * says where packed kernels begin).
 *
 * On the board the addresses are the accelerator's own.  With CNN_HOST defined they are looked up
 * in memory images (cnn_host.c), so that the same code runs on a computer.
 */
#ifndef CNN_PORT_H
#define CNN_PORT_H

#include <stdint.h>

#ifdef CNN_HOST
uint32_t cnn_read(uint32_t address);
void cnn_write(uint32_t address, uint32_t word);
void cnn_write_byte(uint32_t address, uint8_t byte); /* not in cnn_host.c */
#else
static inline uint32_t cnn_read(uint32_t address)
{
    return *(volatile uint32_t *)(uintptr_t)address;
}

static inline void cnn_write(uint32_t address, uint32_t word)
{
    *(volatile uint32_t *)(uintptr_t)address = word;
}

static inline void cnn_write_byte(uint32_t address, uint8_t byte)
{
    *(volatile uint8_t *)(uintptr_t)address = byte;
}
#endif

#endif
