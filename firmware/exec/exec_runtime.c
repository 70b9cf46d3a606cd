/* Every access of a program is seen: the compiler calls __tsan_... before each, and those to the
 * accelerator go to the simulated chip.  Memory is mapped at the chip's addresses, so that the
 * access itself, which follows, finds what was read there, or leaves there what it writes: a write
 * is sent on when the next thing happens.
 */
#define _GNU_SOURCE
#include "exec_runtime.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "exec_ranges.h" /* generated: EXEC_RANGES {first, end}, EXEC_MAPS {first, end} */

#define BUFFER 1024
#define POLLS 64 /* reads of volatile memory after which a program is taken to wait */

typedef struct {
    uintptr_t first, end;
} range;

static const range ranges[] = EXEC_RANGES;
static const range maps[] = EXEC_MAPS;
static exec_record buffer[BUFFER];
static unsigned filled;
static exec_record pending; /* a write whose value is not in memory yet; size 0: none */
static int connection = -1;
static unsigned polls;
static int interested; /* whether the accelerator may have something to say */
static int in_handler;

void (*exec_vector)(void);
int exec_masked, exec_enabled = 1;
uint64_t exec_cycles;

void CNN_ISR(void) __attribute__((weak));
int train_check(void) __attribute__((weak));
void *__real_memcpy(void *to, const void *from, size_t size);
int __real_memcmp(const void *one, const void *other, size_t size);
void *__real_memmove(void *to, const void *from, size_t size);
void *__real_memset(void *to, int value, size_t size);

/* --- the connection */

static void flush(void)
{
    const char *next = (const char *)buffer;
    size_t left = filled * sizeof *buffer;

    filled = 0;
    while (left > 0) {
        ssize_t sent = write(connection, next, left);

        if (sent <= 0)
            _exit(125); /* nobody is there any more */
        next += sent;
        left -= (size_t)sent;
    }
}

static void put(exec_record record)
{
    if (filled == BUFFER)
        flush();
    buffer[filled++] = record;
}

static uint32_t load(uintptr_t address, uint32_t size)
{
    const volatile uint8_t *byte = (const volatile uint8_t *)address;

    if (size >= 3)
        return *(const volatile uint32_t *)address;
    if (size == 2)
        return *(const volatile uint16_t *)address;
    return *byte;
}

static void settle(void)
{
    exec_record part = pending;

    pending.size = 0;
    for (uint32_t left = part.size; left > 0; left -= part.size, part.address += part.size) {
        part.size = left < 4 ? left : 4;
        part.value = load(part.address, part.size);
        put(part);
    }
}

exec_reply exec_send(uint32_t kind, uint32_t size, uint32_t address, uint32_t value, uint32_t pc)
{
    exec_record record = {kind, size, address, value, pc};
    exec_reply reply = {0, 0, 0};
    char *next = (char *)&reply;
    size_t left = sizeof reply;

    settle();
    put(record);
    if (kind == EXEC_WRITE) {
        interested = 1;
        return reply;
    }
    flush();
    while (left > 0) {
        ssize_t got = read(connection, next, left);

        if (got <= 0)
            _exit(125);
        next += got;
        left -= (size_t)got;
    }
    exec_cycles = reply.cycles;
    return reply;
}

uint32_t exec_read(uint32_t address)
{
    return exec_send(EXEC_READ, 4, address, 0, 0).value;
}

void exec_write(uint32_t address, uint32_t value)
{
    exec_send(EXEC_WRITE, 4, address, value, 0);
}

/* --- the interrupt */

static int take(exec_reply reply)
{
    void (*handler)(void) = exec_vector ? exec_vector : CNN_ISR;

    if (!reply.value || exec_masked || !exec_enabled || !handler)
        return 0;
    in_handler = 1;
    handler();
    in_handler = 0;
    return 1;
}

void exec_poll(int waits)
{
    polls = 0;
    settle();
    if (!interested || in_handler)
        return;
    exec_reply reply = exec_send(EXEC_WAIT, (uint32_t)waits, 0, 0, 0);

    interested = reply.running; /* or once it is written to again */
    if (!take(reply) && reply.value)
        interested = 1;
}

