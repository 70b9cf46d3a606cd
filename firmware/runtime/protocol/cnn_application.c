/* What each request does: the network, its training, its memories. */
#include <string.h>

#include "cnn_address.h"
#include "cnn_board_config.h"
#include "cnn_crc.h"
#include "cnn_layout.h"
#include "cnn_entropy.h"
#include "cnn_map.h"
#include "cnn_port.h"
#include "cnn_protocol.h"
#include "cnn_protocol_port.h"
#if CNN_BOARD_TRAINS
#include "cnn_train.h"
#include "cnn_train_config.h"
#endif
#if CNN_BOARD_SAVES
#include "cnn_store.h"
#endif
#if CNN_REPLAY_ROOM
#include "cnn_replay.h"
#endif

#define SAMPLE_BYTES (4u * CNN_BOARD_SAMPLE_WORDS)

typedef uint32_t handler(const uint8_t *payload, uint32_t open, uint8_t *answer);

#define DECLARE(name, number, bytes, open) handler on_##name;
CNN_REQUESTS(DECLARE)

static const uint8_t digest[CNN_DIGEST_BYTES] = CNN_BOARD_DIGEST;

static struct {
    uint32_t sample[CNN_BOARD_SAMPLE_WORDS];
    int32_t score[CNN_BOARD_CLASSES];
    uint32_t examples; /* since start-up */
    uint32_t learnt;   /* examples since the last restart */
    uint32_t steps;    /* likewise */
    uint32_t batch;    /* examples of the one that was begun and not applied */
} state;

/* --- who is there */

uint32_t on_hello(const uint8_t *payload, uint32_t open, uint8_t *answer)
{
    static const uint8_t any[CNN_DIGEST_BYTES];
    const uint8_t *expected = payload + CNN_HELLO_DIGEST_AT;
    uint8_t features = 0;

    (void)open;
    if (payload[CNN_HELLO_VERSION_AT] != CNN_PROTOCOL_VERSION)
        return cnn_fail(answer, CNN_ERROR_VERSION, CNN_PROTOCOL_VERSION);
    if (memcmp(expected, any, sizeof any) != 0 && memcmp(expected, digest, sizeof digest) != 0)
        return cnn_fail(answer, CNN_ERROR_NETWORK, cnn_get32(digest));
    memset(answer, 0, CNN_HELLO_ANSWER_BYTES);
#if CNN_BOARD_TRAINS
    features |= CNN_CAN_TRAIN;
#endif
#if CNN_BOARD_SAVES
    features |= CNN_CAN_SAVE;
    cnn_put32(answer + CNN_HELLO_ANSWER_SAVED_AT, cnn_store_loaded);
#endif
#if CNN_REPLAY_ROOM
    features |= CNN_CAN_KEEP;
#endif
    answer[CNN_HELLO_ANSWER_VERSION_AT] = CNN_PROTOCOL_VERSION;
    answer[CNN_HELLO_ANSWER_FEATURES_AT] = features;
    memcpy(answer + CNN_HELLO_ANSWER_DIGEST_AT, digest, sizeof digest);
    cnn_put16(answer + CNN_HELLO_ANSWER_CLASSES_AT, CNN_BOARD_CLASSES);
    cnn_put32(answer + CNN_HELLO_ANSWER_SAMPLE_BYTES_AT, SAMPLE_BYTES);
    cnn_put32(answer + CNN_HELLO_ANSWER_TRAINED_AT, CNN_BOARD_TRAINED);
    cnn_put32(answer + CNN_HELLO_ANSWER_HERTZ_AT, cnn_port_hertz);
    memcpy(answer + CNN_HELLO_ANSWER_BYTES, CNN_BOARD_NAME, sizeof CNN_BOARD_NAME - 1);
    return CNN_HELLO_ANSWER_BYTES + sizeof CNN_BOARD_NAME - 1;
}

/* --- samples */

static int keep_part(const uint8_t *data, uint32_t offset, uint32_t count)
{
    if (offset > SAMPLE_BYTES || count > SAMPLE_BYTES - offset)
        return 0;
    memcpy((uint8_t *)state.sample + offset, data, count);
    return 1;
}

