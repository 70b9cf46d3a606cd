/* Gradients of weights for a Cortex-M4: two products an instruction (SMLAD), operands rearranged
 * first so that pairs lie in words, sums in registers.  Where the processor has no such instructions
 * plain C takes their place (cnn_dsp.h): the same bits, tested on any computer.
 *
 * errors: words [pair of outputs][row][pair of columns][2 outputs]: one output's errors at two
 *         neighbouring columns, 0 past the last
 * data:   words [channel][row][column]: a value and its right neighbour, so that every tap finds
 *         its pairs in whole words; the padding of columns is there, as zeros
 *
 * Scratch (CNN_WEIGHT_SCRATCH): errors of the outputs asked for, and four channels of the data.
 */
#include "cnn_products_m4.h"

#if defined(__ARM_FEATURE_DSP) || defined(CNN_PRODUCTS_M4) /* elsewhere: cnn_products.c */

enum { GROUP = 3 }; /* taps that are made together */

/* Up to four bytes of neighbouring channels as a word. */
static uint32_t four_bytes(const int8_t *from, unsigned count)
{
    uint32_t word = 0;

    if (count >= LANES)
        return cnn_load(from);
    for (unsigned n = 0; n < count; n++)
        word |= (uint32_t)(uint8_t)from[n] << 8 * n;
    return word;
}

/* Rows of the output whose tap of kernel row `tap` meets data: first to *end - 1. */
static unsigned valid_rows(const cnn_correlation *how, unsigned tap, unsigned *end)
{
    const unsigned down = tap * how->dilation_rows;
    const unsigned first = down < how->pad_rows ? how->pad_rows - down : 0;
    const unsigned last = how->in_rows + (unsigned)how->pad_rows;

    *end = down < last ? smaller(how->out_rows, last - down) : 0;
    return first;
}

typedef struct {
    unsigned steps; /* pairs of columns */
    unsigned width; /* words of a row of data */
    unsigned first, count; /* outputs */
    unsigned pairs; /* of outputs */
    unsigned stride; /* int32 from an output's gradients to the next output's */
} weight_shape;

static weight_shape shape_of_weights(const cnn_correlation *how, unsigned first, unsigned count,
                                     unsigned channels)
{
    const unsigned steps = (how->out_columns + 1u) / 2;
    const unsigned reach = (how->kernel_columns - 1u) * how->dilation_columns;

    const unsigned each = (unsigned)how->kernel_rows * how->kernel_columns;

    return (weight_shape){steps, 2 * steps + reach, first, count, (count + 1) / 2, channels * each};
}

/* Outputs of a pair; with an odd count, the last pair repeats the output before. */
static unsigned output_of(const weight_shape *shape, unsigned pair)
{
    return 2 * pair + 1 < shape->count ? 2 * pair : shape->count < 2 ? 0 : shape->count - 2;
}

static CNN_APART void arrange_errors(const cnn_correlation *how, const weight_shape *shape,
                           const int16_t *error, uint32_t *to)
{
    const unsigned outs = how->out_channels, second = shape->count > 1;

    for (unsigned pair = 0; pair < shape->pairs; pair++) {
        const int16_t *from = error + shape->first + output_of(shape, pair);

        for (unsigned row = 0; row < how->out_rows; row++) {
            unsigned column = 0;

            for (; column + 1 < how->out_columns; column += 2, from += 2 * outs, to += 2) {
                to[0] = cnn_pack_low((uint32_t)from[0], (uint32_t)from[outs]);
                to[1] = cnn_pack_low((uint32_t)from[second], (uint32_t)from[outs + second]);
            }
            if (column < how->out_columns) {
                to[0] = (uint32_t)from[0] & 0xffffu;
                to[1] = (uint32_t)from[second] & 0xffffu;
                from += outs;
                to += 2;
            }
        }
    }
}

/* One word of four channels: values at a column (before: those at the column left of it). */
static inline void put_pairs(uint32_t *to, unsigned plane, const uint32_t before[2],
                             const uint32_t now[2])
{
    to[0] = cnn_pack_low(before[0], now[0]);
    to[plane] = cnn_pack_low(before[1], now[1]);
    to[2 * plane] = cnn_pack_high(before[0], now[0]);
    to[3 * plane] = cnn_pack_high(before[1], now[1]);
}

