/* Losses in integers; the twin of trainer/losses.py. */
#ifndef CNN_LOSS_H
#define CNN_LOSS_H

#include <stdint.h>

/* Errors of the logits [class], units of 2^-15, for a label; said: what a teacher said [class], in
 * units of 1/256, or NULL.  Returns the class with the largest logit, the first if several. */
uint32_t cnn_loss(const int64_t *logits, uint32_t label, const uint8_t *said, int32_t *errors);

#endif
