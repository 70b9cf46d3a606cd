/* What is kept of a stream of examples: see cnn_replay.h. */
#include "cnn_board_config.h"
#include "cnn_replay.h"

#if CNN_REPLAY_ROOM
#include <string.h>

#include "cnn_random.h"

enum { SAMPLE_BYTES = 4 * CNN_BOARD_SAMPLE_WORDS, KEPT_BYTES = SAMPLE_BYTES * CNN_REPLAY_BITS / 8 };
enum { NOWHERE = CNN_REPLAY_ROOM };

static struct {
    uint8_t kept[CNN_REPLAY_ROOM][KEPT_BYTES];
    uint16_t label[CNN_REPLAY_ROOM];
    uint32_t held, offered, drawn;
    uint32_t policy_seed, draw_seed;
#if CNN_REPLAY_BALANCED
    uint16_t place[CNN_REPLAY_ROOM]; /* places, so that those of a class are in its own order */
    uint16_t of_class[CNN_BOARD_CLASSES];
    uint32_t seen[CNN_BOARD_CLASSES];
    uint16_t known[CNN_BOARD_CLASSES]; /* classes, in the order of their first examples */
    uint32_t classes;
#endif
} state;

void cnn_replay_forget(uint32_t seed)
{
    memset(&state, 0, sizeof state);
    state.policy_seed = seed ^ CNN_REPLAY_POLICY_SALT;
    state.draw_seed = seed ^ CNN_REPLAY_DRAW_SALT;
}

uint32_t cnn_replay_held(void)
{
    return state.held;
}

/* The number-th draw: 0 to below - 1. */
static uint32_t uniform(uint32_t seed, uint32_t number, uint32_t below)
{
    return (uint32_t)((uint64_t)cnn_mix(cnn_salt(seed, number)) * below >> 32);
}

/* --- a sample in a place */

#if CNN_REPLAY_BITS == 4
/* int8 to the nearest of 16 steps of 16, from -128 on; and back. */
static uint32_t code_of(int32_t value)
{
    const int32_t code = (value + 128 + 8) >> 4;

    return (uint32_t)(code > 15 ? 15 : code);
}

static uint8_t value_of(uint32_t code)
{
    return (uint8_t)((code << 4) - 128);
}

static void encode(uint8_t *kept, const uint8_t *sample)
{
    for (uint32_t n = 0; n < KEPT_BYTES; n++)
        kept[n] = (uint8_t)(code_of((int8_t)sample[2 * n]) | code_of((int8_t)sample[2 * n + 1]) << 4);
}

static void decode(uint8_t *sample, const uint8_t *kept)
{
    for (uint32_t n = 0; n < KEPT_BYTES; n++) {
        sample[2 * n] = value_of(kept[n] & 15u);
        sample[2 * n + 1] = value_of((uint32_t)kept[n] >> 4);
    }
}
#else
static void encode(uint8_t *kept, const uint8_t *sample)
{
    memcpy(kept, sample, KEPT_BYTES);
}

static void decode(uint8_t *sample, const uint8_t *kept)
{
    memcpy(sample, kept, KEPT_BYTES);
}
#endif

/* --- who stays: the place of the example that is offered, or NOWHERE */

#if CNN_REPLAY_BALANCED
/* Where in state.place the n-th of a class is. */
static uint32_t find(uint32_t label, uint32_t n)
{
    uint32_t at = 0;

    while (state.label[state.place[at]] != label || n-- > 0)
        at++;
    return at;
}

static uint32_t largest_class(void)
{
    uint32_t largest = state.known[0];

    for (uint32_t n = 1; n < state.classes; n++)
        if (state.of_class[state.known[n]] > state.of_class[largest])
            largest = state.known[n];
    return largest;
}

/* The n-th of a class goes; its place. */
static uint32_t drive_out(uint32_t label, uint32_t n)
{
    const uint32_t at = find(label, n);
    const uint32_t place = state.place[at];

    memmove(&state.place[at], &state.place[at + 1],
            (CNN_REPLAY_ROOM - 1 - at) * sizeof state.place[0]);
    state.of_class[label]--;
    return place;
}

static uint32_t choose(uint32_t number, uint32_t label)
{
    uint32_t largest, place;

    if (state.seen[label]++ == 0)
        state.known[state.classes++] = (uint16_t)label;
    if (state.held < CNN_REPLAY_ROOM) {
        place = state.held;
        state.place[state.held] = (uint16_t)place;
        state.of_class[label]++;
        return place;
    }
    largest = largest_class();
    if (state.of_class[label] < state.of_class[largest]) {
        place = drive_out(largest, uniform(state.policy_seed, number, state.of_class[largest]));
        state.place[CNN_REPLAY_ROOM - 1] = (uint16_t)place;
        state.of_class[label]++;
        return place;
    }
    place = uniform(state.policy_seed, number, state.seen[label]);
    return place < state.of_class[label] ? state.place[find(label, place)] : NOWHERE;
}
#else
static uint32_t choose(uint32_t number, uint32_t label)
{
    (void)label;
    return number < CNN_REPLAY_ROOM ? number : uniform(state.policy_seed, number, number + 1);
}
#endif

void cnn_replay_offer(const uint32_t *sample, uint32_t label)
{
    const uint32_t place = choose(state.offered++, label);

    if (place >= CNN_REPLAY_ROOM)
        return;
    if (state.held < CNN_REPLAY_ROOM)
        state.held++;
    encode(state.kept[place], (const uint8_t *)sample);
    state.label[place] = (uint16_t)label;
}

uint32_t cnn_replay_draw(uint32_t *sample)
{
    const uint32_t place = uniform(state.draw_seed, state.drawn++, state.held);

    decode((uint8_t *)sample, state.kept[place]);
    return state.label[place];
}
#endif
