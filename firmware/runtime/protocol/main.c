/* The board's program: bring the network up as it was saved, then answer what the line asks.
 * docs/protocol.md has the conversation. */
#include <stdint.h>

#include "cnn.h"
#include "cnn_network.h"
#include "cnn_board_config.h"
#include "cnn_port.h"
#include "cnn_protocol.h"
#include "cnn_protocol_port.h"
#include "cnn_serial.h"
#include "mxc.h"
#if CNN_BOARD_TRAINS
#include "cnn_train.h"
#include "cnn_train_config.h"
#endif
#if CNN_BOARD_SAVES
#include "cnn_store.h"
#endif
#if CNN_REPLAY_ROOM
#include "cnn_replay.h"
#endif

extern volatile uint32_t cnn_time; /* set by the accelerator's interrupt */

static const struct {
    uint32_t address, words;
} sample_runs[] = CNN_SAMPLE_RUNS;

/* Kernels may have been loaded as packed streams; from now on they are written by words. */
static void take_words(void)
{
    static const uint32_t quadrants[] = CNN_QUADRANTS;

    for (unsigned n = 0; n < sizeof quadrants / sizeof quadrants[0]; n++)
        cnn_write(quadrants[n], cnn_read(quadrants[n]) & ~CNN_BOARD_PACKED);
}

static void load_sample(const uint32_t *words)
{
    for (unsigned n = 0; n < sizeof sample_runs / sizeof sample_runs[0]; n++)
        for (uint32_t place = 0; place < sample_runs[n].words; place++)
            cnn_write(sample_runs[n].address + 4 * place, *words++);
}

static void run(void)
{
    cnn_time = 0;
    cnn_start();
    __disable_irq(); /* so that the interrupt cannot come between the question and the sleep */
    while (cnn_time == 0) {
        __WFI();
        __enable_irq();
        __disable_irq();
    }
    __enable_irq();
    take_words(); /* the start has set the register again */
}

static const uint32_t *sample; /* of the last inference */

void cnn_port_infer(const uint32_t *words)
{
    sample = words;
    load_sample(words);
    run();
}

#if CNN_BOARD_TRAINS && defined CNN_TRAIN_RUNS
static void set_last_layer(uint32_t last)
{
    static const uint32_t quadrants[] = CNN_QUADRANTS;

    for (unsigned n = 0; n < sizeof quadrants / sizeof quadrants[0]; n++)
        cnn_write(quadrants[n] + CNN_BOARD_LAST_AT, last);
}

/* The sample again, up to a layer; none for -1.  Training asks for it where layers write over what
 * the way back reads. */
static void run_again(int32_t last)
{
    load_sample(sample);
    if (last < 0)
        return;
    set_last_layer((uint32_t)last);
    run();
    set_last_layer(CNN_BOARD_LAST);
}
#endif

int main(void)
{
    MXC_ICC_Enable(MXC_ICC0);
    MXC_SYS_Clock_Select(MXC_SYS_CLOCK_IPO);
    SystemCoreClockUpdate();
    cnn_enable(MXC_S_GCR_PCLKDIV_CNNCLKSEL_PCLK, MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV1);
    cnn_init();
    cnn_load_weights();
    cnn_load_bias();
    cnn_configure();
    take_words();
#if CNN_BOARD_SAVES
    cnn_store_load();
#endif
#if CNN_BOARD_TRAINS
#ifdef CNN_TRAIN_RUNS
    cnn_train_use(run_again);
#endif
    cnn_train_reset(CNN_BOARD_SEED);
#if CNN_REPLAY_ROOM
    cnn_replay_forget(CNN_BOARD_SEED);
#endif
#endif
    cnn_serial_begin();
    for (;;)
        cnn_protocol_byte(cnn_serial_receive());
}
