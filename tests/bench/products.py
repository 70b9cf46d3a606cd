"""Products that count: vectors of outputs and words of 4 channels are rarely full."""

from __future__ import annotations

from max78k_sim.batch import Batch
from max78k_sim.engine.path import WORD
from max78k_sim.engine.steps import CONVOLVE, FIELDS

from .subjects import Subject


def made(subject: Subject) -> int:
    """int8 products that the engine makes for one image, those with the zeros that fill up too."""
    batch = Batch(subject.machine())
    compiled = batch._compile((len(subject.network.layers) - 1,))
    kernels, count = compiled.steps.kernels, 0
    kernels.update(batch.machine.memory)
    for numbers in compiled.steps.steps:
        step = dict(zip(FIELDS, numbers.tolist(), strict=True))
        if step["operation"] == CONVOLVE:
            blocks = kernels.blocks[step["kernel"] : step["kernel"] + step["count"]]
            for outputs, _, groups, _, _ in blocks.tolist():
                words = step["rows"] * step["columns"] * groups * kernels.path.group
                count += words * WORD * outputs
    return count


def counting(subject: Subject) -> float:
    """Percent of the products made that count: the most that its share of the peak could be."""
    return 100 * subject.multiplications / made(subject)
