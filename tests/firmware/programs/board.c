/* Text for the test programs, and the accelerator's power; reset and vectors: runtime/arm. */
#include "board.h"

void put(const char *text)
{
    while (*text)
        REG(0x40042020) = (uint8_t)*text++;
}

void put_number(uint32_t value)
{
    char text[12];
    char *place = text + 11;
    *place = 0;
    do {
        *--place = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    put(place);
    put(" ");
}

void enable_fpu(void)
{
    SCB_CPACR |= 0xFu << 20;
    __asm volatile("dsb\n isb");
}

void enable_accelerator(void)
{
    REG(0x4000580C) = 0xF; /* reset */
    REG(0x40005804) = 0xF; /* memory */
    REG(0x40005800) = 0xF; /* power */
    REG(0x40005808) = 0x0; /* isolation */
    REG(0x4000580C) = 0x0;
    REG(0x40000018) = (REG(0x40000018) & ~0x3C000u) | 0x10000;
    REG(0x40000024) &= ~(1u << 25);
    NVIC_ISER(3) = 1u << 5; /* line 101 */
}
