#include "cnn_fast_step.h"

#include "cnn_dsp.h"
#include "cnn_map.h"
#include "cnn_port.h"
#include "cnn_random.h"

enum {
    SLOTS = 16,  /* of which changes are made before they are applied */
    LONGEST = 32 /* bytes of a run, at most: longer ones are made in parts */
};

/* What weights lose, in the order of the stream; past the end of a slot: the next one's. */
static uint8_t changes[SLOTS * CNN_KERNEL_BYTES + LONGEST];

static struct {
    const int32_t *velocity;
    uint32_t salt;
    int32_t rate; /* a product with a velocity: 2^32 is a step of a weight */
} now;

/* rate / 2^(shift + 8) in units of 2^-32; 0 where that is no number of 31 bits. */
static int32_t whole_rate(int32_t rate, int shift)
{
    if (shift < 1 || shift > 32)
        return 0;
    if (shift >= 24)
        return (rate & ((1 << (shift - 24)) - 1)) == 0 ? rate >> (shift - 24) : 0;
    return rate < 1 << (shift + 7) ? rate * (1 << (24 - shift)) : 0;
}

/* Kernels of convolutions lie last tap first. */
static int are_turned(const cnn_kernels *kernels)
{
    return kernels->taps > 1 && kernels->tap[0] != 0;
}

static int are_in_order(const cnn_kernels *kernels)
{
    const unsigned last = are_turned(kernels) ? kernels->taps - 1u : 0;

    if (kernels->bits != 8)
        return 0;
    for (unsigned tap = 0; tap < kernels->taps; tap++)
        if (kernels->tap[tap] != (last != 0 ? last - tap : tap))
            return 0;
    for (unsigned n = 0; n < kernels->segments; n++)
        if (kernels->segment[n].first_byte != 0)
            return 0;
    return 1;
}

int cnn_fast_step_takes(const cnn_layer *layer, const int32_t *velocity, int32_t rate, int shift)
{
    const cnn_correlation *how = &layer->how;
    const int32_t *next = velocity + layer->kernels->first;
    const int32_t *const end = next + (uint32_t)how->out_channels * how->in_channels
                                          * how->kernel_rows * how->kernel_columns;
    const int32_t whole = whole_rate(rate, shift);
    uint32_t most; /* of a velocity: times the rate, and a draw, less than 128 steps */

    if (whole == 0 || !are_in_order(layer->kernels))
        return 0;
    most = 0xffffffffu / (uint32_t)whole * 127;
    if (whole <= 253)
        return 1;
    for (; next < end; next++)
        if (*next >= (int32_t)most || *next <= -(int32_t)most)
            return 0;
    return 1;
}

/* ---- changes ---- */

/* Changes of weights whose numbers follow each other, `step` bytes apart (1 or -1):
 * floor((rate * velocity + draw) / 2^32). */
static void make_changes(uint32_t number, unsigned count, uint8_t *to, int step)
{
    const int32_t *velocity = now.velocity + number, *const end = velocity + count;
    const int32_t rate = now.rate;
    uint32_t draw = cnn_draw(now.salt, number);

    while (velocity < end) {
        *to = (uint8_t)cnn_add_long(0, draw, rate, *velocity++);
        to += step;
        if (++number % CNN_SHARING == 0)
            draw = cnn_draw_of_group(now.salt, number / CNN_SHARING);
        else
            draw = cnn_next_draw(draw);
    }
}

/* Pixels of a linear layer, or taps: how many weights of a kernel's output follow each other. */
static unsigned together(const cnn_kernels *kernels, const uint32_t *pass)
{
    if (are_turned(kernels))
        return 1;
    for (unsigned n = 0; n < kernels->passes; n++)
        if (pass[n] == CNN_NONE || pass[n] != pass[0] + n * kernels->taps)
            return 1;
    return kernels->passes;
}

/* ---- slots ---- */

static uint32_t apply_to_slot(uint32_t address, const uint8_t *change)
{
    const uint32_t old0 = cnn_read(address + 8), old1 = cnn_read(address + 4);
    const uint32_t old2 = cnn_read(address);
    const uint32_t new0 = cnn_subtract_bytes(old0, cnn_load(change));
    const uint32_t new1 = cnn_subtract_bytes(old1, cnn_load(change + 4));
    const uint32_t new2 = cnn_subtract_bytes(old2, change[8]);

    if (new0 == old0 && new1 == old1 && new2 == old2)
        return 0;
    cnn_write(address, new2);
    cnn_write(address + 4, new1);
    cnn_write(address + 8, new0);
    cnn_write(address + 12, 0); /* commits */
    return 1;
}

