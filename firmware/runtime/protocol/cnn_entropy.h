/* Cross-entropy in integers, to be looked at; training has its own arithmetic (cnn_train.h). */
#ifndef CNN_ENTROPY_H
#define CNN_ENTROPY_H

#include <stdint.h>

#define CNN_ENTROPY_BITS 16u /* a loss of 65536 stands for 1 */

/* -ln(soft-max of scores[label]).  scores: int32 [classes], with `fraction` bits behind the point
 * (-8 to 30); within 2^-11 and 2^-14 of the exact value, saturated to 32 bits. */
uint32_t cnn_cross_entropy(const int32_t *scores, uint32_t classes, uint32_t label, int fraction);

#endif
