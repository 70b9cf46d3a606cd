/* Frames: bytes in, at most one answer out, and nothing done twice.
 *
 * A request with the sequence number of the last one is that one again: its answer was lost, so
 * the remembered answer is sent once more.  Only the next number is new work.
 */
#include "cnn_protocol.h"

#include <stddef.h>
#include <string.h>

#include "cnn_crc.h"
#include "cnn_protocol_port.h"

#define FRAME_BYTES (CNN_HEADER_BYTES + CNN_MAX_PAYLOAD + CNN_CRC_BYTES)
#define SEQUENCE_AT 1u
#define SESSION_AT 3u
#define COBS_LONGEST 255u /* code of a block that no zero follows */
#define FIRST_SEQUENCE 0u /* of a session: its hello */

cnn_protocol_counts cnn_protocol_seen;

/* --- what is being received */

static struct {
    uint8_t frame[FRAME_BYTES];
    uint32_t length;  /* bytes of frame; more than FRAME_BYTES: too long */
    uint32_t left;    /* bytes of the present COBS block that are to come */
    uint8_t zero;     /* a zero comes before the next block */
    uint8_t begun;
} receiving;

/* --- the session */

static struct {
    uint32_t session; /* CNN_NOBODY: none yet */
    uint32_t sequence; /* of the last request that was carried out */
    uint32_t check;    /* CRC of that request */
    uint32_t length;   /* bytes of its answer */
    uint8_t answer[FRAME_BYTES];
} last;

static uint8_t refusal[CNN_HEADER_BYTES + 128 + CNN_CRC_BYTES]; /* answers that are not kept */

/* --- handlers: defined by the application */

typedef uint32_t handler(const uint8_t *payload, uint32_t open, uint8_t *answer);

#define DECLARE(name, number, bytes, open) handler on_##name;
CNN_REQUESTS(DECLARE)

static const struct request {
    uint8_t number, open;
    uint16_t bytes; /* of the payload, without its open end */
    handler *handle;
} requests[] = {
#define REQUEST(name, number, bytes, open) {number, open, bytes, on_##name},
    CNN_REQUESTS(REQUEST)
};

static const struct {
    uint8_t code;
    const char *text;
} errors[] = {
#define ERROR_ROW(name, code, text) {code, text},
    CNN_ERRORS(ERROR_ROW)
};

/* --- sending */

/* By COBS, straight from the frame: a code byte, the bytes up to the next zero, and so on. */
static void send(const uint8_t *frame, uint32_t length)
{
    static const uint8_t delimiter = 0;
    uint32_t place = 0;
    uint8_t code;

    cnn_port_send(&delimiter, 1);
    do {
        uint32_t count = 0;

        while (place + count < length && count < COBS_LONGEST - 1 && frame[place + count] != 0)
            count++;
        code = (uint8_t)(count + 1);
        cnn_port_send(&code, 1);
        if (count > 0)
            cnn_port_send(frame + place, count);
        place += count + (code == COBS_LONGEST ? 0 : 1); /* the zero is what the code says */
    } while (place < length || (place == length && code != COBS_LONGEST));
    cnn_port_send(&delimiter, 1);
}

/* Complete a frame whose payload is in place; returns its length. */
static uint32_t sealed(uint8_t *frame, uint8_t type, const uint8_t *header, uint32_t payload)
{
    uint32_t length = CNN_HEADER_BYTES + payload;

    frame[0] = type;
    memcpy(frame + SEQUENCE_AT, header + SEQUENCE_AT, CNN_HEADER_BYTES - SEQUENCE_AT);
    cnn_put32(frame + length, cnn_crc32(0, frame, length));
    return length + CNN_CRC_BYTES;
}

/* Set by cnn_fail, so that the answer's type is that of an error. */
static uint8_t failed;

uint32_t cnn_fail(uint8_t *answer, uint8_t code, uint32_t detail)
{
    const char *text = "";
    uint32_t bytes = 0;

    for (unsigned n = 0; n < sizeof errors / sizeof errors[0]; n++)
        if (errors[n].code == code)
            text = errors[n].text;
    failed = 1;
    answer[CNN_ERROR_ANSWER_CODE_AT] = code;
    cnn_put32(answer + CNN_ERROR_ANSWER_DETAIL_AT, detail);
    for (; text[bytes] != '\0'; bytes++)
        answer[CNN_ERROR_ANSWER_TEXT_AT + bytes] = (uint8_t)text[bytes];
    return CNN_ERROR_ANSWER_BYTES + bytes;
}

