/* The accelerator's memories on a computer: images in the layout of CNN_REGIONS. */
#ifndef CNN_HOST_H
#define CNN_HOST_H

#include <stdint.h>

/* Use words as the image of region number `region` (order of CNN_REGIONS in cnn_map.h). */
void cnn_host_attach(uint32_t region, uint32_t *words);

/* Accesses since the last reset, and accesses to addresses that no image holds. */
typedef struct {
    uint32_t reads;
    uint32_t writes;
    uint32_t faults;
} cnn_host_counts;

extern cnn_host_counts cnn_host_accesses;

#endif
