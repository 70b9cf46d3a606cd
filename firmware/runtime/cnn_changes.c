#include "cnn_changes.h"

#include "cnn_dsp.h"
#include "cnn_random.h"

uint8_t cnn_changes[CNN_TOGETHER][CNN_CHANGES];

CNN_WITHIN uint8_t change_of(const cnn_fast *how, int32_t value, uint32_t draw, unsigned turn,
                             int rounds)
{
    if (turn != 0)
        draw = cnn_turn_right(draw, 32 - turn * CNN_DRAW_TURN);
    if (rounds)
        value = cnn_round_right(value, how->shift);
    return (uint8_t)cnn_add_long(0, draw, how->rate, value);
}

/* Changes of kernels of so many taps, turned around, whose first weight is the place'th of those
 * that share its draw.  The last three arguments are constants. */
#define CHANGE(N)                                                                      \
    if (N < taps) {                                                                    \
        if (N > 0 && (place + N) % CNN_SHARING == 0)                                   \
            draw = cnn_draw_of_group(own.salt, group + (place + N) / CNN_SHARING);     \
        to[taps - 1 - N]                                                               \
            = change_of(&own, value[N], draw, (place + N) % CNN_SHARING, rounds);      \
    }
CNN_WITHIN void make_kernels(const cnn_fast *how, const cnn_rows *of, uint32_t count, uint8_t *to,
                             unsigned taps, unsigned place, int rounds)
{
    const cnn_fast own = *how;
    const uint32_t group_step = of->number_step / CNN_SHARING, value_step = of->value_step;
    const int32_t *value = of->value;
    uint32_t group = of->number / CNN_SHARING;

    for (; count > 0; count--, value += value_step, group += group_step, to += taps) {
        uint32_t draw = cnn_draw_of_group(own.salt, group);

        CHANGE(0) CHANGE(1) CHANGE(2) CHANGE(3) CHANGE(4) CHANGE(5) CHANGE(6) CHANGE(7) CHANGE(8)
    }
}

#define PLACES(TAPS, ROUNDS)                                                           \
    switch (of->number % CNN_SHARING) {                                                \
    case 0: make_kernels(how, of, count, to, TAPS, 0, ROUNDS); break;                  \
    case 1: make_kernels(how, of, count, to, TAPS, 1, ROUNDS); break;                  \
    case 2: make_kernels(how, of, count, to, TAPS, 2, ROUNDS); break;                  \
    default: make_kernels(how, of, count, to, TAPS, 3, ROUNDS); break;                 \
    }

static CNN_APART void make_1_tap(const cnn_fast *how, const cnn_rows *of, uint32_t count,
                                  uint8_t *to)
{
    if (how->shift > 0)
        PLACES(1, 1)
    else
        PLACES(1, 0)
}

static CNN_APART void make_3_taps(const cnn_fast *how, const cnn_rows *of, uint32_t count,
                                  uint8_t *to)
{
    if (how->shift > 0)
        PLACES(3, 1)
    else
        PLACES(3, 0)
}

static CNN_APART void make_9_taps(const cnn_fast *how, const cnn_rows *of, uint32_t count,
                                  uint8_t *to)
{
    if (how->shift > 0)
        PLACES(9, 1)
    else
        PLACES(9, 0)
}

/* Rows of a linear layer whose weights share draws by four, the first four of them together. */
CNN_WITHIN void make_fours(const cnn_fast *how, const cnn_rows *of, uint32_t count, uint8_t *to,
                           int rounds)
{
    const cnn_fast own = *how;
    const uint32_t group_step = of->number_step / CNN_SHARING, fours = of->width / CNN_SHARING;
    const int32_t *row = of->value;
    uint32_t group = of->number / CNN_SHARING;

    for (; count > 0; count--, row += of->value_step, group += group_step) {
        const int32_t *value = row;

        for (uint32_t n = 0; n < fours; n++, value += CNN_SHARING, to += CNN_SHARING) {
            const uint32_t draw = cnn_draw_of_group(own.salt, group + n);

            to[0] = change_of(&own, value[0], draw, 0, rounds);
            to[1] = change_of(&own, value[1], draw, 1, rounds);
            to[2] = change_of(&own, value[2], draw, 2, rounds);
            to[3] = change_of(&own, value[3], draw, 3, rounds);
        }
    }
}

