/* What 8-bit weights lose in a step: a byte each, in the order of a processor's stream. */
#ifndef CNN_CHANGES_H
#define CNN_CHANGES_H

#include "cnn_fast_step.h"
#include "cnn_map.h"

enum {
    CNN_FULL = 24 * CNN_KERNEL_BYTES, /* changes that are made before they are applied */
    CNN_LONGEST = 36, /* bytes that are made together, at most: longer rows are made in parts */
    CNN_CHANGES = CNN_FULL + CNN_LONGEST + CNN_KERNEL_BYTES,
    CNN_TOGETHER = 4, /* processors of which changes of three-tap kernels are made together */
    CNN_SUM = 4, /* bytes of the changes of such a kernel: a word, of which cnn_bytes makes three */
    CNN_SUMS = CNN_CHANGES / CNN_SUM * CNN_SUM /* bytes, from a processor's to the next one's */
};

/* Of each processor; past the end of a slot: the next one's.  What is read of kernels lies in the
 * first, too. */
extern uint8_t cnn_changes[CNN_TOGETHER][CNN_CHANGES];

/* Rows of weights whose numbers, and values, follow each other: a kernel, or the pixels of one of a
 * linear layer's outputs. */
typedef struct {
    const int32_t *value; /* of the first row */
    uint32_t value_step;  /* from a row to the next */
    uint32_t number, number_step;
    uint32_t width;       /* weights of a row */
} cnn_rows;

/* The changes of some rows; returns their end.  turned: the last weight of a row lies first. */
uint8_t *cnn_make_rows(const cnn_fast *how, cnn_rows of, uint32_t count, uint8_t *to, int turned);

/* Bytes, the least significant one first, whose sum this is, each of -128 to 127 and 2^8 times the
 * one before: 128 in each keeps borrows out of those above. */
static inline uint32_t cnn_bytes(uint32_t sum)
{
    return (sum + 0x80808080u) ^ 0x80808080u;
}

/* Changes of kernels of three taps, turned around, of four processors whose weights follow each
 * other (rows of twelve), which share draws.  to: of the first processor. */
void cnn_make_four(const cnn_fast *how, const cnn_rows *of, uint32_t count, uint8_t *to);

#endif
