/* The way back through a network; the twin of trainer/backward.py. */
#ifndef CNN_BACKWARD_H
#define CNN_BACKWARD_H

#include <stdint.h>

/* Bytes of SRAM that the way back takes. */
extern const uint32_t cnn_backward_sram;

/* What runs the first layers again; see cnn_train_use. */
extern void (*cnn_backward_run)(int32_t last);

/* Where the error of the last layer's output goes before cnn_backward: int32 [class], in units of
 * 2^-15. */
int32_t *cnn_error_of_logits(void);

/* From there down to the earliest trained layer; gradients are added to the state. */
void cnn_backward(void);

#endif
