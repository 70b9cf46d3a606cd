/* The board's side of "max78k cosim": what a training program does, a part at a time, on command.
 *
 * The other side writes a sample to data memory and a command here, lets cnn_cosim_wait return, and
 * looks at everything when it is reached again.
 */
#include <stdint.h>

#include "mxc.h"

#include "cnn.h"
#include "cnn_cosim.h"
#include "cnn_port.h"
#include "cnn_train.h"
#include "cnn_train_config.h"

/* Bits of a command: they are done in this order. */
enum { COSIM_BEGIN = 1, COSIM_INFER = 2, COSIM_LEARN = 4, COSIM_APPLY = 8 };

volatile uint32_t cnn_cosim_command;
volatile uint32_t cnn_cosim_label;
volatile uint32_t cnn_cosim_predicted; /* the class that the sample was taken for */

void cnn_cosim_wait(void);

/* Reached when a command was done. */
__attribute__((noinline)) void cnn_cosim_wait(void)
{
    __asm volatile("" ::: "memory");
}

static void cosim_infer(void)
{
    cnn_start();
    while (cnn_time == 0)
        __WFI();
}

#if CNN_TRAIN_RUNS
void cnn_cosim_sample(void);

/* Reached when the sample, which a run has overwritten, is wanted once more. */
__attribute__((noinline)) void cnn_cosim_sample(void)
{
    __asm volatile("" ::: "memory");
}

/* Layers 0 to `last` of the sample again; none for -1. */
static void cosim_run_to(int32_t last)
{
    static const uint32_t counts[] = COSIM_LAST_LAYERS;
    enum { COUNTS = sizeof counts / sizeof counts[0] };
    uint32_t before = cnn_read(counts[0]);

    cnn_cosim_sample();
    if (last < 0)
        return;
    for (unsigned n = 0; n < COUNTS; n++)
        cnn_write(counts[n], (uint32_t)last);
    cosim_infer();
    for (unsigned n = 0; n < COUNTS; n++)
        cnn_write(counts[n], before);
}
#endif

static void obey(uint32_t command)
{
    if (command & COSIM_BEGIN)
        cnn_train_begin();
    if (command & COSIM_INFER)
        cosim_infer();
    if (command & COSIM_LEARN)
        cnn_cosim_predicted = cnn_train_learn(cnn_cosim_label);
    if (command & COSIM_APPLY)
        cnn_train_apply();
}

int main(void)
{
    MXC_SYS_Clock_Select(MXC_SYS_CLOCK_IPO);
    SystemCoreClockUpdate();
    cnn_enable(MXC_S_GCR_PCLKDIV_CNNCLKSEL_PCLK, MXC_S_GCR_PCLKDIV_CNNCLKDIV_DIV1);
    cnn_init();
    cnn_load_weights();
    cnn_load_bias();
    cnn_configure();
    cnn_train_reset(CNN_TRAIN_SEED);
#if CNN_TRAIN_RUNS
    cnn_train_use(cosim_run_to);
#endif
    for (;;) {
        cnn_cosim_wait();
        obey(cnn_cosim_command);
    }
}
