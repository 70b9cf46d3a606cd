"""No operation: pooled or combined data are written as they are."""

from ..layer_config import LayerConfig

MEANING = "pass-through: pooling and element-wise operations alone"


def selects(config: LayerConfig) -> bool:
    """No processor uses kernels; ``config.kernels`` counts those of every quadrant."""
    return not config.kernels
