/* What generated programs use of the vendor's support library, for programs without it: clocks,
 * the console on UART0 (115,200 baud), delays, stopwatches, interrupts and pins.
 *
 * Registers and bits are those of the device's public description; mxc.h has their names.  Proved
 * in the emulator only: on a board the SDK's build is the one to trust first.
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "mxc.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* GCR.CLKCTRL: sources of the system clock. */
#define SOURCE_SHIFT 9
#define SOURCE_MASK (7u << SOURCE_SHIFT)
#define DIVIDER_SHIFT 6
#define DIVIDER_MASK 7u
#define CLOCK_READY (1u << 13)

typedef struct {
    mxc_sys_system_clock_t clock;
    uint32_t code;            /* in CLKCTRL */
    uint32_t enable, ready;   /* bits of CLKCTRL; 0: always on */
    uint32_t frequency;       /* Hz */
} clock_source;

static const clock_source sources[] = {
    {MXC_SYS_CLOCK_ISO, 0, 1u << 18, 1u << 26, 60000000u},
    {MXC_SYS_CLOCK_INRO, 3, 0, 1u << 29, 30000u},
    {MXC_SYS_CLOCK_IPO, 4, 1u << 19, 1u << 27, IPO_FREQ},
    {MXC_SYS_CLOCK_IBRO, 5, 1u << 20, 1u << 28, 7372800u},
    {MXC_SYS_CLOCK_ERTCO, 6, 1u << 17, 1u << 25, 32768u},
};

#define SOURCES (sizeof sources / sizeof sources[0])

uint32_t SystemCoreClock = 60000000u; /* Hz; ISO, after a reset */

/* --- clocks */

void SystemCoreClockUpdate(void)
{
    uint32_t control = MXC_GCR->clkctrl;

    for (unsigned n = 0; n < SOURCES; n++)
        if (sources[n].code == (control & SOURCE_MASK) >> SOURCE_SHIFT)
            SystemCoreClock = sources[n].frequency >> (control >> DIVIDER_SHIFT & DIVIDER_MASK);
}

static void start_source(const clock_source *source)
{
    MXC_GCR->clkctrl |= source->enable;
    while (!(MXC_GCR->clkctrl & source->ready)) {
    }
}

int MXC_SYS_Clock_Select(mxc_sys_system_clock_t clock)
{
    for (unsigned n = 0; n < SOURCES; n++)
        if (sources[n].clock == clock) {
            start_source(&sources[n]);
            MXC_GCR->clkctrl
                = (MXC_GCR->clkctrl & ~SOURCE_MASK) | sources[n].code << SOURCE_SHIFT;
            while (!(MXC_GCR->clkctrl & CLOCK_READY)) {
            }
            SystemCoreClockUpdate();
            return E_NO_ERROR;
        }
    return E_BAD_PARAM;
}

/* Bit of a peripheral's clock in GCR.PCLKDIS0 (1: off); 0 for those that are never off. */
static uint32_t gate(mxc_sys_periph_clock_t clock)
{
    static const struct {
        mxc_sys_periph_clock_t clock;
        uint8_t bit;
    } gates[] = {
        {MXC_SYS_PERIPH_CLOCK_GPIO0, 0}, {MXC_SYS_PERIPH_CLOCK_GPIO1, 1},
        {MXC_SYS_PERIPH_CLOCK_DMA, 5},   {MXC_SYS_PERIPH_CLOCK_UART0, 9},
        {MXC_SYS_PERIPH_CLOCK_UART1, 10}, {MXC_SYS_PERIPH_CLOCK_TMR0, 15},
        {MXC_SYS_PERIPH_CLOCK_TMR1, 16}, {MXC_SYS_PERIPH_CLOCK_TMR2, 17},
        {MXC_SYS_PERIPH_CLOCK_TMR3, 18}, {MXC_SYS_PERIPH_CLOCK_CNN, 25},
    };

    for (unsigned n = 0; n < sizeof gates / sizeof gates[0]; n++)
        if (gates[n].clock == clock)
            return 1u << gates[n].bit;
    return 0;
}

void MXC_SYS_ClockEnable(mxc_sys_periph_clock_t clock)
{
    MXC_GCR->pclkdis0 &= ~gate(clock);
}

