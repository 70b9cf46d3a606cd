/* Text, a variable, and a function to hook. */
#include "board.h"

uint32_t counter = 5;
int16_t table[4] = {1, -2, 3, -4};

__attribute__((noinline)) uint32_t add(uint32_t a, uint32_t b)
{
    return a + b + counter;
}

int main(void)
{
    put("hello\n");
    counter = add(1, 2);
    put_number(counter);
    put("*** PASS ***\n");
    return 0;
}
