"""Linker: the steps of all layers, each reading where the others wrote, for ``Batch``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .core import Kernels, Steps
from .engine import steps, winograd
from .engine.steps import LANES, Assembly, Map, View
from .links import CONSTANT, SAMPLE, Links
from .ops import stages
from .routine import Routine


class Place(NamedTuple):
    """An output among a sample's results: its first byte, [row, column, channel, byte], type."""

    first: int
    shape: tuple[int, ...]
    kind: type


@dataclass(frozen=True, eq=False)
class Layers:
    """What a run executes, as the registers say."""

    routines: tuple[Routine, ...]
    rounding: bool  # of averages
    links: Links
    signed: tuple[bool, ...]  # whether the data that each convolves, or passes, can be negative


@dataclass(frozen=True, eq=False)
class Compiled:
    """Steps for some layers, and for some layers' outputs."""

    layers: Layers
    wanted: tuple[int, ...]
    checked: frozenset[int]  # layers whose sums have to be looked at
    steps: Steps
    places: list[Place]  # of the layers' outputs among a sample's results
    size: int  # bytes of a sample's results
    constants: int  # place in the arena


def signs(routines: Sequence[Routine], links: Links) -> tuple[bool, ...]:
    """Whether the data that each layer convolves, or passes through, can be negative."""
    outputs: dict[int, bool] = {SAMPLE: True, CONSTANT: True}
    data = []
    for number, (routine, read) in enumerate(zip(routines, links.reads, strict=True)):
        config = routine.config
        signed = any(outputs[owner] for owner in links.owners(read))
        signed |= bool(config.eltwise and config.eltwise_function == 0)  # a difference
        data.append(signed)
        activated = config.relu or config.absolute
        outputs[number] = bool(config.wide) or (
            not activated if routine.operation.convolves else signed
        )
    return tuple(data)


