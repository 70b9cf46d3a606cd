/* What was learnt, kept in flash: two slots, of which one always holds the last complete save.
 *
 * A slot is CNN_STORE_PAGES pages: a line of 16 bytes (magic, number of the save, CRC-32 of the
 * network's digest and the content, CRC-32 of these three words), then the content: 9 bytes of each
 * kernel word and 1 of each bias, in the order of CNN_STORE_RUNS.  A save erases the slot that is
 * not the newest, writes the content, and that first line last of all: power may fail at any moment.
 */
#ifndef CNN_STORE_H
#define CNN_STORE_H

#include <stdint.h>

/* Number of the save that the last cnn_store_load put into the accelerator; 0: none. */
extern uint32_t cnn_store_loaded;

/* Write the newest complete save into kernel and bias memory; 0 when there is none. */
int cnn_store_load(void);

/* Save kernel and bias memory of the trained layers; *slot: which slot it is in.  0: the flash did
 * not take it; the save before is still there. */
int cnn_store_save(uint32_t *slot);

/* Erase both slots; 0 when the flash refuses. */
int cnn_store_forget(void);

/* Number of the newest complete save; 0: none. */
uint32_t cnn_store_newest(void);

#endif
