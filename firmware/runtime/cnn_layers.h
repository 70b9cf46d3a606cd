/* What training has to know of each layer: the types of the generated tables.
 *
 * Maps are [row][column][channel].  Numbers of weights count as they are drawn for: see
 * "Random numbers" in docs/training-arithmetic.md.
 */
#ifndef CNN_LAYERS_H
#define CNN_LAYERS_H

#include <stdint.h>

#include "cnn_products.h"

#define CNN_NONE 0xffffffffu
#define CNN_NO_TAP 0xffu
#define CNN_TAPS 9u
#define CNN_THERE (-2) /* no run: it lies in data memory */

/* Words that are `step` bytes apart, and the elements that their bytes hold: byte first_lane + n
 * of word w holds element + w * word_step + n * lane_step.  Without lanes a word is one element. */
typedef struct {
    uint32_t address, step, element;
    int32_t word_step, lane_step;
    uint16_t words;
    uint8_t first_lane, lanes;
} cnn_run;

typedef struct {
    const cnn_run *run;
    uint32_t count;
} cnn_runs;

/* Kernels of one processor that follow each other: of some outputs, of each those of all passes. */
typedef struct {
    uint32_t address;      /* of the first slot */
    uint32_t element;      /* of the layer's weights: the first one of the first kernel */
    uint16_t outputs;      /* how many */
    uint16_t first_pass;   /* of cnn_kernels.pass: where this processor's begin */
    uint8_t first_byte;    /* of the slot's nine bytes, as they are streamed */
    uint8_t first_lane;    /* of the weights that share a byte */
} cnn_segment;

/* Where a layer's kernels lie.  Weight [output][in][tap] of a segment is
 *     element + output * output_step + pass[first_pass + pass] + tap[byte of the kernel]
 * where pass is CNN_NONE, or tap CNN_NO_TAP, no weight lies.  Kernels follow each other pass by
 * pass, then output by output; 8 / bits of them share `taps` bytes, the first lowest. */
typedef struct {
    const cnn_segment *segment; /* by ascending address */
    const uint32_t *pass;
    uint32_t output_step, first; /* first: number of the layer's first weight; CNN_NONE: frozen */
    uint16_t segments, passes;
    uint8_t bits, taps, tap[CNN_TAPS];
    uint8_t fraction_bits;
} cnn_kernels;

/* What some outputs of a segment are changed by.  A weight's number lies at
 *     value + output * output_step + run * run_step + place in the run
 * where a run is passes whose weights lie side by side in an output (cnn_side_by_side), or where
 * run_step is 0, at value + output * output_step + pass[pass] + tap. */
typedef struct {
    const int32_t *value;            /* of the first of these outputs, its first pass */
    uint32_t output_step, run_step;
    uint16_t first, outputs;         /* of the segment's */
} cnn_part;

/* Biases: a byte in a word each; first: number of the first one; CNN_NONE: frozen. */
typedef struct {
    cnn_runs at;
    uint32_t first;
    uint8_t fraction_bits;
} cnn_biases;

enum { CNN_PLAIN, CNN_FEATURES, CNN_WIDENED }; /* view: of the data as they are correlated */
enum { CNN_LINEAR, CNN_RELU, CNN_ABS, CNN_WIDE }; /* activation; wide: 32 bits, nothing clipped */

/* An error in the arena: sums, and which exponent is theirs. */
typedef struct {
    uint32_t sums;
    uint32_t exponent;
} cnn_error;

/* Channels of what a layer reads whose error belongs to another layer's output. */
typedef struct {
    uint32_t channel, channels;
    cnn_error to;
} cnn_slice;

/* What lies before the products: operands, combined and pooled. */
typedef struct {
    uint16_t rows, columns, channels;    /* of an operand */
    uint16_t pooled_rows, pooled_columns;
    uint16_t share;                      /* 2^15 / pixels of a window: of an average; else 0 */
    uint8_t operands;
    int8_t sign;                         /* of all operands but the first */
    uint8_t pool_first;
    uint8_t pool_rows, pool_columns, stride_rows, stride_columns;
    uint8_t overlap_shift;               /* 2^this: windows over a pixel */
    uint32_t operand_step, pixel_step;   /* elements from one to the next */
    uint32_t size;                       /* elements that are read */
} cnn_source;

/* One layer on the way back. */
typedef struct {
    cnn_correlation how;
    cnn_source source;
    cnn_runs operands, output;           /* where they are read */
    const cnn_kernels *kernels;          /* NULL: none */
    const cnn_biases *biases;            /* NULL: none */
    const cnn_error *part;               /* errors of its output */
    const cnn_slice *slice;              /* where side by side: whose the error is */
    uint32_t parts, slices, outputs;     /* outputs: elements */
    uint32_t data, view;                 /* int8 buffers: what is multiplied; as it is multiplied */
    uint32_t gradients;                  /* int32 buffers: of weights */
    uint32_t product, pooled;            /* of what is multiplied; of what is convolved */
    cnn_error back;                      /* of what it reads, in the shape of the operands */
    uint8_t view_kind, activation;
    uint8_t reads;                       /* operands are needed */
    uint8_t needs_weights, passes_down;
    uint8_t error_bits;
    int8_t output_shift;
    int16_t gradient_exponent;           /* of what is trained: gradients count 2^this */
    int8_t right_shift;                  /* from a change to steps of a weight */
    uint16_t outputs_at_once;            /* whose gradients fit their buffer */
    int16_t output_again, operands_again; /* last layer of a run before they are read; or: */
} cnn_layer;

extern const cnn_layer cnn_layers[]; /* from the last layer down */

#endif
