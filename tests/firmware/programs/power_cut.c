/* Saves and loads, for a power cut anywhere: boots, loads what is there, says its number, then
 * writes the next pattern into the kernels and saves it. */
#include "board.h"

#include "cnn_board_config.h"
#include "cnn_port.h"
#include "cnn_store.h"

uint32_t SystemCoreClock = 60000000;

static const struct {
    uint32_t address, count;
    uint8_t kernels;
} runs[] = CNN_STORE_RUNS;

/* A word of the pattern of a save. */
static uint32_t pattern(uint32_t number, uint32_t address)
{
    return (number * 0x9E3779B9u) ^ (address * 0x85EBCA6Bu);
}

__attribute__((noinline)) void learn(uint32_t number)
{
    for (unsigned row = 0; row < sizeof runs / sizeof runs[0]; row++)
        for (uint32_t n = 0; n < runs[row].count; n++) {
            uint32_t address = runs[row].address + n * (runs[row].kernels ? 16 : 4);

            cnn_write(address, pattern(number, address) & 0xFF);
            if (!runs[row].kernels)
                continue;
            cnn_write(address + 4, pattern(number, address + 4));
            cnn_write(address + 8, pattern(number, address + 8));
            cnn_write(address + 12, 0);
        }
}

__attribute__((noinline)) void booted(uint32_t number)
{
    put_number(number);
}

__attribute__((noinline)) void saved(uint32_t good)
{
    put_number(good);
}

int main(void)
{
    uint32_t slot;

    enable_accelerator();
    REG(0x50001000) = 0; /* kernel memories awake */
    cnn_store_load();
    booted(cnn_store_loaded);
    learn(cnn_store_loaded + 1);
    saved((uint32_t)cnn_store_save(&slot));
    return 0;
}
