#include "cnn_narrow_step.h"

#include "cnn_changes.h"
#include "cnn_port.h"
#include "cnn_weights.h"

enum {
    ROOM = (CNN_TOGETHER - 1) * CNN_CHANGES,  /* bytes, behind those of the slots */
    MOST = CNN_FULL / CNN_KERNEL_BYTES        /* slots */
};

/* Bytes of a stream, read slot by slot, and which slots they are. */
static uint8_t *const slots = cnn_changes[0];
/* Changes of kernels in their order: of each, all its bytes. */
static uint8_t *const changes = cnn_changes[1];

/* A part of a segment on its way. */
typedef struct {
    const cnn_fast *how;
    const cnn_kernels *kernels;
    const cnn_part *part;
    const uint32_t *pass;
    cnn_rows rows;      /* of the part's first output */
    uint32_t passes;    /* that lie side by side */
    uint32_t at, count; /* kernels: output by output, of each pass by pass */
    uint32_t address;   /* of the next slot */
    int turned;
} walk;

int cnn_narrow_takes(const cnn_kernels *kernels)
{
    if (kernels->bits == 8 || !cnn_are_in_order(kernels))
        return 0;
    for (unsigned n = 0; n < kernels->segments; n++)
        if (kernels->segment[n].first_lane != 0)
            return 0;
    return 1;
}

static void read_slot(uint32_t address, uint8_t *bytes)
{
    const uint32_t words[] = {cnn_read(address + 8), cnn_read(address + 4)};

    __builtin_memcpy(bytes, words, sizeof words);
    bytes[8] = (uint8_t)cnn_read(address);
}

static void write_slot(uint32_t address, const uint8_t *bytes)
{
    uint32_t words[2];

    __builtin_memcpy(words, bytes, sizeof words);
    cnn_write(address, bytes[8]);
    cnn_write(address + 4, words[1]);
    cnn_write(address + 8, words[0]);
    cnn_write(address + 12, 0); /* commits */
}

/* Changes of the next kernels; past the last one none. */
static void make_changes(walk *of, uint32_t kernels)
{
    const uint32_t taps = of->kernels->taps, passes = of->kernels->passes;
    uint8_t *to = changes, *const end = changes + kernels * taps;

    while (to < end && of->at < of->count) {
        const uint32_t output = of->at / passes, pass = of->at % passes;
        const uint32_t offset = of->pass[pass], left = (uint32_t)(end - to) / taps;
        uint32_t together = 1; /* kernels that are made together: an output's, or one of each */
        cnn_rows rows = of->rows;

        rows.number += output * rows.number_step + offset;
        rows.value += output * rows.value_step
                      + (of->part->run_step == 0 ? offset
                                                 : pass / of->passes * of->part->run_step
                                                       + pass % of->passes * taps);
        if (offset != CNN_NONE && passes == 1)
            together = left < of->count - of->at ? left : of->count - of->at;
        else if (offset != CNN_NONE && of->passes > 1)
            together = left < passes - pass ? left : passes - pass;
        rows.width = passes == 1 ? taps : together * taps;
        if (offset != CNN_NONE)
            cnn_make_rows(of->how, rows, passes == 1 ? together : 1, to, of->turned);
        else
            for (uint32_t n = 0; n < taps; n++)
                to[n] = 0;
        to += together * taps;
        of->at += together;
    }
    while (to < end)
        *to++ = 0;
}

/* A byte whose weights lose `change`, the next ones' `step` bytes further on. */
static uint8_t stepped(unsigned byte, const uint8_t *change, uint32_t step, unsigned bits)
{
    const unsigned mask = (1u << bits) - 1, sign = 1u << (bits - 1);
    const int32_t lowest = -(int32_t)sign, highest = (int32_t)sign - 1;
    unsigned found = 0;

    for (unsigned lane = 0; lane < 8; lane += bits, change += step) {
        const int32_t weight = (int32_t)((byte >> lane & mask) ^ sign) - (int32_t)sign;
        const int32_t total = weight - (int8_t)*change;
        const int32_t limited = total < lowest ? lowest : total > highest ? highest : total;

        found |= ((unsigned)limited & mask) << lane;
    }
    return (uint8_t)found;
}

/* Some whole slots; how many were written. */
static uint32_t step_slots(walk *of, uint32_t count)
{
    const uint32_t taps = of->kernels->taps, bytes = count * CNN_KERNEL_BYTES;
    const uint32_t lanes = 8u / of->kernels->bits, groups = bytes / taps;
    uint32_t written = 0, changed = 0; /* a bit a slot */

    for (uint32_t n = 0; n < count; n++)
        read_slot(of->address + n * CNN_KERNEL_SLOT, slots + n * CNN_KERNEL_BYTES);
    make_changes(of, groups * lanes);
    for (uint32_t group = 0, byte = 0; group < groups; group++)
        for (uint32_t tap = 0; tap < taps; tap++, byte++) {
            const uint8_t *const change = changes + group * lanes * taps + tap;
            const uint8_t new = stepped(slots[byte], change, taps, of->kernels->bits);

            if (new != slots[byte])
                changed |= 1u << byte / CNN_KERNEL_BYTES;
            slots[byte] = new;
        }
    for (uint32_t n = 0; n < count; n++, of->address += CNN_KERNEL_SLOT)
        if (changed >> n & 1) {
            write_slot(of->address, slots + n * CNN_KERNEL_BYTES);
            written++;
        }
    return written;
}

/* The fewest slots that hold whole kernels. */
static uint32_t slots_of(uint32_t taps)
{
    return taps % 9 == 0 ? 1 : taps % 3 == 0 ? taps / 3 : taps;
}

uint32_t cnn_narrow_step(const cnn_fast *how, const cnn_kernels *kernels,
                         const cnn_segment *segment, const cnn_part *part)
{
    const uint32_t taps = kernels->taps, lanes = 8u / kernels->bits;
    const uint32_t *const pass = kernels->pass + segment->first_pass;
    const uint32_t before = (uint32_t)part->first * kernels->passes; /* kernels, of whole slots */
    const uint32_t unit = slots_of(taps), room = ROOM / (CNN_KERNEL_BYTES * lanes);
    const uint32_t most = (room < MOST ? room : MOST) / unit * unit;
    const cnn_rows rows = {part->value, part->output_step,
                           kernels->first + segment->element + part->first * kernels->output_step,
                           kernels->output_step, taps};
    walk of = {how, kernels, part, pass, rows, cnn_side_by_side(kernels, pass), 0,
               (uint32_t)part->outputs * kernels->passes,
               segment->address + before / lanes * taps / CNN_KERNEL_BYTES * CNN_KERNEL_SLOT,
               cnn_are_turned(kernels)};
    uint32_t written = 0;

    while (of.at < of.count) {
        const uint32_t bytes = (of.count - of.at + lanes - 1) / lanes * taps;
        const uint32_t left = (bytes + CNN_KERNEL_BYTES - 1) / CNN_KERNEL_BYTES;

        written += step_slots(&of, left < most ? left : most);
    }
    return written;
}
