#include "cnn_serial.h"

#include "cnn_protocol_port.h"

/* Polling is enough: computer and board take turns, so bytes come while the board waits for them.
 * What comes while it computes and does not fit the 8 bytes of the FIFO is lost, found by the CRC,
 * and sent again. */

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART_STATUS REGISTER(0x40042004u)
#define UART_FIFO REGISTER(0x40042020u)
#define RECEIVE_EMPTY (1u << 4)
#define TRANSMIT_FULL (1u << 7)

#define CLOCK_GATES REGISTER(0x40000024u) /* GCR.PCLKDIS0, 1: off */
#define TIMER_GATE (1u << 16)
#define TIMER_COUNT REGISTER(0x40011000u)
#define TIMER_COMPARE REGISTER(0x40011004u)
#define TIMER_CONTROL REGISTER(0x40011010u)
#define TIMER_CONTROL_1 REGISTER(0x40011018u)
#define TIMER_CASCADE (1u << 31) /* 32 bits */
#define TIMER_CLOCK_READY (1u << 3)
#define TIMER_CONTINUOUS 1u
#define TIMER_CLOCK (1u << 14)
#define TIMER_RUNS (1u << 15)

const uint32_t cnn_port_hertz = 50000000u; /* half of the processor's 100 MHz */

void cnn_serial_begin(void)
{
    CLOCK_GATES &= ~TIMER_GATE;
    TIMER_CONTROL = 0;
    TIMER_CONTROL_1 = TIMER_CASCADE;
    TIMER_CONTROL = TIMER_CONTINUOUS | TIMER_CLOCK;
    while (!(TIMER_CONTROL_1 & TIMER_CLOCK_READY)) {
    }
    TIMER_COMPARE = 0xFFFFFFFFu;
    TIMER_COUNT = 0;
    TIMER_CONTROL |= TIMER_RUNS;
}

uint32_t cnn_port_ticks(void)
{
    return TIMER_COUNT;
}

uint8_t cnn_serial_receive(void)
{
    while (UART_STATUS & RECEIVE_EMPTY) {
    }
    return (uint8_t)UART_FIFO;
}

void cnn_port_send(const uint8_t *bytes, uint32_t count)
{
    for (; count > 0; count--) {
        while (UART_STATUS & TRANSMIT_FULL) {
        }
        UART_FIFO = *bytes++;
    }
}