/* An error that is not the answer of a request that was carried out: it is not kept. */
static void refuse(const uint8_t *header, uint8_t code, uint32_t detail)
{
    uint32_t bytes = cnn_fail(refusal + CNN_HEADER_BYTES, code, detail);

    send(refusal, sealed(refusal, CNN_ERROR, header, bytes));
}

/* --- requests */

static const struct request *find(uint8_t number)
{
    for (unsigned n = 0; n < sizeof requests / sizeof requests[0]; n++)
        if (requests[n].number == number)
            return &requests[n];
    return NULL;
}

/* The bytes of the answer's payload. */
static uint32_t carry_out(const uint8_t *frame, uint32_t length, uint8_t *answer)
{
    const struct request *request = find(frame[0]);
    uint32_t bytes = length - CNN_HEADER_BYTES;

    failed = 0;
    if (request == NULL)
        return cnn_fail(answer, CNN_ERROR_UNKNOWN, frame[0]);
    if (bytes < request->bytes || (bytes > request->bytes && !request->open))
        return cnn_fail(answer, CNN_ERROR_LENGTH, bytes);
    return request->handle(frame + CNN_HEADER_BYTES, bytes - request->bytes, answer);
}

/* Carry out a request and remember its answer, or refuse a hello without a trace. */
static void answer_new(const uint8_t *frame, uint32_t length)
{
    uint32_t bytes = carry_out(frame, length, last.answer + CNN_HEADER_BYTES);
    uint8_t type = failed ? CNN_ERROR : (uint8_t)(frame[0] | CNN_ANSWER);

    last.length = sealed(last.answer, type, frame, bytes);
    last.sequence = cnn_get16(frame + SEQUENCE_AT);
    last.session = cnn_get32(frame + SESSION_AT);
    last.check = cnn_get32(frame + length);
    if (failed && frame[0] == CNN_HELLO)
        last.session = CNN_NOBODY;
    send(last.answer, last.length);
}

/* A readable frame: `length` bytes of header and payload, then its CRC. */
static void act(const uint8_t *frame, uint32_t length)
{
    uint32_t sequence = cnn_get16(frame + SEQUENCE_AT);
    uint32_t session = cnn_get32(frame + SESSION_AT);
    uint8_t begins = frame[0] == CNN_HELLO && sequence == FIRST_SEQUENCE && session != CNN_NOBODY;

    if (frame[0] & CNN_ANSWER) /* an echo: not for us */
        return;
    cnn_protocol_seen.frames++;
    if (session != last.session || session == CNN_NOBODY) {
        if (begins)
            answer_new(frame, length);
        else
            refuse(frame, CNN_ERROR_SESSION, last.session);
    } else if (sequence == last.sequence && cnn_get32(frame + length) == last.check) {
        cnn_protocol_seen.repeated++;
        send(last.answer, last.length);
    } else if (sequence == ((last.sequence + 1u) & 0xFFFFu)) {
        answer_new(frame, length);
    } else {
        refuse(frame, CNN_ERROR_SEQUENCE, last.sequence);
    }
}

/* --- receiving */

/* A delimiter: what came since the one before is a frame, or nothing at all, or broken. */
static void finish(void)
{
    static const uint8_t nobody[CNN_HEADER_BYTES]; /* sequence 0, session CNN_NOBODY */
    uint32_t length = receiving.length - CNN_CRC_BYTES;

    if (!receiving.begun)
        return;
    if (receiving.left == 0 && receiving.length <= FRAME_BYTES
        && receiving.length >= CNN_HEADER_BYTES + CNN_CRC_BYTES
        && cnn_crc32(0, receiving.frame, length) == cnn_get32(receiving.frame + length)) {
        act(receiving.frame, length);
        return;
    }
    cnn_protocol_seen.faulty++;
    refuse(nobody, CNN_ERROR_FAULTY, cnn_protocol_seen.faulty);
}

static void take(uint8_t byte)
{
    if (receiving.length < FRAME_BYTES)
        receiving.frame[receiving.length++] = byte;
    else
        receiving.length = FRAME_BYTES + 1;
}

void cnn_protocol_byte(uint8_t byte)
{
    if (byte == 0) {
        finish();
        receiving.length = receiving.left = 0;
        receiving.zero = receiving.begun = 0;
    } else if (receiving.left > 0) {
        take(byte);
        receiving.left--;
    } else {
        if (receiving.zero)
            take(0);
        receiving.begun = 1;
        receiving.left = byte - 1u;
        receiving.zero = byte != COBS_LONGEST;
    }
}
