/* Gradients of data for a Cortex-M4: the twin of cnn_weight_gradients_m4.c, with the same means.
 *
 * A row's first half of columns is computed together with its second half.  For a column, the
 * errors that its taps meet lie side by side: with the taps turned around, its sums are those of
 * products of two runs of words.
 *
 * errors:  words [row][column][pair of outputs][2 halves]: two outputs' errors at a column (zeros
 *          where there is none; column 0 is what the first column's last tap meets), and at the
 *          column half a row to the right
 * weights: words [kernel row][kernel column, turned around][pair of outputs][4 channels]
 *
 * Scratch (CNN_DATA_SCRATCH): all errors, and the weights of four input channels.
 */
#include "cnn_products_m4.h"

#if defined(__ARM_FEATURE_DSP) || defined(CNN_PRODUCTS_M4) /* elsewhere: cnn_products.c */

typedef struct {
    unsigned half;  /* columns */
    unsigned width; /* columns of a row of errors */
    unsigned pairs; /* of outputs */
} data_shape;

static data_shape shape_of_data(const cnn_correlation *how)
{
    const unsigned half = (how->in_columns + 1u) / 2;
    const unsigned reach = (how->kernel_columns - 1u) * how->dilation_columns;

    return (data_shape){half, half + reach, (how->out_channels + 1u) / 2};
}

/* Two outputs' errors at a place, 0 past the last output. */
static uint32_t two_errors(const int16_t *error, unsigned output, unsigned outs)
{
    if (output + 1 < outs)
        return cnn_load(error + output);
    return (uint32_t)error[output] & 0xffffu;
}

/* One column of one half: every second word. */
static void arrange_column(const cnn_correlation *how, const int16_t *row, int column, uint32_t *to)
{
    const unsigned outs = how->out_channels;
    const unsigned inside = column >= 0 && column < (int)how->out_columns;

    for (unsigned output = 0; output < outs; output += 2, to += 2)
        *to = inside ? two_errors(row + (unsigned)column * outs, output, outs) : 0;
}

static CNN_APART void arrange_halves(const cnn_correlation *how, const data_shape *shape,
                           const int16_t *error, uint32_t *to)
{
    const int left = (int)(shape->width - shape->half) - (int)how->pad_columns;

    for (unsigned row = 0; row < how->out_rows; row++) {
        for (unsigned column = 0; column < shape->width; column++, to += 2 * shape->pairs) {
            arrange_column(how, error, (int)column - left, to);
            arrange_column(how, error, (int)(column + shape->half) - left, to + 1);
        }
        error += (unsigned)how->out_columns * how->out_channels;
    }
}

/* Weights of up to four channels; `weights`: of output 0 and the first channel.  Channels that
 * there are not repeat the last one. */
static CNN_APART void arrange_weights(const cnn_correlation *how, const int8_t *weights, unsigned channels,
                            uint32_t *to)
{
    const unsigned taps_of_row = how->kernel_columns;
    const unsigned each = (unsigned)how->kernel_rows * taps_of_row;
    const unsigned stride = how->in_channels * each; /* from an output to the next */

    for (unsigned tap = 0; tap < each; tap++) {
        const unsigned turned = tap / taps_of_row * taps_of_row + taps_of_row - 1
                                - tap % taps_of_row;
        const int8_t *lane0 = weights + turned;
        const unsigned lane1 = channels > 1 ? each : 0;
        const unsigned lane2 = channels > 2 ? 2 * each : lane1;
        const unsigned lane3 = channels > 3 ? 3 * each : lane2;

        for (unsigned output = 0; output < how->out_channels; output += 2, to += LANES) {
            const int8_t *next = lane0 + stride;
            const unsigned two = output + 1 < how->out_channels;

            to[0] = cnn_pack_low((uint32_t)lane0[0], two ? (uint32_t)next[0] : 0);
            to[1] = cnn_pack_low((uint32_t)lane0[lane1], two ? (uint32_t)next[lane1] : 0);
            to[2] = cnn_pack_low((uint32_t)lane0[lane2], two ? (uint32_t)next[lane2] : 0);
            to[3] = cnn_pack_low((uint32_t)lane0[lane3], two ? (uint32_t)next[lane3] : 0);
            lane0 = next + stride;
        }
    }
}

/* How the steps of a run are taken: rounds of 18 (kernels have 3 or 6 columns), then the rest. */
typedef struct {
    unsigned runs, rounds;
    unsigned rest; /* less than 18: 12, 6 and 3 of them together, then single ones */
    int gap;       /* words of errors from the end of a run to the next */
} block_loops;

enum { ROUND = 18 };

static block_loops loops_of(unsigned runs, unsigned steps, int gap)
{
    return (block_loops){runs, steps / ROUND, steps % ROUND, gap};
}

