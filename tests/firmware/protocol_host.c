/* The board's protocol and store on this computer: bytes out into a buffer, the accelerator by a
 * callback, a flash that loses power when it is told to. */
#include <setjmp.h>
#include <string.h>

#include "cnn_board_config.h"
#include "cnn_flash.h"
#include "cnn_entropy.h"
#include "cnn_protocol.h"
#include "cnn_protocol_port.h"
#include "cnn_store.h"

#define FLASH_BYTES 0x80000u
#define FLASH_FIRST 0x10000000u

uint8_t host_sent[1 << 16];
uint32_t host_sent_bytes;
uint32_t host_infers;
void (*host_infer)(const uint32_t *words);
uint8_t host_flash[FLASH_BYTES];
uint32_t host_operations;    /* of the flash, since it was last set */
uint32_t host_cut_at;        /* power fails in this operation; 0: never */
uint8_t host_garbage[CNN_FLASH_PAGE]; /* what an interrupted erase leaves; masks of a write */
uint32_t host_misuses;       /* a bit from 0 to 1 without an erase */
const uint32_t cnn_port_hertz = 1000;

static jmp_buf power;
static uint32_t ticks;

uint32_t cnn_port_ticks(void)
{
    return ticks += 7;
}

void cnn_port_send(const uint8_t *bytes, uint32_t count)
{
    if (host_sent_bytes + count <= sizeof host_sent)
        memcpy(host_sent + host_sent_bytes, bytes, count);
    host_sent_bytes += count;
}

void cnn_port_infer(const uint32_t *words)
{
    host_infers++;
    if (host_infer)
        host_infer(words);
}

void host_receive(const uint8_t *bytes, uint32_t count);
int host_save(void);

void host_receive(const uint8_t *bytes, uint32_t count)
{
    while (count-- > 0)
        cnn_protocol_byte(*bytes++);
}

/* --- flash */

uint8_t cnn_flash_read(uint32_t address)
{
    return host_flash[address - FLASH_FIRST];
}

int cnn_flash_erase(uint32_t address)
{
    uint8_t *page = host_flash + (address - FLASH_FIRST);

    if (++host_operations == host_cut_at) {
        memcpy(page, host_garbage, CNN_FLASH_PAGE);
        longjmp(power, 1);
    }
    memset(page, 0xFF, CNN_FLASH_PAGE);
    return 1;
}

int cnn_flash_write(uint32_t address, const uint32_t *words)
{
    uint8_t *line = host_flash + (address - FLASH_FIRST);
    const uint8_t *bytes = (const uint8_t *)words;
    int cut = ++host_operations == host_cut_at;

    for (unsigned n = 0; n < CNN_FLASH_LINE; n++) {
        if (bytes[n] & ~line[n])
            host_misuses++;
        line[n] = (uint8_t)(line[n] & (cut ? bytes[n] | host_garbage[n] : bytes[n]));
    }
    if (cut)
        longjmp(power, 1);
    return 1;
}

/* 1: saved, 0: refused, -1: the power failed. */
int host_save(void)
{
    uint32_t slot;

    if (setjmp(power))
        return -1;
    return cnn_store_save(&slot);
}
