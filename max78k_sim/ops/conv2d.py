"""2-D convolution, 3x3 or 1x1: a cross-correlation, taps row major, stride 1."""

from ..layer_config import LayerConfig

MEANING = "2-D convolution, kernels 1x1 and 3x3, padding 0 to 2"


def selects(config: LayerConfig) -> bool:
    """Every layer with kernels that is not one of the other operations."""
    return config.kernel_size in ((1, 1), (3, 3))
