#include "cnn_linear.h"

#include "cnn_arithmetic.h"
#include "cnn_dsp.h"
#include "cnn_linear_config.h"
#include "cnn_port.h"
#include "cnn_power.h"
#include "cnn_random.h"
#include "cnn_stream.h"

/* These numbers lie in instructions, therefore they are constants. */
enum {
    CLASSES = CNN_LINEAR_CLASSES,
    POSITIONS = CNN_LINEAR_POSITIONS, /* pixels: features of a processor */
    PROCESSORS = CNN_LINEAR_PROCESSORS,
    RUNS = CNN_LINEAR_RUNS, /* of data memory: words, a pixel each, with four channels' activations */
    PAD = CNN_LINEAR_PAD,
    FEATURES = PROCESSORS * POSITIONS,
    SLOTS = (CLASSES * POSITIONS + CNN_KERNEL_BYTES - 1) / CNN_KERNEL_BYTES,
    STREAM_BYTES = PAD + CNN_STREAM_BYTES(SLOTS)
};

/* The weights of a word share a draw, or this does not compile. */
typedef char cnn_words_share_draws[CNN_SHARING == 4 ? 1 : -1];

static const uint32_t kernels[PROCESSORS] = CNN_LINEAR_KERNELS;   /* addresses of first slots */
static const uint16_t features[PROCESSORS] = CNN_LINEAR_FEATURES; /* bytes of `data`: pixel 0 */
static const uint32_t runs_at[RUNS] = CNN_LINEAR_DATA;            /* addresses of first words */
static const uint32_t sums_at[CLASSES] = CNN_LINEAR_SUMS;         /* addresses of the output */
static const uint32_t controls[] = CNN_LINEAR_CONTROLS;           /* of the quadrants; 0 */
#if CNN_LINEAR_HAS_BIAS
static const uint32_t biases[CLASSES] = CNN_LINEAR_BIASES;
#endif

/* Words of four weights that share a draw begin up to three weights before a processor's first one
 * where pixels are no multiple of four: what lies there has activations of 0, and stays. */
static uint32_t stream[CNN_LINEAR_COPY ? PROCESSORS : 1][STREAM_BYTES / 4];
static uint32_t data[RUNS * (POSITIONS + PAD) + PAD];
/* errors * rate, so that 2^32 is a step of a weight; the one behind the last is loaded, not used */
static int32_t rates[CLASSES + 1];

const uint32_t cnn_linear_sram = sizeof stream + sizeof data + sizeof rates;
const uint32_t cnn_linear_kernel_words = PROCESSORS * SLOTS;

/* ---- reading ---- */

static void read_activations(void)
{
    for (unsigned run = 0; run < RUNS; run++) {
        uint32_t address = runs_at[run], *to = &data[PAD + run * (POSITIONS + PAD)];

        for (unsigned n = POSITIONS / 4; n > 0; n--, address += 16, to += 4) {
            const uint32_t a = cnn_read(address), b = cnn_read(address + 4);
            const uint32_t c = cnn_read(address + 8), d = cnn_read(address + 12);

            to[0] = a, to[1] = b, to[2] = c, to[3] = d;
        }
        for (unsigned n = POSITIONS % 4; n > 0; n--, address += 4)
            *to++ = cnn_read(address);
    }
}

/* Sums by class; the largest one's, the first if several. */
static inline uint32_t read_logits(int32_t *logit)
{
    uint32_t best = 0;

    for (uint32_t n = 0; n < CLASSES; n++) {
        logit[n] = cnn_signed(cnn_read(sums_at[n]));
        best = logit[n] > logit[best] ? n : best;
    }
    return best;
}

uint32_t cnn_linear_predict(void)
{
    int32_t logit[CLASSES];

    return read_logits(logit);
}

/* ---- error ---- */

/* What an error is multiplied by, so that 2^32 is a step of a weight. */
static inline int32_t rate_of(int32_t factor)
{
    const int32_t rate = CNN_TRAIN_RATE_MANTISSA * factor;

#if CNN_LINEAR_SHIFT <= 24
    return rate * (1 << (24 - CNN_LINEAR_SHIFT));
#else
    return rate >> (CNN_LINEAR_SHIFT - 24);
#endif
}

