/* Examples that the board keeps of those it was shown, and shows itself again; the twin of
 * trainer/learning/buffer.py.
 *
 * CNN_REPLAY_ROOM places of CNN_REPLAY_BITS (8 or 4) bits a value.  Once they are full, a policy
 * says who stays: of the whole stream any example with the same probability, or, balanced, as many
 * of each class as possible.
 */
#ifndef CNN_REPLAY_H
#define CNN_REPLAY_H

#include <stdint.h>

/* Keep nothing; the policy's and the draws' random numbers begin anew. */
void cnn_replay_forget(uint32_t seed);

/* Offer a sample of CNN_BOARD_SAMPLE_WORDS words. */
void cnn_replay_offer(const uint32_t *sample, uint32_t label);

/* Any sample that is kept, with the same probability; gives its label.  Some must be. */
uint32_t cnn_replay_draw(uint32_t *sample);

/* How many are kept. */
uint32_t cnn_replay_held(void);

#endif
