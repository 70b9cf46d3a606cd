/* What cnn_products_m4.c needs beside cnn_products.h: its scratch memory. */
#ifndef CNN_PRODUCTS_M4_H
#define CNN_PRODUCTS_M4_H

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

#endif
