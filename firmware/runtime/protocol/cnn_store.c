#include "cnn_store.h"

#include "cnn_board_config.h"

#if CNN_BOARD_SAVES
#include "cnn_crc.h"
#include "cnn_flash.h"
#include "cnn_port.h"

#define SLOTS 2u
#define SLOT_BYTES (CNN_STORE_PAGES * CNN_FLASH_PAGE)
#define LINE_WORDS (CNN_FLASH_LINE / 4u)
#define MAGIC 0x4B38374Du /* "M78K" */
#define ERASED 0xFFFFFFFFu
#define KERNEL_SLOT 16u   /* bytes from one kernel word to the next */

#ifdef __arm__ /* for the linker script, which refuses a program that reaches so far */
#define TEXT(number) #number
#define SET(number) ".global cnn_store_first\n\t.set cnn_store_first, " TEXT(number)
__asm(SET(CNN_STORE_AT));
#endif

uint32_t cnn_store_loaded;

static const uint8_t digest[] = CNN_BOARD_DIGEST;

/* Stretches of kernel words (16 bytes apart), or of bias bytes (a word each). */
static const struct {
    uint32_t address, count;
    uint8_t kernels;
} runs[] = CNN_STORE_RUNS;

enum { RUNS = sizeof runs / sizeof runs[0] };

static uint32_t slot_address(uint32_t slot)
{
    return CNN_STORE_FIRST + slot * SLOT_BYTES;
}

/* --- is it complete? */

static uint32_t flash_word(uint32_t address)
{
    return cnn_flash_read(address) | (uint32_t)cnn_flash_read(address + 1) << 8
           | (uint32_t)cnn_flash_read(address + 2) << 16
           | (uint32_t)cnn_flash_read(address + 3) << 24;
}

static uint32_t crc_of_words(const uint32_t *words, uint32_t count)
{
    return cnn_crc32(0, (const uint8_t *)words, 4 * count);
}

static uint32_t begin_crc(void)
{
    return cnn_crc32(0, digest, sizeof digest);
}

static uint32_t content_crc(uint32_t slot)
{
    uint32_t address = slot_address(slot) + CNN_FLASH_LINE, crc = begin_crc();

    for (uint32_t n = 0; n < CNN_STORE_BYTES; n++) {
        uint8_t byte = cnn_flash_read(address + n);

        crc = cnn_crc32(crc, &byte, 1);
    }
    return crc;
}

/* The number of a slot's save; 0 when it is not complete, or another network's. */
static uint32_t number_of(uint32_t slot)
{
    uint32_t line[LINE_WORDS];

    for (uint32_t n = 0; n < LINE_WORDS; n++)
        line[n] = flash_word(slot_address(slot) + 4 * n);
    if (line[0] != MAGIC || line[3] != crc_of_words(line, 3) || line[2] != content_crc(slot))
        return 0;
    return line[1];
}

/* Of two numbers, 0 or not. */
static uint32_t newest_slot(void)
{
    return number_of(1) > number_of(0) ? 1 : 0;
}

uint32_t cnn_store_newest(void)
{
    return number_of(newest_slot());
}

/* --- load */

/* Write a kernel word from its 9 bytes, or a bias from its byte; the bytes that it took. */
static uint32_t put(uint32_t address, uint32_t from, uint8_t kernels)
{
    if (!kernels) {
        cnn_write(address, cnn_flash_read(from));
        return 1;
    }
    cnn_write(address, cnn_flash_read(from));
    cnn_write(address + 4, flash_word(from + 1));
    cnn_write(address + 8, flash_word(from + 5));
    cnn_write(address + 12, 0); /* commits the word */
    return 9;
}

int cnn_store_load(void)
{
    uint32_t slot = newest_slot(), number = number_of(slot);
    uint32_t from = slot_address(slot) + CNN_FLASH_LINE;

    cnn_store_loaded = number;
    if (number == 0)
        return 0;
    for (unsigned row = 0; row < RUNS; row++) {
        uint32_t step = runs[row].kernels ? KERNEL_SLOT : 4;

        for (uint32_t n = 0; n < runs[row].count; n++)
            from += put(runs[row].address + n * step, from, runs[row].kernels);
    }
    return 1;
}

/* --- save */

/* Bytes on their way to flash. */
static struct {
    uint32_t address; /* of the line */
    uint32_t line[LINE_WORDS];
    uint32_t filled; /* bytes of it */
    uint32_t crc;
    uint8_t good;
} writing;

static void write_line(void)
{
    if (writing.filled == 0)
        return;
    if (writing.good && !cnn_flash_write(writing.address, writing.line))
        writing.good = 0;
    writing.address += CNN_FLASH_LINE;
    writing.filled = 0;
}

static void save_byte(uint32_t value)
{
    uint8_t byte = (uint8_t)value;

    if (writing.filled == 0)
        for (uint32_t n = 0; n < LINE_WORDS; n++)
            writing.line[n] = ERASED;
    ((uint8_t *)writing.line)[writing.filled++] = byte;
    writing.crc = cnn_crc32(writing.crc, &byte, 1);
    if (writing.filled == CNN_FLASH_LINE)
        write_line();
}

static void save_word(uint32_t word)
{
    for (unsigned n = 0; n < 4; n++)
        save_byte(word >> 8 * n);
}

static void save_run(unsigned row)
{
    for (uint32_t n = 0; n < runs[row].count; n++) {
        uint32_t address = runs[row].address + n * (runs[row].kernels ? KERNEL_SLOT : 4);

        save_byte(cnn_read(address));
        if (runs[row].kernels) {
            save_word(cnn_read(address + 4));
            save_word(cnn_read(address + 8));
        }
    }
}

/* Its first page goes first: with it goes the line that calls the rest complete. */
static int erase(uint32_t slot)
{
    for (uint32_t page = 0; page < CNN_STORE_PAGES; page++)
        if (!cnn_flash_erase(slot_address(slot) + page * CNN_FLASH_PAGE))
            return 0;
    return 1;
}

int cnn_store_save(uint32_t *slot)
{
    uint32_t newest = newest_slot(), number = number_of(newest) + 1;
    uint32_t line[LINE_WORDS];

    *slot = number == 1 ? 0 : 1 - newest;
    if (!erase(*slot))
        return 0;
    writing.address = slot_address(*slot) + CNN_FLASH_LINE;
    writing.filled = 0;
    writing.crc = begin_crc();
    writing.good = 1;
    for (unsigned row = 0; row < RUNS; row++)
        save_run(row);
    write_line();
    if (!writing.good || content_crc(*slot) != writing.crc)
        return 0;
    line[0] = MAGIC;
    line[1] = number;
    line[2] = writing.crc;
    line[3] = crc_of_words(line, 3);
    return cnn_flash_write(slot_address(*slot), line) && number_of(*slot) == number;
}

int cnn_store_forget(void)
{
    uint32_t newest = newest_slot();

    return erase(1 - newest) && erase(newest); /* never the older one alone */
}

#endif