/* The class that was predicted; `rates` from the soft-max, the label, and the rate. */
static CNN_PHASE uint32_t find_rates(uint32_t label, int32_t rate)
{
    int32_t logit[CLASSES];
    uint32_t power[CLASSES], sum = 0;
    const uint32_t best = read_logits(logit);

    for (uint32_t n = 0; n < CLASSES; n++) {
        power[n] = cnn_power_of_e((uint32_t)logit[best] - (uint32_t)logit[n]);
        sum += power[n];
    }
    for (uint32_t n = 0; n < CLASSES; n++) {
        int32_t error = (int32_t)((power[n] << CNN_ERROR_BITS) / sum);

        error -= n == label ? 1 << CNN_ERROR_BITS : 0;
        error = error > CNN_ERROR_LIMIT ? CNN_ERROR_LIMIT : error;
        error = error < -CNN_ERROR_LIMIT ? -CNN_ERROR_LIMIT : error;
        rates[n] = error * rate;
    }
    return best;
}

/* ---- step ---- */

/* The step of four weights that share a draw: with x their activations, r the class' rate,
 *     weight - floor((r * x + draw) / 2^32)      draw: turned left by 8 bits for each next weight
 * A long product is added to the draw, so that its upper word is what the weight loses; four of
 * them grow together in `change`, and 128 in each byte keeps borrows out of the bytes above.    */
#if CNN_HAS_DSP && defined(__OPTIMIZE__)
#define CHANGE(X, DRAW) "smlal " DRAW ", %[change], %[rate], %[" X "]\n\t"
#define FOUR_WEIGHTS                                                                   \
    "eor %[draw], %[salt], %[group]\n\t add %[group], %[group], %[groups]\n\t"         \
    "mul %[draw], %[draw], %[factor1]\n\t eor %[draw], %[draw], %[draw], lsr %[shift2]\n\t" \
    "mul %[draw], %[draw], %[factor2]\n\t eor %[draw], %[draw], %[draw], lsr %[shift3]\n\t" \
    "mov %[change], #0\n\t"                                                            \
    "ror %[low], %[draw], #8\n\t" CHANGE("x3", "%[low]")                               \
    "lsl %[change], #8\n\t ror %[low], %[draw], #16\n\t" CHANGE("x2", "%[low]")        \
    "lsl %[change], #8\n\t ror %[low], %[draw], #24\n\t" CHANGE("x1", "%[low]")        \
    "lsl %[change], #8\n\t" CHANGE("x0", "%[draw]")                                    \
    "add %[change], %[change], #0x80808080\n\t"                                        \
    "ldr %[low], [%[weights]]\n\t ldr %[rate], [%[rates]], #4\n\t"                     \
    "eor %[change], %[change], #0x80808080\n\t qsub8 %[low], %[low], %[change]\n\t"    \
    "str %[low], [%[weights]], %[row]\n\t"

/* All classes' weights of four pixels, then of the next four: `columns` times.  weights: bytes of a
 * stream; x: bytes of the words of data; first: the group that the first four weights share. */
static inline void step_columns(uint8_t *weights_of, uint32_t first, uint32_t columns, uint32_t salt,
                                const uint8_t *x_of)
{
    uint8_t *weights = weights_of;
    uint32_t group = first, draw, change, low, left = columns;
    const int32_t *rates_of = rates;
    int32_t x0, x1, x2, x3, rate;
    const uint8_t *x = x_of;

    salt ^= salt >> CNN_MIX_SHIFT_1; /* numbers of groups are below 2^16 */
    __asm__ volatile(
        "1:\n\t ldr %[low], %[x]\n\t"
        "ldrsb %[x0], [%[low]]\n\t ldrsb %[x1], [%[low], #4]\n\t ldrsb %[x2], [%[low], #8]\n\t"
        "ldrsb %[x3], [%[low], #12]\n\t ldr %[rate], [%[rates]], #4\n\t"
        "add %[low], #16\n\t str %[low], %[x]\n\t"
        ".rept %c[classes]\n\t" FOUR_WEIGHTS ".endr\n\t"
        "ldr %[low], %[left]\n\t sub %[rates], %[rates], %[back]\n\t"
        "sub %[weights], %[weights], %[column]\n\t sub %[group], %[group], %[next]\n\t"
        "subs %[low], #1\n\t str %[low], %[left]\n\t bne 1b\n\t"
        : [weights] "+r"(weights), [group] "+r"(group), [rates] "+r"(rates_of), [x0] "=&r"(x0),
          [x1] "=&r"(x1), [x2] "=&r"(x2), [x3] "=&r"(x3), [rate] "=&r"(rate), [draw] "=&r"(draw),
          [change] "=&r"(change), [low] "=&r"(low), [left] "+m"(left), [x] "+m"(x)
        : [salt] "r"(salt), [factor1] "r"(CNN_MIX_FACTOR_1), [factor2] "r"(CNN_MIX_FACTOR_2),
          [shift2] "n"(CNN_MIX_SHIFT_2), [shift3] "n"(CNN_MIX_SHIFT_3), [classes] "n"(CLASSES),
          [groups] "n"(FEATURES / CNN_SHARING), [row] "n"(POSITIONS), [back] "n"(4 * (CLASSES + 1)),
          [column] "n"(CLASSES * POSITIONS - CNN_SHARING),
          [next] "n"(CLASSES * FEATURES / CNN_SHARING - 1)
        : "cc", "memory");
}
#else
static inline void step_columns(uint8_t *weights, uint32_t first, uint32_t columns, uint32_t salt,
                                const uint8_t *x)
{
    for (uint32_t column = 0; column < columns; column++, x += 4 * CNN_SHARING)
        for (uint32_t class = 0; class < CLASSES; class++) {
            uint8_t *const four = &weights[class * POSITIONS + CNN_SHARING * column];
            const uint32_t group = first + class * (FEATURES / CNN_SHARING) + column;
            uint32_t draw = cnn_draw_of_group(salt, group);
            uint32_t change = 0;

            for (unsigned n = 0; n < CNN_SHARING; n++, draw = cnn_next_draw(draw)) {
                const int32_t value = cnn_low(cnn_bytes_02(x[4 * n]));

                change |= (cnn_add_long(0, draw, rates[class], value) & 0xffu) << 8 * n;
            }
            cnn_store(four, cnn_subtract_bytes(cnn_load(four), change));
        }
}
#endif

