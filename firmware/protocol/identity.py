"""What computer and board must agree on: a network's digest, a sample's words, runs of memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from max78k_sim.allocation import Plan
from max78k_sim.device import WORD
from max78k_sim.errors import NotEmulated
from max78k_sim.machine import Machine
from max78k_sim.network import Layer
from max78k_sim.placement import Placement
from max78k_sim.program import Program

from .messages import DIGEST_BYTES

KERNEL_BYTES, BIAS_BYTES = 9, 1  # that a kernel word and a bias take where they are kept


@dataclass(frozen=True)
class Run:
    """Consecutive words of a memory; ``kernels``: whole slots of kernel words, else biases."""

    address: int
    words: int
    kernels: bool

    @property
    def entries(self) -> int:
        """Kernel words, or biases."""
        return self.words // 4 if self.kernels else self.words

    @property
    def bytes(self) -> int:
        """That its content takes where it is kept."""
        return self.entries * (KERNEL_BYTES if self.kernels else BIAS_BYTES)


def network_digest(program: Program) -> bytes:
    """DIGEST_BYTES of a SHA-256 of what a network computes: its layers, kernels and biases.

    Where inputs and outputs lie does not count: training may have moved them.
    """
    digest = hashlib.sha256(program.plan.network.name.encode())
    for layer in program.plan.network.layers:
        digest.update(repr(described(layer)).encode())
    for write in program.writes:
        if write.stage in ("weights", "bias"):
            digest.update(write.address.to_bytes(4, "little"))
            digest.update(write.words.astype("<u4").tobytes())
    return digest.digest()[:DIGEST_BYTES]


def described(layer: Layer) -> tuple:
    """What a layer computes, as plain values."""
    return (
        *(layer.name, layer.op, layer.kernel_tensor_shape, layer.weight_bits, layer.output_shift),
        *(layer.output_bits, str(layer.activation), layer.in_channels, *layer.out_size),
    )


def trained_runs(plan: Plan, layers: Iterable[int]) -> tuple[Run, ...]:
    """Where the kernels and biases of layers lie, kernels in whole slots, ascending."""
    kernel = plan.device.region("kernel")
    runs = []
    for index in layers:
        name = plan.network.layers[index].name
        places = [plan.placements.get((name, kind)) for kind in ("kernel", "bias")]
        for place, kernels in zip(places, (True, False), strict=True):
            if place is not None:
                step = kernel.entry_stride if kernels else WORD
                runs += [Run(a, n, kernels) for a, n in stretches(place, step)]
    return tuple(sorted(set(runs), key=lambda run: run.address))


def stretches(place: Placement, step: int) -> list[tuple[int, int]]:
    """(address, words) of what holds a tensor, in whole units of ``step`` bytes."""
    units = np.unique(place.words.astype(np.int64) // step)
    ends = np.flatnonzero(np.diff(units) != 1) + 1
    parts = np.split(units, ends)
    return [(int(part[0]) * step, len(part) * step // WORD) for part in parts]


def sample_runs(plan: Plan) -> tuple[tuple[int, int], ...]:
    """(address, words) of data memory that a sample fills; NotEmulated for FIFO input."""
    if plan.network.fifo:
        raise NotEmulated(f"{plan.network.name} takes input from a FIFO: not over a line yet")
    return plan.placement(plan.network.layers[0].name, "input").runs


def sample_words(machine: Machine, sample: np.ndarray) -> np.ndarray:
    """A sample (int8 [channel, row, column]) as uint32 words, in the order of ``sample_runs``."""
    assert machine.program is not None
    machine.prepare(sample)
    parts = [machine.memory.read(*run) for run in sample_runs(machine.program.plan)]
    return np.concatenate(parts).astype("<u4")