/* A row of data of up to four channels; plane: words of a channel. */
static void arrange_row(const cnn_correlation *how, unsigned width, const int8_t *data,
                        unsigned channels, uint32_t *to, unsigned plane)
{
    static const uint32_t zeros[2] = {0, 0};
    uint32_t before[2] = {0, 0}, now[2];
    const unsigned left = smaller(how->pad_columns, width + 1);
    const unsigned end = smaller(left + how->in_columns, width + 1);
    unsigned column = 0;

    for (; column < left; column++)
        if (column > 0)
            put_pairs(to++, plane, zeros, zeros);
    for (; column < end; column++, data += how->in_channels) {
        const uint32_t four = four_bytes(data, channels);

        now[0] = cnn_bytes_02(four);
        now[1] = cnn_bytes_13(four);
        if (column > 0)
            put_pairs(to++, plane, before, now);
        before[0] = now[0];
        before[1] = now[1];
    }
    for (; column <= width; column++) {
        put_pairs(to++, plane, before, zeros);
        before[0] = before[1] = 0;
    }
}

/* All rows of up to four channels. */
static CNN_APART void arrange_data(const cnn_correlation *how, unsigned width, const int8_t *data,
                                   unsigned channels, uint32_t *to)
{
    const unsigned plane = how->in_rows * width;

    for (unsigned row = 0; row < how->in_rows; row++, to += width) {
        arrange_row(how, width, data, channels, to, plane);
        data += (unsigned)how->in_columns * how->in_channels;
    }
}

typedef struct {
    const uint32_t *errors; /* of the first valid row */
    const uint32_t *data;   /* of the first tap there */
    unsigned rows, steps;
    int gap;            /* words of data from a row's last tap to the next row */
    unsigned skipped;   /* words of errors from one pair's valid rows to the next's */
    unsigned pairs;     /* of outputs */
    unsigned stride;    /* int32 from an output's gradients to the next output's */
    int32_t *gradients; /* of the first output's first tap */
} taps;

/* Gradients of three taps, for pairs of outputs. */
static void three_taps(const taps *job)
{
    const uint32_t *errors = job->errors;
    int32_t *to = job->gradients;

    for (unsigned pair = 0; pair < job->pairs; pair++, to += 2 * job->stride) {
        int32_t a0 = 0, a1 = 0, a2 = 0, b0 = 0, b1 = 0, b2 = 0;
        const uint32_t *data = job->data;

        for (unsigned row = 0; row < job->rows; row++) {
            uint32_t x0 = *data++;

            for (unsigned n = job->steps; n > 0; n--) {
                const uint32_t e0 = *errors++, e1 = *errors++, x1 = *data++, x2 = *data++;

                a0 = cnn_add_products(a0, e0, x0), b0 = cnn_add_products(b0, e1, x0);
                a1 = cnn_add_products(a1, e0, x1), b1 = cnn_add_products(b1, e1, x1);
                a2 = cnn_add_products(a2, e0, x2), b2 = cnn_add_products(b2, e1, x2);
                x0 = x2;
            }
            data += job->gap;
        }
        errors += job->skipped;
        to[0] = a0, to[1] = a1, to[2] = a2;
        to[job->stride] = b0, to[job->stride + 1] = b1, to[job->stride + 2] = b2;
    }
}

#if CNN_HAS_DSP && defined(__OPTIMIZE__)
/* The same with all registers in use and the steps of a row unrolled, because the compiler would
 * move sums from register to register.  A step is 12 products in 11 cycles: errors of two outputs
 * (e0, e1) by three taps, whose words follow each other; the third of a step is the next's first.
 *   a0 a1 a2   sums of output 0     b0 b1 b2   sums of output 1      x0 x1 x2   words of data
 * OP: smlad, or smuad in the first step, where sums begin.                                      */
#define LOADS(X2)                                                    \
    "ldr %[e0], [%[errors]], #4\n\t ldr %[e1], [%[errors]], #4\n\t"  \
    "ldr %[x1], [%[data], #4]!\n\t ldr %[" X2 "], [%[data], #4]!\n\t"