/* The kernels of a processor; weights: the bytes of its stream. */
static CNN_PHASE void step_processor(unsigned processor, uint8_t *weights, uint32_t salt)
{
    const uint32_t first = processor * POSITIONS; /* number of its first weight */
    const uint32_t ahead = PAD == 0 ? 0 : first % CNN_SHARING; /* weights that share that one's draw */
    const uint32_t columns = (ahead + POSITIONS + CNN_SHARING - 1) / CNN_SHARING;
    const uint8_t *const x = (const uint8_t *)data + features[processor];

    step_columns(weights - ahead, first / CNN_SHARING, columns, salt, x - 4 * ahead);
}

static CNN_PHASE uint32_t step_biases(uint32_t salt)
{
    uint32_t written = 0;

#if CNN_LINEAR_HAS_BIAS
    for (uint32_t class = 0; class < CLASSES; class++) {
        const uint32_t draw = cnn_draw(salt, CLASSES * FEATURES + class);
        const uint32_t change = cnn_add_long(0, draw, rates[class], CNN_BIAS_INPUT);
        const uint32_t old = cnn_read(biases[class]) & 0xffu;
        const int32_t weight = cnn_low(cnn_bytes_02(old)) - cnn_signed(change);
        const uint32_t changed = (uint32_t)cnn_limit(weight, 8) & 0xffu;

        if (changed != old) {
            cnn_write(biases[class], changed);
            written++;
        }
    }
#else
    (void)salt;
#endif
    return written;
}

/* Let the quadrants take packed kernels, or single words again. */
static CNN_PHASE void take_packed(int packed)
{
#ifdef CNN_HOST
    (void)packed;
    (void)controls;
#else
    for (const uint32_t *control = controls; *control != 0; control++) {
        const uint32_t value = cnn_read(*control);

        cnn_write(*control, packed ? value | CNN_CONTROL_PACKED : value & ~CNN_CONTROL_PACKED);
    }
#endif
}

/* Where the bytes of a processor's kernels are. */
static inline uint8_t *stream_of(unsigned processor)
{
    return (uint8_t *)stream[CNN_LINEAR_COPY ? processor : 0] + PAD;
}

void cnn_linear_begin(void)
{
#if CNN_LINEAR_COPY
    for (unsigned n = 0; n < PROCESSORS; n++)
        cnn_stream_read(kernels[n], SLOTS, stream_of(n));
#endif
}

uint32_t cnn_linear_learn(uint32_t label, int32_t factor)
{
    read_activations();
    return find_rates(label, rate_of(factor));
}

uint32_t cnn_linear_apply(uint32_t salt)
{
    take_packed(1);
    for (unsigned n = 0; n < PROCESSORS; n++) {
        uint8_t *const weights = stream_of(n);

        if (!CNN_LINEAR_COPY)
            cnn_stream_read(kernels[n], SLOTS, weights);
        step_processor(n, weights, salt);
        cnn_stream_write(kernels[n], SLOTS, weights);
    }
    take_packed(0);
    return step_biases(salt);
}
