"""Recipe: how to train, in numbers that a microcontroller can count with."""

from __future__ import annotations

from dataclasses import dataclass

from max78k_sim.arithmetic import FRACTION_BITS
from max78k_sim.errors import InputError

from . import optimizers
from .losses import LOSSES
from .quantized_update import DRAW_BITS, ROUNDINGS

PARTS = ("kernel", "bias")
OPTIMIZERS = ("momentum", "adam")
# Bits of fraction that are kept of a weight of 8 bits, and how: None fills 16 bits
PRECISIONS = {"in place": 0, "residual": 8, "int16": None}
FACTOR_BITS = 8  # a schedule's factor of 256 leaves the rate as it is
FACTOR_ONE = 1 << FACTOR_BITS


def constant(step: int, steps: int) -> int:
    """The same rate all the time."""
    return FACTOR_ONE


def linear(step: int, steps: int) -> int:
    """Falls to 0 along a line."""
    return FACTOR_ONE * (steps - step) // steps


def halving(step: int, steps: int) -> int:
    """Halves after each quarter of the steps."""
    return FACTOR_ONE >> 4 * step // steps


SCHEDULES = {"constant": constant, "linear": linear, "halving": halving}
CHOICES = {
    "schedule": SCHEDULES,
    "optimizer": OPTIMIZERS,
    "precision": PRECISIONS,
    "rounding": ROUNDINGS,
    "loss": LOSSES,
}
RANGES = {
    "rate_mantissa": (1, 255),
    "rate_shift": (-16, 30),
    "deeper_shift": (0, 8),
    "momentum_shift": (0, 7),
    "decay_shift": (0, 30),
    "teacher_share": (0, 256),
    "batch": (1, 256),
    "steps": (1, 1 << 24),
    "new_share": (0, 256),
    "seed": (0, 0xFFFFFFFF),
}


@dataclass(frozen=True)
class Recipe:
    """How to train.

    ``layers``: names (none: the last layer); ``parts`` of them: kernel, bias.  The learning rate
    is ``rate_mantissa / 2**rate_shift`` for the sum of a batch's gradients, in real units (weights
    and data between -1 and 1), times a factor of the ``schedule``, and 2**-deeper_shift less for
    each trained layer further from the output.  Momentum is ``1 - 2**-momentum_shift``; with
    ``decay_shift``, weights lose 2**-decay_shift of themselves at each step.  ``wide_bias``: the
    processor adds 32-bit biases to the last layer's sums, which are trained in the place of the
    chip's.  ``teacher_share`` / 256: how much what the untrained network said counts against the
    label, where that was kept.  ``new_share`` / 256 of the examples shown are of the new class.
    """

    layers: tuple[str, ...] = ()
    parts: tuple[str, ...] = PARTS
    rate_mantissa: int = 1
    rate_shift: int = 10
    deeper_shift: int = 0
    schedule: str = "constant"
    optimizer: str = "momentum"
    momentum_shift: int = 3
    decay_shift: int = 0
    precision: str = "in place"
    rounding: str = "stochastic"
    loss: str = "cross-entropy"
    teacher_share: int = 0
    wide_bias: bool = False
    batch: int = 8
    steps: int = 300
    new_share: int = 64
    seed: int = 1

    def __post_init__(self):
        for field, (lowest, highest) in RANGES.items():
            value = getattr(self, field)
            if not lowest <= value <= highest:
                raise InputError(f"{field} {value} is not in {lowest} to {highest}")
        for field, known in CHOICES.items():
            if getattr(self, field) not in known:
                raise InputError(f"{field} {getattr(self, field)!r}: it is {', '.join(known)}")
        if not self.parts or any(part not in PARTS for part in self.parts):
            asked = ", ".join(map(str, self.parts)) or "none"
            raise InputError(f"parts {asked}: of a layer, kernel and bias can be trained")
        if self.wide_bias and "bias" not in self.parts:
            raise InputError("wide_bias: these are biases that are trained; parts need bias, too")
        if self.batch << self.momentum_shift >= 512:
            raise InputError(
                f"batch {self.batch} with momentum_shift {self.momentum_shift} could overflow the "
                f"32-bit velocities; batch * 2**momentum_shift has to stay below 512"
            )

    @property
    def at_once(self) -> bool:
        """Whether a step is one sample, whose gradient can be applied as it is made."""
        return self.batch == 1

    @property
    def gradient_limit(self) -> int:
        """The largest gradient of a sample, in units of the velocities."""
        return optimizers.gradient_limit(self.batch, self.momentum_shift)

    def factor(self, step: int) -> int:
        """The schedule's factor, in units of 1/256."""
        return SCHEDULES[self.schedule](step, self.steps)

    def fraction_bits(self, weight_bits: int) -> int:
        """Bits of fraction that are kept of a weight."""
        kept = PRECISIONS[self.precision]
        return 16 - weight_bits if kept is None else kept

    def finest(self, weight_shift: int, depth: int) -> int:
        """The least exponent of a change that ``right_shift`` takes."""
        return self._total(weight_shift, depth) - DRAW_BITS

    def _total(self, weight_shift: int, depth: int) -> int:
        """The right shift of a change that counts 1."""
        return self.rate_shift + self.deeper_shift * depth + weight_shift - FRACTION_BITS

    def right_shift(self, weight_shift: int, exponent: int, depth: int) -> int:
        """From change * mantissa to steps of a weight that counts 2**weight_shift / 128.

        ``exponent``: a change counts 2**exponent; ``depth``: trained layers nearer the output.
        """
        rate = self.rate_shift + self.deeper_shift * depth
        shift = self._total(weight_shift, depth) - exponent
        if not 1 <= shift <= DRAW_BITS:
            raise InputError(
                f"rate_shift {rate} with a weight shift of {weight_shift}: the total right shift "
                f"would be {shift}, it is 1 to {DRAW_BITS}; "
                f"rate_shift {rate + min(max(shift, 1), DRAW_BITS) - shift} would do"
            )
        return shift