uint32_t on_input(const uint8_t *payload, uint32_t open, uint8_t *answer)
{
    uint32_t offset = cnn_get32(payload + CNN_INPUT_OFFSET_AT);

    if (!keep_part(payload + CNN_INPUT_DATA_AT, offset, open))
        return cnn_fail(answer, CNN_ERROR_SAMPLE, offset);
    return 0;
}

static uint32_t read_scores(void)
{
    uint32_t best = 0;

    for (uint32_t n = 0; n < CNN_BOARD_CLASSES; n++) {
        uint32_t address = cnn_address_of(&CNN_BOARD_SCORES, n);

        state.score[n] = CNN_BOARD_WIDE ? (int32_t)cnn_read(address) : cnn_read_byte(address);
        if (state.score[n] > state.score[best])
            best = n;
    }
    return best;
}

#if CNN_BOARD_TRAINS
static void learn(uint32_t label, uint32_t flags)
{
    if (flags & CNN_FLAG_BEGIN)
        cnn_train_begin();
    cnn_train_learn(label);
    state.learnt++;
    state.batch++;
    if (flags & CNN_FLAG_APPLY) {
        cnn_train_apply();
        state.steps++;
        state.batch = 0;
    }
}
#endif

/* The answer to what cannot be learnt. */
static uint32_t refuse(uint8_t *answer, uint8_t error, uint8_t flags)
{
    return cnn_fail(answer, error, error == CNN_ERROR_BATCH ? CNN_BOARD_BATCH : flags);
}

/* Why `count` examples cannot be learnt as flags say; 0: they can.  A batch is begun, learnt from
 * and applied, in this order. */
static uint8_t refusal(uint32_t count, uint8_t flags)
{
    const uint8_t learning = flags & (uint8_t)~CNN_FLAG_KEEP;

    if (learning > (CNN_FLAG_LEARN | CNN_FLAG_BEGIN | CNN_FLAG_APPLY))
        return CNN_ERROR_FLAGS;
    if (flags != learning && !CNN_REPLAY_ROOM)
        return CNN_ERROR_UNSUPPORTED;
    if (learning == 0)
        return 0;
    if (!CNN_BOARD_TRAINS)
        return CNN_ERROR_UNSUPPORTED;
    if (!(learning & CNN_FLAG_LEARN)
        || ((learning & CNN_FLAG_BEGIN) != 0) != (state.batch == 0))
        return CNN_ERROR_FLAGS;
    return state.batch + count > CNN_BOARD_BATCH ? CNN_ERROR_BATCH : 0;
}

uint32_t on_example(const uint8_t *payload, uint32_t open, uint8_t *answer)
{
    uint32_t label = cnn_get16(payload + CNN_EXAMPLE_LABEL_AT);
    uint32_t offset = cnn_get32(payload + CNN_EXAMPLE_OFFSET_AT);
    uint8_t flags = payload[CNN_EXAMPLE_FLAGS_AT];
    uint8_t error = refusal(1, flags);
    uint32_t begun = cnn_port_ticks(), ran;

    if (label >= CNN_BOARD_CLASSES)
        return cnn_fail(answer, CNN_ERROR_LABEL, label);
    if (error)
        return refuse(answer, error, flags);
    if (!keep_part(payload + CNN_EXAMPLE_DATA_AT, offset, open)
        || cnn_crc32(0, (uint8_t *)state.sample, SAMPLE_BYTES)
               != cnn_get32(payload + CNN_EXAMPLE_CHECK_AT))
        return cnn_fail(answer, CNN_ERROR_SAMPLE, offset);
    cnn_port_infer(state.sample);
    cnn_put16(answer + CNN_EXAMPLE_ANSWER_PREDICTED_AT, read_scores());
    ran = cnn_port_ticks();
    cnn_put32(answer + CNN_EXAMPLE_ANSWER_LOSS_AT,
              cnn_cross_entropy(state.score, CNN_BOARD_CLASSES, label, CNN_BOARD_FRACTION));
#if CNN_BOARD_TRAINS
    if (flags & CNN_FLAG_LEARN)
        learn(label, flags);
#endif
#if CNN_REPLAY_ROOM
    if (flags & CNN_FLAG_KEEP)
        cnn_replay_offer(state.sample, label);
#endif
    state.examples++;
    answer[CNN_EXAMPLE_ANSWER_FLAGS_AT] = flags;
    cnn_put32(answer + CNN_EXAMPLE_ANSWER_INFERENCE_AT, ran - begun);
    cnn_put32(answer + CNN_EXAMPLE_ANSWER_LEARNING_AT, cnn_port_ticks() - ran);
    cnn_put32(answer + CNN_EXAMPLE_ANSWER_LEARNT_AT, state.learnt);
    return CNN_EXAMPLE_ANSWER_BYTES;
}

