/* Kernels and biases at their addresses: read, and written where they change. */
#ifndef CNN_WEIGHTS_H
#define CNN_WEIGHTS_H

#include "cnn_layers.h"
#include "cnn_map.h"

enum { CNN_SLOT_WORDS = CNN_KERNEL_SLOT / 4, CNN_SLOT_WEIGHTS = CNN_KERNEL_BYTES * 8 };

/* Those weights of a layer that lie in one slot of kernel memory. */
typedef struct {
    uint32_t address;
    uint32_t count;
    uint32_t element[CNN_SLOT_WEIGHTS]; /* numbers among the layer's weights */
    int8_t weight[CNN_SLOT_WEIGHTS];
    uint8_t place[CNN_SLOT_WEIGHTS];    /* first bit, of the nine bytes as they are streamed */
    uint8_t byte[CNN_KERNEL_BYTES];
    const int32_t *values;               /* of cnn_visit_part: ... */
    uint16_t value[CNN_SLOT_WEIGHTS];    /* ... where each weight's lies among them */
} cnn_slot;

/* Bytes of SRAM that it takes. */
extern const uint32_t cnn_weights_sram;

/* What is done with a slot's weights; returns whether any changed. */
typedef int (*cnn_visit)(cnn_slot *slot, const cnn_layer *layer);

/* Visits all slots of a layer by ascending address, and writes those that changed; how many. */
uint32_t cnn_visit_kernels(const cnn_layer *layer, cnn_visit visit);

/* The same for some outputs of one segment. */
uint32_t cnn_visit_part(const cnn_layer *layer, const cnn_segment *segment, const cnn_part *part,
                        cnn_visit visit);

/* Passes of an output whose weights lie side by side, from any one on: all of them, or 1. */
unsigned cnn_side_by_side(const cnn_kernels *kernels, const uint32_t *pass);

/* A layer's weights: int8 [out][in][kernel row][kernel column]. */
void cnn_read_weights(const cnn_layer *layer, int8_t *weights);

/* A layer's biases: int8 [out]. */
void cnn_read_biases(const cnn_layer *layer, int8_t *biases);

#endif
