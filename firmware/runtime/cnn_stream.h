/* Kernels of one processor as the bytes of their stream, nine to a kernel word: read, and written
 * packed ("mexpress"), which takes 9 writes for four kernel words instead of 16. */
#ifndef CNN_STREAM_H
#define CNN_STREAM_H

#include <stdint.h>

/* Bytes that a buffer for so many kernel words needs: groups of four, and what is read past them. */
#define CNN_STREAM_BYTES(slots) (((slots) + 3u) / 4u * 36u + 4u)

/* address: of the first kernel word (its slot of 16 bytes). */
void cnn_stream_read(uint32_t address, unsigned slots, uint8_t *bytes);

/* Writes all of them, in quadrants whose CTRL says that kernels come packed, while the accelerator is
 * stopped.  Where the memories are images (CNN_HOST) it writes whole slots. */
void cnn_stream_write(uint32_t address, unsigned slots, const uint8_t *bytes);

#endif
