#include "cnn_weights.h"

#include <stddef.h>

#include "cnn_activations.h"
#include "cnn_fast_read.h"
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

unsigned cnn_side_by_side(const cnn_kernels *kernels, const uint32_t *pass)
{
    if (kernels->passes == 1 || (kernels->taps > 1 && kernels->tap[0] != 0))
        return 1;
    for (unsigned n = 0; n < kernels->passes; n++)
        if (pass[n] == CNN_NONE || pass[n] != pass[0] + n * kernels->taps)
            return 1;
    return kernels->passes;
}

/* First weights of the kernels that share a byte: elements (CNN_NONE for those that do not exist),
 * and where their numbers lie among the values of a part. */
typedef struct {
    uint32_t element[8], value[8];
    unsigned lanes;
} sharing;

/* Kernels of a segment, or of a part of it, in their order. */
typedef struct {
    const cnn_kernels *kernels;
    const cnn_segment *segment;
    const cnn_part *part; /* NULL: the whole segment, without values */
    const uint32_t *pass;
    unsigned together;    /* cnn_side_by_side */
    uint32_t at, count;   /* kernels: output by output, of each pass by pass */
} walk;

static uint32_t value_of(const walk *here, uint32_t output, uint32_t pass)
{
    const uint32_t run = pass / here->together, within = pass % here->together;

    return output * here->part->output_step + run * here->part->run_step
           + within * here->kernels->taps;
}

/* The next kernels, from a lane on. */
static void kernels_together(walk *here, unsigned lane, sharing *found)
{
    const cnn_kernels *kernels = here->kernels;
    const uint32_t skipped = here->part == NULL ? 0 : here->part->first;

    for (unsigned n = 0; n < lane; n++)
        found->element[n] = CNN_NONE;
    for (; lane < 8u / kernels->bits && here->at < here->count; lane++, here->at++) {
        const uint32_t output = here->at / kernels->passes, pass = here->at % kernels->passes;
        const uint32_t offset = here->pass[pass];

        found->element[lane] = CNN_NONE;
        if (offset == CNN_NONE)
            continue;
        found->element[lane]
            = here->segment->element + offset + (output + skipped) * kernels->output_step;
        found->value[lane] = here->part == NULL ? 0 : value_of(here, output, pass);
    }
    found->lanes = lane;
}

static void put_in_slot(const cnn_kernels *kernels, const sharing *found, unsigned byte,
                        unsigned tap)
{
    if (kernels->tap[tap] == CNN_NO_TAP)
        return;
    for (unsigned n = 0; n < found->lanes; n++)
        if (found->element[n] != CNN_NONE) {
            slot.element[slot.count] = found->element[n] + kernels->tap[tap];
            slot.value[slot.count] = (uint16_t)(found->value[n] + kernels->tap[tap]);
            slot.place[slot.count++] = (uint8_t)(8 * byte + n * kernels->bits);
        }
}

static uint32_t visit_segment(const cnn_layer *layer, const cnn_segment *segment,
                              const cnn_part *part, cnn_visit visit)
{
    const cnn_kernels *kernels = layer->kernels;
    const uint32_t skipped = part == NULL ? 0 : (uint32_t)part->first * kernels->passes;
    const uint32_t outputs = part == NULL ? segment->outputs : part->outputs;
    const uint32_t *const pass = kernels->pass + segment->first_pass;
    const unsigned sharing_byte = 8u / kernels->bits;
    const uint32_t kernel = segment->first_lane + skipped; /* from lane 0 of the first byte on */
    const uint32_t bytes = segment->first_byte + kernel / sharing_byte * kernels->taps;
    walk here = {kernels, segment, part, pass, cnn_side_by_side(kernels, pass),
                 0,       outputs * kernels->passes};
    uint32_t address = segment->address + bytes / CNN_KERNEL_BYTES * CNN_KERNEL_SLOT, written = 0;
    unsigned byte = bytes % CNN_KERNEL_BYTES, lane = kernel % sharing_byte;
    sharing found;

    while (here.at < here.count) {
        kernels_together(&here, lane, &found);
        for (unsigned tap = 0; tap < kernels->taps; tap++, byte++) {
            if (byte == CNN_KERNEL_BYTES) {
                byte = 0;
                address += CNN_KERNEL_SLOT;
            }
            written += open_slot(address, layer, visit);
            put_in_slot(kernels, &found, byte, tap);
        }
        lane = 0;
    }
    return written;
}

static void open_first(void)
{
    slot.address = 0;
    slot.count = 0;
}

uint32_t cnn_visit_kernels(const cnn_layer *layer, cnn_visit visit)
{
    uint32_t written = 0;

    open_first();
    for (unsigned n = 0; n < layer->kernels->segments; n++)
        written += visit_segment(layer, &layer->kernels->segment[n], NULL, visit);
    return written + close_slot(layer, visit);
}

uint32_t cnn_visit_part(const cnn_layer *layer, const cnn_segment *segment, const cnn_part *part,
                        cnn_visit visit)
{
    uint32_t written;

    open_first();
    slot.values = part->value;
    written = visit_segment(layer, segment, part, visit);
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
