/* The generated cnn.c on this computer: what it writes is logged, what it reads comes from a window
 * of words, which the test fills. */
#include <stdint.h>

#include "mxc.h"

#include "cnn_port.h"

typedef struct {
    uint32_t size, address, value;
} access;

#define MOST 2000000
#define FIRST 0x50000000u
#define LAST 0x51100000u

static access accesses[MOST];
static uint32_t window[(LAST - FIRST) / 4];

uint32_t twin_count;
const access *twin_accesses(void);
uint32_t *twin_window(void);
const access *twin_accesses(void) { return accesses; }
uint32_t *twin_window(void) { return window; }

static void keep(uint32_t size, uint32_t address, uint32_t value)
{
    access row = {size, address, value};

    accesses[twin_count++ % MOST] = row;
}

uint32_t cnn_read(uint32_t address)
{
    return window[(address - FIRST) / 4];
}

void cnn_write(uint32_t address, uint32_t word)
{
    keep(4, address, word);
}

void cnn_write_byte(uint32_t address, uint8_t byte)
{
    keep(1, address, byte);
}

void MXC_SYS_ClockEnable(mxc_sys_periph_clock_t clock) { (void)clock; }
void MXC_SYS_ClockDisable(mxc_sys_periph_clock_t clock) { (void)clock; }
void MXC_NVIC_SetVector(IRQn_Type number, void (*handler)(void)) { (void)number, (void)handler; }
void NVIC_EnableIRQ(IRQn_Type number) { (void)number; }
int MXC_GPIO_Config(const mxc_gpio_cfg_t *config) { return (void)config, 0; }
void MXC_GPIO_OutSet(mxc_gpio_regs_t *port, uint32_t mask) { (void)port, (void)mask; }
void MXC_GPIO_OutClr(mxc_gpio_regs_t *port, uint32_t mask) { (void)port, (void)mask; }
void LED_On(unsigned int number) { (void)number; }
void LED_Off(unsigned int number) { (void)number; }
int MXC_TMR_SW_Start(mxc_tmr_regs_t *timer, ...) { return (void)timer, 0; }
unsigned int MXC_TMR_SW_Stop(mxc_tmr_regs_t *timer) { return (void)timer, 7; }
