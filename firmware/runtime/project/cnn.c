/* The accelerator with one network in it; what is the network's own comes from generated headers.
 *
 * Memory and registers are reached by cnn_port.h, one 32-bit word at a time.
 */
#include "cnn.h"

#include "cnn_port.h"
#include "cnn_writes.h"
#include "weights.h"

#define ALL_QUADRANTS 0xFu
#define WORD 4u /* bytes */
#define KERNEL_BYTES 9u
#define SLOT_WORDS 4u /* a kernel word's place in memory; three hold something */

static const uint32_t kernels[] = KERNELS;   /* runs: address, count, words; ends with 0 */
static const uint32_t biases[] = BIASES;     /* runs: address, bytes, four to a word */

volatile uint32_t cnn_time;

/* --- power and clock */

int cnn_enable(uint32_t clock_source, uint32_t clock_divider)
{
    cnn_write(CNN_POWER_RESET, ALL_QUADRANTS);
    cnn_write(CNN_POWER_MEMORY, ALL_QUADRANTS);
    cnn_write(CNN_POWER_ON, ALL_QUADRANTS);
    cnn_write(CNN_POWER_ISOLATE, 0);
    cnn_write(CNN_POWER_RESET, 0);

    MXC_GCR->pclkdiv
        = (MXC_GCR->pclkdiv & ~(MXC_F_GCR_PCLKDIV_CNNCLKDIV | MXC_F_GCR_PCLKDIV_CNNCLKSEL))
          | clock_divider | clock_source;
    MXC_SYS_ClockEnable(MXC_SYS_PERIPH_CLOCK_CNN);
    MXC_NVIC_SetVector(CNN_IRQn, CNN_ISR);
    NVIC_EnableIRQ(CNN_IRQn);
    return CNN_OK;
}

int cnn_disable(void)
{
    MXC_SYS_ClockDisable(MXC_SYS_PERIPH_CLOCK_CNN);
    cnn_write(CNN_POWER_RESET, ALL_QUADRANTS);
    cnn_write(CNN_POWER_ISOLATE, ALL_QUADRANTS);
    cnn_write(CNN_POWER_ON, 0);
    cnn_write(CNN_POWER_MEMORY, 0);
    cnn_write(CNN_POWER_RESET, 0);
    return CNN_OK;
}

static void boost(mxc_gpio_regs_t *port, uint32_t pin)
{
    mxc_gpio_cfg_t output = {0};

    output.port = port;
    output.mask = pin;
    output.func = MXC_GPIO_FUNC_OUT;
    output.pad = MXC_GPIO_PAD_NONE;
    MXC_GPIO_Config(&output);
}

int cnn_boost_enable(mxc_gpio_regs_t *port, uint32_t pin)
{
    boost(port, pin);
    MXC_GPIO_OutSet(port, pin);
    return CNN_OK;
}

int cnn_boost_disable(mxc_gpio_regs_t *port, uint32_t pin)
{
    boost(port, pin);
    MXC_GPIO_OutClr(port, pin);
    return CNN_OK;
}

/* --- registers */

static void write_rows(const cnn_register_write *rows, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        cnn_write(rows[n].address, rows[n].value);
}

#define WRITE_ROWS(rows) write_rows(rows, sizeof(rows) / sizeof((rows)[0]))

int cnn_init(void)
{
    WRITE_ROWS(cnn_init_writes);
    return CNN_OK;
}

int cnn_configure(void)
{
    WRITE_ROWS(cnn_configure_writes);
    return CNN_OK;
}

/* --- kernels and biases */

void memcpy32(uint32_t *dst, const uint32_t *src, int n)
{
    uint32_t address = (uint32_t)(uintptr_t)dst;

    for (; n > 0; n--, address += WORD)
        cnn_write(address, *src++);
}

int cnn_load_weights(void)
{
    const uint32_t *next = kernels;
    uint32_t address;

    while ((address = *next++) != 0) {
#if CNN_PACKED_KERNELS
        cnn_write_byte(address | 1u, 1); /* the words that follow are a stream of bytes */
#endif
        for (uint32_t count = *next++; count > 0; count--, address += WORD)
            cnn_write(address, *next++);
    }
    return CNN_OK;
}

#if CNN_PACKED_KERNELS
/* The next bytes of a packed stream, most significant first. */
static uint32_t take_bytes(const uint32_t *stream, uint32_t *position, unsigned count)
{
    uint32_t value = 0;

    for (; count > 0; count--, (*position)++)
        value = value << 8 | (stream[*position / WORD] >> (24u - *position % WORD * 8u) & 0xFFu);
    return value;
}

