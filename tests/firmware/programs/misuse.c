/* One thing that the chip forbids, chosen by MISUSE. */
#include "board.h"

volatile float number = 1.0f;
volatile uint32_t words[4];

static void misuse(void)
{
#if MISUSE == 0 /* the FPU is off */
    number = number * 2.0f;
#elif MISUSE == 1 /* by bytes */
    enable_accelerator();
    words[0] = *(volatile uint8_t *)0x50400001;
#elif MISUSE == 2 /* no power */
    REG(0x40000024) &= ~(1u << 25);
    REG(0x50100000) = 0x100809;
#elif MISUSE == 3 /* STRD to an odd word */
    __asm volatile("strd r0, r1, [%0]" : : "r"((uint32_t)words + 2) : "memory");
#elif MISUSE == 4 /* no memory */
    words[0] = REG(0x30000000);
#elif MISUSE == 5 /* flash is not stored to */
    REG(0x10001000) = 1;
#elif MISUSE == 6 /* no such instruction */
    __asm volatile("udf #1");
#elif MISUSE == 7 /* a register that never changes */
    while (!(REG(0x40008024) & 0))
        ;
#elif MISUSE == 8 /* LDM */
    __asm volatile("ldm %0, {r0, r1}" : : "r"((uint32_t)words + 1) : "r0", "r1", "memory");
#elif MISUSE == 9 /* no clock */
    REG(0x40005800) = 0xF;
    REG(0x40005804) = 0xF;
    REG(0x40005808) = 0;
    words[0] = REG(0x50400000);
#endif
}

int main(void)
{
    misuse();
    return 0;
}