uint32_t on_rehearse(const uint8_t *payload, uint32_t open, uint8_t *answer)
{
    (void)open;
#if CNN_REPLAY_ROOM
    const uint32_t count = payload[CNN_REHEARSE_COUNT_AT], begun = cnn_port_ticks();
    const uint8_t flags = payload[CNN_REHEARSE_FLAGS_AT];
    const uint8_t error = refusal(count, flags);

    if (!(flags & CNN_FLAG_LEARN) || (flags & CNN_FLAG_KEEP) || count == 0)
        return cnn_fail(answer, CNN_ERROR_FLAGS, flags);
    if (error)
        return refuse(answer, error, flags);
    if (cnn_replay_held() == 0)
        return cnn_fail(answer, CNN_ERROR_EMPTY, 0);
    for (uint32_t n = 0; n < count; n++) {
        const uint32_t label = cnn_replay_draw(state.sample);
        const uint32_t begin = n == 0 ? flags & CNN_FLAG_BEGIN : 0;
        const uint32_t apply = n + 1 == count ? flags & CNN_FLAG_APPLY : 0;

        cnn_port_infer(state.sample);
        learn(label, begin | apply);
        state.examples++;
    }
    cnn_put16(answer + CNN_REHEARSE_ANSWER_KEPT_AT, cnn_replay_held());
    cnn_put32(answer + CNN_REHEARSE_ANSWER_LEARNT_AT, state.learnt);
    cnn_put32(answer + CNN_REHEARSE_ANSWER_TICKS_AT, cnn_port_ticks() - begun);
    return CNN_REHEARSE_ANSWER_BYTES;
#else
    (void)payload;
    return cnn_fail(answer, CNN_ERROR_UNSUPPORTED, 0);
#endif
}

uint32_t on_restart(const uint8_t *payload, uint32_t open, uint8_t *answer)
{
    (void)open;
#if CNN_BOARD_TRAINS
    (void)answer;
    cnn_train_reset(cnn_get32(payload + CNN_RESTART_SEED_AT));
#if CNN_REPLAY_ROOM
    cnn_replay_forget(cnn_get32(payload + CNN_RESTART_SEED_AT));
#endif
    state.learnt = state.steps = state.batch = 0;
    return 0;
#else
    (void)payload;
    return cnn_fail(answer, CNN_ERROR_UNSUPPORTED, 0);
#endif
}

uint32_t on_status(const uint8_t *payload, uint32_t open, uint8_t *answer)
{
    (void)payload;
    (void)open;
    cnn_put32(answer + CNN_STATUS_ANSWER_EXAMPLES_AT, state.examples);
    cnn_put32(answer + CNN_STATUS_ANSWER_LEARNT_AT, state.learnt);
    cnn_put32(answer + CNN_STATUS_ANSWER_STEPS_AT, state.steps);
    cnn_put32(answer + CNN_STATUS_ANSWER_FRAMES_AT, cnn_protocol_seen.frames);
    cnn_put32(answer + CNN_STATUS_ANSWER_FAULTY_AT, cnn_protocol_seen.faulty);
    cnn_put32(answer + CNN_STATUS_ANSWER_REPEATED_AT, cnn_protocol_seen.repeated);
    return CNN_STATUS_ANSWER_BYTES;
}