void MXC_SYS_ClockDisable(mxc_sys_periph_clock_t clock)
{
    MXC_GCR->pclkdis0 |= gate(clock);
}

int MXC_SYS_IsClockEnabled(mxc_sys_periph_clock_t clock)
{
    return !(MXC_GCR->pclkdis0 & gate(clock));
}

void MXC_SYS_Reset_Periph(int reset)
{
    MXC_GCR->rst0 = 1u << reset;
    while (MXC_GCR->rst0 & 1u << reset) {
    }
}

/* --- instruction cache */

#define ICC_READY (1u << 16)
#define ICC_INVALIDATE(icc) REGISTER((uintptr_t)(icc) + 0x700u)

void MXC_ICC_Flush(mxc_icc_regs_t *icc)
{
    ICC_INVALIDATE(icc) = 1;
    while (!(icc->ctrl & ICC_READY)) {
    }
}

void MXC_ICC_Enable(mxc_icc_regs_t *icc)
{
    MXC_ICC_Flush(icc);
    icc->ctrl |= 1u;
}

void MXC_ICC_Disable(mxc_icc_regs_t *icc)
{
    icc->ctrl &= ~1u;
}

/* --- time */

#define MICROSECONDS 1000000u /* in a second */
#define SYSTICK_CONTROL REGISTER(0xE000E010u)
#define SYSTICK_LOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u)
#define SYSTICK_MOST 0x1000000u   /* cycles it counts */
#define SYSTICK_RUNS 5u           /* on the processor's clock, without an interrupt */
#define SYSTICK_PASSED (1u << 16) /* cleared when it is read */

int MXC_Delay(unsigned long microseconds)
{
    uint64_t cycles = (uint64_t)microseconds * (SystemCoreClock / MICROSECONDS);

    while (cycles > 1) {
        uint32_t part = cycles < SYSTICK_MOST ? (uint32_t)cycles : SYSTICK_MOST;

        SYSTICK_LOAD = part - 1;
        SYSTICK_VALUE = 0;
        SYSTICK_CONTROL = SYSTICK_RUNS;
        while (!(SYSTICK_CONTROL & SYSTICK_PASSED)) {
        }
        SYSTICK_CONTROL = 0;
        cycles -= part;
    }
    return E_NO_ERROR;
}

void MXC_TMR_Delay(mxc_tmr_regs_t *timer, unsigned long microseconds, ...)
{
    (void)timer;
    MXC_Delay(microseconds);
}

#define TIMER_CASCADE (1u << 31)    /* CTRL1: 32 bits */
#define TIMER_CLOCK_READY (1u << 3) /* CTRL1 */
#define TIMER_CONTINUOUS 1u         /* CTRL0 */
#define TIMER_CLOCK (1u << 14)
#define TIMER_RUNS (1u << 15)

int MXC_TMR_SW_Start(mxc_tmr_regs_t *timer, ...)
{
    unsigned number = (unsigned)((uintptr_t)timer >> 12) & 3u;

    MXC_SYS_ClockEnable((mxc_sys_periph_clock_t)(MXC_SYS_PERIPH_CLOCK_TMR0 + number));
    timer->ctrl0 = 0;
    timer->ctrl1 = TIMER_CASCADE;
    timer->ctrl0 = TIMER_CONTINUOUS | TIMER_CLOCK;
    while (!(timer->ctrl1 & TIMER_CLOCK_READY)) {
    }
    timer->cmp = 0xFFFFFFFFu;
    timer->cnt = 0;
    timer->ctrl0 |= TIMER_RUNS;
    return E_NO_ERROR;
}

/* Microseconds since the start, at least 1: programs take 0 for "not yet". */
unsigned int MXC_TMR_SW_Stop(mxc_tmr_regs_t *timer)
{
    uint32_t ticks = timer->cnt;

    timer->ctrl0 = 0;
    return ticks / (PeripheralClock / MICROSECONDS) + 1u;
}

/* --- interrupts */

#define SYSTEM_VECTORS 16
#define LINES 104
#define VECTOR_BOUNDARY 512 /* bytes; a power of two that the table fits in */
#define NVIC_ENABLE(word) REGISTER(0xE000E100u + 4u * (word))
#define NVIC_DISABLE(word) REGISTER(0xE000E180u + 4u * (word))
#define NVIC_CLEAR(word) REGISTER(0xE000E280u + 4u * (word))
#define NVIC_PRIORITY(line) (*(volatile uint8_t *)(0xE000E400u + (line)))

