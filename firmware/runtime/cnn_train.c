#include "cnn_train.h"

#include "cnn_address.h"
#include "cnn_arithmetic.h"
#include "cnn_map.h"
#include "cnn_port.h"
#include "cnn_train_config.h"

enum {
    CLASSES = CNN_TRAIN_CLASSES,
    FEATURES = CNN_TRAIN_FEATURES,
    SLOT_WORDS = CNN_KERNEL_SLOT / 4,
    NO_SLOT = 0
};

static struct {
    uint32_t seed;
    uint32_t step;
    int32_t velocity[CLASSES][FEATURES]; /* units of 2^-22 */
    int32_t velocity_of_bias[CLASSES];
    int8_t feature[FEATURES];
    int32_t logit[CLASSES];
    int32_t error[CLASSES]; /* units of 2^-15 */
} state;

/* A kernel word on its way: read once, changed byte by byte, written if it changed. */
static struct {
    uint32_t address; /* NO_SLOT: none */
    uint32_t word[SLOT_WORDS];
    uint32_t changed;
} slot;

const uint32_t cnn_train_sram = sizeof state + sizeof slot;
uint32_t cnn_train_kernel_words;
uint32_t cnn_train_bias_bytes;

static const cnn_placement *const kernels = &CNN_TRAIN_KERNEL;
static const cnn_placement *const features = &CNN_TRAIN_INPUT;
static const cnn_placement *const logits = &CNN_TRAIN_OUTPUT;

static uint32_t mix(uint32_t value)
{
    value = (value ^ value >> CNN_MIX_SHIFT_1) * CNN_MIX_FACTOR_1;
    value = (value ^ value >> CNN_MIX_SHIFT_2) * CNN_MIX_FACTOR_2;
    return (value ^ value >> CNN_MIX_SHIFT_3) * CNN_MIX_FACTOR_3;
}

/* What all random numbers of this step have in common. */
static uint32_t step_salt(void)
{
    return mix(state.seed + state.step * CNN_STEP_FACTOR);
}

/* Four elements share a draw, each turned by its own count of bytes. */
static uint32_t dither_of(uint32_t element, uint32_t salt)
{
    uint32_t draw = mix(salt ^ element / CNN_SHARING);
    uint32_t turn = element % CNN_SHARING * (32 / CNN_SHARING);

    return turn == 0 ? draw : draw << turn | draw >> (32 - turn);
}

/* weight - velocity * rate, rounded stochastically and saturated */
static int32_t stepped(int32_t weight, int32_t velocity, uint32_t element, uint32_t salt)
{
    int64_t dither = dither_of(element, salt) >> (32 - CNN_TRAIN_RATE_SHIFT);
    int64_t change = (int64_t)velocity * CNN_TRAIN_RATE_MANTISSA + dither;

    return cnn_saturate(weight - cnn_floor_shift(change, CNN_TRAIN_RATE_SHIFT));
}

void cnn_train_reset(uint32_t seed)
{
    state.seed = seed;
    state.step = 0;
    cnn_train_kernel_words = 0;
    cnn_train_bias_bytes = 0;
    for (unsigned class = 0; class < CLASSES; class++) {
        state.velocity_of_bias[class] = 0;
        for (unsigned n = 0; n < FEATURES; n++)
            state.velocity[class][n] = 0;
    }
}

static void decay(int32_t *velocity)
{
    *velocity -= (int32_t)cnn_floor_shift(*velocity, CNN_TRAIN_MOMENTUM_SHIFT);
}

void cnn_train_begin(void)
{
    for (unsigned class = 0; class < CLASSES; class++) {
        decay(&state.velocity_of_bias[class]);
        for (unsigned n = 0; n < FEATURES; n++)
            decay(&state.velocity[class][n]);
    }
}

static void read_activations(void)
{
    for (unsigned n = 0; n < FEATURES; n++)
        state.feature[n] = cnn_read_byte(cnn_address_of(features, n));
    for (unsigned class = 0; class < CLASSES; class++) {
        uint32_t word = cnn_read(cnn_address_of(logits, class));

        state.logit[class] = word < 0x80000000u ? (int32_t)word : -(int32_t)(~word) - 1;
    }
}

/* exp(-distance * 2^shift / 2^14) in units of 1/65536 */
static uint32_t power_of_e(uint32_t distance)
{
    static const uint32_t powers[] = CNN_POWERS;
    uint64_t exponent = (uint64_t)distance * CNN_LOG2_E >> CNN_EXPONENT_SCALE;
    uint64_t whole = exponent >> CNN_EXPONENT_BITS;
    uint32_t fraction = (uint32_t)(exponent & ((1u << CNN_EXPONENT_BITS) - 1));
    uint32_t step = fraction >> CNN_STEP_BITS;
    uint32_t rest = fraction & ((1u << CNN_STEP_BITS) - 1);
    uint32_t power = powers[step] - ((powers[step] - powers[step + 1]) * rest >> CNN_STEP_BITS);

    return whole > CNN_LARGEST_EXPONENT ? 0 : power >> whole;
}