#define BEGIN(SUM, E, X) "smuad %[" SUM "], %[" E "], %[" X "]\n\t"
#define STEP(OP, X0, X2)                                                            \
    LOADS(X2) OP("a0", "e0", X0) OP("b0", "e1", X0) OP("a1", "e0", "x1") OP("b1", "e1", "x1") \
    OP("a2", "e0", X2) OP("b2", "e1", X2)
#define STEPS_FROM_1(STEPS) /* an odd number of them ends with its x0 in x2 */      \
    ".rept (" #STEPS " - 1) / 2\n\t" STEP(ADD, "x2", "x0") STEP(ADD, "x0", "x2") ".endr\n\t" \
    ".if (" #STEPS " - 1) & 1\n\t" STEP(ADD, "x2", "x0") ".endif\n\t"
#define STORE /* e0: bytes from an output to the next */                             \
    "str %[a0], [%[to]]\n\t str %[a1], [%[to], #4]\n\t str %[a2], [%[to], #8]\n\t"   \
    "add %[to], %[to], %[e0]\n\t"                                                    \
    "str %[b0], [%[to]]\n\t str %[b1], [%[to], #4]\n\t str %[b2], [%[to], #8]\n\t"   \
    "add %[to], %[to], %[e0]\n\t"
#define REGISTERS                                                                    \
    [a0] "=&r"(a0), [a1] "=&r"(a1), [a2] "=&r"(a2), [b0] "=&r"(b0), [b1] "=&r"(b1),  \
    [b2] "=&r"(b2), [e0] "=&r"(e0), [e1] "=&r"(e1), [x0] "=&r"(x0), [x1] "=&r"(x1),  \
    [x2] "=&r"(x2), [errors] "+r"(errors), [data] "+r"(data)

/* One row, TOGETHER pairs in each round of the loop: 12 + 11 * STEPS cycles a pair, 6 a round. */
#define ONE_ROW(TOGETHER, STEPS)                                                     \
    __asm__ volatile("1:\n\t .rept " #TOGETHER "\n\t"                                \
                     "ldr %[x0], [%[data]]\n\t" STEP(BEGIN, "x0", "x2") STEPS_FROM_1(STEPS) \
                     "sub %[data], %[data], #8 * " #STEPS "\n\t"                     \
                     "ldr %[e0], %[stride]\n\t" STORE ".endr\n\t"                    \
                     "ldr %[e1], %[end]\n\t cmp %[to], %[e1]\n\t bne 1b\n\t"         \
                     : REGISTERS, [to] "+r"(to)                                      \
                     : [stride] "m"(stride), [end] "m"(end)                          \
                     : "cc", "memory")

/* Rows of so many steps: with four pairs in each round of the loop where these are a multiple, or
 * always with one. */
#define OFTEN(STEPS)                                                                 \
    case STEPS:                                                                      \
        if (job->pairs % 4 == 0)                                                     \
            ONE_ROW(4, STEPS);                                                       \
        else                                                                         \
            ONE_ROW(1, STEPS);                                                       \
        break;
#define SELDOM(STEPS) case STEPS: ONE_ROW(1, STEPS); break;

static void three_taps_of_a_row(const taps *job)
{
    const uint32_t *errors = job->errors, *data = job->data;
    const unsigned stride = job->stride * (unsigned)sizeof *job->gradients;
    int32_t a0, a1, a2, b0, b1, b2, *to = job->gradients;
    int32_t *const end = to + 2 * job->pairs * job->stride;
    uint32_t e0, e1, x0, x1, x2;

    switch (job->steps) { /* clang-format off */
    OFTEN(2) SELDOM(3) OFTEN(4) SELDOM(5) SELDOM(6) SELDOM(7) OFTEN(8) SELDOM(9) SELDOM(10)
    SELDOM(11) SELDOM(12) SELDOM(13) SELDOM(14) SELDOM(15) SELDOM(16)
    default: three_taps(job); break;
    } /* clang-format on */
}

/* Rows of a map whose kernel has three columns: what follows a row's last tap is the next row.
 * 5 + 11 * STEPS cycles a row, 29 a pair. */
