/* Reset, vectors and text for the test programs. */
#include "board.h"

extern uint32_t data_begin, data_end, data_source, bss_begin, bss_end;
void reset(void);

static void hang(void)
{
    for (;;) {
    }
}

#define HANDLER(name) void name(void) __attribute__((weak, alias("hang")))
HANDLER(on_hard_fault);
HANDLER(on_call);
HANDLER(on_pend);
HANDLER(on_tick);
HANDLER(on_line0);
HANDLER(on_line1);
HANDLER(on_timer0);
HANDLER(on_accelerator);

__attribute__((section(".vectors"), used)) void (*const vectors[16 + 120])(void) = {
    (void (*)(void))0x20020000, reset, hang, on_hard_fault,
    [11] = on_call, [14] = on_pend, [15] = on_tick,
    [16] = on_line0, [17] = on_line1, [21] = on_timer0, [117] = on_accelerator,
};

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

void reset(void)
{
    uint32_t *to = &data_begin, *from = &data_source;
    while (to < &data_end)
        *to++ = *from++;
    for (to = &bss_begin; to < &bss_end; to++)
        *to = 0;
    main();
    for (;;) {
    }
}
