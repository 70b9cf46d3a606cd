/* Steps of a linear layer on the board: Python fills the accelerator's memories before each. */
#include "board.h"
#include "cnn_linear.h"

uint32_t steps, salts[64], labels[64], predicted[64];
int32_t shift;

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
    cnn_linear_begin();
    for (uint32_t step = 0; step < steps; step++) {
        show();
        predicted[step] = cnn_linear_step(labels[step], salts[step], 1, 256, shift);
        finished();
    }
    put("PASS\n");
    return 0;
}
