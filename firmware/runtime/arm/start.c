/* From reset to main, for programs that are built without the vendor's SDK.
 *
 * A program may define any of the handlers; MXC_NVIC_SetVector (port.c) sets those of interrupts
 * while it runs.
 */
#include <stdint.h>

#define SYSTEM_VECTORS 16
#define LINES 104 /* of interrupts */

extern uint32_t stack_top[], data_begin[], data_end[], data_source[], bss_begin[], bss_end[];
/* ... are addresses that board.ld names. */

int main(void);
void reset(void);
void unexpected(void);
void board_begin(void);

/* An exception that nobody handles: a debugger, and the emulator, find the processor here. */
void unexpected(void)
{
    for (;;) {
    }
}

#define HANDLER(name) void name(void) __attribute__((weak, alias("unexpected")))
HANDLER(NMI_Handler);
HANDLER(HardFault_Handler);
HANDLER(MemManage_Handler);
HANDLER(BusFault_Handler);
HANDLER(UsageFault_Handler);
HANDLER(SVC_Handler);
HANDLER(DebugMon_Handler);
HANDLER(PendSV_Handler);
HANDLER(SysTick_Handler);
HANDLER(PF_IRQHandler);
HANDLER(WDT0_IRQHandler);
HANDLER(TMR0_IRQHandler);
HANDLER(UART0_IRQHandler);
HANDLER(CNN_ISR);

typedef union {
    uint32_t *stack;
    void (*handler)(void);
} vector;

#define LINE(number) [SYSTEM_VECTORS + (number)]

__attribute__((section(".vectors"), used)) const vector vectors[SYSTEM_VECTORS + LINES] = {
    {.stack = stack_top},
    {.handler = reset},
    {.handler = NMI_Handler},
    {.handler = HardFault_Handler},
    {.handler = MemManage_Handler},
    {.handler = BusFault_Handler},
    {.handler = UsageFault_Handler},
    [11] = {.handler = SVC_Handler},
    [12] = {.handler = DebugMon_Handler},
    [14] = {.handler = PendSV_Handler},
    [15] = {.handler = SysTick_Handler},
    LINE(0) = {.handler = PF_IRQHandler},
    LINE(1) = {.handler = WDT0_IRQHandler},
    LINE(5) = {.handler = TMR0_IRQHandler},
    LINE(14) = {.handler = UART0_IRQHandler},
    LINE(101) = {.handler = CNN_ISR},
};

/* Before main, with data and bss in place: the port (port.c) sets up the processor. */
__attribute__((weak)) void board_begin(void) {}

/* Words between two addresses. */
static uint32_t words(const uint32_t *begin, const uint32_t *end)
{
    return (uint32_t)((uintptr_t)end - (uintptr_t)begin) / sizeof(uint32_t);
}

void reset(void)
{
    for (uint32_t n = words(data_begin, data_end); n > 0; n--)
        data_begin[n - 1] = data_source[n - 1];
    for (uint32_t n = words(bss_begin, bss_end); n > 0; n--)
        bss_begin[n - 1] = 0;
    board_begin();
    (void)main();
    unexpected(); /* main has returned: nothing is left to do */
}
