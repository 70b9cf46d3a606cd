/* A program on this computer, and the simulated chip in another process: what goes between them.
 *
 * The program sends records over a socket (MAX78K_EXEC_SOCKET): writes are collected, everything
 * else is sent at once and answered by a reply.  chip.py has the same two structs.
 */
#ifndef MAX78K_EXEC_RUNTIME_H
#define MAX78K_EXEC_RUNTIME_H

#include <stdint.h>

enum { EXEC_READ, EXEC_WRITE, EXEC_WAIT, EXEC_DELAY, EXEC_CRASH, EXEC_ASLEEP, EXEC_END };

typedef struct {
    uint32_t kind; /* EXEC_... */
    uint32_t size; /* bytes of an access; of EXEC_WAIT: whether the program waits */
    uint32_t address;
    uint32_t value; /* written, or: cycles of a delay, number of a signal, an exit code */
    uint32_t pc;
} exec_record;

typedef struct {
    uint32_t value; /* read, or whether the interrupt is pending */
    uint32_t running; /* whether the accelerator runs */
    uint64_t cycles;  /* of the accelerator, since the start */
} exec_reply;

/* Send a record (a write: later) and give the reply; does not return if the chip says stop. */
exec_reply exec_send(uint32_t kind, uint32_t size, uint32_t address, uint32_t value, uint32_t pc);

/* Accesses of the stubs' own; a program's are seen by the compiler's instrumentation. */
uint32_t exec_read(uint32_t address);
void exec_write(uint32_t address, uint32_t value);

/* The processor waits for an interrupt: take the accelerator's, if it comes. */
void exec_wait(void);
/* Take the accelerator's interrupt, if it is pending; if the program waits, once it is. */
void exec_poll(int waits);

extern void (*exec_vector)(void);
extern int exec_masked;     /* __disable_irq */
extern int exec_enabled;    /* NVIC */
extern uint64_t exec_cycles; /* of the accelerator's clock */
#define EXEC_CYCLES_A_MICROSECOND 50u

#endif
