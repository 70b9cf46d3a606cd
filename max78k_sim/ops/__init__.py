"""What the accelerator can compute: one operation a file, chosen from decoded registers.

OPS is the table: the first row whose ``selects(config)`` holds computes the layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import NotEmulated
from ..layer_config import LayerConfig
from . import conv1d, conv2d, convtranspose2d, linear, passthrough


@dataclass(frozen=True)
class Operation:
    """One operation.

    ``selects(config)`` says whether the registers ask for it.  Those that convolve differ in their
    kernels and in how many rows and columns each pixel takes up (``spread``; zeros fill the rest).
    """

    name: str
    meaning: str
    selects: Callable[[LayerConfig], bool]
    convolves: bool = True
    spread: int = 1


OPS = (
    Operation("passthrough", passthrough.MEANING, passthrough.selects, convolves=False),
    Operation(
        "convtranspose2d",
        convtranspose2d.MEANING,
        convtranspose2d.selects,
        spread=convtranspose2d.SPREAD,
    ),
    Operation("conv1d", conv1d.MEANING, conv1d.selects),
    Operation("linear", linear.MEANING, linear.selects),
    Operation("conv2d", conv2d.MEANING, conv2d.selects),
)

# Fields that ask for something whose execution is not built yet, with its name.
NOT_EMULATED = {
    "slave": "slave mode",
    "column_pad_only": "column-only padding",
}


def select(config: LayerConfig) -> Operation:
    """The operation that a layer's registers ask for; NotEmulated for one that is not built."""
    for field, name in NOT_EMULATED.items():
        if getattr(config, field):
            raise NotEmulated(f"{name} (register field {field}) is not emulated yet")
    for operation in OPS:
        if operation.selects(config):
            return operation
    raise NotEmulated(f"no known operation has these registers: {config}")
