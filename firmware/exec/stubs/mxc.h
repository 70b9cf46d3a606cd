/* What CNN programs use of the chip's support library, where the library itself is not there.
 *
 * Names as in the public interface.  On this computer (max78k exec) exec_stubs.c does what they
 * say, on the board runtime/arm/port.c.  Programs that need more (cameras, displays, sound) are
 * built with the vendor's SDK.
 */
#ifndef MAX78K_EXEC_MXC_H
#define MAX78K_EXEC_MXC_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define __I volatile const
#define __O volatile
#define __IO volatile
#define __R volatile const

#define E_NO_ERROR 0
#define E_SUCCESS 0
#define E_NULL_PTR (-1)
#define E_BAD_PARAM (-3)
#define E_INVALID (-4)
#define E_BUSY (-6)
#define E_BAD_STATE (-7)
#define E_TIME_OUT (-10)

/* Clock and power of the accelerator: the simulated chip answers. */
typedef struct {
    __IO uint32_t sysctrl, rst0, clkctrl, pm;
    __IO uint32_t reserved0[2];
    __IO uint32_t pclkdiv;
    __IO uint32_t reserved1[2];
    __IO uint32_t pclkdis0, memctrl, memz;
    __IO uint32_t reserved2[4];
    __IO uint32_t sysst, rst1, pclkdis1, eventen, revision;
} mxc_gcr_regs_t;

typedef struct {
    __IO uint32_t reg0, reg1, reg2, reg3;
} mxc_gcfr_regs_t;

#define MXC_GCR ((mxc_gcr_regs_t *)0x40000000)
#define MXC_GCFR ((mxc_gcfr_regs_t *)0x40005800)
#define MXC_BASE_CNN 0x50000000U

#define MXC_F_GCR_RST0_CNN ((uint32_t)1 << 25)
#define MXC_F_GCR_PCLKDIV_CNNCLKDIV_POS 14
#define MXC_F_GCR_PCLKDIV_CNNCLKDIV ((uint32_t)7 << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV2 ((uint32_t)0 << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV4 ((uint32_t)1 << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV8 ((uint32_t)2 << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV16 ((uint32_t)3 << 14)
#define MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV1 ((uint32_t)4 << 14)
#define MXC_F_GCR_PCLKDIV_CNNCLKSEL_POS 17
#define MXC_F_GCR_PCLKDIV_CNNCLKSEL ((uint32_t)1 << 17)
#define MXC_S_GCR_PCLKDIV_CNNCLKSEL_PCLK ((uint32_t)0 << 17)
#define MXC_S_GCR_PCLKDIV_CNNCLKSEL_ISO ((uint32_t)1 << 17)

/* System clock: chosen without effect, the accelerator's time does not depend on it here. */
typedef enum {
    MXC_SYS_CLOCK_IPO,
    MXC_SYS_CLOCK_IBRO,
    MXC_SYS_CLOCK_ISO,
    MXC_SYS_CLOCK_ERFO,
    MXC_SYS_CLOCK_ERTCO,
    MXC_SYS_CLOCK_INRO
} mxc_sys_system_clock_t;

typedef enum {
    MXC_SYS_PERIPH_CLOCK_OTHER,
    MXC_SYS_PERIPH_CLOCK_CNN,
    MXC_SYS_PERIPH_CLOCK_GPIO0,
    MXC_SYS_PERIPH_CLOCK_GPIO1,
    MXC_SYS_PERIPH_CLOCK_GPIO2,
    MXC_SYS_PERIPH_CLOCK_UART0,
    MXC_SYS_PERIPH_CLOCK_UART1,
    MXC_SYS_PERIPH_CLOCK_TMR0,
    MXC_SYS_PERIPH_CLOCK_TMR1,
    MXC_SYS_PERIPH_CLOCK_TMR2,
    MXC_SYS_PERIPH_CLOCK_TMR3,
    MXC_SYS_PERIPH_CLOCK_DMA,
    MXC_SYS_PERIPH_CLOCK_SMPHR,
    MXC_SYS_PERIPH_CLOCK_CPU1
} mxc_sys_periph_clock_t;

