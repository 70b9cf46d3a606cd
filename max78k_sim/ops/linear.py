"""Fully connected layer: a 1x1 convolution of one pixel, whose channels are the features."""

import numpy as np

from ..layer_config import LayerConfig

MEANING = "fully connected layer, with or without flattening"


def selects(config: LayerConfig) -> bool:
    """One pixel in, 1x1 kernel, nothing pooled."""
    one_pixel = (config.rows, config.columns) == (1, 1) and config.row_pad == 0
    return one_pixel and config.kernel_size == (1, 1) and not config.pool


def accumulate(data, kernels, accumulator) -> None:
    """See Operation.  int64 on the way: numpy's integer product has no narrower exact form."""
    sums = kernels[:, 0, 0].astype(np.int64) @ data[0, 0].astype(np.int64)
    accumulator[0, 0] += sums.astype(np.int32)
