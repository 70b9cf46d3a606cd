#include "cnn_fast_read.h"

#include <stddef.h>

#include "cnn_changes.h"
#include "cnn_dsp.h"
#include "cnn_port.h"
#include "cnn_weights.h"

/* The stream of a segment; the first of cnn_changes holds what was read and not yet taken. */
typedef struct {
    uint32_t address, slots; /* to be read */
    const uint8_t *from, *end;
} reader;

static CNN_APART void refill(reader *of)
{
    uint32_t address = of->address;
    uint8_t *end = cnn_changes[0];

    while (of->from < of->end)
        *end++ = *of->from++;
    for (; of->slots > 0 && end < cnn_changes[0] + CNN_FULL; of->slots--, end += CNN_KERNEL_BYTES) {
        const uint32_t low = cnn_read(address + 8), middle = cnn_read(address + 4);
        const uint32_t high = cnn_read(address);

        __builtin_memcpy(end, &low, sizeof low);
        __builtin_memcpy(end + 4, &middle, sizeof middle);
        end[8] = (uint8_t)high;
        address += CNN_KERNEL_SLOT;
    }
    of->address = address;
    of->from = cnn_changes[0];
    of->end = end;
}

/* Kernels of so many taps, turned around, `step` weights apart.  taps is a constant. */
CNN_WITHIN void take_kernels(const uint8_t *from, int8_t *to, uint32_t step, uint32_t count,
                             unsigned taps)
{
    for (; count > 0; count--, from += taps, to += step) {
        to[0] = (int8_t)from[taps - 1];
        to[1] = (int8_t)from[taps - 2];
        to[2] = (int8_t)from[taps - 3];
        for (unsigned n = 3; n < taps; n++)
            to[n] = (int8_t)from[taps - 1 - n];
    }
}

static void take_rows(const uint8_t *from, int8_t *to, uint32_t step, uint32_t count,
                      uint32_t width, int turned)
{
    if (turned && width == 3)
        take_kernels(from, to, step, count, 3);
    else if (turned && width == CNN_TAPS)
        take_kernels(from, to, step, count, CNN_TAPS);
    else if (!turned && width % 4 == 0)
        for (; count > 0; count--, to += step)
            for (uint32_t n = 0; n < width; n += 4, from += 4)
                __builtin_memcpy(to + n, from, 4);
    else
        for (; count > 0; count--, from += width, to += step)
            for (uint32_t n = 0; n < width; n++)
                to[n] = (int8_t)from[turned ? width - 1 - n : n];
}

/* Rows `step` weights apart: as many at a time as were read.  to: NULL, and they are skipped. */
static void read_rows(reader *of, int8_t *to, uint32_t step, uint32_t count, uint32_t width,
                      int turned)
{
    while (count > 0 && width > 0) {
        uint32_t ready = (uint32_t)(of->end - of->from) / width;

        if (ready == 0) {
            refill(of);
            ready = (uint32_t)(of->end - of->from) / width;
        }
        ready = ready < count ? ready : count;
        if (to != NULL) {
            take_rows(of->from, to, step, ready, width, turned);
            to += ready * step;
        }
        of->from += ready * width;
        count -= ready;
    }
}

/* Any row, in parts of the longest that is read together. */
static void read_parts(reader *of, int8_t *to, uint32_t width, int turned)
{
    for (uint32_t done = 0; done < width; done += CNN_LONGEST) {
        const uint32_t left = width - done, part = left < CNN_LONGEST ? left : CNN_LONGEST;

        read_rows(of, to == NULL ? NULL : to + done, 0, 1, part, turned);
    }
}

static void read_segment(const cnn_kernels *kernels, const cnn_segment *segment, int8_t *weights)
{
    const uint32_t *const pass = kernels->pass + segment->first_pass;
    const uint32_t passes = cnn_side_by_side(kernels, pass), width = passes * kernels->taps;
    const uint32_t bytes = (uint32_t)segment->outputs * kernels->passes * kernels->taps;
    const int turned = cnn_are_turned(kernels);
    int8_t *first = weights + segment->element;
    reader of = {segment->address, (bytes + CNN_KERNEL_BYTES - 1) / CNN_KERNEL_BYTES,
                 cnn_changes[0], cnn_changes[0]};

    if (passes == kernels->passes && pass[0] != CNN_NONE && width <= CNN_LONGEST) {
        read_rows(&of, first + pass[0], kernels->output_step, segment->outputs, width, turned);
        return;
    }
    for (uint32_t output = segment->outputs; output > 0; output--, first += kernels->output_step)
        for (uint32_t n = 0; n < kernels->passes; n += passes)
            read_parts(&of, pass[n] == CNN_NONE ? NULL : first + pass[n], width, turned);
}

int cnn_fast_read(const cnn_kernels *kernels, int8_t *weights)
{
    if (!cnn_fast_step_takes(kernels))
        return 0;
    for (unsigned n = 0; n < kernels->segments; n++)
        read_segment(kernels, &kernels->segment[n], weights);
    return 1;
}
