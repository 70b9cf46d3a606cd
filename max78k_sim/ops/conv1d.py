"""1-D convolution of 1 to 9 taps: a column of pixels under a column of taps."""

from ..layer_config import LayerConfig

MEANING = "1-D convolution, 1 to 9 taps, padding 0 to 2, dilation"


def selects(config: LayerConfig) -> bool:
    """The register field says so."""
    return bool(config.conv1d)
