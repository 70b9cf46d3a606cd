"""Steps of the compute core, run alone."""

from __future__ import annotations

import numpy as np

from max78k_sim import engine
from max78k_sim.core import Kernels, Steps
from max78k_sim.engine import steps
from max78k_sim.engine.steps import Assembly

LIMIT = 1 << 25  # of an accumulator


def executed(assembly: Assembly, view, sample, kernels=None, path=None):
    """What a view holds after the steps: uint8 [row, column, channel]."""
    path = engine.choose_path(path)
    outputs = np.zeros(view.rows * view.columns * view.channels, np.uint8)
    assembly.write(np.arange(outputs.size), view.indices())
    compiled = Steps.of(assembly, kernels or Kernels([], path), LIMIT)
    layer = compiled.run(
        np.zeros(compiled.size(1), np.uint8), sample.reshape(-1).view(np.uint8), outputs
    )
    if layer is not None:
        raise OverflowError(layer)
    return outputs.reshape(view.rows, view.columns, view.channels)


def read(assembly: Assembly, sample) -> steps.View:
    """The sample, int8 [row, column, channel], in the arena."""
    return assembly.gathered(steps.READ, np.arange(sample.size).reshape(sample.shape))
