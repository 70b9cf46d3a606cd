/* The flash that the processor runs from: pages are erased to ones, 128 bits at a time are written,
 * once between two erases.  What an interrupted operation leaves is undefined. */
#ifndef CNN_FLASH_H
#define CNN_FLASH_H

#include <stdint.h>

#define CNN_FLASH_PAGE 8192u /* bytes */
#define CNN_FLASH_LINE 16u   /* bytes that are written at once */

/* Erase the page that begins at an address; 0 when the controller refuses. */
int cnn_flash_erase(uint32_t address);

/* Write 4 words to an erased line; 0 when the controller refuses. */
int cnn_flash_write(uint32_t address, const uint32_t *words);

#ifdef CNN_HOST
uint8_t cnn_flash_read(uint32_t address);
#else
static inline uint8_t cnn_flash_read(uint32_t address)
{
    return *(const volatile uint8_t *)(uintptr_t)address;
}
#endif

#endif
