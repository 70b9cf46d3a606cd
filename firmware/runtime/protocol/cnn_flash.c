#include "cnn_flash.h"

#ifndef CNN_HOST

/* The flash controller, and what has to be emptied once it has worked. */
#define REGISTER(address) (*(volatile uint32_t *)(address))
#define FLC_ADDRESS REGISTER(0x40029000u)
#define FLC_DIVIDER REGISTER(0x40029004u)
#define FLC_CONTROL REGISTER(0x40029008u)
#define FLC_FLAGS REGISTER(0x40029024u)
#define FLC_DATA(n) REGISTER(0x40029030u + 4u * (n))
#define GCR_SYSTEM REGISTER(0x40000000u)

#define WRITE 1u
#define ERASE_PAGE (1u << 2)
#define BUSY (WRITE | 1u << 1 | ERASE_PAGE)
#define WIDTH_32 (1u << 4)
#define PAGE_CODE 0x5500u
#define CODE_MASK 0xFF00u
#define PENDING (1u << 24)
#define UNLOCKED (2u << 28)
#define LOCK_MASK (0xFu << 28)
#define ACCESS_FAILED 2u
#define FLUSH_CACHE (1u << 6)

#define FLASH 0x10000000u
#define FLASH_BYTES 0x80000u
#define FLASH_HERTZ 1000000u /* that the controller wants */

extern uint32_t SystemCoreClock; /* Hz: of the SDK, or of runtime/arm/port.c */

/* The flash cannot be read while it works, so this runs from SRAM, where linker scripts put
 * .flashprog; it calls nothing, and no interrupt may come. */
__attribute__((section(".flashprog"), noinline)) static uint32_t operate(uint32_t control,
                                                                         uint32_t command)
{
    uint32_t masked, failed;

    __asm volatile("mrs %0, primask\n\tcpsid i" : "=r"(masked) : : "memory");
    FLC_FLAGS = 0;
    FLC_CONTROL = control | UNLOCKED;
    FLC_CONTROL = control | UNLOCKED | command;
    while (FLC_CONTROL & PENDING) {
    }
    while (FLC_CONTROL & BUSY) {
    }
    failed = FLC_FLAGS & ACCESS_FAILED;
    FLC_CONTROL = 0; /* locked */
    FLC_FLAGS = 0;
    GCR_SYSTEM |= FLUSH_CACHE;
    while (GCR_SYSTEM & FLUSH_CACHE) {
    }
    __asm volatile("msr primask, %0" : : "r"(masked) : "memory");
    return failed;
}

/* The controller keeps a line that it has read; reading two others makes it forget. */
static void forget_lines(void)
{
    (void)REGISTER(FLASH);
    (void)REGISTER(FLASH + CNN_FLASH_PAGE);
}

static int start(uint32_t address, uint32_t control, uint32_t command)
{
    uint32_t failed;

    if (FLC_CONTROL & BUSY)
        return 0;
    FLC_DIVIDER = SystemCoreClock / FLASH_HERTZ;
    FLC_ADDRESS = address & (FLASH_BYTES - 1);
    failed = operate(control, command);
    forget_lines();
    return failed == 0;
}

int cnn_flash_erase(uint32_t address)
{
    return start(address, PAGE_CODE, ERASE_PAGE);
}

int cnn_flash_write(uint32_t address, const uint32_t *words)
{
    for (unsigned n = 0; n < CNN_FLASH_LINE / 4; n++)
        FLC_DATA(n) = words[n];
    return start(address, 0, WRITE);
}

#endif
