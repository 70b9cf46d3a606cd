#include "cnn_fast_step.h"

#include "cnn_changes.h"
#include "cnn_dsp.h"
#include "cnn_map.h"
#include "cnn_narrow_step.h"
#include "cnn_port.h"
#include "cnn_random.h"
#include "cnn_weights.h"

const uint32_t cnn_fast_step_sram = sizeof cnn_changes;

int32_t cnn_fast_rate(int32_t rate, int shift)
{
    if (shift < 1 || shift > 32)
        return 0;
    if (shift >= 24)
        return (rate & ((1 << (shift - 24)) - 1)) == 0 ? rate >> (shift - 24) : 0;
    return rate < 1 << (shift + 7) ? rate * (1 << (24 - shift)) : 0;
}

uint32_t cnn_fast_limit(int32_t whole_rate)
{
    return whole_rate <= 253 ? 0x7fffffffu : 0xffffffffu / (uint32_t)whole_rate * 127 - 1;
}

int cnn_are_turned(const cnn_kernels *kernels)
{
    return kernels->taps > 1 && kernels->tap[0] != 0;
}

int cnn_are_in_order(const cnn_kernels *kernels)
{
    const unsigned last = cnn_are_turned(kernels) ? kernels->taps - 1u : 0;

    for (unsigned tap = 0; tap < kernels->taps; tap++)
        if (kernels->tap[tap] != (last != 0 ? last - tap : tap))
            return 0;
    for (unsigned n = 0; n < kernels->segments; n++)
        if (kernels->segment[n].first_byte != 0)
            return 0;
    return 1;
}

int cnn_fast_step_takes(const cnn_kernels *kernels)
{
    return kernels->bits == 8 && cnn_are_in_order(kernels);
}

/* ---- slots ---- */

/* Whether the slot was written.  The changes of its nine bytes, as they are streamed. */
CNN_WITHIN uint32_t apply_to_slot(uint32_t address, uint32_t change0, uint32_t change1,
                                  uint32_t change2)
{
    const uint32_t old0 = cnn_read(address + 8), old1 = cnn_read(address + 4);
    const uint32_t old2 = cnn_read(address), new0 = cnn_subtract_bytes(old0, change0);
    const uint32_t new1 = cnn_subtract_bytes(old1, change1);
    const uint32_t new2 = cnn_subtract_bytes(old2, change2);

    if (new0 == old0 && new1 == old1 && new2 == old2)
        return 0;
    cnn_write(address, new2);
    cnn_write(address + 4, new1);
    cnn_write(address + 8, new0);
    cnn_write(address + 12, 0); /* commits */
    return 1;
}

/* A stream of changes on its way to the slots. */
typedef struct {
    uint32_t address; /* of the slot that the first change belongs to */
    uint8_t *first, *end;
    uint32_t written;
} stream;

/* All whole slots are applied; what is left comes to the front. */
static CNN_APART void apply(stream *to)
{
    const uint8_t *from = to->first;
    uint32_t address = to->address, written = 0;
    uint8_t *front = to->first;

    for (; (unsigned)(to->end - from) >= CNN_KERNEL_BYTES; from += CNN_KERNEL_BYTES) {
        const uint32_t a = cnn_load(from), b = cnn_load(from + 4), c = from[8];

        if ((a | b | c) != 0) /* else it is not even read */
            written += apply_to_slot(address, a, b, c);
        address += CNN_KERNEL_SLOT;
    }
    to->address = address;
    to->written += written;
    while (from < to->end)
        *front++ = *from++;
    to->end = front;
}

static void add_zeros(stream *to, uint32_t count)
{
    for (; count > 0; count--)
        *to->end++ = 0;
}

/* The last slot: what else lies in it stays. */
static void finish(stream *to)
{
    const uint32_t more = (uint32_t)(to->end - to->first) % CNN_KERNEL_BYTES;

    add_zeros(to, more == 0 ? 0 : CNN_KERNEL_BYTES - more);
    apply(to);
}

/* Rows of any width: as many at a time as there is room for, or parts of one. */
CNN_WITHIN void add_rows(const cnn_fast *how, stream *to, cnn_rows of, uint32_t count, int turned)
{
    while (count > 0) {
        const uint32_t room = (uint32_t)(to->first + CNN_FULL + CNN_LONGEST - to->end);
        uint32_t together = of.width > CNN_LONGEST ? 0 : room / of.width;

        if (together == 0) {
            for (uint32_t done = 0; done < of.width; done += CNN_LONGEST) {
                const uint32_t left = of.width - done;
                const uint32_t width = left < CNN_LONGEST ? left : CNN_LONGEST;
                const cnn_rows part = {of.value + done, 0, of.number + done, 0, width};

                to->end = cnn_make_rows(how, part, 1, to->end, turned);
                apply(to);
            }
            together = 1;
        } else {
            together = together < count ? together : count;
            to->end = cnn_make_rows(how, of, together, to->end, turned);
        }
        count -= together;
        of.value += together * of.value_step;
        of.number += together * of.number_step;
        if (to->end >= to->first + CNN_FULL)
            apply(to);
    }
}

/* A part of a segment, as a stream from its first byte. */
CNN_WITHIN stream begin(const cnn_kernels *kernels, const cnn_segment *segment, uint32_t first,
                        uint8_t *at)
{
    const uint32_t bytes = first * kernels->passes * kernels->taps;
    stream to = {segment->address + bytes / CNN_KERNEL_BYTES * CNN_KERNEL_SLOT, at, at, 0};

    add_zeros(&to, bytes % CNN_KERNEL_BYTES); /* what else lies in the first slot stays */
    return to;
}