static CNN_APART void make_rows_of_fours(const cnn_fast *how, const cnn_rows *of, uint32_t count,
                                         uint8_t *to)
{
    if (how->shift > 0)
        make_fours(how, of, count, to, 1);
    else
        make_fours(how, of, count, to, 0);
}

/* Any row: step: 1, or -1 where the last weight lies first. */
static CNN_APART void make_row(const cnn_fast *how, const cnn_rows *of, uint8_t *to, int step)
{
    const int32_t *value = of->value, *const end = value + of->width;
    const int rounds = how->shift > 0;
    uint32_t number = of->number, draw = cnn_draw(how->salt, number);

    for (; value < end; to += step) {
        *to = rounds ? change_of(how, *value++, draw, 0, 1) : change_of(how, *value++, draw, 0, 0);
        draw = ++number % CNN_SHARING == 0 ? cnn_draw_of_group(how->salt, number / CNN_SHARING)
                                           : cnn_next_draw(draw);
    }
}

static void make_any(const cnn_fast *how, cnn_rows of, uint32_t count, uint8_t *to, int turned)
{
    for (; count > 0; count--, to += of.width) {
        make_row(how, &of, turned ? to + of.width - 1 : to, turned ? -1 : 1);
        of.value += of.value_step;
        of.number += of.number_step;
    }
}

uint8_t *cnn_make_rows(const cnn_fast *how, cnn_rows of, uint32_t count, uint8_t *to, int turned)
{
    const uint32_t alike = of.number_step % CNN_SHARING == 0 ? count : 1;
    uint8_t *const end = to + count * of.width;

    for (; to < end; to += alike * of.width) {
        if (of.width == 1)
            make_1_tap(how, &of, alike, to);
        else if (turned && of.width == 3)
            make_3_taps(how, &of, alike, to);
        else if (turned && of.width == CNN_TAPS)
            make_9_taps(how, &of, alike, to);
        else if (!turned && of.width % CNN_SHARING == 0 && of.number % CNN_SHARING == 0)
            make_rows_of_fours(how, &of, alike, to);
        else
            make_any(how, of, alike, to, turned);
        of.value += alike * of.value_step;
        of.number += alike * of.number_step;
    }
    return end;
}

/* ---- four processors together ---- */

/* Changes of kernels of three taps, turned around, of processors whose weights follow each other:
 * they share draws.  The last two arguments are constants. */
#define OF_FOUR(N)                                                                     \
    if (N > 0 && (place + N) % CNN_SHARING == 0)                                       \
        draw = cnn_draw_of_group(own.salt, group + (place + N) / CNN_SHARING);         \
    to[N / 3 * CNN_CHANGES + 2 - N % 3]                                                     \
        = change_of(&own, value[N], draw, (place + N) % CNN_SHARING, rounds);
CNN_WITHIN void make_fours_of_3(const cnn_fast *how, const cnn_rows *of, uint32_t count,
                                uint8_t *to, unsigned place, int rounds)
{
    const cnn_fast own = *how;
    const uint32_t group_step = of->number_step / CNN_SHARING, value_step = of->value_step;
    const int32_t *value = of->value;
    uint32_t group = of->number / CNN_SHARING;

    for (; count > 0; count--, value += value_step, group += group_step, to += 3) {
        uint32_t draw = cnn_draw_of_group(own.salt, group);

        OF_FOUR(0) OF_FOUR(1) OF_FOUR(2) OF_FOUR(3) OF_FOUR(4) OF_FOUR(5)
        OF_FOUR(6) OF_FOUR(7) OF_FOUR(8) OF_FOUR(9) OF_FOUR(10) OF_FOUR(11)
    }
}

#define FOUR_PLACES(ROUNDS)                                                            \
    switch (of->number % CNN_SHARING) {                                                \
    case 0: make_fours_of_3(how, of, count, to, 0, ROUNDS); break;                     \
    case 1: make_fours_of_3(how, of, count, to, 1, ROUNDS); break;                     \
    case 2: make_fours_of_3(how, of, count, to, 2, ROUNDS); break;                     \
    default: make_fours_of_3(how, of, count, to, 3, ROUNDS); break;                    \
    }
void cnn_make_four(const cnn_fast *how, const cnn_rows *of, uint32_t count, uint8_t *to)
{
    if (how->shift > 0)
        FOUR_PLACES(1)
    else
        FOUR_PLACES(0)
}
