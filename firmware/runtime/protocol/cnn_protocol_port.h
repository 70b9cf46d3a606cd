/* What the protocol asks of a program; cnn_application.c and cnn_serial.c answer on the board. */
#ifndef CNN_PROTOCOL_PORT_H
#define CNN_PROTOCOL_PORT_H

#include <stdint.h>

/* Send bytes; returns when all are on their way. */
void cnn_port_send(const uint8_t *bytes, uint32_t count);

/* A counter of 32 bits that wraps, cnn_port_hertz a second. */
uint32_t cnn_port_ticks(void);
extern const uint32_t cnn_port_hertz;

/* Load a sample (words in the order of CNN_SAMPLE_RUNS), run the accelerator, wait for its end. */
void cnn_port_infer(const uint32_t *words);

#endif
