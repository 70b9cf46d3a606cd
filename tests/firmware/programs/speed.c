/* Work of the usual kind: a filter over a picture, and sorting. */
#include "board.h"

static uint8_t picture[64 * 64], filtered[64 * 64];
static uint32_t numbers[256];
uint32_t checksum;

static void filter(void)
{
    for (int row = 1; row < 63; row++)
        for (int column = 1; column < 63; column++) {
            int sum = 0;
            for (int y = -1; y <= 1; y++)
                for (int x = -1; x <= 1; x++)
                    sum += picture[64 * (row + y) + column + x] * (x == 0 ? 2 : 1);
            filtered[64 * row + column] = (uint8_t)(sum / 12);
        }
}

static void sort(void)
{
    for (uint32_t n = 0; n < 256; n++)
        numbers[n] = (n * 2654435761u) >> 8;
    for (uint32_t n = 1; n < 256; n++)
        for (uint32_t m = n; m && numbers[m - 1] > numbers[m]; m--) {
            uint32_t swap = numbers[m];
            numbers[m] = numbers[m - 1];
            numbers[m - 1] = swap;
        }
}

int main(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t n = 0; n < sizeof picture; n++)
            picture[n] = (uint8_t)(n * 7 + (uint32_t)round);
        filter();
        sort();
        checksum += filtered[100 + round] + numbers[round & 255];
    }
    put("PASS\n");
    return 0;
}
