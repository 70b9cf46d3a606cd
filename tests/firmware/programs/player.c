/* Plays the register writes of a network, runs it, and prints its outputs. */
#include "board.h"
#include "writes.h" /* LOAD and START: address, count, words ...; 0.  OUTPUT, OUTPUTS. */

static const uint32_t load[] = {LOAD}, start[] = {START};
volatile uint32_t done;
int32_t logits[OUTPUTS];

void on_accelerator(void)
{
    for (uint32_t quadrant = 0; quadrant < 4; quadrant++)
        REG(0x50100000 + quadrant * 0x400000) &= ~0x1001u;
    done = 1;
}

static void play(const uint32_t *words)
{
    while (*words) {
        volatile uint32_t *to = (volatile uint32_t *)*words++;
        for (uint32_t count = *words++; count; count--)
            *to++ = *words++;
    }
}

int main(void)
{
    static const uint32_t outputs[] = {OUTPUT};
    enable_accelerator();
    play(load);
    REG(0x40010010) = 0x4000;
    REG(0x40010010) |= 0x8000; /* timer 0: half of the processor's clock */
    play(start);
    while (!done)
        __asm volatile("wfi");
    uint32_t ticks = REG(0x40010000);
    for (uint32_t n = 0; n < OUTPUTS; n++)
        logits[n] = (int32_t)REG(outputs[n]);
    put_number(ticks);
    put("PASS\n");
    return 0;
}