extern const uint32_t vectors[SYSTEM_VECTORS + LINES]; /* start.c */
static uint32_t own_vectors[SYSTEM_VECTORS + LINES] __attribute__((aligned(VECTOR_BOUNDARY)));

static void barrier(void)
{
    __asm volatile("dsb\n\tisb" ::: "memory");
}

void MXC_EXEC_SetVector(IRQn_Type number, uintptr_t handler)
{
    if (SCB->VTOR != (uint32_t)(uintptr_t)own_vectors) {
        for (unsigned n = 0; n < SYSTEM_VECTORS + LINES; n++)
            own_vectors[n] = vectors[n];
        SCB->VTOR = (uint32_t)(uintptr_t)own_vectors;
    }
    own_vectors[SYSTEM_VECTORS + (int)number] = (uint32_t)handler;
    barrier();
}

void MXC_NVIC_SetVector(IRQn_Type number, void (*handler)(void))
{
    MXC_EXEC_SetVector(number, (uintptr_t)handler);
    NVIC_EnableIRQ(number);
}

void NVIC_EnableIRQ(IRQn_Type number)
{
    NVIC_ENABLE((unsigned)number / 32u) = 1u << (unsigned)number % 32u;
}

void NVIC_DisableIRQ(IRQn_Type number)
{
    NVIC_DISABLE((unsigned)number / 32u) = 1u << (unsigned)number % 32u;
    barrier();
}

void NVIC_ClearPendingIRQ(IRQn_Type number)
{
    NVIC_CLEAR((unsigned)number / 32u) = 1u << (unsigned)number % 32u;
}

void NVIC_SetPriority(IRQn_Type number, uint32_t priority)
{
    NVIC_PRIORITY((unsigned)number) = (uint8_t)(priority << 5); /* three bits */
}

void __enable_irq(void)
{
    __asm volatile("cpsie i" ::: "memory");
}

void __disable_irq(void)
{
    __asm volatile("cpsid i" ::: "memory");
}

void __WFI(void)
{
    __asm volatile("dsb\n\twfi" ::: "memory");
}

void __WFE(void)
{
    __asm volatile("dsb\n\twfe" ::: "memory");
}

/* --- pins, and lights, which differ from board to board: none here */

#define GPIO(port, offset) REGISTER((uintptr_t)(port) + (offset))
#define GPIO_IS_PIN 0x04u  /* EN0, set; cleared: a peripheral's */
#define GPIO_NOT_PIN 0x08u
#define GPIO_DRIVEN 0x10u  /* OUTEN, set and cleared */
#define GPIO_NOT_DRIVEN 0x14u
#define GPIO_SET 0x1Cu     /* OUT */
#define GPIO_CLEAR 0x20u
#define GPIO_LEVEL 0x24u   /* IN */
#define GPIO_FIRST_FUNCTION 0x70u /* EN1, cleared */

int MXC_GPIO_Config(const mxc_gpio_cfg_t *config)
{
    MXC_SYS_ClockEnable(MXC_SYS_PERIPH_CLOCK_GPIO0);
    MXC_SYS_ClockEnable(MXC_SYS_PERIPH_CLOCK_GPIO1);
    GPIO(config->port, GPIO_FIRST_FUNCTION) = config->mask;
    if (config->func == MXC_GPIO_FUNC_ALT1) {
        GPIO(config->port, GPIO_NOT_PIN) = config->mask;
        return E_NO_ERROR;
    }
    GPIO(config->port, GPIO_IS_PIN) = config->mask;
    if (config->func == MXC_GPIO_FUNC_OUT)
        GPIO(config->port, GPIO_DRIVEN) = config->mask;
    else
        GPIO(config->port, GPIO_NOT_DRIVEN) = config->mask;
    return E_NO_ERROR;
}

void MXC_GPIO_OutSet(mxc_gpio_regs_t *port, uint32_t mask)
{
    GPIO(port, GPIO_SET) = mask;
}

void MXC_GPIO_OutClr(mxc_gpio_regs_t *port, uint32_t mask)
{
    GPIO(port, GPIO_CLEAR) = mask;
}

uint32_t MXC_GPIO_InGet(mxc_gpio_regs_t *port, uint32_t mask)
{
    return GPIO(port, GPIO_LEVEL) & mask;
}

