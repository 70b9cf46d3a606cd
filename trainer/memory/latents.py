"""Latent replay: the input of the earliest trained layer is kept, not the sample.

The layers before it are frozen, so a latent that is shown again needs no run of them.  A run always
begins with layer 0; but a layer's registers say nothing of its number, so the later layers become
the first ones when their register words are written to the entries from 0 on.  Kernels and biases
stay where they are.  That is a program like any other, which begins with such a layer; no vendor
program changes its registers between runs, so it is an estimate for silicon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from max78k_sim.allocation import Plan
from max78k_sim.errors import InputError, NotEmulated
from max78k_sim.layer import NETWORK_INPUT
from max78k_sim.network import Layer
from max78k_sim.program import STAGES, Program, Write

CONFIGURE = STAGES[1]
LATENT_BITS = (8, 4)


@dataclass(frozen=True)
class Latent:
    """``bytes``: of one; ``fits``: how many a budget holds, ``label_bytes`` each included.

    ``address``: of its first element, where it is written before a run of the later layers;
    ``register_words``: written once before replayed samples, and again before new ones.
    """

    layer: str
    elements: int
    bits: int
    bytes: int
    fits: int
    address: int
    register_words: int


def find_latent(
    program: Program, layer: str, budget: int, bits: int = 8, label_bytes: int = 1
) -> Latent:
    """Latents for training from ``layer`` on: int8, or the upper 4 bits of it.

    InputError for other widths; NotEmulated where the later layers cannot run alone.
    """
    if bits not in LATENT_BITS:
        raise InputError(f"latents of {bits} bits; use 8 or 4")
    network = program.plan.network
    first = network.layer(layer)
    writes = begin_with(program, first)
    sources = latent_tensors(program.plan, first)
    placements = [program.plan.placement(number, "output") for number in sources if number >= 0]
    if NETWORK_INPUT in sources:
        placements.append(program.plan.placement(0, "input"))
    elements = sum(placement.address.size for placement in placements)
    size = -(-elements * bits // 8)
    address = min(int(placement.address.flat[0]) for placement in placements)
    words = sum(len(write.words) for write in writes)
    return Latent(first.name, elements, bits, size, budget // (size + label_bytes), address, words)


def latent_tensors(plan: Plan, first: Layer) -> list[int]:
    """Numbers of the tensors that the layers from ``first`` on read from those before."""
    later = plan.network.layers[first.index :]
    return sorted({n for layer in later for n in layer.sources if n < first.index})


def begin_with(program: Program, first: Layer) -> list[Write]:
    """Writes that make ``first`` and the layers after it layers 0 and up of the next run.

    Everything that the layers wrote before is replaced, registers of 0 included.  NotEmulated
    where the network streams, has FIFOs or a rolling buffer.
    """
    network, device = program.plan.network, program.device
    streams = network.fifo or any(layer.streaming for layer in network.layers)
    if streams or network.data_buffer is not None:
        raise NotEmulated(
            f"a run that begins with {first.name}: {network.name} has FIFOs, streamed layers or a "
            "rolling buffer; run it from the sample"
        )
    writes = []
    region = device.region("layer register")
    values = register_values(program)
    for group in program.plan.groups:
        for position in range(len(network.layers) - first.index):
            for unit in range(region.units):
                word = values.get((group, unit, first.index + position), 0)
                if word != values.get((group, unit, position), 0):
                    address = region.address(group, unit, position)
                    note = f"{network.layers[first.index + position].name} as layer {position}"
                    writes.append(Write(address, np.array([word], np.uint32), note, CONFIGURE))
        last = device.address("quadrant register", group, 0, 2)
        count = len(network.layers) - 1 - first.index
        writes.append(Write(last, np.array([count], np.uint32), "last layer", CONFIGURE))
    return writes


def begin_at_first(program: Program, first: Layer) -> list[Write]:
    """The inverse of ``begin_with``: the words that the program wrote there."""
    region, values = program.device.region("layer register"), register_values(program)
    count = len(program.plan.network.layers) - 1
    writes = []
    for write in begin_with(program, first):
        word = count
        if region.holds(write.address):
            word = values.get(region.split(write.address)[:3], 0)
        writes.append(Write(write.address, np.array([word], np.uint32), "as before", CONFIGURE))
    return writes


def register_values(program: Program) -> dict[tuple[int, int, int], int]:
    """Layer registers that a program writes: by (quadrant, register, layer)."""
    region = program.device.region("layer register")
    return {
        region.split(write.address)[:3]: int(write.words[0])
        for write in program.writes
        if region.holds(write.address)
    }