void exec_wait(void)
{
    uint32_t pc = (uint32_t)(uintptr_t)__builtin_return_address(0);

    polls = 0;
    if (in_handler)
        return;
    exec_reply reply = exec_send(EXEC_WAIT, 1, 0, 0, pc);

    interested |= (int)reply.value;
    if (!take(reply) && !reply.value)
        exec_send(EXEC_ASLEEP, 0, 0, 0, pc);
}

/* --- accesses */

static int on_bus(uintptr_t address)
{
    for (unsigned n = 0; n < sizeof ranges / sizeof *ranges; n++)
        if (address - ranges[n].first < ranges[n].end - ranges[n].first)
            return 1;
    return 0;
}

/* A struct's assignment announces its write, then its read, then does both: a write stays pending
 * while other memory is read.  (From accelerator to accelerator the old words would be sent.) */
static void see_read(uintptr_t address, uint32_t size, uint32_t pc)
{
    if (!on_bus(address))
        return;
    settle();
    for (uint32_t done = 0; done < size; done += 4) {
        uint32_t part = size - done < 4 ? size - done : 4;
        uint32_t value = exec_send(EXEC_READ, part, (uint32_t)address + done, 0, pc).value;

        __real_memcpy((void *)(address + done), &value, part);
    }
}

static void see_write(uintptr_t address, uint32_t size, uint32_t pc)
{
    settle();
    if (!on_bus(address))
        return;
    interested = 1;
    exec_record record = {EXEC_WRITE, size, (uint32_t)address, 0, pc};

    pending = record;
}

#define PC ((uint32_t)(uintptr_t)__builtin_return_address(0))
#define ACCESS(size)                                                                              \
    void __tsan_read##size(void *at) { see_read((uintptr_t)at, size, PC); }                       \
    void __tsan_write##size(void *at) { see_write((uintptr_t)at, size, PC); }                     \
    void __tsan_unaligned_read##size(void *at) { see_read((uintptr_t)at, size, PC); }             \
    void __tsan_unaligned_write##size(void *at) { see_write((uintptr_t)at, size, PC); }           \
    void __tsan_unaligned_volatile_read##size(void *at) { see_read((uintptr_t)at, size, PC); }    \
    void __tsan_unaligned_volatile_write##size(void *at) { see_write((uintptr_t)at, size, PC); }  \
    void __tsan_volatile_write##size(void *at) { see_write((uintptr_t)at, size, PC); }            \
    void __tsan_volatile_read##size(void *at)                                                     \
    {                                                                                             \
        see_read((uintptr_t)at, size, PC);                                                        \
        if (!on_bus((uintptr_t)at) && ++polls == POLLS)                                           \
            exec_poll(1);                                                                         \
    }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __tsan_init(void) {}
void __tsan_func_entry(void *caller) { (void)caller; }
void __tsan_func_exit(void) { settle(); }

/* Copies of structs, and memcpy, memmove, memset: whole words if aligned, else bytes. */
static void copy_out(uintptr_t from, uint8_t *to, size_t size, uint32_t pc)
{
    size_t step = (from | size) & 3 ? 1 : 4;

    for (size_t done = 0; done < size; done += step) {
        uint32_t at = (uint32_t)(from + done);
        uint32_t value = exec_send(EXEC_READ, (uint32_t)step, at, 0, pc).value;

        __real_memcpy(to + done, &value, step);
    }
}

static void copy_in(uintptr_t to, const uint8_t *from, size_t size, uint32_t pc)
{
    size_t step = (to | size) & 3 ? 1 : 4;

    for (size_t done = 0; done < size; done += step) {
        uint32_t value = 0;

        __real_memcpy(&value, from + done, step);
        exec_send(EXEC_WRITE, (uint32_t)step, (uint32_t)(to + done), value, pc);
    }
}

void __tsan_read_range(void *at, size_t size)
{
    if (on_bus((uintptr_t)at)) {
        settle();
        copy_out((uintptr_t)at, at, size, PC);
    }
}

