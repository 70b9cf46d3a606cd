"""What a training step costs on the board: multiplications, cycles, time and energy, as estimates.

Multiplications are counted from the layers' shapes; cycles are those of ``COSTS``, of which each
says where it comes from.  Nothing here was measured on a board by this project.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from max78k_sim.latency import ACCELERATOR_HERTZ, PROCESSOR_HERTZ
from max78k_sim.network import Network

from .backward import Backward


@dataclass(frozen=True)
class Cost:
    """Processor cycles of one unit of work, and the source of the number."""

    cycles: float
    source: str


# Cycles of the C training step, fitted to what max78k cosim reports for the three networks of this
# repository: last layers, several, with and without momentum, batches of 1 and 8.  Within 20 %.
COSTS = {
    "linear product": Cost(10.5, "fc: reading, loss, errors and gradients, a product of the layer"),
    "product": Cost(2.6, "the same of convolutions, with pooling"),
    "velocity": Cost(18.5, "a gradient into what is kept of its weight"),
    "update": Cost(19.0, "read, step and write back, a weight"),
    "linear step": Cost(9.8, "the whole step of a linear layer for one sample, a weight"),
}
PROCESSOR_WATTS = 42.9e-3  # a published measurement of this chip at 100 MHz
ACCELERATOR_WATTS = 93e-6 / 1.41e-3  # published: about 93 uJ an MNIST inference of 1.41 ms, +-30 %


@dataclass(frozen=True)
class StepCost:
    """Of one step of ``batch`` examples.

    ``products``: by the processor, of an example, by name of their cost; ``weights``: that are
    trained; ``bus_words``: read of data and kernels, an example; ``accelerator``: cycles of an
    example; ``keeps``: something of each weight from example to example; ``linear``: it is the
    step of a linear layer for one sample.
    """

    batch: int
    products: Mapping[str, int]
    weights: int
    bus_words: int
    accelerator: int
    keeps: bool = True
    linear: bool = False

    @property
    def processor_cycles(self) -> int:
        """Estimate, of a whole step."""
        if self.linear:
            return round(self.weights * COSTS["linear step"].cycles)
        example = sum(count * COSTS[name].cycles for name, count in self.products.items())
        example += self.keeps * self.weights * COSTS["velocity"].cycles
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


def step_products(network: Network, trained: tuple[str, ...]) -> Counter[str]:
    """Products by the processor for one example, by name of their cost.

    Weight gradients, errors passed down and signs of abs are a pass over a layer's kernels each, of
    as many products as going forward.
    """
    backward = Backward(network, trained)
    found: Counter[str] = Counter()
    for index in backward.involved:
        layer = network.layers[index]
        passes = (index in backward.trained) + (index != backward.trained[0])
        passes += layer.activation == "abs"
        name = "linear product" if layer.op == "linear" or layer.flatten else "product"
        found[name] += passes * layer.multiplications
    return found