#define ROWS(STEPS)                                                                  \
    __asm__ volatile("0:\n\t mov %[a0], #0\n\t mov %[a1], #0\n\t mov %[a2], #0\n\t"  \
                     "mov %[b0], #0\n\t mov %[b1], #0\n\t mov %[b2], #0\n\t"         \
                     "ldr %[to], %[rows]\n\t ldr %[data], %[start]\n\t"              \
                     "1:\n\t ldr %[x0], [%[data], #8]!\n\t" STEP(ADD, "x0", "x2")    \
                     STEPS_FROM_1(STEPS) "subs %[to], %[to], #1\n\t bne 1b\n\t"      \
                     "ldr %[to], %[next]\n\t ldr %[e0], %[stride]\n\t"               \
                     "ldr %[e1], %[skipped]\n\t ldr %[x0], %[end]\n\t" STORE         \
                     "add %[errors], %[errors], %[e1]\n\t str %[to], %[next]\n\t"    \
                     "cmp %[to], %[x0]\n\t bne 0b\n\t"                               \
                     : REGISTERS, [to] "=&r"(to), [next] "+m"(next)                  \
                     : [stride] "m"(stride), [end] "m"(end), [start] "m"(start),     \
                       [rows] "m"(rows), [skipped] "m"(skipped)                      \
                     : "cc", "memory")

static void three_taps_of_rows(const taps *job)
{
    const uint32_t *errors = job->errors, *const start = job->data - 2, *data = start;
    const unsigned stride = job->stride * (unsigned)sizeof *job->gradients, rows = job->rows;
    const unsigned skipped = job->skipped * (unsigned)sizeof *errors;
    int32_t a0, a1, a2, b0, b1, b2, *to, *next = job->gradients;
    int32_t *const end = next + 2 * job->pairs * job->stride;
    uint32_t e0, e1, x0, x1, x2;

    switch (job->steps) { /* clang-format off */
    case 2: ROWS(2); break;
    case 4: ROWS(4); break;
    case 5: ROWS(5); break;
    case 6: ROWS(6); break;
    case 7: ROWS(7); break;
    case 8: ROWS(8); break;
    default: three_taps(job); break;
    } /* clang-format on */
}

static void run_three_taps(const taps *job)
{
    if (job->rows == 1 && job->skipped == 0)
        three_taps_of_a_row(job);
    else if (job->gap == 1)
        three_taps_of_rows(job);
    else
        three_taps(job);
}
#else
static void run_three_taps(const taps *job)
{
    three_taps(job);
}
#endif

/* The same for one tap. */
static void run_one_tap(const taps *job)
{
    const uint32_t *errors = job->errors;
    int32_t *to = job->gradients;

    for (unsigned pair = 0; pair < job->pairs; pair++) {
        const uint32_t *data = job->data;
        int32_t a = 0, b = 0;

        for (unsigned row = 0; row < job->rows; row++) {
            for (unsigned step = 0; step < job->steps; step++, errors += 2, data += 2) {
                a = cnn_add_products(a, errors[0], data[0]);
                b = cnn_add_products(b, errors[1], data[0]);
            }
            data += job->gap + 1;
        }
        errors += job->skipped;
        to[0] = a;
        to[job->stride] = b;
        to += 2 * job->stride;
    }
}

/* Gradients of one kernel row of some channels, of all pairs of outputs: three taps at a time, where
 * the last three may repeat what was done; single taps of short and of dilated kernels.
 * common: with the first channel's data of the first valid row, and its first tap's gradients. */
static void kernel_row(const cnn_correlation *how, const taps *common, unsigned channels,
                       unsigned plane)
{
    const unsigned taps_of_row = how->kernel_columns, each = how->kernel_rows * taps_of_row;
    const unsigned together = taps_of_row >= GROUP && how->dilation_columns == 1 ? GROUP : 1;
    taps job = *common;

    for (unsigned tap = 0; tap < taps_of_row; tap += together) {
        const unsigned from = smaller(tap, taps_of_row - together);

        job.data = common->data + from * how->dilation_columns;
        job.gradients = common->gradients + from;
        for (unsigned n = channels; n > 0; n--, job.data += plane, job.gradients += each)
            if (together == GROUP)
                run_three_taps(&job);
            else
                run_one_tap(&job);
    }
}

