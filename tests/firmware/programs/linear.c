/* Steps of a linear layer on the board: Python fills the accelerator's memories before each. */
#include "board.h"
#include "cnn_train.h"
#include "cnn_train_config.h"

uint32_t steps, labels[64], predicted[64];

void __attribute__((noinline)) begin(void) /* here Python sets the variables above */
{
    __asm volatile("");
}

void __attribute__((noinline)) show(void) /* here Python writes a sample's activations and sums */
{
    __asm volatile("");
}

void __attribute__((noinline)) finished(void)
{
    __asm volatile("");
}

int main(void)
{
    enable_accelerator();
    begin();
    cnn_train_reset(CNN_TRAIN_SEED);
    for (uint32_t step = 0; step < steps; step++) {
        show();
        cnn_train_begin();
        predicted[step] = cnn_train_learn(labels[step]);
        cnn_train_apply();
        finished();
    }
    put("PASS\n");
    return 0;
}
