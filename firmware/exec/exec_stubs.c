/* The support library's functions that CNN programs call: those with an effect on the accelerator
 * have it, the others succeed and do nothing. */
#include "exec_runtime.h"
#include "mxc.h"

#define PCLKDIS0 0x40000024u
#define RST0 0x40000004u
#define CNN_BIT (1u << 25)

uint32_t SystemCoreClock = IPO_FREQ;
SCB_Type max78k_exec_scb;
static uint64_t started[4]; /* timer -> cycles */

void SystemCoreClockUpdate(void) {}
int MXC_SYS_Clock_Select(mxc_sys_system_clock_t clock) { return (void)clock, E_NO_ERROR; }

void MXC_SYS_ClockEnable(mxc_sys_periph_clock_t clock)
{
    if (clock == MXC_SYS_PERIPH_CLOCK_CNN)
        exec_write(PCLKDIS0, exec_read(PCLKDIS0) & ~CNN_BIT);
}

void MXC_SYS_ClockDisable(mxc_sys_periph_clock_t clock)
{
    if (clock == MXC_SYS_PERIPH_CLOCK_CNN)
        exec_write(PCLKDIS0, exec_read(PCLKDIS0) | CNN_BIT);
}

int MXC_SYS_IsClockEnabled(mxc_sys_periph_clock_t clock)
{
    return clock != MXC_SYS_PERIPH_CLOCK_CNN || !(exec_read(PCLKDIS0) & CNN_BIT);
}

void MXC_SYS_Reset_Periph(int reset)
{
    if (reset == MXC_SYS_RESET0_CNN)
        exec_write(RST0, exec_read(RST0) | CNN_BIT);
}

void MXC_ICC_Enable(mxc_icc_regs_t *icc) { (void)icc; }
void MXC_ICC_Disable(mxc_icc_regs_t *icc) { (void)icc; }
void MXC_ICC_Flush(mxc_icc_regs_t *icc) { (void)icc; }

int MXC_Delay(unsigned long microseconds)
{
    unsigned long cycles = microseconds * EXEC_CYCLES_A_MICROSECOND;

    exec_send(EXEC_DELAY, 0, 0, cycles > 0xFFFFFFFFu ? 0xFFFFFFFFu : (uint32_t)cycles, 0);
    exec_poll(0);
    return E_NO_ERROR;
}

void MXC_TMR_Delay(mxc_tmr_regs_t *timer, unsigned long microseconds, ...)
{
    (void)timer;
    MXC_Delay(microseconds);
}

static unsigned timer_number(mxc_tmr_regs_t *timer)
{
    return (unsigned)((uintptr_t)timer >> 12) & 3;
}

int MXC_TMR_SW_Start(mxc_tmr_regs_t *timer, ...)
{
    started[timer_number(timer)] = exec_cycles;
    return E_NO_ERROR;
}

/* Microseconds, at least 1: programs take 0 for "not yet". */
unsigned int MXC_TMR_SW_Stop(mxc_tmr_regs_t *timer)
{
    uint64_t cycles = exec_cycles - started[timer_number(timer)];

    return (unsigned int)(cycles / EXEC_CYCLES_A_MICROSECOND) + 1;
}

void MXC_EXEC_SetVector(IRQn_Type number, uintptr_t handler)
{
    if (number == CNN_IRQn)
        exec_vector = (void (*)(void))handler;
}

/* Also enables the interrupt. */
void MXC_NVIC_SetVector(IRQn_Type number, void (*handler)(void))
{
    MXC_EXEC_SetVector(number, (uintptr_t)handler);
    NVIC_EnableIRQ(number);
}

void NVIC_EnableIRQ(IRQn_Type number)
{
    if (number == CNN_IRQn)
        exec_enabled = 1;
}

void NVIC_DisableIRQ(IRQn_Type number)
{
    if (number == CNN_IRQn)
        exec_enabled = 0;
}

void NVIC_ClearPendingIRQ(IRQn_Type number) { (void)number; }
void NVIC_SetPriority(IRQn_Type number, uint32_t priority) { (void)number, (void)priority; }

void __enable_irq(void)
{
    exec_masked = 0;
    exec_poll(0);
}

void __disable_irq(void) { exec_masked = 1; }
void __WFI(void) { exec_wait(); }
void __WFE(void) { exec_wait(); }

int MXC_GPIO_Config(const mxc_gpio_cfg_t *config) { return (void)config, E_NO_ERROR; }
void MXC_GPIO_OutSet(mxc_gpio_regs_t *port, uint32_t mask) { (void)port, (void)mask; }
void MXC_GPIO_OutClr(mxc_gpio_regs_t *port, uint32_t mask) { (void)port, (void)mask; }
void MXC_GPIO_OutToggle(mxc_gpio_regs_t *port, uint32_t mask) { (void)port, (void)mask; }
uint32_t MXC_GPIO_InGet(mxc_gpio_regs_t *port, uint32_t mask) { return (void)port, (void)mask, 0; }
int LED_Init(void) { return E_NO_ERROR; }
void LED_On(unsigned int number) { (void)number; }
void LED_Off(unsigned int number) { (void)number; }
void LED_Toggle(unsigned int number) { (void)number; }
int PB_Init(void) { return E_NO_ERROR; }
int PB_Get(unsigned int number) { return (void)number, 0; }
int PB_IsPressedAny(void) { return 0; }
int Board_Init(void) { return E_NO_ERROR; }
int Console_Init(void) { return E_NO_ERROR; }
int MXC_SEMA_GetSema(unsigned int number) { return (void)number, E_NO_ERROR; }
void MXC_SEMA_FreeSema(unsigned int number) { (void)number; }
