"""Fully connected layer: a 1x1 convolution of one pixel, whose channels are the features."""

from ..layer_config import LayerConfig

MEANING = "fully connected layer, with or without flattening"


def selects(config: LayerConfig) -> bool:
    """One pixel in, 1x1 kernel, nothing pooled."""
    one_pixel = (config.rows, config.columns) == (1, 1) and config.row_pad == 0
    return one_pixel and config.kernel_size == (1, 1) and not config.pool
