"""2-D convolution, 3x3 or 1x1: a cross-correlation, taps row major, stride 1."""

from ..layer_config import LayerConfig

MEANING = "2-D convolution, kernels 1x1 and 3x3, padding 0 to 2"


def selects(config: LayerConfig) -> bool:
    """Every layer with kernels that is not one of the other operations."""
    return config.kernel_size in ((1, 1), (3, 3))


def accumulate(data, kernels, accumulator) -> None:
    """See Operation; every convolution is this one, on data that was prepared for it."""
    from ..engine import kernels as engine  # numba is imported when something is computed

    engine.accumulate_convolution(data, kernels, accumulator)
