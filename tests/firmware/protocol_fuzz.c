/* The protocol as a program that is fed from a file: for the sanitizers. */
#include <stdio.h>

#include "cnn_host.h"
#include "cnn_layout.h"
#include "cnn_protocol.h"
#include "cnn_train.h"

static uint32_t kernel[CNN_KERNEL_IMAGE_WORDS];
static uint32_t bias[CNN_BIAS_IMAGE_WORDS];
static uint32_t data[CNN_DATA_IMAGE_WORDS];

int main(int count, char **names)
{
    FILE *file = fopen(count > 1 ? names[1] : "/dev/stdin", "rb");
    int byte;

    cnn_host_attach(CNN_KERNEL_REGION, kernel);
    cnn_host_attach(CNN_BIAS_REGION, bias);
    cnn_host_attach(CNN_DATA_REGION, data);
    cnn_train_reset(1);
    while (file && (byte = fgetc(file)) != EOF)
        cnn_protocol_byte((uint8_t)byte);
    printf("%lu %lu %lu %lu\n", (unsigned long)cnn_protocol_seen.frames,
           (unsigned long)cnn_protocol_seen.faulty, (unsigned long)cnn_protocol_seen.repeated,
           (unsigned long)cnn_host_accesses.faults);
    return 0;
}