void __tsan_write_range(void *at, size_t size)
{
    settle();
    if (on_bus((uintptr_t)at)) {
        exec_record record = {EXEC_WRITE, (uint32_t)size, (uint32_t)(uintptr_t)at, 0, PC};

        interested = 1;
        pending = record;
    }
}

void *__wrap_memmove(void *to, const void *from, size_t size)
{
    int out = on_bus((uintptr_t)from), in = on_bus((uintptr_t)to);
    uint8_t *words = out ? malloc(size + 1) : NULL;

    settle();
    if (out)
        copy_out((uintptr_t)from, words, size, PC);
    if (in)
        copy_in((uintptr_t)to, out ? words : from, size, PC);
    else
        __real_memmove(to, out ? words : from, size);
    free(words);
    return to;
}

void *__wrap_memcpy(void *to, const void *from, size_t size)
{
    if (pending.size == size && pending.address == (uintptr_t)to)
        pending.size = 0; /* the copy of a struct: announced, and done here */
    if (!on_bus((uintptr_t)from) && !on_bus((uintptr_t)to)) {
        settle();
        return __real_memcpy(to, from, size);
    }
    return __wrap_memmove(to, from, size);
}

void *__wrap_memset(void *to, int value, size_t size)
{
    uint8_t *bytes;

    settle();
    if (!on_bus((uintptr_t)to))
        return __real_memset(to, value, size);
    bytes = malloc(size + 1);
    __real_memset(bytes, value, size);
    copy_in((uintptr_t)to, bytes, size, PC);
    free(bytes);
    return to;
}

int __wrap_memcmp(const void *one, const void *other, size_t size)
{
    settle();
    if (on_bus((uintptr_t)one))
        copy_out((uintptr_t)one, (void *)(uintptr_t)one, size, PC);
    if (on_bus((uintptr_t)other))
        copy_out((uintptr_t)other, (void *)(uintptr_t)other, size, PC);
    return __real_memcmp(one, other, size);
}

/* --- begin and end */

static void crashed(int number, siginfo_t *info, void *context)
{
    uint32_t pc = 0;

#if defined(__x86_64__)
    pc = (uint32_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    pc = (uint32_t)((ucontext_t *)context)->uc_mcontext.pc;
#endif
    exec_send(EXEC_CRASH, 0, (uint32_t)(uintptr_t)info->si_addr, (uint32_t)number, pc);
    _exit(125);
}

static void ended(int code, void *unused)
{
    (void)unused;
    fflush(stdout);
    exec_send(EXEC_END, 0, 0, (uint32_t)code, 0);
}

__attribute__((constructor)) static void begin(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    static char stack[65536];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    const char *number = getenv("MAX78K_EXEC_SOCKET");

    if (number == NULL) {
        fputs("this program runs under max78k exec\n", stderr);
        _exit(125);
    }
    connection = atoi(number);
    setvbuf(stdout, NULL, _IONBF, 0);
    for (unsigned n = 0; n < sizeof maps / sizeof *maps; n++)
        if (mmap((void *)maps[n].first, maps[n].end - maps[n].first, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
                 0) != (void *)maps[n].first) {
            fprintf(stderr, "address 0x%lx is not free in this process\n", (long)maps[n].first);
            _exit(125);
        }
    sigaltstack(&other, NULL);
    for (unsigned n = 0; n < sizeof signals / sizeof *signals; n++)
        sigaction(signals[n], &action, NULL);
    on_exit(ended, NULL);
}

/* For `max78k generate --train`: its known-answer test, which brings no main. */
void MXC_SYS_ClockEnable(int clock);
__attribute__((weak)) int main(void)
{
    if (!train_check) {
        fputs("there is no main\n", stderr);
        _exit(125);
    }
    static const uint32_t power[][2] = {{12, 15}, {4, 15}, {0, 15}, {8, 0}, {12, 0}};

    for (unsigned n = 0; n < sizeof power / sizeof *power; n++)
        exec_write(0x40005800u + power[n][0], power[n][1]);
    MXC_SYS_ClockEnable(1);
    return train_check();
}