__attribute__((weak)) int LED_Init(void) { return E_NO_ERROR; }
__attribute__((weak)) void LED_On(unsigned int number) { (void)number; }
__attribute__((weak)) void LED_Off(unsigned int number) { (void)number; }
__attribute__((weak)) void LED_Toggle(unsigned int number) { (void)number; }

/* --- console */

#define UART0(offset) REGISTER(0x40042000u + (offset))
#define UART_CONTROL 0x00u
#define UART_STATUS 0x04u
#define UART_DIVIDER 0x10u
#define UART_OVERSAMPLING 0x14u
#define UART_FIFO 0x20u
#define UART_EIGHT_BITS (3u << 10)
#define UART_CLOCK (1u << 15 | 2u << 16) /* on, from IBRO */
#define UART_CLOCK_READY (1u << 19)
#define UART_TRANSMIT_FULL (1u << 7)
#define UART_DIVIDE_115200 64u /* of 7.3728 MHz */

int Console_Init(void)
{
    static const mxc_gpio_cfg_t pins
        = {MXC_GPIO0, MXC_GPIO_PIN_0 | MXC_GPIO_PIN_1, MXC_GPIO_FUNC_ALT1, MXC_GPIO_PAD_NONE,
           MXC_GPIO_VSSEL_VDDIO};

    start_source(&sources[3]); /* IBRO */
    MXC_SYS_ClockEnable(MXC_SYS_PERIPH_CLOCK_UART0);
    MXC_GPIO_Config(&pins);
    UART0(UART_OVERSAMPLING) = 5;
    UART0(UART_DIVIDER) = UART_DIVIDE_115200;
    UART0(UART_CONTROL) = UART_EIGHT_BITS | UART_CLOCK;
    while (!(UART0(UART_CONTROL) & UART_CLOCK_READY)) {
    }
    setvbuf(stdout, NULL, _IONBF, 0); /* no buffer to be allocated */
    return E_NO_ERROR;
}

static void put(char character)
{
    while (UART0(UART_STATUS) & UART_TRANSMIT_FULL) {
    }
    UART0(UART_FIFO) = (uint8_t)character;
}

/* --- what the C library asks of a system */

#define STREAM_BYTES 1024

int _write(int file, const char *text, int length);
int _read(int file, char *text, int length);
int _close(int file);
int _fstat(int file, struct stat *status);
int _isatty(int file);
int _lseek(int file, int offset, int whence);
void *_sbrk(ptrdiff_t bytes);
void _exit(int code);
int _kill(int process, int signal);
int _getpid(void);

int _write(int file, const char *text, int length)
{
    (void)file;
    for (int n = 0; n < length; n++) {
        if (text[n] == '\n')
            put('\r');
        put(text[n]);
    }
    return length;
}

int _read(int file, char *text, int length) { return (void)file, (void)text, (void)length, 0; }
int _close(int file) { return (void)file, -1; }
int _isatty(int file) { return (void)file, 1; }
int _lseek(int file, int offset, int whence) { return (void)file, (void)offset, (void)whence, 0; }
int _kill(int process, int signal) { return (void)process, (void)signal, -1; }
int _getpid(void) { return 1; }

/* The C library asks for memory once, for its three streams; there is no other heap. */
void *_sbrk(ptrdiff_t bytes)
{
    /* cppcheck-suppress unassignedVariable ; whoever asked for it does */
    static char streams[STREAM_BYTES] __attribute__((aligned(8)));
    static ptrdiff_t used;
    char *const begin = streams + used;

    if (bytes < 0 || used + bytes > STREAM_BYTES)
        return (void *)(intptr_t)-1;
    used += bytes;
    return begin;
}

int _fstat(int file, struct stat *status)
{
    (void)file;
    status->st_mode = S_IFCHR;
    return 0;
}

void _exit(int code)
{
    (void)code;
    for (;;) {
    }
}

/* --- before main */

#define FLOATING_POINT (0xFu << 20) /* CPACR: coprocessors 10 and 11 */

void board_begin(void); /* start.c calls it */

void board_begin(void)
{
    SCB->CPACR |= FLOATING_POINT;
    SCB->VTOR = (uint32_t)(uintptr_t)vectors;
    barrier();
    Console_Init();
}
