/* The line: UART0, polled, as the board's start-up has set it up (115,200 baud, 8N1). */
#ifndef CNN_SERIAL_H
#define CNN_SERIAL_H

#include <stdint.h>

/* Begin counting ticks. */
void cnn_serial_begin(void);

/* The next byte that arrives. */
uint8_t cnn_serial_receive(void);

#endif