uint32_t cnn_fast_step(const cnn_fast *how, const cnn_kernels *kernels, const cnn_segment *segment,
                       const cnn_part *part)
{
    const uint32_t *const pass = kernels->pass + segment->first_pass;
    const unsigned passes = cnn_side_by_side(kernels, pass), runs = kernels->passes / passes;
    const int turned = cnn_are_turned(kernels);
    const uint32_t number
        = kernels->first + segment->element + part->first * kernels->output_step;
    cnn_rows of = {part->value, part->output_step, number, kernels->output_step,
               passes * kernels->taps};
    stream to = begin(kernels, segment, part->first, cnn_changes[0]);

    if (runs == 1 && pass[0] != CNN_NONE) {
        of.value += part->run_step == 0 ? pass[0] : 0;
        of.number += pass[0];
        add_rows(how, &to, of, part->outputs, turned);
    } else {
        for (uint32_t output = 0; output < part->outputs; output++)
            for (unsigned run = 0; run < runs; run++) {
                const uint32_t offset = pass[run * passes];
                cnn_rows one = of;

                if (to.end >= to.first + CNN_FULL)
                    apply(&to);
                if (offset == CNN_NONE) {
                    add_zeros(&to, of.width);
                    continue;
                }
                one.value += output * of.value_step
                             + (part->run_step == 0 ? offset : run * part->run_step);
                one.number += output * of.number_step + offset;
                add_rows(how, &to, one, 1, turned);
            }
    }
    finish(&to);
    return to.written;
}

/* ---- four processors together ---- */

/* A slot of three kernels. */
static CNN_APART uint32_t apply_to_three(uint32_t address, uint32_t first, uint32_t second,
                                         uint32_t third)
{
    const uint32_t a = cnn_bytes(first), b = cnn_bytes(second), c = cnn_bytes(third);

    if ((first | second | third) == 0)
        return 0;
    return apply_to_slot(address, (a & 0xffffffu) | b << 24, (b >> 8 & 0xffffu) | c << 16,
                         c >> 16 & 0xffu);
}

/* Sums of changes of so many kernels, from a slot's first on; how many slots were written. */
static CNN_APART uint32_t apply_sums(uint32_t address, const uint8_t *sum, uint32_t kernels)
{
    uint32_t written = 0, left;

    for (left = kernels; left >= 6; left -= 6, sum += 6 * CNN_SUM, address += 2 * CNN_KERNEL_SLOT) {
        const uint32_t a = cnn_load(sum), b = cnn_load(sum + 4), c = cnn_load(sum + 8);
        const uint32_t d = cnn_load(sum + 12), e = cnn_load(sum + 16), f = cnn_load(sum + 20);

        if ((a | b | c | d | e | f) != 0) {
            written += apply_to_three(address, a, b, c);
            written += apply_to_three(address + CNN_KERNEL_SLOT, d, e, f);
        }
    }
    for (; left > 0; left -= left < 3 ? left : 3, sum += 3 * CNN_SUM, address += CNN_KERNEL_SLOT)
        written += apply_to_three(address, cnn_load(sum), left > 1 ? cnn_load(sum + 4) : 0,
                                  left > 2 ? cnn_load(sum + 8) : 0);
    return written;
}

static uint32_t step_four(const cnn_fast *how, const cnn_kernels *kernels,
                          const cnn_segment *segment, const cnn_part *part)
{
    enum { ROOM = CNN_SUMS / CNN_SUM, WHOLE = ROOM / 3 * 3 }; /* kernels */
    const uint32_t number
        = kernels->first + segment->element + part->first * kernels->output_step;
    cnn_rows of = {part->value, part->output_step, number, kernels->output_step, 3};
    uint32_t before = part->first % 3; /* kernels of the first slot that stay */
    uint32_t at = part->first / 3 * CNN_KERNEL_SLOT, count, written = 0;

    for (unsigned n = 0; n < CNN_TOGETHER * before; n++)
        cnn_store(cnn_changes[0] + n % CNN_TOGETHER * CNN_SUMS + n / CNN_TOGETHER * CNN_SUM, 0);
    for (uint32_t left = part->outputs; left > 0; left -= count) {
        count = before + left <= ROOM ? left : WHOLE - before;
        cnn_make_four(how, &of, count, cnn_changes[0] + before * CNN_SUM);
        of.value += count * of.value_step;
        of.number += count * of.number_step;
        for (unsigned n = 0; n < CNN_TOGETHER; n++)
            written += apply_sums(segment[n].address + at, cnn_changes[0] + n * CNN_SUMS,
                                  before + count);
        at += (before + count) / 3 * CNN_KERNEL_SLOT;
        before = 0;
    }
    return written;
}

uint32_t cnn_fast_steps(const cnn_fast *how, const cnn_kernels *kernels, const cnn_segment *segment,
                        uint32_t segments, const cnn_part *part, uint32_t width)
{
    cnn_part one = *part;
    uint32_t written = 0;

    if (kernels->bits == 8 && segments == CNN_TOGETHER && width == 3 && cnn_are_turned(kernels)
        && kernels->passes == 1 && kernels->output_step % CNN_SHARING == 0)
        return step_four(how, kernels, segment, part);
    for (; segments > 0; segments--, segment++, one.value += width)
        written += kernels->bits == 8 ? cnn_fast_step(how, kernels, segment, &one)
                                      : cnn_narrow_step(how, kernels, segment, &one);
    return written;
}
