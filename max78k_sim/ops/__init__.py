"""What the accelerator can compute: one operation a file, chosen from decoded registers.

OPS is the table: the first row whose ``selects(config)`` holds computes the layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import NotEmulated
from ..layer_config import LayerConfig
from . import conv1d, conv2d, convtranspose2d, linear, passthrough

Accumulate = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class Operation:
    """One operation.

    ``selects(config)`` says whether the registers ask for it; ``accumulate(data, kernels,
    accumulator)`` adds its sums of products: data int8 [row, column, channel] padded, kernels
    int16 [output, row tap, column tap, channel], accumulator int32 [row, column, output] (None:
    there are no kernels); ``spread`` prepares the pooled data, before they are padded.
    """

    name: str
    meaning: str
    selects: Callable[[LayerConfig], bool]
    accumulate: Accumulate | None
    spread: Callable[[np.ndarray], np.ndarray] | None = None


OPS = (
    Operation("passthrough", passthrough.MEANING, passthrough.selects, None),
    Operation(
        "convtranspose2d",
        convtranspose2d.MEANING,
        convtranspose2d.selects,
        conv2d.accumulate,
        convtranspose2d.spread,
    ),
    Operation("conv1d", conv1d.MEANING, conv1d.selects, conv2d.accumulate),
    Operation("linear", linear.MEANING, linear.selects, linear.accumulate),
    Operation("conv2d", conv2d.MEANING, conv2d.selects, conv2d.accumulate),
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
