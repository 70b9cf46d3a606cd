"""Negative control: would the checks notice if the chip were a little wrong?

A trace is replayed up to its start; then one bit is flipped (of a kernel byte that a layer uses, of
a bias byte, or of a register field that decides values), the rest is replayed, and what follows is
compared with what followed uncorrupted.  Outcomes: "program": a read or a check word differs, so
the program itself sees it; "layers": only what some layer computes does; "refused": the model names
the corruption (registers that mean nothing it knows); "unseen": nothing differs, at least with this
one input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from zlib import crc32

import numpy as np

from ..bus import Bus
from ..errors import InputError
from ..machine import Machine
from ..routine import LayerTrace, Routine
from . import replay
from .replay import Trace

KINDS = ("kernel", "bias", "register")
OUTCOMES = ("program", "layers", "refused", "unseen")
# Fields that decide no value here: timing, copies, and what the generator always sets.
WITHOUT_EFFECT = {
    "timeslot_count", "timeslot_step", "mask_step", "line_last", "line_base", "stream_volume",
    "stream_delta1", "stream_delta2", "ring_words", "master", "global_write", "timeslots",
    "one_by_one", "stream_start",
}  # fmt: skip
POOL_FIELDS = {"pool_max", "pool_row_count", "pool_column_count"}  # no effect without pooling
SHIFT_FIELDS = {"shift", "shift_right"}  # no effect on accumulators as they are
KERNEL_FIELDS = {*SHIFT_FIELDS, "kernel_width"}  # no effect without kernels
WRITE_FIELDS = {"write_word", "write_instance", "write_step", "channel_step"}  # ... when streamed


class Control:
    """One trace, ready for trials."""

    def __init__(self, trace: Trace):
        self.trace = trace
        self.bus = Bus(Machine(), timed=True)
        self.start = replay.find_start(trace, self.bus.device)
        replay.replay(trace, self.bus, stop=self.start)
        arrays = self.bus.memory.arrays
        self.before = {name: array.copy() for name, array in arrays.items()}
        self._layers: list[int] = []  # check sums of what each layer wrote
        self.bus.runner.on_layer = lambda layer: self._layers.append(checksum(layer))
        result = self._rest()
        if result.differences:
            raise InputError(f"{trace.name}: it differs uncorrupted: {result.first[0]}")
        self.expected = list(self._layers)
        self.routines = list(self._routines())
        self.fields = list(self._register_bits().values())

    def _restore(self) -> None:
        for name, array in self.bus.memory.arrays.items():
            array[:] = self.before[name]
            self.bus.memory.versions[name] += 1
        self.bus.runner.abort()
        self.bus._open()

    def _rest(self) -> replay.Result:
        self._layers.clear()
        result = replay.replay(self.trace, self.bus, start=self.start)
        return replay.finish(self.trace, self.bus, result)

    def _routines(self) -> Iterator[Routine]:
        """The layers as registers describe them at the start."""
        self._restore()
        self.bus.memory.write(
            int(self.trace.address[self.start]), int(self.trace.value[self.start])
        )
        yield from self.bus.machine.routines()

    def draw(self, kind: str, random: np.random.Generator) -> tuple[str, int, int] | None:
        """A bit that the program uses, each layer or field as likely; None when there is none.

        As (region, flat index of the word, bit).
        """
        if kind == "register":
            bits = self.fields[random.integers(len(self.fields))]
            return ("layer register", *bits[random.integers(len(bits))])
        return self._draw_kernel(random) if kind == "kernel" else self._draw_bias(random)

    def _draw_kernel(self, random: np.random.Generator) -> tuple[str, int, int]:
        """A bit of a weight."""
        layers = [each for each in self.routines if each.operation.convolves]
        routine = layers[random.integers(len(layers))]
        index, bit = routine.kernel_place
        element = np.unravel_index(random.integers(index.size), index.shape)
        byte, low = int(index[element]), int(bit[element])
        place = 8 * (byte % 4) + low + int(random.integers(routine.config.weight_bits))
        return "kernel", byte // 4, place

    def _draw_bias(self, random: np.random.Generator) -> tuple[str, int, int] | None:
        """A bit of a bias byte; None where no layer has a bias."""
        groups = [
            (routine, group)
            for routine in self.routines
            if routine.operation.convolves
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

    def _register_bits(self) -> dict[str, list[tuple[int, int]]]:
        """(flat index, bit) of every set bit of the fields that decide values, by field."""
        region = self.bus.device.region("layer register")
        words = self.before[region.name]
        found: dict[str, list[tuple[int, int]]] = {}
        places = product(self.routines, self.bus.device.layer_registers, range(region.groups))
        for routine, register, group in places:
            index = (group * region.units + register.unit) * region.entries + routine.layer
            word = int(words[group, register.unit, routine.layer, 0])
            for field in register.fields:
                if decides(routine, group, register.name, field.name):
                    bits = range(field.low, field.low + field.width)
                    set_bits = [(index, bit) for bit in bits if word >> bit & 1]
                    if set_bits:
                        found.setdefault(field.name, []).extend(set_bits)
        return found

    def trial(self, region: str, index: int, bit: int) -> str:
        """One of OUTCOMES, with one bit of the prepared chip flipped."""
        self._restore()
        self.bus.memory.view(region)[index] ^= 1 << bit
        self.bus.memory.versions[region] += 1
        runs = self.bus.machine.runs
        result = self._rest()
        if self.bus.machine.runs == runs:  # the run was refused, and so is a difference too
            return "refused"
        if result.differences:
            return "program"
        return "unseen" if self._layers == self.expected else "layers"


def checksum(layer: LayerTrace) -> int:
    """Of what a layer computed: accumulators, or a pass-through layer's output."""
    computed = layer.output if layer.accumulator is None else layer.accumulator
    return crc32(layer.output.tobytes(), crc32(computed.tobytes()))


def decides(routine: Routine, group: int, register: str, field: str) -> bool:
    """Whether a field decides values, in this quadrant of this layer."""
    config, kernels = routine.config, routine.operation.convolves
    for fields, effective in (
        (WITHOUT_EFFECT, False),
        (POOL_FIELDS, config.pool),
        (SHIFT_FIELDS, not config.wide),
        (KERNEL_FIELDS, kernels),
        (WRITE_FIELDS, not routine.flow.streamed_out),
    ):
        if field in fields and not effective:
            return False
    if register in ("EN", "POST") and field in ("processors", "kernels", "bias", "bias_start"):
        used = group in routine.quadrants
        return used and (field != "bias_start" or bool(routine.configs[group].bias))
    if not kernels and register == "WPTR_BASE":
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
