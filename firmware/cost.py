"""What the C training step costs on the Cortex-M4: estimates, from counted instructions.

Counted on the code that `arm-none-eabi-gcc -mcpu=cortex-m4 -O2` (12.2) makes of ``runtime/`` for a
linear layer of 256 x 10, executed in an emulator: 1 cycle an instruction, loads 2 (1 after a load),
push and pop 1 + n, division 7, a taken branch 1.6 more.  Wait states of the accelerator's memories
are not known and not counted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Cycles of one function of cnn_train.c for each weight (biases included)."""

    function: str
    cycles_a_weight: float
    meaning: str


STEP_COSTS = (
    Cost("cnn_train_begin", 10.6, "the velocities decay, once a step"),
    Cost("cnn_train_learn", 24.1, "read activations, error, gradient; once an example"),
    Cost("cnn_train_apply", 232.5, "find, read, step and write back the kernels; once a step"),
)


def step_cycles(outputs: int, features: int, batch: int) -> int:
    """Processor cycles of one training step of a linear layer, without the inferences."""
    begin, learn, apply = (cost.cycles_a_weight for cost in STEP_COSTS)
    weights = outputs * (features + 1)
    return round(weights * (begin + batch * learn + apply))
