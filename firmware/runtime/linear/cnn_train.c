/* What cnn_train.h promises, where one linear layer learns from one sample a step (cnn_linear.h). */
#include "cnn_train.h"

#include "cnn_linear.h"
#include "cnn_random.h"
#include "cnn_schedule.h"

static struct {
    uint32_t seed, step;
    int learnt; /* an example was, in this step */
} state;

uint32_t cnn_train_sram;
uint32_t cnn_train_kernel_words;
uint32_t cnn_train_bias_bytes;

void cnn_train_reset(uint32_t seed)
{
    state.seed = seed;
    state.step = 0;
    state.learnt = 0;
    cnn_train_sram = cnn_linear_sram + (uint32_t)sizeof state;
    cnn_train_kernel_words = 0;
    cnn_train_bias_bytes = 0;
    cnn_train_reload();
}

void cnn_train_reload(void)
{
    cnn_linear_begin();
}

void cnn_train_use(void (*run)(int32_t last))
{
    (void)run; /* CNN_TRAIN_RUNS is 0 */
}

void cnn_train_begin(void)
{
    state.learnt = 0;
}

void cnn_train_teach(const uint8_t *said)
{
    (void)said; /* CNN_TEACHER_SHARE is 0 */
}

uint32_t cnn_train_predict(void)
{
    return cnn_linear_predict();
}

uint32_t cnn_train_learn(uint32_t label)
{
    state.learnt = 1;
    return cnn_linear_learn(label, cnn_schedule_factor(state.step));
}

void cnn_train_apply(void)
{
    if (state.learnt) {
        cnn_train_bias_bytes += cnn_linear_apply(cnn_salt(state.seed, state.step));
        cnn_train_kernel_words += cnn_linear_kernel_words;
    }
    state.learnt = 0;
    state.step++;
}
