/* Known-answer test of the training step: kernels and biases as recorded, activations that are
 * drawn, and CRC-32 of what training makes of them.
 * On the host it runs on images of the accelerator's memories; on the board it runs on the
 * accelerator itself (call train_check() instead of main, with the accelerator enabled). */
#include <stdio.h>

#include "cnn_map.h"
#include "cnn_port.h"
#include "cnn_random.h"
#include "cnn_train.h"
#include "cnn_train_config.h"
#include "train_check.h"

static const uint32_t before[] = CHECK_BEFORE;
static const uint32_t labels[CHECK_STEPS * CHECK_BATCH] = CHECK_LABELS;
static const uint32_t drawn[] = CHECK_DRAWN;
static const uint32_t after[] = CHECK_AFTER;

static void write_before(void)
{
    const uint32_t *next = before;
    uint32_t address;

    while ((address = *next++) != 0)
        for (uint32_t count = *next++; count > 0; count--, address += 4)
            cnn_write(address, *next++);
}

/* What an accelerator could have left in data memory: any bytes; 32-bit sums of a common size, as
 * signed numbers shifted to the right. */
static void write_activations(uint32_t example)
{
    const uint32_t salt = cnn_salt(CNN_TRAIN_SEED ^ CHECK_SALT, example);
    const uint32_t *next = drawn;
    uint32_t address, number = 0;

    while ((address = *next++) != 0) {
        uint32_t count = *next++, shift = *next++;

        for (; count > 0; count--, address += 4) {
            const uint32_t word = cnn_mix(salt ^ cnn_mix(number++));
            const uint32_t high = shift > 0 && word >> 31 ? ~(0xffffffffu >> shift) : 0;

            cnn_write(address, word >> shift | high);
        }
    }
}

/* CRC-32 as of Ethernet, ZIP and zlib, of a word's bytes, the least significant first. */
static uint32_t crc_of(uint32_t crc, uint32_t word)
{
    for (unsigned n = 0; n < 32; n++, word >>= 1)
        crc = crc >> 1 ^ (0xedb88320u & (0u - ((crc ^ word) & 1u)));
    return crc;
}

static int compare_after(void)
{
    const uint32_t *next = after;
    uint32_t address;

    while ((address = *next++) != 0) {
        const uint32_t count = *next++, expected = *next++;
        uint32_t crc = 0xffffffffu;

        for (uint32_t n = 0; n < count; n++)
            crc = crc_of(crc, cnn_read(address + 4 * n));
        if (~crc != expected) {
            printf("FAIL: %lu words from 0x%08lx have CRC-32 0x%08lx, expected 0x%08lx\n",
                   (unsigned long)count, (unsigned long)address, (unsigned long)(uint32_t)~crc,
                   (unsigned long)expected);
            return 1;
        }
    }
    return 0;
}

int train_check(void)
{
    uint32_t example = 0;

    write_before();
    cnn_train_reset(CNN_TRAIN_SEED);
    for (unsigned step = 0; step < CHECK_STEPS; step++) {
        cnn_train_begin();
        for (unsigned n = 0; n < CHECK_BATCH; n++, example++) {
            write_activations(example);
            cnn_train_learn(labels[example]);
        }
        cnn_train_apply();
    }
    if (compare_after())
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
