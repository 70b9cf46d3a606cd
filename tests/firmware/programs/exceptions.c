/* Entry, return, priorities, masks, the process stack, float context and sleep. */
#include "board.h"

volatile uint32_t ticks, order, seen;
volatile float kept;

void on_tick(void)
{
    ticks++;
}

void on_line0(void) /* low priority: interrupted by line 1 */
{
    order = order * 10 + 1;
    NVIC_ISPR(0) = 2;
    __asm volatile("dsb\n isb\n nop");
    order = order * 10 + 2;
}

void on_line1(void)
{
    volatile float local = 3.0f;
    kept = local * 2.0f; /* spoils s registers: the frame must bring them back */
    order = order * 10 + 3;
    __asm volatile("mrs %0, ipsr" : "=r"(seen));
}

void on_call(void)
{
    uint32_t *frame;
    __asm volatile("mrs %0, psp" : "=r"(frame));
    frame[0] += 100; /* r0 of the caller */
}

void on_timer0(void)
{
    REG(0x4001000C) = 1;
    REG(0x40010010) &= ~0x8000u;
    order = 77;
}

static uint32_t call(uint32_t value)
{
    register uint32_t r0 __asm("r0") = value;
    __asm volatile("svc 0" : "+r"(r0) : : "memory");
    return r0;
}

__attribute__((aligned(8))) static uint32_t process_stack[256];

int main(void)
{
    enable_fpu();
    volatile float before = 1.5f;
    NVIC_PRIORITY(0) = 0x80;
    NVIC_PRIORITY(1) = 0x20;
    NVIC_ISER(0) = 3;
    NVIC_ISPR(0) = 1;
    __asm volatile("dsb\n isb\n nop");
    put_number(order); /* 132 */
    put_number(seen); /* 17 */
    put_number((uint32_t)(before * 4.0f)); /* 6 */

    __asm volatile("cpsid i");
    NVIC_ISPR(0) = 2;
    __asm volatile("dsb\n isb\n nop");
    put_number(order); /* 132: masked */
    __asm volatile("cpsie i\n isb");
    put_number(order); /* 1323 */

    __asm volatile("msr basepri, %0" : : "r"(0x40));
    order = 0;
    NVIC_ISPR(0) = 1; /* 0x80 is masked, 0x20 is not */
    NVIC_ISPR(0) = 2;
    __asm volatile("dsb\n isb\n nop");
    put_number(order); /* 3 */
    __asm volatile("msr basepri, %0\n isb" : : "r"(0));
    put_number(order); /* 3132 */

    SYST_LOAD = 9999;
    SYST_VAL = 0;
    SYST_CTRL = 7;
    while (ticks < 3)
        __asm volatile("wfi");
    SYST_CTRL = 0;
    put_number(ticks); /* 3 */

    __asm volatile("msr psp, %0\n mov r0, #2\n msr control, r0\n isb"
                   : : "r"(process_stack + 256) : "r0", "memory");
    put_number(call(11)); /* 111 */
    __asm volatile("mov r0, #0\n msr control, r0\n isb" : : : "r0", "memory");

    NVIC_ISER(0) = 1u << 5;
    REG(0x40010010) = 0x4001; /* continuous, clock on */
    REG(0x40010004) = 500;
    REG(0x40010018) = 1u << 8; /* interrupt */
    REG(0x40010010) |= 0x8000;
    __asm volatile("wfi\n nop\n nop");
    put_number(order); /* 77 */
    put("PASS\n");
    return 0;
}
