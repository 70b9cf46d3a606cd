/* 8-bit kernels read without tables: bytes in their order (cnn_fast_step_takes). */
#ifndef CNN_FAST_READ_H
#define CNN_FAST_READ_H

#include "cnn_layers.h"

/* A layer's weights: int8 [out][in][kernel row][kernel column]; 0 where kernels do not lie as bytes
 * in their order, and nothing is read. */
int cnn_fast_read(const cnn_kernels *kernels, int8_t *weights);

#endif
