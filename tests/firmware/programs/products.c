/* Products on the board: Python sets shape and numbers before main begins, and looks after it. */
#include "board.h"
#include "cnn_products.h"

cnn_correlation how;
uint32_t count; /* of outputs whose weights' gradients are asked for; 0: those of the data */
int16_t error[8192];
int8_t data[8192]; /* or weights */
int32_t sums[12288];
int16_t scratch[12288];

void __attribute__((noinline)) finished(void)
{
    __asm volatile("");
}

int main(void)
{
    if (count)
        cnn_weight_gradients(&how, error, data, 0, count, sums, scratch);
    else
        cnn_data_gradients(&how, error, data, sums, scratch);
    finished();
    put("PASS\n");
    return 0;
}