#define MXC_SYS_RESET0_CNN 25
#define MXC_SYS_RESET_CNN MXC_SYS_RESET0_CNN
#define IPO_FREQ 100000000U
#define PeripheralClock (SystemCoreClock / 2)
extern uint32_t SystemCoreClock;
void SystemCoreClockUpdate(void);
int MXC_SYS_Clock_Select(mxc_sys_system_clock_t clock);
void MXC_SYS_ClockEnable(mxc_sys_periph_clock_t clock);
void MXC_SYS_ClockDisable(mxc_sys_periph_clock_t clock);
int MXC_SYS_IsClockEnabled(mxc_sys_periph_clock_t clock);
void MXC_SYS_Reset_Periph(int reset);

/* Cache, delay, timers: time is the accelerator's, see exec_runtime.h. */
typedef struct {
    __IO uint32_t info, size, reserved[62], ctrl;
} mxc_icc_regs_t;
typedef struct {
    __IO uint32_t cnt, cmp, pwm, intfl, ctrl0, nolcmp, ctrl1, wkfl;
} mxc_tmr_regs_t;
#define MXC_ICC0 ((mxc_icc_regs_t *)0x4002A000)
#define MXC_ICC1 ((mxc_icc_regs_t *)0x4002A800)
#define MXC_TMR0 ((mxc_tmr_regs_t *)0x40010000)
#define MXC_TMR1 ((mxc_tmr_regs_t *)0x40011000)
#define MXC_TMR2 ((mxc_tmr_regs_t *)0x40012000)
#define MXC_TMR3 ((mxc_tmr_regs_t *)0x40013000)
void MXC_ICC_Enable(mxc_icc_regs_t *icc);
void MXC_ICC_Disable(mxc_icc_regs_t *icc);
void MXC_ICC_Flush(mxc_icc_regs_t *icc);

#define USEC(n) ((unsigned long)(n))
#define MSEC(n) ((unsigned long)(n) * 1000UL)
#define SEC(n) ((unsigned long)(n) * 1000000UL)
#define MXC_DELAY_USEC(n) USEC(n)
#define MXC_DELAY_MSEC(n) MSEC(n)
#define MXC_DELAY_SEC(n) SEC(n)
int MXC_Delay(unsigned long microseconds);
int MXC_TMR_SW_Start(mxc_tmr_regs_t *timer, ...);
unsigned int MXC_TMR_SW_Stop(mxc_tmr_regs_t *timer);
void MXC_TMR_Delay(mxc_tmr_regs_t *timer, unsigned long microseconds, ...);

/* Interrupts: on this computer, the accelerator's is the only one that comes. */
typedef enum {
    SysTick_IRQn = -1,
    TMR0_IRQn = 5,
    UART0_IRQn = 14,
    CNN_FIFO_IRQn = 100,
    CNN_IRQn = 101
} IRQn_Type;
void MXC_NVIC_SetVector(IRQn_Type number, void (*handler)(void));
void MXC_EXEC_SetVector(IRQn_Type number, uintptr_t handler);
#define NVIC_SetVector(number, handler) MXC_EXEC_SetVector(number, (uintptr_t)(handler))
void NVIC_EnableIRQ(IRQn_Type number);
void NVIC_DisableIRQ(IRQn_Type number);
void NVIC_ClearPendingIRQ(IRQn_Type number);
void NVIC_SetPriority(IRQn_Type number, uint32_t priority);
void __enable_irq(void);
void __disable_irq(void);
void __WFI(void);
void __WFE(void);
#define __SEV() ((void)0)
#define __NOP() ((void)0)
#ifdef MAX78K_EXEC
#define __DSB() ((void)0)
#define __DMB() ((void)0)
#define __ISB() ((void)0)
#else
#define __DSB() __asm volatile("dsb" ::: "memory")
#define __DMB() __asm volatile("dmb" ::: "memory")
#define __ISB() __asm volatile("isb" ::: "memory")
#endif