/* Whether kernel memory from `address` on holds the kernel words of a packed stream. */
static int is_loaded(uint32_t address, const uint32_t *stream, uint32_t words)
{
    uint32_t position = 0;

    for (uint32_t count = words * WORD / KERNEL_BYTES; count > 0; count--) {
        uint32_t first = take_bytes(stream, &position, 1);
        uint32_t second = take_bytes(stream, &position, WORD);
        uint32_t third = take_bytes(stream, &position, WORD);

        if (cnn_read(address) != first || cnn_read(address + WORD) != second
            || cnn_read(address + 2 * WORD) != third)
            return 0;
        address += SLOT_WORDS * WORD;
    }
    return 1;
}

/* Packed, a kernel word is named by a word of address space; it is read from a slot of four. */
static uint32_t slot_address(uint32_t address)
{
    uint32_t offset = address % CNN_KERNEL_STRIDE;

    return address - offset + offset * SLOT_WORDS;
}
#else
static int is_loaded(uint32_t address, const uint32_t *expected, uint32_t words)
{
    for (; words > 0; words--, address += WORD)
        if (cnn_read(address) != *expected++)
            return 0;
    return 1;
}

static uint32_t slot_address(uint32_t address)
{
    return address;
}
#endif

int cnn_verify_weights(void)
{
    const uint32_t *next = kernels;
    uint32_t address;

    while ((address = *next++) != 0) {
        uint32_t words = *next++;

        if (!is_loaded(slot_address(address), next, words))
            return CNN_FAIL;
        next += words;
    }
    return CNN_OK;
}

int cnn_load_bias(void)
{
    const uint32_t *next = biases;
    uint32_t address;

    while ((address = *next++) != 0) {
        uint32_t bytes = *next++;

        for (uint32_t n = 0; n < bytes; n++)
            cnn_write(address + n * WORD, next[n / WORD] >> n % WORD * 8u & 0xFFu);
        next += (bytes + WORD - 1) / WORD;
    }
    return CNN_OK;
}

/* --- a run */

int cnn_start(void)
{
    cnn_time = 0;
#ifdef CNN_INFERENCE_TIMER
    MXC_TMR_SW_Start(CNN_INFERENCE_TIMER);
#endif
    CNN_START;
    WRITE_ROWS(cnn_start_writes);
    return CNN_OK;
}

int cnn_stop(void)
{
    cnn_write(CNN_MASTER, cnn_read(CNN_MASTER) & ~CNN_CONTROL_ENABLE);
    return CNN_OK;
}

int cnn_continue(void)
{
    cnn_time = 0;
    cnn_write(CNN_MASTER, cnn_read(CNN_MASTER) | CNN_CONTROL_ENABLE);
    return CNN_OK;
}

void CNN_ISR(void)
{
    static const uint32_t quadrants[] = CNN_QUADRANTS;

    for (unsigned n = 0; n < sizeof quadrants / sizeof quadrants[0]; n++) {
        uint32_t control = cnn_read(quadrants[n]);

        cnn_write(quadrants[n], control & ~(CNN_CONTROL_INTERRUPT | CNN_CONTROL_ENABLE));
    }
    CNN_COMPLETE;
#ifdef CNN_INFERENCE_TIMER
    cnn_time = MXC_TMR_SW_Stop(CNN_INFERENCE_TIMER);
#else
    cnn_time = 1;
#endif
}

/* --- results */

/* A value of the last layer, from the word of data memory that holds it. */
static void store_value(uint32_t *out_buf, uint32_t number, uint32_t address)
{
#if CNN_OUTPUT_BITS == 32
    out_buf[number] = cnn_read(address);
#else
    uint32_t value = cnn_read(address & ~(WORD - 1)) >> address % WORD * 8u & 0xFFu;
    uint32_t lane = number % WORD * 8u;

    if (lane == 0)
        out_buf[number / WORD] = 0;
    out_buf[number / WORD] |= value << lane;
#endif
}

int cnn_unload(uint32_t *out_buf)
{
    uint32_t number = 0;

    for (unsigned channel = 0; channel < CNN_OUTPUT_CHANNELS; channel++)
        for (unsigned row = 0; row < CNN_OUTPUT_ROWS; row++)
            for (unsigned column = 0; column < CNN_OUTPUT_COLUMNS; column++)
                store_value(out_buf, number++,
                            cnn_output_channels[channel] + row * CNN_OUTPUT_ROW_STEP
                                + column * CNN_OUTPUT_COLUMN_STEP);
    return CNN_OK;
}