/* Sums of two places, by four channels, over all runs. */
#if CNN_HAS_DSP && defined(__OPTIMIZE__)
/* A step is 16 products in 16 cycles: two words of errors (e0, e1) by four of weights.  With eight
 * sums (a: of e0, b: of e1) and two pointers it takes all registers: counters lie in memory.    */
#define PLACES_STEP                                                                    \
    "ldr %[e0], [%[errors]], #4\n\t ldr %[e1], [%[errors]], #4\n\t"                    \
    "ldr %[w0], [%[weights]], #4\n\t ldr %[w1], [%[weights]], #4\n\t"                  \
    ADD("a0", "e0", "w0") ADD("b0", "e1", "w0") ADD("a1", "e0", "w1") ADD("b1", "e1", "w1") \
    "ldr %[w0], [%[weights]], #4\n\t ldr %[w1], [%[weights]], #4\n\t"                  \
    ADD("a2", "e0", "w0") ADD("b2", "e1", "w0") ADD("a3", "e0", "w1") ADD("b3", "e1", "w1")
#define PLACES_STEPS(N) ".rept " #N "\n\t" PLACES_STEP ".endr\n\t"
#define PLACES_ROUNDS /* nothing where there are none */                               \
    "ldr %[e0], %[rounds]\n\t cmp %[e0], #0\n\t beq 3f\n\t"                            \
    "2:\n\t str %[e0], %[left]\n\t" PLACES_STEPS(18)                                   \
    "ldr %[e0], %[left]\n\t subs %[e0], %[e0], #1\n\t bne 2b\n\t 3:\n\t"
#define PLACES_PART(LABEL, N) /* of the rest, where that is N at least */              \
    "cmp %[e0], #" #N "\n\t blo " LABEL "f\n\t sub %[e0], %[e0], #" #N "\n\t"          \
    "str %[e0], %[left]\n\t" PLACES_STEPS(N) "ldr %[e0], %[left]\n\t" LABEL ":\n\t"
#define PLACES_REST                                                                    \
    "ldr %[e0], %[rest]\n\t cmp %[e0], #0\n\t beq 9f\n\t" PLACES_PART("4", 12)         \
    PLACES_PART("5", 6) PLACES_PART("6", 3) PLACES_PART("7", 1) PLACES_PART("8", 1) "9:\n\t"

static CNN_APART void two_places(const uint32_t *errors, const uint32_t *weights,
                                 const block_loops *loops, int32_t *first, int32_t *second)
{
    int32_t a0, a1, a2, a3, b0, b1, b2, b3;
    unsigned runs = loops->runs, left;
    const unsigned rounds = loops->rounds, rest = loops->rest;
    const int gap = loops->gap * (int)sizeof *errors;
    uint32_t e0, e1, w0, w1;

    __asm__ volatile("mov %[a0], #0\n\t mov %[a1], #0\n\t mov %[a2], #0\n\t mov %[a3], #0\n\t"
                     "mov %[b0], #0\n\t mov %[b1], #0\n\t mov %[b2], #0\n\t mov %[b3], #0\n\t"
                     "1:\n\t" PLACES_ROUNDS PLACES_REST
                     "ldr %[e0], %[gap]\n\t ldr %[e1], %[runs]\n\t"
                     "add %[errors], %[errors], %[e0]\n\t subs %[e1], %[e1], #1\n\t"
                     "str %[e1], %[runs]\n\t bne 1b\n\t"
                     : [a0] "=&r"(a0), [a1] "=&r"(a1), [a2] "=&r"(a2), [a3] "=&r"(a3),
                       [b0] "=&r"(b0), [b1] "=&r"(b1), [b2] "=&r"(b2), [b3] "=&r"(b3),
                       [errors] "+r"(errors), [weights] "+r"(weights), [e0] "=&r"(e0),
                       [e1] "=&r"(e1), [w0] "=&r"(w0), [w1] "=&r"(w1), [runs] "+m"(runs),
                       [left] "=m"(left)
                     : [rounds] "m"(rounds), [rest] "m"(rest), [gap] "m"(gap)
                     : "cc", "memory");
    first[0] = a0, first[1] = a1, first[2] = a2, first[3] = a3;
    second[0] = b0, second[1] = b1, second[2] = b2, second[3] = b3;
}
#else
static void two_places(const uint32_t *errors, const uint32_t *weights, const block_loops *loops,
                       int32_t *first, int32_t *second)
{
    const unsigned steps = loops->rounds * ROUND + loops->rest;
    int32_t sums[2 * LANES];

    for (unsigned n = 0; n < 2 * LANES; n++)
        sums[n] = 0;
    for (unsigned run = 0; run < loops->runs; run++, errors += loops->gap)
        for (unsigned step = 0; step < steps; step++, errors += 2, weights += LANES)
            for (unsigned n = 0; n < 2 * LANES; n++)
                sums[n] = cnn_add_products(sums[n], errors[n / LANES], weights[n % LANES]);
    for (unsigned n = 0; n < LANES; n++) {
        first[n] = sums[n];
        second[n] = sums[LANES + n];
    }
}
#endif

