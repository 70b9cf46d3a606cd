/* The step of 8-bit kernels, rounded stochastically and in place, without a table look-up a weight:
 * what cnn_update.c does of such kernels, to the bit.
 *
 * weight - floor((rate * value + draw) / 2^32), limited to int8: long products are added to draws,
 * their upper words are what weights lose.
 */
#ifndef CNN_FAST_STEP_H
#define CNN_FAST_STEP_H

#include "cnn_layers.h"

/* Bytes of SRAM that it takes. */
extern const uint32_t cnn_fast_step_sram;

/* Whether a layer's kernels lie in their order, from the first byte of whole slots on; and whether
 * they are bytes. */
int cnn_are_in_order(const cnn_kernels *kernels);
int cnn_fast_step_takes(const cnn_kernels *kernels);

/* rate / 2^(shift + 8) in units of 2^-32; 0 where that is no number of 31 bits. */
int32_t cnn_fast_rate(int32_t rate, int shift);

/* The largest magnitude of a value with which no weight changes by more than 127. */
uint32_t cnn_fast_limit(int32_t whole_rate);

/* What all weights of a step have in common: the salt of the draws; the rate; by how much values
 * are shifted to the right and rounded (half up) before, 0 or 2 to 31. */
typedef struct {
    uint32_t salt;
    int32_t rate;
    uint32_t shift;
} cnn_fast;

/* Kernels of convolutions lie last tap first. */
int cnn_are_turned(const cnn_kernels *kernels);

/* Read a part of a segment, step, write the kernel words that changed; how many. */
uint32_t cnn_fast_step(const cnn_fast *how, const cnn_kernels *kernels, const cnn_segment *segment,
                       const cnn_part *part);

/* The same of segments that follow each other; of each, the values are `width` further on. */
uint32_t cnn_fast_steps(const cnn_fast *how, const cnn_kernels *kernels, const cnn_segment *segment,
                        uint32_t segments, const cnn_part *part, uint32_t width);

#endif
