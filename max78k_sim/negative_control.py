"""Negative control: would the checks notice if the chip were a little wrong?

A trace is replayed up to its start; then one thing is corrupted (a bit of a kernel byte that a
layer uses, of a bias byte, or of a register field that decides values), the rest is replayed, and
the differences are counted.  A trial is "seen" by the program itself when a read or a check word
differs; by memory when any word of data memory differs from the uncorrupted run; "refused" when the
model names the corruption (a register that means nothing it knows).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from . import replay
from .bus import Bus
from .device import Device
from .errors import InputError, Max78kError
from .machine import Machine
from .replay import Trace
from .routine import Routine

KINDS = ("kernel", "bias", "register")
OUTCOMES = ("program", "memory", "refused", "unseen")
# Fields that decide no value here: timing, copies, and what the generator always sets.
WITHOUT_EFFECT = {
    "timeslot_count", "timeslot_step", "mask_step", "line_last", "line_base", "stream_volume",
    "stream_delta1", "stream_delta2", "ring_words", "master", "global_write", "timeslots",
    "one_by_one", "stream_start",
}  # fmt: skip
POOL_FIELDS = {"pool_max", "pool_row_count", "pool_column_count"}  # no effect without pooling


@dataclass(frozen=True)
class Snapshot:
    """A bus in the middle of a trace: every array of its memory, before access ``at``."""

    at: int
    arrays: dict[str, np.ndarray]


def find_start(trace: Trace, device: Device) -> int:
    """The access that starts the first run: the last CTRL write before FIFO words or a read."""
    controls = [device.address("quadrant register", group) for group in range(4)]
    control = device.global_registers[0]
    enabled: set[int] = set()
    for access in np.flatnonzero((trace.kind == replay.WRITE) & np.isin(trace.address, controls)):
        fields = control.decode(int(trace.value[access]))
        group = controls.index(int(trace.address[access]))
        if fields["enable"] and group not in enabled and fields["master_quadrant"] == group:
            return int(access)
        (enabled.add if fields["enable"] else enabled.discard)(group)
    raise InputError(f"{trace.name}: no access starts the accelerator")


class Control:
    """One trace, ready for trials."""

    def __init__(self, trace: Trace):
        self.trace = trace
        self.bus = Bus(Machine(), timed=True)
        self.start = find_start(trace, self.bus.device)
        replay.replay(trace, self.bus, stop=self.start)
        arrays = self.bus.memory.arrays
        self.before = {name: array.copy() for name, array in arrays.items()}
        result = self._rest()
        if result.differences:
            raise InputError(f"{trace.name}: it differs uncorrupted: {result.first[0]}")
        self.after = arrays["data"].copy()
        self.routines = list(self._routines())

    def _restore(self) -> None:
        for name, array in self.bus.memory.arrays.items():
            array[:] = self.before[name]
            self.bus.memory.versions[name] += 1
        self.bus.runner.abort()
        self.bus._open()

    def _rest(self) -> replay.Result:
        result = replay.replay(self.trace, self.bus, start=self.start)
        return replay.finish(self.trace, self.bus, result)

    def _routines(self) -> Iterator[Routine]:
        """The layers as registers describe them at the start."""
        self._restore()
        self.bus.memory.write(
            int(self.trace.address[self.start]), int(self.trace.value[self.start])
        )
        yield from self.bus.machine.routines()

    # --- corruptions: (region, flat index of a word, bit) of each kind, drawn by chance

    def draw(self, kind: str, random: np.random.Generator) -> tuple[str, int, int] | None:
        """A bit that a layer of the program uses; None when it has none of that kind."""
        if kind == "register":
            bits = self._register_bits()
            return ("layer register", *bits[random.integers(len(bits))])
        if kind == "kernel":
            layers = [each for each in self.routines if each.operation.accumulate is not None]
            routine = layers[random.integers(len(layers))]
            index, bit = routine.kernel_place
            element = np.unravel_index(random.integers(index.size), index.shape)
            byte, low = int(index[element]), int(bit[element])
            place = 8 * (byte % 4) + low + int(random.integers(routine.config.weight_bits))
            return "kernel", byte // 4, place
        groups = [
            (routine, group)
            for routine in self.routines
            if routine.operation.accumulate is not None
            for group in routine.quadrants
            if routine.configs[group].bias
        ]
        if not groups:
            return None
        routine, group = groups[random.integers(len(groups))]
        first = routine.configs[group].bias_start + routine.flow.skipped_bias
        entries = self.bus.device.region("bias").entries
        entry = first + int(random.integers(routine.outputs))
        return "bias", group * entries + entry, int(random.integers(8))

    def _register_bits(self) -> list[tuple[int, int]]:
        """(flat index, bit) of every set bit of a field that decides values."""
        region = self.bus.device.region("layer register")
        words = self.before[region.name]
        found = []
        for routine in self.routines:
            for register in self.bus.device.layer_registers:
                for group in range(region.groups):
                    index = (group * region.units + register.unit) * region.entries + routine.layer
                    word = int(words[group, register.unit, routine.layer, 0])
                    for field in register.fields:
                        if decides(routine, group, register.name, field.name):
                            bits = range(field.low, field.low + field.width)
                            found += [(index, bit) for bit in bits if word >> bit & 1]
        return found

    def trial(self, region: str, index: int, bit: int) -> str:
        """One of OUTCOMES, with one bit of the prepared chip flipped."""
        self._restore()
        self.bus.memory.view(region)[index] ^= 1 << bit
        self.bus.memory.versions[region] += 1
        runs = self.bus.machine.runs
        try:
            result = self._rest()
        except Max78kError:
            return "refused"
        if self.bus.machine.runs == runs:  # replay reports the refusal as a difference
            return "refused"
        if result.differences:
            return "program"
        return "unseen" if np.array_equal(self.bus.memory.arrays["data"], self.after) else "memory"


def decides(routine: Routine, group: int, register: str, field: str) -> bool:
    """Whether a field decides values, in this quadrant of this layer."""
    if field in WITHOUT_EFFECT or (field in POOL_FIELDS and not routine.config.pool):
        return False
    if register in ("EN", "POST") and field in ("processors", "kernels", "bias", "bias_start"):
        used = group in routine.quadrants
        return used and (field != "bias_start" or bool(routine.configs[group].bias))
    if routine.operation.accumulate is None and register == "WPTR_BASE":
        return bool(routine.configs[group].processors)
    return group == routine.master


def control(trace: Trace, trials: int, seed: int = 1) -> dict[str, Counter[str]]:
    """Outcomes of ``trials`` corruptions of each of KINDS; a kind that a program lacks is empty."""
    prepared = Control(trace)
    outcomes = {}
    for number, kind in enumerate(KINDS):
        random = np.random.default_rng([seed, number])
        outcomes[kind] = Counter[str]()
        for _ in range(trials):
            drawn = prepared.draw(kind, random)
            if drawn is not None:
                outcomes[kind][prepared.trial(*drawn)] += 1
    return outcomes