/* Kernel rows that meet errors from a row of data: first to first + count - 1. */
typedef struct {
    unsigned first, count;
    const uint32_t *errors, *weights; /* of the first of them */
} met_rows;

static met_rows rows_met(const cnn_correlation *how, const data_shape *shape, unsigned row,
                         const uint32_t *errors, const uint32_t *weights)
{
    unsigned first = 0, count = 0;

    for (unsigned kernel = 0; kernel < how->kernel_rows; kernel++) {
        const int at = (int)(row + how->pad_rows) - (int)(kernel * how->dilation_rows);

        if (at < 0 || at >= (int)how->out_rows)
            continue;
        first = count++ == 0 ? kernel : first;
    }
    if (count == 0)
        return (met_rows){0, 0, errors, weights};
    row += how->pad_rows - first * how->dilation_rows;
    return (met_rows){first, count, errors + row * 2 * shape->width * shape->pairs,
                      weights + first * how->kernel_columns * LANES * shape->pairs};
}

/* Sums of two places over kernels whose columns are apart: one kernel row after the other. */
static void dilated_places(const cnn_correlation *how, const data_shape *shape,
                           const met_rows *rows, unsigned column, int32_t *sums)
{
    const unsigned place = 2 * shape->pairs; /* words of errors */
    const block_loops loops = loops_of(how->kernel_columns, shape->pairs,
                                       (int)(place * how->dilation_columns - place));
    const uint32_t *errors = rows->errors + place * column, *weights = rows->weights;
    int32_t part[2 * LANES];

    for (unsigned n = 0; n < 2 * LANES; n++)
        sums[n] = 0;
    for (unsigned kernel = 0; kernel < rows->count; kernel++) {
        two_places(errors, weights, &loops, part, part + LANES);
        for (unsigned n = 0; n < 2 * LANES; n++)
            sums[n] += part[n];
        errors -= how->dilation_rows * place * shape->width;
        weights += how->kernel_columns * LANES * shape->pairs;
    }
}

/* Sums of two places, of which the second and some channels may not be there. */
static void partial_places(const cnn_correlation *how, const data_shape *shape,
                           const met_rows *rows, const block_loops *loops, unsigned column,
                           unsigned lanes, int32_t *to)
{
    int32_t *const second = to + shape->half * how->in_channels;
    int32_t found[2 * LANES];

    if (rows->count > 0 && how->dilation_columns == 1)
        two_places(rows->errors + 2 * shape->pairs * column, rows->weights, loops, found,
                   found + LANES);
    else
        dilated_places(how, shape, rows, column, found);
    for (unsigned lane = 0; lane < lanes; lane++) {
        to[lane] = found[lane];
        if (column + shape->half < how->in_columns)
            second[lane] = found[LANES + lane];
    }
}

/* Sums of one row of data, of up to four channels; `to`: of its first column. */
static CNN_APART void row_sums(const cnn_correlation *how, const data_shape *shape,
                               const met_rows *rows, unsigned lanes, int32_t *to)
{
    const unsigned channels = how->in_channels, steps = shape->pairs * how->kernel_columns;
    const unsigned place = 2 * shape->pairs; /* words of errors */
    const unsigned simple = lanes == LANES && rows->count > 0 && how->dilation_columns == 1;
    const unsigned whole = simple ? how->in_columns - shape->half : 0;
    const block_loops loops = loops_of(
        rows->count, steps, -(int)(how->dilation_rows * place * shape->width + 2 * steps));
    const uint32_t *errors = rows->errors, *const weights = rows->weights;
    int32_t *second = to + shape->half * channels;
    unsigned column = 0;

    for (; column < whole; column++, errors += place, to += channels, second += channels)
        two_places(errors, weights, &loops, to, second);
    for (; column < shape->half; column++, to += channels)
        partial_places(how, shape, rows, &loops, column, lanes, to);
}

void cnn_data_gradients(const cnn_correlation *how, const int16_t *error, const int8_t *weights,
                        int32_t *sums, int16_t *scratch)
{
    const data_shape shape = shape_of_data(how);
    const unsigned each = (unsigned)how->kernel_rows * how->kernel_columns;
    uint32_t *const errors = aligned(scratch);
    uint32_t *const turned = errors + how->out_rows * shape.width * shape.pairs * 2;

    arrange_halves(how, &shape, error, errors);
    for (unsigned channel = 0; channel < how->in_channels; channel += LANES) {
        const unsigned lanes = smaller(LANES, how->in_channels - channel);

        arrange_weights(how, weights + channel * each, lanes, turned);
        for (unsigned row = 0; row < how->in_rows; row++) {
            const met_rows rows = rows_met(how, &shape, row, errors, turned);

            row_sums(how, &shape, &rows, lanes,
                     sums + row * how->in_columns * how->in_channels + channel);
        }
    }
}

#endif
