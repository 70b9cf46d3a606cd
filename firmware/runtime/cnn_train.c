#include "cnn_train.h"

#include <stddef.h>

#include "cnn_activations.h"
#include "cnn_backward.h"
#include "cnn_fast_step.h"
#include "cnn_layers.h"
#include "cnn_loss.h"
#include "cnn_train_config.h"
#include "cnn_update.h"
#include "cnn_weights.h"

enum { CLASSES = CNN_TRAIN_CLASSES };

static int64_t logits[CLASSES];
static const uint8_t *teacher;

uint32_t cnn_train_sram;
uint32_t cnn_train_kernel_words;
uint32_t cnn_train_bias_bytes;

void cnn_train_reset(uint32_t seed)
{
    cnn_update_reset(seed);
    cnn_train_sram = cnn_update_sram + cnn_backward_sram + cnn_weights_sram
                     + cnn_fast_step_sram + (uint32_t)sizeof logits;
    cnn_train_kernel_words = 0;
    cnn_train_bias_bytes = 0;
    teacher = NULL;
}

void cnn_train_reload(void)
{
    /* kernels are read at each step */
}

void cnn_train_use(void (*run)(int32_t last))
{
    cnn_backward_run = run;
}

void cnn_train_begin(void)
{
    cnn_update_begin();
}

void cnn_train_teach(const uint8_t *said)
{
    teacher = said;
}

static void read_logits(void)
{
    int32_t sums[CLASSES];

    cnn_read_sums(&cnn_layers[0].output, sums);
    for (unsigned class = 0; class < CLASSES; class++)
        logits[class] = sums[class] + cnn_wide_bias(class);
}

uint32_t cnn_train_predict(void)
{
    uint32_t best = 0;

    read_logits();
    for (uint32_t class = 1; class < CLASSES; class++)
        if (logits[class] > logits[best])
            best = class;
    return best;
}

uint32_t cnn_train_learn(uint32_t label)
{
    uint32_t best;

    read_logits();
    best = cnn_loss(logits, label, teacher, cnn_error_of_logits());
    teacher = NULL;
    cnn_backward();
    return best;
}

void cnn_train_apply(void)
{
#if !CNN_TRAIN_AT_ONCE
    for (unsigned n = 0; n < CNN_TRAIN_LAYERS; n++)
        cnn_step_layer(&cnn_layers[n]);
#endif
    cnn_update_end();
}
