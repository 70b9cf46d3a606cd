/* A small program for max78k exec: a recorded program's writes, its run, its known answer.
 *
 * case.h, written by the test: CASE (a function below), BEFORE {address, size, value} writes up to
 * the start, ANSWER {address, word}. */
#include <stdio.h>
#include <string.h>

#include "case.h"
#include "mxc.h"
#include "mxc_delay.h"

#define WORD(address) (*(volatile uint32_t *)(uintptr_t)(address))

static const uint32_t before[][3] = BEFORE;
static const uint32_t answer[][2] = ANSWER;
static volatile uint32_t done;

void CNN_ISR(void)
{
    for (uint32_t control = 0x50100000; control < 0x51100000; control += 0x400000)
        WORD(control) &= ~((1u << 12) | 1u);
    done = MXC_TMR_SW_Stop(MXC_TMR0);
}

static void power(void)
{
    MXC_GCFR->reg3 = 0xf;
    MXC_GCFR->reg1 = 0xf;
    MXC_GCFR->reg0 = 0xf;
    MXC_GCFR->reg2 = 0;
    MXC_GCFR->reg3 = 0;
    MXC_SYS_ClockEnable(MXC_SYS_PERIPH_CLOCK_CNN);
    MXC_NVIC_SetVector(CNN_IRQn, CNN_ISR);
}

static void start(void)
{
    for (unsigned n = 0; n < sizeof before / sizeof *before; n++)
        if (before[n][1] == 1)
            *(volatile uint8_t *)(uintptr_t)before[n][0] = (uint8_t)before[n][2];
        else
            WORD(before[n][0]) = before[n][2];
    MXC_TMR_SW_Start(MXC_TMR0);
}

static int check(void)
{
    for (unsigned n = 0; n < sizeof answer / sizeof *answer; n++)
        if (WORD(answer[n][0]) != answer[n][1]) {
            printf("*** FAIL *** at 0x%08x\n", (unsigned)answer[n][0]);
            return 1;
        }
    printf("*** PASS ***\n");
    return 0;
}

static void sleeps(void)
{
    power();
    start();
    while (done == 0)
        __WFI();
    check();
}

static void spins(void) /* the interrupt comes while a variable is polled */
{
    power();
    start();
    while (done == 0)
        ;
    check();
}

static void polls(void) /* no interrupt: the status register tells */
{
    power();
    NVIC_DisableIRQ(CNN_IRQn);
    start();
    while (!(WORD(before[sizeof before / sizeof *before - 1][0]) & (1u << 12)))
        ;
    check();
}

static void races(void) /* sleeps only if the interrupt has not come; takes it later */
{
    power();
    start();
    __disable_irq();
    if (done == 0)
        __WFI();
    __enable_irq();
    if (done)
        check();
}

static void delays(void)
{
    power();
    start();
    MXC_Delay(SEC(1));
    if (done)
        check();
}

static void loops(void) /* as the vendor's fail() */
{
    sleeps();
    while (1)
        ;
}

struct group {
    uint32_t words[8];
};

static void copies(void) /* memcpy, memset, memcmp and a struct's assignment */
{
    volatile uint32_t *at = (volatile uint32_t *)0x50400000;
    uint32_t *memory = (uint32_t *)0x50400000, back[8];
    struct group one = {{1, 2, 3, 4, 5, 6, 7, 8}};

    power();
    memset(memory, 0x11, 32);
    if (at[7] == 0x11111111) {
        memcpy(memory, one.words, 16);
        *(struct group *)(memory + 8) = one;
        memcpy(back, memory, 32);
        if (back[3] == 4 && back[4] == 0x11111111 && memcmp(memory + 8, one.words, 32) == 0 &&
            at[15] == 8)
            printf("PASS\n");
    }
}

static void bytes(void)
{
    power();
    printf("read %u\n", *(volatile uint8_t *)0x50400001);
}

static void unpowered(void) { start(); }
static void early(void) /* reads while the accelerator runs */
{
    power();
    start();
    check();
}

static void crashes(void) { *(volatile int *)8 = 1; }

static void hangs(void)
{
    while (1)
        ;
}

static void hangs_busy(void)
{
    power();
    while (1)
        WORD(0x50400000);
}

static void forgets(void) /* to start */
{
    power();
    while (done == 0)
        __WFI();
}

static int status;
static void returns_zero(void) {}
static void returns_one(void) { status = 1; }

typedef void program(void);
program *const every[] = {sleeps,  spins,   polls, races,      delays,  loops,        copies,     bytes,
                          early,   unpowered, crashes, hangs,  hangs_busy, forgets, returns_zero,
                          returns_one};

int main(void)
{
    CASE();
    return status;
}