/* A kernel row that meets only padding. */
static void clear_kernel_row(const cnn_correlation *how, const weight_shape *shape,
                             unsigned channels, int32_t *gradients)
{
    const unsigned each = (unsigned)how->kernel_rows * how->kernel_columns;

    for (unsigned output = 0; output < shape->count; output++, gradients += shape->stride)
        for (unsigned channel = 0; channel < channels; channel++)
            for (unsigned tap = 0; tap < how->kernel_columns; tap++)
                gradients[channel * each + tap] = 0;
}

/* Gradients of up to four channels; `gradients`: of the first of them and the first output. */
static CNN_APART void channel_gradients(const cnn_correlation *how, const weight_shape *shape,
                                        unsigned channels, const uint32_t *errors,
                                        const uint32_t *data, int32_t *gradients)
{
    const unsigned taps_of_row = how->kernel_columns;
    const unsigned of_pair = how->out_rows * shape->steps * 2; /* words */
    const unsigned plane = how->in_rows * shape->width;        /* words of a channel */

    for (unsigned kernel = 0; kernel < how->kernel_rows; kernel++, gradients += taps_of_row) {
        unsigned end;
        const unsigned first = valid_rows(how, kernel, &end);
        const unsigned rows = end > first ? end - first : 0;
        const unsigned row = first + kernel * how->dilation_rows - how->pad_rows;
        taps job = {errors + first * shape->steps * 2,
                    data + row * shape->width,
                    rows,
                    shape->steps,
                    (int)shape->width - (int)(2 * shape->steps) - 1,
                    of_pair - rows * shape->steps * 2,
                    shape->count / 2,
                    shape->stride,
                    gradients};

        if (rows == 0) {
            clear_kernel_row(how, shape, channels, gradients);
            continue;
        }
        if (job.pairs > 0)
            kernel_row(how, &job, channels, plane);
        if (shape->count % 2) { /* the last output, with the one before it or with itself */
            job.errors += job.pairs * of_pair;
            job.pairs = 1;
            job.gradients += output_of(shape, shape->pairs - 1) * job.stride;
            job.stride = shape->count > 1 ? job.stride : 0;
            kernel_row(how, &job, channels, plane);
        }
    }
}

/* A linear layer: one pixel, one tap. */
static void outer_products(const int16_t *error, const int8_t *data, unsigned outputs,
                           unsigned features, int32_t *gradients)
{
    for (unsigned output = 0; output < outputs; output++)
        for (unsigned n = 0; n < features; n++)
            *gradients++ = error[output] * data[n];
}

static int is_linear(const cnn_correlation *how)
{
    return how->kernel_rows * how->kernel_columns * how->in_rows * how->in_columns == 1
           && how->out_rows * how->out_columns == 1;
}

void cnn_arrange_errors(const cnn_correlation *how, const int16_t *error, unsigned first,
                        unsigned count, int16_t *scratch)
{
    const weight_shape shape = shape_of_weights(how, first, count, 0);

    if (count > 0 && !is_linear(how))
        arrange_errors(how, &shape, error, aligned(scratch));
}

void cnn_channel_gradients(const cnn_correlation *how, const int16_t *error, const int8_t *data,
                           unsigned first, unsigned count, unsigned channel, unsigned channels,
                           int32_t *gradients, int16_t *scratch)
{
    const weight_shape shape = shape_of_weights(how, first, count, channels);
    const unsigned each = (unsigned)how->kernel_rows * how->kernel_columns;
    uint32_t *const errors = aligned(scratch);
    uint32_t *const arranged = errors + shape.pairs * how->out_rows * shape.steps * 2;

    if (is_linear(how)) {
        outer_products(error + first, data + channel, count, channels, gradients);
        return;
    }
    for (unsigned done = 0; done < channels && count > 0; done += LANES) {
        const unsigned lanes = smaller(LANES, channels - done);

        arrange_data(how, shape.width, data + channel + done, lanes, arranged);
        channel_gradients(how, &shape, lanes, errors, arranged, gradients + done * each);
    }
}

void cnn_weight_gradients(const cnn_correlation *how, const int16_t *error, const int8_t *data,
                          unsigned first, unsigned count, int32_t *gradients, int16_t *scratch)
{
    cnn_arrange_errors(how, error, first, count, scratch);
    cnn_channel_gradients(how, error, data, first, count, 0, how->in_channels, gradients, scratch);
}

#endif
