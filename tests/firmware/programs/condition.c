/* IT instructions before a stop: a loop that clears words, as start-up code has it. */
#include "board.h"

uint32_t words[8] = {1, 2, 3, 4, 5, 6, 7, 8}, after;

__attribute__((noinline)) void clear(uint32_t *from, uint32_t *to)
{
    __asm volatile("movs r3, #0\n"
                   "1: cmp %0, %1\n itt lt\n strlt r3, [%0], #4\n blt 1b\n"
                   "ldr r3, =after\n str %1, [r3]\n"
                   : "+r"(from) : "r"(to) : "r3", "cc", "memory");
}

int main(void)
{
    clear(words, words + 6);
    put(after == (uint32_t)(words + 6) && words[5] == 0 && words[6] == 7 ? "PASS\n" : "FAIL\n");
    return 0;
}
