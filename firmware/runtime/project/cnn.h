/* The accelerator with one network in it: names and meaning are those of the vendor's cnn.h.
 *
 * Functions return CNN_OK or CNN_FAIL.  In order: cnn_enable, cnn_init, cnn_load_weights,
 * cnn_load_bias, cnn_configure; then, for each sample, the input, cnn_start (with FIFOs: cnn_start,
 * then the input), wait until cnn_time is not 0, cnn_unload.
 */
#ifndef CNN_H
#define CNN_H

#include <stdint.h>

#include "mxc.h"

#include "cnn_network.h"

#define CNN_FAIL 0
#define CNN_OK 1

/* Words that cnn_unload gives. */
#define CNN_OUTPUT_WORDS ((CNN_NUM_OUTPUTS * CNN_OUTPUT_BITS + 31) / 32)

/* What is done when the accelerator starts and ends, and around what the processor does for it:
 * lights that can be seen, or pins that can be measured.  Define your own before this file. */
#ifndef CNN_START
#define CNN_START LED_On(1)
#define CNN_COMPLETE LED_Off(1)
#define SYS_START LED_On(0)
#define SYS_COMPLETE LED_Off(0)
#endif

typedef int32_t q31_t;
typedef int16_t q15_t;

/* 0 while the accelerator runs; then 1, or microseconds where CNN_INFERENCE_TIMER is defined. */
extern volatile uint32_t cnn_time;

/* Power, clock (MXC_S_GCR_PCLKDIV_CNNCLKSEL_..., ..._CNNCLKDIV_...) and interrupt. */
int cnn_enable(uint32_t clock_source, uint32_t clock_divider);
int cnn_disable(void);

/* Stop everything, before the network is loaded. */
int cnn_init(void);
/* The registers of all layers. */
int cnn_configure(void);
/* After cnn_init, which says in what form kernels are written. */
int cnn_load_weights(void);
/* CNN_FAIL where kernel memory does not hold what cnn_load_weights wrote. */
int cnn_verify_weights(void);
int cnn_load_bias(void);

int cnn_start(void);
/* Hold a run, and go on with it. */
int cnn_stop(void);
int cnn_continue(void);

/* The last layer's values [channel][row][column]: int32 each, or int8, four to a word. */
int cnn_unload(uint32_t *out_buf);

/* A pin that turns on a stronger supply while the accelerator runs. */
int cnn_boost_enable(mxc_gpio_regs_t *port, uint32_t pin);
int cnn_boost_disable(mxc_gpio_regs_t *port, uint32_t pin);

/* The accelerator's interrupt; cnn_enable installs it. */
void CNN_ISR(void);

/* Write n words to the accelerator. */
void memcpy32(uint32_t *dst, const uint32_t *src, int n);

/* Soft-max in integers: vec_in in Q17.14, p_out in Q15 (32767 is 1); softmax.c. */
void softmax_q17p14_q15(const q31_t *vec_in, const uint16_t dim_vec, q15_t *p_out);
/* ... of vec_in shifted left, and left so. */
void softmax_shift_q17p14_q15(q31_t *vec_in, const uint16_t dim_vec, uint8_t in_shift,
                              q15_t *p_out);

#endif
