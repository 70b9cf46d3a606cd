"""What the C training step of a linear layer costs on the Cortex-M4: estimates.

As `max78k cosim` reports them for the last layer of networks/fashion (256 x 10, 8 bits, momentum,
batches of 8: 596,205 cycles) in the emulator's cycle model (docs/emulator.md).  Steps of one sample
take less (111,138; 21,834 without momentum).  Wait states of the accelerator's memories are not
known and not counted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Cycles of one function of cnn_train.c, taken branches included, for each weight and bias."""

    function: str
    cycles_a_weight: float
    meaning: str


STEP_COSTS = (
    Cost("cnn_train_begin", 6.0, "the velocities decay, once a step"),
    Cost("cnn_train_learn", 25.0, "read activations, error, gradient; once an example"),
    Cost("cnn_train_apply", 25.3, "find, read, step and write back the kernels; once a step"),
)


def step_cycles(outputs: int, features: int, batch: int) -> int:
    """Processor cycles of one training step of a linear layer, without the inferences."""
    begin, learn, apply = (cost.cycles_a_weight for cost in STEP_COSTS)
    weights = outputs * (features + 1)
    return round(weights * (begin + batch * learn + apply))
