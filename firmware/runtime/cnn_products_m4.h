/* What the products for a Cortex-M4 have in common: cnn_weight_gradients_m4.c,
 * cnn_data_gradients_m4.c. */
#ifndef CNN_PRODUCTS_M4_H
#define CNN_PRODUCTS_M4_H

#include <stdint.h>

#include "cnn_dsp.h"
#include "cnn_products.h"

/* int16 of scratch for weight gradients of `count` outputs at a time. */
#define CNN_WEIGHT_SCRATCH(count, out_rows, out_columns, in_rows, kernel_columns, dilation_columns) \
    (2u + (((count) + 1u) / 2u * (out_rows) * (((out_columns) + 1u) / 2u) * 2u \
           + 4u * (in_rows) * (((out_columns) + 1u) / 2u * 2u \
                               + ((kernel_columns) - 1u) * (dilation_columns))) * 2u)

/* int16 of scratch for data gradients. */
#define CNN_DATA_SCRATCH(outs, out_rows, in_columns, kernel_rows, kernel_columns, dilation_columns) \
    (2u + (((outs) + 1u) / 2u * 2u * (out_rows) \
           * (((in_columns) + 1u) / 2u + ((kernel_columns) - 1u) * (dilation_columns)) \
           + (kernel_rows) * (kernel_columns) * (((outs) + 1u) / 2u) * 4u) * 2u)

enum { LANES = 4 }; /* channels that are rearranged together */

/* One SMLAD of the assembly: SUM += two products of E and X. */
#define ADD(SUM, E, X) "smlad %[" SUM "], %[" E "], %[" X "], %[" SUM "]\n\t"

static inline uint32_t *aligned(int16_t *scratch)
{
    return (uint32_t *)(((uintptr_t)scratch + 3u) & ~(uintptr_t)3u);
}

static inline unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

#endif