class Linker:
    """Steps of all layers, one after the other, each reading where the others wrote."""

    def __init__(self, layers: Layers, checked: frozenset[int], path: str):
        self.layers, self.checked = layers, checked
        self.routines, self.links, self.signed = layers.routines, layers.links, layers.signed
        self.rounding = layers.rounding
        self.assembly = Assembly()
        self.maps: dict[int, Map] = {}  # outputs, by layer
        self.frames: dict[int, Map] = {}  # what layers convolve, by layer
        self.convolving = [n for n, each in enumerate(self.routines) if each.operation.convolves]
        self.kernels = Kernels([self.routines[n] for n in self.convolving], path)
        self._sample: int | None = None
        self._constants = self.assembly.allocate(max(1, self.links.constants.size))

    def compile(self, wanted: tuple[int, ...]) -> Compiled:
        """Steps that end with writing some layers' outputs."""
        self._fuse(wanted)
        for number, routine in enumerate(self.routines):
            if routine.operation.convolves:
                self._convolve(number)
            else:
                self._pass(number)
        places: list[Place] = []
        size = 0
        for number in wanted:
            names = self.links.results[number].transpose(1, 2, 0, 3)
            kind = np.int32 if names.shape[-1] == steps.SUM_BYTES else np.int8
            inside, flip = self._places(names)
            outside = np.arange(size, size + names.size)
            runs = names.shape[0] * names.shape[1], -1
            self.assembly.write(outside.reshape(runs), inside.reshape(runs), flip)
            places.append(Place(size, names.shape, kind))
            size += names.size
        whole = Steps.of(self.assembly, self.kernels, self.routines[0].sum_limit)
        return Compiled(self.layers, wanted, self.checked, whole, places, size, self._constants)

    # ---- who reads what

    def _fuse(self, wanted: tuple[int, ...]) -> None:
        """Outputs that are written straight into the frame of the convolution that reads them."""
        readers: dict[int, list[int]] = {}
        for number, read in enumerate(self.links.reads):
            for owner in self.links.owners(read):
                readers.setdefault(owner, []).append(number)
        for number in wanted:
            for owner in self.links.owners(self.links.results[number]):
                readers.setdefault(owner, []).append(len(self.routines))
        self.into: dict[int, int] = {}  # layer -> the layer whose frame it writes
        for owner, layers in readers.items():
            if owner < 0 or self.routines[owner].config.wide:
                continue
            first = min(layers)
            alone = len(layers) == 1
            usable = alone or not self.signed[first]  # nobody else can read x + 128
            if usable and first < len(self.routines) and self._plain(owner, first):
                self.into[owner] = first

    def _plain(self, owner: int, reader: int) -> bool:
        """Whether a layer convolves another's whole output, without pooling or operands."""
        routine, read = self.routines[reader], self.links.reads[reader]
        source = self.routines[owner]
        if not routine.operation.convolves or len(read) > 1 or routine.config.pool:
            return False
        if stages.strides(routine.config) != (1, 1) or read.shape[3] != source.outputs:
            return False
        return self._channel_of(owner, read[0]) == 0

    def _channel_of(self, owner: int, names: np.ndarray) -> int | None:
        """The first channel, where bytes [row, column, channel] are an output's, pixel by pixel."""
        source = self.routines[owner]
        rows, columns, channels = names.shape
        if source.config.wide or (rows, columns) != source.size:
            return None
        first = int(names[0, 0, 0]) - self.links.first[owner]
        if not 0 <= first <= source.outputs - channels:
            return None
        pixels = source.outputs * np.arange(rows * columns).reshape(rows, columns, 1)
        expected = self.links.first[owner] + first + pixels + np.arange(channels)
        return first if np.array_equal(names, expected) else None

    # ---- layers

    def _convolve(self, number: int) -> None:
        """The frame, unless another layer has written it; products; sums, where to be checked."""
        routine = self.routines[number]
        config = routine.config
        place = self.convolving.index(number)
        if number not in self.frames:
            self._frame(number)
        frame = self.kernels.maps[place] = self.frames[number]
        output, looked_at = self._output(number), config.wide or number in self.checked
        shape = config.kernel_size, routine.size, frame.outer.channels, routine.outputs
        patched = not looked_at and winograd.serves(*shape, self.kernels.path)
        self.kernels.patched[place] = patched
        add, fields = stages.convolve, self.kernels.fields(place)
        if looked_at:
            sums = output.inner
            if not config.wide:
                size = *routine.size, routine.outputs
                sums = self.assembly.map(*size, element=steps.SUM_BYTES).inner
            add(self.assembly, config, frame.outer, sums, layer=number, raw=1, **fields)
            if number in self.checked:
                more = {"raw": config.wide, "flip": output.zero, "layer": number}
                stages.finish(self.assembly, config, sums, output.inner, **more)
        else:
            flip = output.zero
            add(self.assembly, config, frame.outer, output.inner, layer=number, flip=flip, **fields)

    def _frame(self, number: int) -> None:
        """What a layer convolves: pooled, combined, padded."""
        routine, names = self.routines[number], self.links.reads[number]
        config, operation = routine.config, routine.operation
        zero = steps.SIGNED if self.signed[number] else 0
        size = *stages.pooled_size(config, *routine.in_size), names.shape[3]
        simple = len(names) == 1 and not config.pool and stages.strides(config) == (1, 1)
        dense = simple and operation.spread == 1 and self.links.owners(names) == [SAMPLE]
        frame = stages.frame(self.assembly, config, operation, size, zero, dense)
        if dense:
            rows = names[0].reshape(len(names[0]), -1) - 1
            self.assembly.gather(steps.READ, rows, frame.inner, zero)
        elif simple and (parts := self._parts(names[0])):
            for first, view in parts:
                inner = replace(frame.inner, base=frame.inner.base + first, channels=view.channels)
                self.assembly.copy(view, inner, zero)
        else:
            operands = [self._operand(each) for each in names]
            stages.reduce(self.assembly, operands, config, self.rounding, frame.inner, zero)
        self.frames[number] = frame

    def _parts(self, names: np.ndarray) -> list[tuple[int, View]]:
        """Outputs side by side: first channel, and where they are; [] if there are no such."""
        owners = self.links.owner_of(names[0, 0])
        edges = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), len(owners)]
        parts = []
        for first, end in pairwise(edges):
            view = self._view(int(owners[first]), names[:, :, first:end])
            if view is None:
                return []
            parts.append((first, view))
        return parts

    def _pass(self, number: int) -> None:
        """A layer without kernels."""
        routine = self.routines[number]
        operands = [self._operand(names) for names in self.links.reads[number]]
        output = self._output(number)
        stages.reduce(
            self.assembly, operands, routine.config, self.rounding, output.inner, output.zero
        )

    def _output(self, number: int) -> Map:
        """A layer's output: in the frame of the layer that reads it, or by itself."""
        routine, assembly = self.routines[number], self.assembly
        if number in self.into:
            reader = self.into[number]
            config, operation = self.routines[reader].config, self.routines[reader].operation
            zero = steps.SIGNED if self.signed[reader] else 0
            size = *routine.size, routine.outputs
            self.frames[reader] = stages.frame(assembly, config, operation, size, zero)
            self.maps[number] = self.frames[reader]
        else:
            element = steps.SUM_BYTES if routine.config.wide else 1
            self.maps[number] = assembly.map(*routine.size, routine.outputs, element=element)
        return self.maps[number]

    # ---- places in the arena

    def _operand(self, names: np.ndarray) -> View:
        """A view of bytes [row, column, channel]: where they are, or gathered."""
        owner = self.links.owners(names)
        if owner == [SAMPLE]:
            return self.assembly.gathered(steps.READ, names - 1)
        view = self._view(owner[0], names) if len(owner) == 1 else None
        if view and (view.base - self.maps[owner[0]].inner.base) % LANES == 0:
            return view
        inside, _ = self._places(names)
        return self.assembly.gathered(steps.GATHER, inside)

    def _view(self, owner: int, names: np.ndarray) -> View | None:
        """Where bytes lie that are channels of an output, and nothing is added to them there."""
        if owner < 0 or self.maps[owner].zero:
            return None
        first, inner = self._channel_of(owner, names), self.maps[owner].inner
        if first is None:
            return None
        return View(inner.base + first, inner.row, inner.column, *names.shape)

    def _places(self, names: np.ndarray) -> tuple[np.ndarray, int]:
        """int64: where bytes lie in the arena; and how they are flipped there."""
        places, flip = np.zeros(names.shape, np.int64), 0
        owner_of = self.links.owner_of(names)
        for owner in np.unique(owner_of).tolist():
            here = owner_of == owner
            if owner == SAMPLE:
                places[here] = self._sample_place() + names[here] - 1
            elif owner == CONSTANT:
                places[here] = self._constants - 1 - names[here]
            else:
                source, inner = self.routines[owner], self.maps[owner].inner
                element = steps.SUM_BYTES if source.config.wide else 1
                number, byte = np.divmod(names[here] - self.links.first[owner], element)
                pixel, position = np.divmod(number, source.outputs)
                row, column = np.divmod(pixel, source.size[1])
                places[here] = inner.base + row * inner.row + column * inner.column
                places[here] += position * element + byte
                flip |= self.maps[owner].zero
        return places, flip

    def _sample_place(self) -> int:
        """The sample as it is, once in the arena."""
        if self._sample is None:
            size = self.links.first[0] - 1
            view = self.assembly.map(1, 1, size).inner
            self.assembly.gather(steps.READ, np.arange(size).reshape(1, -1), view)
            self._sample = view.base
        return self._sample
