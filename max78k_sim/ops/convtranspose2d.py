"""Transposed 2-D convolution, 3x3, stride 2: a zero after every row and column, then conv2d."""

import numpy as np

from ..layer_config import LayerConfig

MEANING = "transposed 2-D convolution (upsampling by 2), 3x3, padding 0 to 2"


def selects(config: LayerConfig) -> bool:
    """The register field says so."""
    return bool(config.transpose)


def spread(data: np.ndarray) -> np.ndarray:
    """int8 [row, column, channel] -> twice the rows and columns, zeros between and after."""
    rows, columns, channels = data.shape
    wide = np.zeros((2 * rows, 2 * columns, channels), np.int8)
    wide[::2, ::2] = data
    return wide
