#include "cnn_weights.h"

#include <stddef.h>

#include "cnn_activations.h"
#include "cnn_fast_step.h"
#include "cnn_port.h"

static cnn_slot slot;     /* the one that is being filled */
static int8_t *target;    /* of cnn_read_weights */
const uint32_t cnn_weights_sram = sizeof slot;
static const uint8_t byte_in_slot[CNN_KERNEL_BYTES] = CNN_KERNEL_BYTE;

static void load_slot(uint32_t address)
{
    uint32_t words[CNN_SLOT_WORDS];

    for (unsigned n = 0; n < CNN_SLOT_WORDS; n++)
        words[n] = cnn_read(address + 4 * n);
    for (unsigned n = 0; n < CNN_KERNEL_BYTES; n++)
        slot.byte[n] = (uint8_t)(words[byte_in_slot[n] / 4] >> 8 * (byte_in_slot[n] % 4));
}

/* The last word, of zero, commits the slot. */
static void store_slot(uint32_t address)
{
    uint32_t words[CNN_SLOT_WORDS] = {0};

    for (unsigned n = 0; n < CNN_KERNEL_BYTES; n++)
        words[byte_in_slot[n] / 4] |= (uint32_t)slot.byte[n] << 8 * (byte_in_slot[n] % 4);
    for (unsigned n = 0; n < CNN_SLOT_WORDS; n++)
        cnn_write(address + 4 * n, words[n]);
}

static void unpack(unsigned bits)
{
    const unsigned mask = (1u << bits) - 1, sign = 1u << (bits - 1);

    for (uint32_t n = 0; n < slot.count; n++) {
        const unsigned raw = (unsigned)slot.byte[slot.place[n] / 8] >> slot.place[n] % 8 & mask;

        slot.weight[n] = (int8_t)((int)(raw ^ sign) - (int)sign);
    }
}

static void pack(unsigned bits)
{
    const unsigned mask = (1u << bits) - 1;

    for (uint32_t n = 0; n < slot.count; n++) {
        const unsigned at = slot.place[n] % 8, kept = slot.byte[slot.place[n] / 8] & ~(mask << at);

        slot.byte[slot.place[n] / 8] = (uint8_t)(kept | ((unsigned)slot.weight[n] & mask) << at);
    }
}

/* Done with the slot that is open: what changed is written. */
static uint32_t close_slot(const cnn_layer *layer, cnn_visit visit)
{
    uint32_t written = 0;

    if (slot.count == 0)
        return 0;
    load_slot(slot.address);
    unpack(layer->kernels->bits);
    if (visit(&slot, layer)) {
        pack(layer->kernels->bits);
        store_slot(slot.address);
        written = 1;
    }
    slot.count = 0;
    return written;
}

static uint32_t open_slot(uint32_t address, const cnn_layer *layer, cnn_visit visit)
{
    uint32_t written = 0;

    if (address != slot.address) {
        written = close_slot(layer, visit);
        slot.address = address;
    }
    return written;
}

/* First weights of the kernels that share bytes with the one at `*at` (of so many), from its lane
 * on; CNN_NONE for those that do not exist.  Returns how many lanes they reach. */
static unsigned kernels_together(const cnn_kernels *kernels, const cnn_segment *segment,
                                 unsigned lane, uint32_t *at, uint32_t *first)
{
    const uint32_t count = (uint32_t)segment->outputs * kernels->passes;
    const uint32_t *pass = kernels->pass + segment->first_pass;

    for (unsigned n = 0; n < lane; n++)
        first[n] = CNN_NONE;
    for (; lane < 8u / kernels->bits && *at < count; lane++, ++*at) {
        const uint32_t offset = pass[*at % kernels->passes];

        first[lane] = offset == CNN_NONE ? CNN_NONE
                                         : segment->element + offset
                                               + *at / kernels->passes * kernels->output_step;
    }
    return lane;
}

static uint32_t visit_segment(const cnn_layer *layer, const cnn_segment *segment, cnn_visit visit)
{
    const cnn_kernels *kernels = layer->kernels;
    const uint32_t count = (uint32_t)segment->outputs * kernels->passes;
    uint32_t at = 0, address = segment->address, first[8], written = 0;
    unsigned byte = segment->first_byte, lane = segment->first_lane;

    while (at < count) {
        const unsigned lanes = kernels_together(kernels, segment, lane, &at, first);

        for (unsigned tap = 0; tap < kernels->taps; tap++, byte++) {
            if (byte == CNN_KERNEL_BYTES) {
                byte = 0;
                address += CNN_KERNEL_SLOT;
            }
            written += open_slot(address, layer, visit);
            for (unsigned n = 0; n < lanes; n++)
                if (kernels->tap[tap] != CNN_NO_TAP && first[n] != CNN_NONE) {
                    slot.element[slot.count] = first[n] + kernels->tap[tap];
                    slot.place[slot.count++] = (uint8_t)(8 * byte + n * kernels->bits);
                }
        }
        lane = 0;
    }
    return written;
}

uint32_t cnn_visit_kernels(const cnn_layer *layer, cnn_visit visit)
{
    uint32_t written = 0;

    slot.address = 0;
    slot.count = 0;
    for (unsigned n = 0; n < layer->kernels->segments; n++)
        written += visit_segment(layer, &layer->kernels->segment[n], visit);
    return written + close_slot(layer, visit);
}

static int keep_weights(cnn_slot *read, const cnn_layer *layer)
{
    (void)layer;
    for (uint32_t n = 0; n < read->count; n++)
        target[read->element[n]] = read->weight[n];
    return 0;
}

void cnn_read_weights(const cnn_layer *layer, int8_t *weights)
{
    if (cnn_fast_read(layer->kernels, weights))
        return;
    target = weights;
    cnn_visit_kernels(layer, keep_weights);
}

void cnn_read_biases(const cnn_layer *layer, int8_t *biases)
{
    if (layer->biases != NULL)
        cnn_read_map(&layer->biases->at, biases);
    else
        for (unsigned n = 0; n < layer->how.out_channels; n++)
            biases[n] = 0;
}
