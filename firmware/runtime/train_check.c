/* Known-answer test of the training step: a recorded start, recorded activations, expected words.
 * On the host it runs on images of the accelerator's memories; on the board it runs on the
 * accelerator itself (call train_check() instead of main, with the accelerator enabled). */
#include <stdio.h>

#include "cnn_map.h"
#include "cnn_port.h"
#include "cnn_train.h"
#include "cnn_train_config.h"
#include "train_check.h"

static const uint32_t before[] = CHECK_BEFORE;     /* runs: address, count, words; ends with 0 */
static const uint32_t activations[] = CHECK_SHOWN; /* examples: label, then runs */
static const uint32_t after[] = CHECK_AFTER;       /* runs */

static const uint32_t *write_runs(const uint32_t *next)
{
    uint32_t address;

    while ((address = *next++) != 0)
        for (uint32_t count = *next++; count > 0; count--, address += 4)
            cnn_write(address, *next++);
    return next;
}

static int compare_runs(const uint32_t *next)
{
    uint32_t address;

    while ((address = *next++) != 0)
        for (uint32_t count = *next++; count > 0; count--, address += 4) {
            uint32_t expected = *next++;

            if (cnn_read(address) != expected) {
                printf("FAIL: 0x%08lx holds 0x%08lx, expected 0x%08lx\n", (unsigned long)address,
                       (unsigned long)cnn_read(address), (unsigned long)expected);
                return 1;
            }
        }
    return 0;
}

int train_check(void)
{
    const uint32_t *next = activations;

    write_runs(before);
    cnn_train_reset(CNN_TRAIN_SEED);
    for (unsigned step = 0; step < CHECK_STEPS; step++) {
        cnn_train_begin();
        for (unsigned n = 0; n < CHECK_BATCH; n++) {
            uint32_t label = *next++;

            next = write_runs(next);
            cnn_train_learn(label);
        }
        cnn_train_apply();
    }
    if (compare_runs(after))
        return 1;
    printf("PASS: %u training steps, %lu kernel words and %lu bias bytes written\n",
           (unsigned)CHECK_STEPS, (unsigned long)cnn_train_kernel_words,
           (unsigned long)cnn_train_bias_bytes);
    return 0;
}

#ifdef CNN_HOST
#include "cnn_host.h"

static uint32_t kernel[CNN_KERNEL_IMAGE_WORDS];
static uint32_t bias[CNN_BIAS_IMAGE_WORDS];
static uint32_t data[CNN_DATA_IMAGE_WORDS];

int main(void)
{
    cnn_host_attach(CNN_KERNEL_REGION, kernel);
    cnn_host_attach(CNN_BIAS_REGION, bias);
    cnn_host_attach(CNN_DATA_REGION, data);
    return train_check();
}
#endif