/* --- kernel and bias memory */

typedef struct {
    uint32_t base, group_stride, unit_stride, entry_stride;
    uint32_t groups, units, entries;
    uint32_t words; /* cppcheck-suppress unusedStructMember ; a column of the table */
} region;

static const region regions[] = CNN_REGIONS;

/* Whether `words` words from an address on are one unit's of a region. */
static int inside(const region *row, uint32_t address, uint32_t words)
{
    uint32_t offset = address - row->base;
    uint32_t group = row->groups > 1 ? offset / row->group_stride : 0;
    uint32_t unit;

    offset -= group * row->group_stride;
    unit = row->units > 1 ? offset / row->unit_stride : 0;
    offset -= unit * row->unit_stride;
    return address >= row->base && group < row->groups && unit < row->units
           && offset % 4 == 0 && offset + 4 * words <= row->entries * row->entry_stride;
}

static int legal(uint32_t address, uint32_t words, int writing)
{
    if (inside(&regions[CNN_BIAS_REGION], address, words))
        return 1;
    if (writing && (address % CNN_KERNEL_SLOT != 0 || words % (CNN_KERNEL_SLOT / 4) != 0))
        return 0; /* the last word of a slot commits the others */
    return inside(&regions[CNN_KERNEL_REGION], address, words);
}

uint32_t on_read(const uint8_t *payload, uint32_t open, uint8_t *answer)
{
    uint32_t address = cnn_get32(payload + CNN_READ_ADDRESS_AT);
    uint32_t words = cnn_get16(payload + CNN_READ_WORDS_AT);
    uint32_t bytes = CNN_READ_ANSWER_BYTES + 4 * words;

    (void)open;
    if (bytes > CNN_MAX_PAYLOAD || !legal(address, words, 0))
        return cnn_fail(answer, CNN_ERROR_ADDRESS, address);
    cnn_put32(answer + CNN_READ_ANSWER_ADDRESS_AT, address);
    for (uint32_t n = 0; n < words; n++)
        cnn_put32(answer + CNN_READ_ANSWER_DATA_AT + 4 * n, cnn_read(address + 4 * n));
    return bytes;
}

uint32_t on_write(const uint8_t *payload, uint32_t open, uint8_t *answer)
{
    uint32_t address = cnn_get32(payload + CNN_WRITE_ADDRESS_AT);

    if (open % 4 != 0 || !legal(address, open / 4, 1))
        return cnn_fail(answer, CNN_ERROR_ADDRESS, address);
    for (uint32_t n = 0; n < open; n += 4)
        cnn_write(address + n, cnn_get32(payload + CNN_WRITE_DATA_AT + n));
#if CNN_BOARD_TRAINS
    cnn_train_reload();
#endif
    return 0;
}

/* --- flash */

uint32_t on_save(const uint8_t *payload, uint32_t open, uint8_t *answer)
{
    (void)payload;
    (void)open;
#if CNN_BOARD_SAVES
    uint32_t slot;

    if (!cnn_store_save(&slot))
        return cnn_fail(answer, CNN_ERROR_FLASH, slot);
    answer[CNN_SAVE_ANSWER_SLOT_AT] = (uint8_t)slot;
    cnn_put32(answer + CNN_SAVE_ANSWER_SAVED_AT, cnn_store_newest());
    return CNN_SAVE_ANSWER_BYTES;
#else
    return cnn_fail(answer, CNN_ERROR_UNSUPPORTED, 0);
#endif
}

uint32_t on_forget(const uint8_t *payload, uint32_t open, uint8_t *answer)
{
    (void)payload;
    (void)open;
#if CNN_BOARD_SAVES
    return cnn_store_forget() ? 0 : cnn_fail(answer, CNN_ERROR_FLASH, 0);
#else
    return cnn_fail(answer, CNN_ERROR_UNSUPPORTED, 0);
#endif
}
