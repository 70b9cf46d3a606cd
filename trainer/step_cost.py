"""What a training step costs on the board: multiplications, cycles, time and energy, as estimates.

Multiplications are counted from the layers' shapes; cycles are those of ``COSTS``, of which each
says where it comes from.  Nothing here was measured on a board by this project.
"""

from __future__ import annotations

from dataclasses import dataclass

from max78k_sim.latency import ACCELERATOR_HERTZ, PROCESSOR_HERTZ
from max78k_sim.network import Network

from .backward import Backward


@dataclass(frozen=True)
class Cost:
    """Processor cycles of one unit of work, and the source of the number."""

    cycles: float
    source: str


# Cycles of the portable C of the last layer, counted in an emulator (firmware/cost.py)
COSTS = {
    "multiplication": Cost(24.1, "the C training step's gradient, a weight and an example"),
    "update": Cost(243.1, "the C training step: velocity, read, step and write back, a weight"),
    "bus word": Cost(3.0, "a load and a wait state; the wait is not known"),
}
PROCESSOR_WATTS = 42.9e-3  # a published measurement of this chip at 100 MHz
ACCELERATOR_WATTS = 93e-6 / 1.41e-3  # published: about 93 uJ an MNIST inference of 1.41 ms, +-30 %


@dataclass(frozen=True)
class StepCost:
    """Of one step of ``batch`` examples.

    ``multiplications``: by the processor, of an example; ``weights``: that are trained;
    ``bus_words``: read of data and kernels, an example; ``accelerator``: cycles of an example.
    """

    batch: int
    multiplications: int
    weights: int
    bus_words: int
    accelerator: int

    @property
    def processor_cycles(self) -> int:
        """Estimate, of a whole step."""
        example = self.multiplications * COSTS["multiplication"].cycles
        example += self.bus_words * COSTS["bus word"].cycles
        return round(self.batch * example + self.weights * COSTS["update"].cycles)

    @property
    def seconds(self) -> float:
        """Estimate: the processor waits while the accelerator works."""
        accelerator = self.batch * self.accelerator / ACCELERATOR_HERTZ
        return self.processor_cycles / PROCESSOR_HERTZ + accelerator

    @property
    def joules(self) -> float:
        """Estimate, with published powers."""
        accelerator = self.batch * self.accelerator / ACCELERATOR_HERTZ
        processor = self.processor_cycles / PROCESSOR_HERTZ
        return PROCESSOR_WATTS * processor + ACCELERATOR_WATTS * accelerator


def step_multiplications(network: Network, trained: tuple[str, ...]) -> int:
    """By the processor, for one example: weight gradients, errors passed down, signs of abs.

    Each is one pass over a layer's kernels, as many products as going forward.
    """
    backward = Backward(network, trained)
    total = 0
    for index in backward.involved:
        layer = network.layers[index]
        passes = (index in backward.trained) + (index != backward.trained[0])
        passes += layer.activation == "abs"
        total += passes * layer.multiplications
    return total