typedef struct {
    __IO uint32_t CPUID, ICSR, VTOR, AIRCR, SCR, CCR, reserved[28], CPACR;
} SCB_Type;
#ifdef MAX78K_EXEC
extern SCB_Type max78k_exec_scb;
#define SCB (&max78k_exec_scb)
#else
#define SCB ((SCB_Type *)0xE000ED00)
#endif
#define SCB_SCR_SLEEPDEEP_Msk (1UL << 2)
#define SCB_SCR_SEVONPEND_Msk (1UL << 4)

/* Pins, lights and buttons: nothing is connected. */
typedef struct {
    __IO uint32_t en0, reserved[63];
} mxc_gpio_regs_t;
#define MXC_GPIO0 ((mxc_gpio_regs_t *)0x40008000)
#define MXC_GPIO1 ((mxc_gpio_regs_t *)0x40009000)
#define MXC_GPIO2 ((mxc_gpio_regs_t *)0x40080400)
#define MXC_GPIO3 ((mxc_gpio_regs_t *)0x40080600)
#define MXC_GPIO_PIN_0 (1UL << 0)
#define MXC_GPIO_PIN_1 (1UL << 1)
#define MXC_GPIO_PIN_2 (1UL << 2)
#define MXC_GPIO_PIN_3 (1UL << 3)
#define MXC_GPIO_PIN_4 (1UL << 4)
#define MXC_GPIO_PIN_5 (1UL << 5)
#define MXC_GPIO_PIN_6 (1UL << 6)
#define MXC_GPIO_PIN_7 (1UL << 7)
typedef enum { MXC_GPIO_FUNC_IN, MXC_GPIO_FUNC_OUT, MXC_GPIO_FUNC_ALT1 } mxc_gpio_func_t;
typedef enum { MXC_GPIO_PAD_NONE, MXC_GPIO_PAD_PULL_UP, MXC_GPIO_PAD_PULL_DOWN } mxc_gpio_pad_t;
typedef enum { MXC_GPIO_VSSEL_VDDIO, MXC_GPIO_VSSEL_VDDIOH } mxc_gpio_vssel_t;
typedef struct {
    mxc_gpio_regs_t *port;
    uint32_t mask;
    mxc_gpio_func_t func;
    mxc_gpio_pad_t pad;
    mxc_gpio_vssel_t vssel;
} mxc_gpio_cfg_t;
int MXC_GPIO_Config(const mxc_gpio_cfg_t *config);
void MXC_GPIO_OutSet(mxc_gpio_regs_t *port, uint32_t mask);
void MXC_GPIO_OutClr(mxc_gpio_regs_t *port, uint32_t mask);
void MXC_GPIO_OutToggle(mxc_gpio_regs_t *port, uint32_t mask);
uint32_t MXC_GPIO_InGet(mxc_gpio_regs_t *port, uint32_t mask);

#define LED1 0
#define LED2 1
#define LED_RED 0
#define LED_GREEN 1
#define LED_BLUE 2
int LED_Init(void);
void LED_On(unsigned int number);
void LED_Off(unsigned int number);
void LED_Toggle(unsigned int number);
int PB_Init(void);
int PB_Get(unsigned int number);
int PB_IsPressedAny(void);
int Board_Init(void);
int Console_Init(void);
int MXC_SEMA_GetSema(unsigned int number);
void MXC_SEMA_FreeSema(unsigned int number);

#define MXC_ASSERT(condition) ((condition) ? (void)0 : abort())
#define MXC_SETFIELD(reg, mask, value) ((reg) = ((reg) & ~(mask)) | ((value) & (mask)))

#endif