/* All whole slots of the changes before `end`; what is left of them comes to the front. */
static uint8_t *apply(uint32_t *address, uint8_t *end, uint32_t *written)
{
    const uint8_t *from = changes;
    uint8_t *to = changes;

    for (; (unsigned)(end - from) >= CNN_KERNEL_BYTES; from += CNN_KERNEL_BYTES) {
        *written += apply_to_slot(*address, from);
        *address += CNN_KERNEL_SLOT;
    }
    while (from < end)
        *to++ = *from++;
    return to;
}

static uint32_t step_segment(const cnn_kernels *kernels, const cnn_segment *segment)
{
    const uint32_t *const pass = kernels->pass + segment->first_pass;
    const unsigned passes = together(kernels, pass), length = passes * kernels->taps;
    const int turned = are_turned(kernels);
    uint32_t first = kernels->first + segment->element, address = segment->address, written = 0;
    uint8_t *end = changes;

    for (unsigned output = segment->outputs; output > 0; output--, first += kernels->output_step)
        for (unsigned n = 0; n < kernels->passes; n += passes) {
            const unsigned exists = pass[n] != CNN_NONE;

            for (unsigned done = 0; done < length; done += LONGEST) {
                const unsigned left = length - done, count = left < LONGEST ? left : LONGEST;

                if (!exists)
                    for (unsigned k = 0; k < count; k++)
                        end[k] = 0;
                else if (turned)
                    make_changes(first + pass[n], count, end + count - 1, -1);
                else
                    make_changes(first + pass[n] + done, count, end, 1);
                end += count;
                if (end >= changes + SLOTS * CNN_KERNEL_BYTES)
                    end = apply(&address, end, &written);
            }
        }
    while ((unsigned)(end - changes) % CNN_KERNEL_BYTES != 0)
        *end++ = 0; /* what else lies in the last slot stays */
    apply(&address, end, &written);
    return written;
}

uint32_t cnn_fast_step(const cnn_kernels *kernels, const int32_t *velocity, uint32_t salt,
                       int32_t rate, int shift)
{
    uint32_t written = 0;

    now.velocity = velocity;
    now.salt = salt;
    now.rate = whole_rate(rate, shift);
    for (unsigned n = 0; n < kernels->segments; n++)
        written += step_segment(kernels, &kernels->segment[n]);
    return written;
}

/* ---- reading ---- */

/* One segment's bytes, to the weights that they are. */
static void read_segment(const cnn_kernels *kernels, const cnn_segment *segment, int8_t *weights)
{
    const uint32_t *const pass = kernels->pass + segment->first_pass;
    const unsigned passes = together(kernels, pass), length = passes * kernels->taps;
    const int8_t *const end = (const int8_t *)changes + CNN_KERNEL_BYTES, *from = end;
    const int turned = are_turned(kernels);
    uint32_t address = segment->address;
    int8_t *first = weights + segment->element;

    for (unsigned output = segment->outputs; output > 0; output--, first += kernels->output_step)
        for (unsigned n = 0; n < kernels->passes; n += passes)
            for (unsigned byte = 0; byte < length; byte++) {
                if (from == end) {
                    const uint32_t low = cnn_read(address + 8), middle = cnn_read(address + 4);

                    __builtin_memcpy(changes, &low, sizeof low);
                    __builtin_memcpy(changes + 4, &middle, sizeof middle);
                    changes[8] = (uint8_t)cnn_read(address);
                    address += CNN_KERNEL_SLOT;
                    from = (const int8_t *)changes;
                }
                if (pass[n] != CNN_NONE)
                    first[pass[n] + (turned ? length - 1 - byte : byte)] = *from;
                from++;
            }
}

int cnn_fast_read(const cnn_kernels *kernels, int8_t *weights)
{
    if (!are_in_order(kernels))
        return 0;
    for (unsigned n = 0; n < kernels->segments; n++)
        read_segment(kernels, &kernels->segment[n], weights);
    return 1;
}
