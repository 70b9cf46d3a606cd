/* CRC-32 as in Ethernet and zip: reflected 0xEDB88320, begins and ends inverted. */
#ifndef CNN_CRC_H
#define CNN_CRC_H

#include <stdint.h>

/* The CRC of bytes behind those whose CRC is `crc`; 0 before the first. */
uint32_t cnn_crc32(uint32_t crc, const uint8_t *bytes, uint32_t count);

#endif
