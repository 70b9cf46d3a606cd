/* What the test programs share: registers, text, and vectors that a program can define. */
#ifndef BOARD_H
#define BOARD_H
#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(address))
#define SYST_CTRL REG(0xE000E010)
#define SYST_LOAD REG(0xE000E014)
#define SYST_VAL REG(0xE000E018)
#define NVIC_ISER(n) REG(0xE000E100 + 4 * (n))
#define NVIC_ISPR(n) REG(0xE000E200 + 4 * (n))
#define NVIC_PRIORITY(line) (*(volatile uint8_t *)(0xE000E400 + (line)))
#define SCB_VTOR REG(0xE000ED08)
#define SCB_CPACR REG(0xE000ED88)

/* Handlers, by what they are of (runtime/arm/start.c). */
#define on_hard_fault HardFault_Handler
#define on_call SVC_Handler
#define on_pend PendSV_Handler
#define on_tick SysTick_Handler
#define on_line0 PF_IRQHandler
#define on_line1 WDT0_IRQHandler
#define on_timer0 TMR0_IRQHandler
#define on_accelerator CNN_ISR

void put(const char *text);
void put_number(uint32_t value);
void enable_fpu(void);
void enable_accelerator(void);
int main(void);
#endif
