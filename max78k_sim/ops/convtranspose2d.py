"""Transposed 2-D convolution, 3x3, stride 2: a zero after every row and column, then conv2d."""

from ..layer_config import LayerConfig

MEANING = "transposed 2-D convolution (upsampling by 2), 3x3, padding 0 to 2"
SPREAD = 2  # rows and columns that a pixel takes up


def selects(config: LayerConfig) -> bool:
    """The register field says so."""
    return bool(config.transpose)
