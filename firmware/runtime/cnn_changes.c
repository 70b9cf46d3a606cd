#if defined(__GNUC__) && !defined(__clang__) /* else values wait for their use in too many registers */
#pragma GCC optimize("no-schedule-insns")
#endif
#include "cnn_changes.h"

#include "cnn_dsp.h"
#include "cnn_random.h"

uint8_t cnn_changes[CNN_TOGETHER][CNN_CHANGES] __attribute__((aligned(4)));

/* Numbers of groups are so small that draws are made in two parts (cnn_random.h). */
enum { SMALL = (CNN_TRAIN_WEIGHTS - 1) / CNN_SHARING >> CNN_MIX_SHIFT_1 == 0 };

/* What the changes of a step have in common; unit: values are divided by 2^32 / unit. */
typedef struct {
    uint32_t salt; /* shifted, where groups are small */
    int32_t rate, unit;
} step;

CNN_WITHIN step step_of(const cnn_fast *how)
{
    return (step){SMALL ? cnn_shifted_salt(how->salt) : how->salt, how->rate,
                  how->shift == 0 ? 0 : 1 << (32 - how->shift)};
}

CNN_WITHIN uint32_t draw_of(const step *how, uint32_t group)
{
    return SMALL ? cnn_draw_of_small_group(how->salt, group) : cnn_draw_of_group(how->salt, group);
}

/* 2^8 times the sum before, where there is one, and what a weight loses.  turn: its place among
 * those that share the draw. */
CNN_WITHIN uint32_t with_change(const step *how, uint32_t sum, int32_t value, uint32_t draw,
                                unsigned turn, int rounds, int first)
{
    if (turn != 0)
        draw = cnn_turn_right(draw, 32 - turn * CNN_DRAW_TURN);
    if (rounds)
        value = cnn_upper_rounded(value, how->unit);
    return first ? cnn_first_long(draw, how->rate, value)
                 : cnn_add_long(sum << 8, draw, how->rate, value);
}

/* Changes of weights base to base + count - 1 (up to four) of a row that begins with the place'th
 * of those that share a group's draw: their sum, each 2^8 times the next one.  draw: that of the
 * weight before.  base, count, place and rounds are constants. */
#define NEXT(N, VALUE)                                                                 \
    if ((N) < count) {                                                                 \
        if (base + (N) > 0 && (place + base + (N)) % CNN_SHARING == 0)                 \
            *draw = draw_of(how, group + (place + base + (N)) / CNN_SHARING);          \
        sum = with_change(how, sum, (VALUE), *draw, (place + base + (N)) % CNN_SHARING, \
                          rounds, (N) == 0);                                           \
    }
CNN_WITHIN uint32_t sum_of(const step *how, const int32_t *value, unsigned base, unsigned count,
                           uint32_t group, unsigned place, uint32_t *draw, int rounds)
{
    const int32_t a = value[base], b = count > 1 ? value[base + 1] : 0;
    const int32_t c = count > 2 ? value[base + 2] : 0, d = count > 3 ? value[base + 3] : 0;
    uint32_t sum = 0;

    NEXT(0, a) NEXT(1, b) NEXT(2, c) NEXT(3, d)
    return sum;
}

/* Changes of kernels of 1, 3 or 9 taps, turned around. */
CNN_WITHIN void make_kernels(const cnn_fast *how, const cnn_rows *of, uint32_t count, uint8_t *to,
                             unsigned taps, unsigned place, int rounds)
{
    const step own = step_of(how);
    const uint32_t group_step = of->number_step / CNN_SHARING, value_step = of->value_step;
    const int32_t *value = of->value;
    uint32_t group = of->number / CNN_SHARING;

    for (; count > 0; count--, value += value_step, group += group_step, to += taps) {
        uint32_t draw = draw_of(&own, group);

        if (taps == 9) {
            cnn_store(to + 5, cnn_bytes(sum_of(&own, value, 0, 4, group, place, &draw, rounds)));
            cnn_store(to + 1, cnn_bytes(sum_of(&own, value, 4, 4, group, place, &draw, rounds)));
            to[0] = (uint8_t)sum_of(&own, value, 8, 1, group, place, &draw, rounds);
        } else if (taps == 3) {
            const uint32_t three
                = cnn_bytes(sum_of(&own, value, 0, 3, group, place, &draw, rounds));

            to[0] = (uint8_t)three, to[1] = (uint8_t)(three >> 8), to[2] = (uint8_t)(three >> 16);
        } else {
            to[0] = (uint8_t)sum_of(&own, value, 0, 1, group, place, &draw, rounds);
        }
    }
}

/* A call of a function whose last argument is a constant: whether values are rounded. */
#define ROUNDS(FUNCTION, HOW, ...)                                                     \
    ((HOW)->shift > 0 ? FUNCTION(HOW, __VA_ARGS__, 1) : FUNCTION(HOW, __VA_ARGS__, 0))

/* The same, and before it the place of the first weight. */
#define PLACES(FUNCTION, HOW, OF, ...)                                                 \
    switch ((OF)->number % CNN_SHARING) {                                              \
    case 0: ROUNDS(FUNCTION, HOW, OF, __VA_ARGS__, 0); break;                          \
    case 1: ROUNDS(FUNCTION, HOW, OF, __VA_ARGS__, 1); break;                          \
    case 2: ROUNDS(FUNCTION, HOW, OF, __VA_ARGS__, 2); break;                          \
    default: ROUNDS(FUNCTION, HOW, OF, __VA_ARGS__, 3); break;                         \
    }

#define KERNELS_OF(NAME, TAPS)                                                         \
    static CNN_APART void NAME(const cnn_fast *how, const cnn_rows *of, uint32_t count, \
                               uint8_t *to)                                            \
    {                                                                                  \
        PLACES(make_kernels, how, of, count, to, TAPS)                                 \
    }
