#include "cnn_activations.h"

#include "cnn_port.h"

static int8_t lane_of(uint32_t word, unsigned lane)
{
    const uint32_t byte = word >> 8 * lane & 0xffu;

    return (int8_t)(byte < 128 ? (int)byte : (int)byte - 256);
}

void cnn_read_map(const cnn_runs *runs, int8_t *map)
{
    for (uint32_t n = 0; n < runs->count; n++) {
        const cnn_run *run = &runs->run[n];
        int8_t *first = map + run->element;
        uint32_t address = run->address;

        for (unsigned left = run->words; left > 0; left--, address += run->step) {
            uint32_t word = cnn_read(address) >> 8 * run->first_lane;
            int8_t *target = first;

            for (unsigned lane = run->lanes; lane > 0; lane--, target += run->lane_step, word >>= 8)
                *target = lane_of(word, 0);
            if (left > 1)
                first += run->word_step;
        }
    }
}

void cnn_read_sums(const cnn_runs *runs, int32_t *sums)
{
    for (uint32_t n = 0; n < runs->count; n++) {
        const cnn_run *run = &runs->run[n];

        for (unsigned place = 0; place < run->words; place++) {
            const uint32_t word = cnn_read(run->address + place * run->step);
            const int32_t element = (int32_t)run->element + (int32_t)place * run->word_step;

            sums[element] = word < 0x80000000u ? (int32_t)word : -(int32_t)(~word) - 1;
        }
    }
}

void cnn_mask_errors(const cnn_layer *layer, int32_t *errors)
{
    const int least = layer->activation == CNN_LINEAR ? -128 : 0;

    for (uint32_t n = 0; n < layer->output.count; n++) {
        const cnn_run *run = &layer->output.run[n];

        for (unsigned place = 0; place < run->words; place++) {
            const uint32_t word = cnn_read(run->address + place * run->step);
            int32_t element = (int32_t)run->element + (int32_t)place * run->word_step;

            for (unsigned lane = 0; lane < run->lanes; lane++, element += run->lane_step) {
                const int8_t output = lane_of(word, run->first_lane + lane);

                if (output <= least || output >= 127)
                    errors[element] = 0;
            }
        }
    }
}