/* What 16 bits hold, of a certain class that is wrong, and of a label that is impossible. */
static int32_t limited(int32_t error)
{
    if (error > CNN_ERROR_LIMIT)
        return CNN_ERROR_LIMIT;
    return error < -CNN_ERROR_LIMIT ? -CNN_ERROR_LIMIT : error;
}

static uint32_t compute_errors(uint32_t label)
{
    uint32_t best = 0, sum = 0;
    uint32_t power[CLASSES];

    for (unsigned class = 1; class < CLASSES; class++)
        if (state.logit[class] > state.logit[best])
            best = class;
    for (unsigned class = 0; class < CLASSES; class++) {
        power[class] = power_of_e((uint32_t)state.logit[best] - (uint32_t)state.logit[class]);
        sum += power[class];
    }
    for (unsigned class = 0; class < CLASSES; class++)
        state.error[class] = (int32_t)((power[class] << CNN_ERROR_BITS) / sum);
    state.error[label] -= 1 << CNN_ERROR_BITS;
    for (unsigned class = 0; class < CLASSES; class++)
        state.error[class] = limited(state.error[class]);
    return best;
}

uint32_t cnn_train_learn(uint32_t label)
{
    uint32_t best;

    read_activations();
    best = compute_errors(label);
    for (unsigned class = 0; class < CLASSES; class++) {
        if (state.error[class] == 0)
            continue;
        state.velocity_of_bias[class] += state.error[class] * CNN_BIAS_INPUT;
        for (unsigned n = 0; n < FEATURES; n++)
            state.velocity[class][n] += state.error[class] * state.feature[n];
    }
    return best;
}

static void write_slot(void)
{
    if (slot.address == NO_SLOT || !slot.changed)
        return;
    for (unsigned n = 0; n < SLOT_WORDS; n++) /* the last word, of zero, commits the slot */
        cnn_write(slot.address + 4 * n, slot.word[n]);
    cnn_train_kernel_words++;
}

static void open_slot(uint32_t address)
{
    if (address == slot.address)
        return;
    write_slot();
    slot.address = address;
    slot.changed = 0;
    for (unsigned n = 0; n < SLOT_WORDS; n++)
        slot.word[n] = cnn_read(address + 4 * n);
}

static void step_weight(uint16_t class, uint16_t feature, uint32_t salt)
{
    const uint16_t index[CNN_AXES] = {class, feature, 0, 0};
    uint32_t address = cnn_address(kernels, index);
    uint32_t lane = 8 * (address & 3u);
    uint32_t *word;
    int32_t old, new;

    open_slot(address & ~(CNN_KERNEL_SLOT - 1u));
    word = &slot.word[(address & (CNN_KERNEL_SLOT - 1u)) / 4];
    old = (int32_t)(*word >> lane & 0xffu);
    old -= old < 128 ? 0 : 256;
    new = stepped(old, state.velocity[class][feature], class * (uint32_t)FEATURES + feature,
                  salt);
    if (new != old) {
        *word = (*word & ~(0xffu << lane)) | ((uint32_t)new & 0xffu) << lane;
        slot.changed = 1;
    }
}

/* Features whose kernels lie in one processor follow each other: its words are visited in order. */
static void step_kernels(uint32_t salt)
{
    uint16_t first = 0;

    while (first < FEATURES) {
        const uint16_t start[CNN_AXES] = {0, first, 0, 0};
        const uint32_t processor = cnn_address(kernels, start) / CNN_KERNEL_UNIT_STRIDE;
        uint16_t end = first;

        for (; end < FEATURES; end++) {
            const uint16_t next[CNN_AXES] = {0, end, 0, 0};

            if (cnn_address(kernels, next) / CNN_KERNEL_UNIT_STRIDE != processor)
                break;
        }
        for (uint16_t class = 0; class < CLASSES; class++)
            for (uint16_t n = first; n < end; n++)
                step_weight(class, n, salt);
        first = end;
    }
    write_slot();
    slot.address = NO_SLOT;
}

static void step_biases(uint32_t salt)
{
#if CNN_TRAIN_HAS_BIAS
    for (unsigned class = 0; class < CLASSES; class++) {
        uint32_t address = cnn_address_of(&CNN_TRAIN_BIAS, class);
        int32_t old = cnn_read_byte(address);
        int32_t new = stepped(old, state.velocity_of_bias[class],
                              (uint32_t)CLASSES * FEATURES + class, salt);

        if (new != old) {
            cnn_write(address, (uint32_t)new & 0xffu);
            cnn_train_bias_bytes++;
        }
    }
#else
    (void)salt;
#endif
}

void cnn_train_apply(void)
{
    uint32_t salt = step_salt();

    step_kernels(salt);
    step_biases(salt);
    state.step++;
}