KERNELS_OF(make_1_tap, 1)
KERNELS_OF(make_3_taps, 3)
KERNELS_OF(make_9_taps, 9)

/* Changes of four weights that share a draw, in the order of the weights. */
CNN_WITHIN uint32_t four_of(const step *how, const int32_t *value, uint32_t group, int rounds)
{
    const int32_t a = value[0], b = value[1], c = value[2], d = value[3];
    const uint32_t draw = draw_of(how, group);
    uint32_t sum;

    sum = with_change(how, 0, d, draw, 3, rounds, 1);
    sum = with_change(how, sum, c, draw, 2, rounds, 0);
    sum = with_change(how, sum, b, draw, 1, rounds, 0);
    return cnn_bytes(with_change(how, sum, a, draw, 0, rounds, 0));
}

/* Rows of a linear layer whose weights share draws by four, the first four of them together. */
CNN_WITHIN void make_fours(const cnn_fast *how, const cnn_rows *of, uint32_t count, uint8_t *to,
                           uint32_t fours, int rounds)
{
    const step own = step_of(how);
    const uint32_t group_step = of->number_step / CNN_SHARING, value_step = of->value_step;
    const int32_t *value = of->value;
    uint32_t group = of->number / CNN_SHARING;

    for (; count > 0; count--, value += value_step, group += group_step)
        for (uint32_t n = 0; n < fours; n++, to += CNN_SHARING)
            cnn_store(to, four_of(&own, value + CNN_SHARING * n, group + n, rounds));
}

static CNN_APART void make_rows_of_fours(const cnn_fast *how, const cnn_rows *of, uint32_t count,
                                         uint8_t *to)
{
    if (of->width == CNN_SHARING)
        ROUNDS(make_fours, how, of, count, to, 1);
    else
        ROUNDS(make_fours, how, of, count, to, of->width / CNN_SHARING);
}

/* One weight at a time.  draw: the first one's. */
CNN_WITHIN uint8_t *make_some(const step *own, const int32_t *value, uint32_t count, uint32_t draw,
                              uint8_t *to, int rounds)
{
    for (; count > 0; count--) {
        *to++ = (uint8_t)with_change(own, 0, *value++, draw, 0, rounds, 1);
        draw = cnn_next_draw(draw);
    }
    return to;
}

/* Any rows whose first weight is the place'th of those that share its draw.  The last two arguments
 * are constants. */
CNN_WITHIN void make_any_rows(const cnn_fast *how, const cnn_rows *of, uint32_t count, uint8_t *to,
                              unsigned place, int rounds)
{
    const step own = step_of(how);
    const uint32_t left = (CNN_SHARING - place) % CNN_SHARING; /* of the first draw */
    const uint32_t first = left < of->width ? left : of->width, rest = of->width - first;
    const uint32_t group_step = of->number_step / CNN_SHARING, value_step = of->value_step;
    const int32_t *row = of->value;
    uint32_t first_group = of->number / CNN_SHARING;

    for (; count > 0; count--, row += value_step, first_group += group_step) {
        const int32_t *value = row;
        uint32_t group = first_group;

        if (place > 0) {
            const uint32_t draw = draw_of(&own, group++);

            to = make_some(&own, value, first, cnn_turn_right(draw, left * CNN_DRAW_TURN), to,
                           rounds);
            value += first;
        }
        for (uint32_t n = rest / CNN_SHARING; n > 0; n--, value += CNN_SHARING, to += CNN_SHARING)
            cnn_store(to, four_of(&own, value, group++, rounds));
        if (rest % CNN_SHARING > 0)
            to = make_some(&own, value, rest % CNN_SHARING, draw_of(&own, group), to, rounds);
    }
}

static CNN_APART void make_any(const cnn_fast *how, const cnn_rows *of, uint32_t count, uint8_t *to)
{
    PLACES(make_any_rows, how, of, count, to)
}

/* The last byte of each row first. */
static void turn_rows(uint8_t *row, uint32_t width, uint32_t count)
{
    for (; count > 0; count--, row += width)
        for (uint8_t *first = row, *last = row + width - 1; first < last; first++, last--) {
            const uint8_t byte = *first;

            *first = *last;
            *last = byte;
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
        else {
            make_any(how, &of, alike, to);
            if (turned)
                turn_rows(to, of.width, alike);
        }
        of.value += alike * of.value_step;
        of.number += alike * of.number_step;
    }
    return end;
}

/* ---- four processors together ---- */

CNN_WITHIN void make_fours_of_3(const cnn_fast *how, const cnn_rows *of, uint32_t count,
                                uint8_t *to, unsigned place, int rounds)
{
    const step own = step_of(how);
    const uint32_t group_step = of->number_step / CNN_SHARING, value_step = of->value_step;
    const int32_t *value = of->value;
    uint32_t group = of->number / CNN_SHARING;

    for (; count > 0; count--, value += value_step, group += group_step, to += CNN_SUM) {
        uint32_t draw = draw_of(&own, group);

        cnn_store(to, sum_of(&own, value, 0, 3, group, place, &draw, rounds));
        cnn_store(to + CNN_SUMS, sum_of(&own, value, 3, 3, group, place, &draw, rounds));
        cnn_store(to + 2 * CNN_SUMS, sum_of(&own, value, 6, 3, group, place, &draw, rounds));
        cnn_store(to + 3 * CNN_SUMS, sum_of(&own, value, 9, 3, group, place, &draw, rounds));
    }
}

void cnn_make_four(const cnn_fast *how, const cnn_rows *of, uint32_t count, uint8_t *to)
{
    PLACES(make_fours_of_3, how, of, count, to)
}
