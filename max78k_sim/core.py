"""Core: a layer as steps of the engine, on the chip's own memory; and kernels as they want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .arithmetic import ACTIVATION_MAX
from .engine import choose_path, pack, steps, winograd
from .engine.path import PATHS
from .engine.steps import Assembly, Map, View, address
from .errors import NotEmulated
from .memory import Memory
from .ops import stages
from .routine import LayerTrace, Routine, Stores

JOB = {name: number for number, name in enumerate(steps.JOB)}
PLACES = 2 * steps.PIXELS  # addresses of pixels, read and written
ANY_BYTE = 255  # the largest byte of a map whose values may be negative


class Kernels:
    """Kernels and biases of some routines, in one run each; packed again after they are written.

    ``maps``: what each routine's convolution reads, to be set before the first ``update``;
    ``patched``: whether it goes by ``winograd``, whose sums nobody can look at.
    ``blocks``, ``taps``, ``weights``: see Pack, with places in the whole; ``bias``: int32, the
    routines' outputs in whole blocks, one routine after the other.
    """

    def __init__(self, routines: Sequence[Routine], path: str):
        self.routines, self.path = routines, PATHS[path]
        self.maps: list[Map | None] = [None] * len(routines)
        self.patched = [False] * len(routines)
        counts = [-(-routine.outputs // self.path.block) for routine in routines]
        self._first_block = np.cumsum([0, *counts])
        self._written: tuple | None = None  # the memory, and its versions, that are known
        self._decoded: list[np.ndarray | None] = [None] * len(routines)
        self._packs: list[pack.Pack | None] = [None] * len(routines)
        self._located: list[np.ndarray] = []
        self._places: list[tuple[str, int]] = []
        self.bias = np.zeros(int(self._first_block[-1]) * self.path.block, np.int32)
        self.blocks = np.zeros((1, len(pack.BLOCK)), np.int64)
        self.taps, self.weights = np.zeros(1, np.int32), np.zeros(1, np.int8)

    def fields(self, number: int) -> dict[str, int]:
        """Of the step that convolves for a routine."""
        first, end = self._first_block[number : number + 2]
        table = int(first) * self.path.block
        fields = {"kernel": int(first), "count": int(end - first), "table": table}
        if self.patched[number]:
            data, taps = self.maps[number], self.routines[number].config.kernel_size[1]
            assert data is not None
            depth = steps.vectors(data.outer.channels) // steps.LANES
            fields |= {"operation": steps.WINOGRAD, "taps": taps, "zero": data.zero, "depth": depth}
        return fields

    def update(self, memory: Memory) -> None:
        """What the memory holds now; only layers whose kernels changed are packed."""
        written = memory, memory.versions["kernel"], memory.versions["bias"]
        if written == self._written:
            return
        self._written, changed = None, False
        for number, (routine, data) in enumerate(zip(self.routines, self.maps, strict=True)):
            kernels = routine.kernels(memory)
            assert data is not None
            if kernels is not self._decoded[number]:
                self._packs[number] = self._packed(number, kernels, data)
                self._decoded[number], changed = kernels, True
            packed = self._packs[number]
            assert packed is not None
            first = int(self._first_block[number]) * self.path.block
            values = routine.bias(memory) - packed.sums[: routine.outputs]
            self.bias[first : first + routine.outputs] = values
        if changed:
            self._join()
        self._written = written

    def _packed(self, number: int, kernels: np.ndarray, data: Map) -> pack.Pack:
        """In the order that they had before, if they can be: finding one takes long."""
        old = self._packs[number]
        if self.patched[number]:
            return winograd.packed_alike(old, kernels) if old else winograd.pack(kernels, self.path)
        largest = ANY_BYTE if data.zero else ACTIVATION_MAX
        how = largest, data.zero, self.path
        found = old and pack.packed_alike(old, kernels, *how)
        return found or pack.pack(kernels, data.outer.row, data.outer.column, *how)

    @property
    def places(self) -> list[tuple[str, int]]:
        """Addresses of the runs, by their names in a job."""
        runs: list[np.ndarray] = [self.blocks, self.taps, self.weights, self.bias]
        if [id(run) for run in runs] != [id(run) for run in self._located]:
            places = [address(run) for run in runs]
            self._places = list(zip(("blocks", "taps", "weights", "bias"), places, strict=True))
            self._located = runs
        return self._places

    def _join(self) -> None:
        """One run of everything."""
        packs = [each for each in self._packs if each is not None]
        taps = np.cumsum([0, *(len(each.taps) for each in packs)])
        weights = np.cumsum([0, *(len(each.weights) for each in packs)])
        blocks = [each.blocks.copy() for each in packs]
        for each, tap, weight in zip(blocks, taps, weights, strict=False):
            each[:, 1] += tap
            each[:, 3] += weight
        self.blocks = np.concatenate(blocks)
        self.taps = np.concatenate([each.taps for each in packs])
        self.weights = steps.zeros(int(weights[-1])).view(np.int8)
        np.concatenate([each.weights for each in packs], out=self.weights)


@dataclass(frozen=True, eq=False)
class Steps:
    """An Assembly that is done, and the kernels that its products take."""

    steps: np.ndarray
    tables: np.ndarray
    template: np.ndarray
    kernels: Kernels
    limit: int  # of sums, where they are checked

    @classmethod
    def of(cls, assembly: Assembly, kernels: Kernels, limit: int) -> Steps:
        """Its tables."""
        return cls(*assembly.build(), assembly.template(), kernels, limit)

    def run(
        self,
        arena: np.ndarray,
        inputs: np.ndarray,
        outputs: np.ndarray,
        strides: tuple[int, int] = (0, 0),
        samples: range = range(1),
    ) -> int | None:
        """Samples from ``inputs`` to ``outputs``, uint8, ``strides`` bytes from one to the next.

        ``arena`` uint8 [``size`` of the samples at a time].  Returns the layer of the first sum
        that is beyond the limit, where the run ends; None if there is none.
        """
        from .engine.native import loaded  # the compiler is loaded when something is computed

        numbers, room = (
            steps.zeros(steps.NUMBER * count).view(np.int64) for count in (len(JOB), self._room)
        )
        numbers[:] = self._job
        for name, array in (("arena", arena), ("inputs", inputs), ("outputs", outputs),
                            ("pixels", room)):  # fmt: skip
            numbers[JOB[name]] = address(array)
        operands = numbers[JOB["pixels"]] + steps.NUMBER * PLACES
        together = (len(arena) - self._patches) // len(self.template)
        patches = numbers[JOB["arena"]] + together * len(self.template)
        for name, value in (
            ("samples", together), ("patches", patches), ("input_stride", strides[0]),
            ("output_stride", strides[1]), ("first", samples.start), ("last", samples.stop),
            ("operands", operands), ("line", operands + steps.NUMBER * steps.OPERANDS),
            *self.kernels.places,
        ):  # fmt: skip
            numbers[JOB[name]] = value
        loaded(self.kernels.path.name)(address(numbers))
        if not numbers[JOB["beyond"]]:
            return None
        return int(self.steps[numbers[JOB["step"]], steps.FIELDS.index("layer")])

    def size(self, samples: int) -> int:
        """Bytes of an arena for so many samples at a time."""
        return samples * len(self.template) + self._patches

    @cached_property
    def _patches(self) -> int:
        """Bytes, behind all samples, for the patches of one step."""
        fields = [dict(zip(steps.FIELDS, row, strict=True)) for row in self.steps.tolist()]
        return max(
            (
                winograd.room(step["depth"], step["taps"], self.kernels.path)
                for step in fields
                if step["operation"] == steps.WINOGRAD
            ),
            default=0,
        )

    @cached_property
    def _job(self) -> np.ndarray:
        """What is the same for every run."""
        numbers = np.zeros(len(JOB), np.int64)
        numbers[JOB["steps"]], numbers[JOB["step_count"]] = address(self.steps), len(self.steps)
        numbers[JOB["tables"]], numbers[JOB["limit"]] = address(self.tables), self.limit
        numbers[JOB["template"]], numbers[JOB["size"]] = address(self.template), len(self.template)
        return numbers

    @cached_property
    def _room(self) -> int:
        """Numbers that a run keeps beside the arena, with a line of sums."""
        widest = int(self.steps[:, steps.FIELDS.index("channels")].max(initial=0))
        return PLACES + steps.OPERANDS + steps.vectors(widest)


class Core:
    """One layer, one sample: reads stores, keeps what it computed in its arena, writes stores."""

    def __init__(self, routine: Routine, rounding: bool):
        self.routine = routine
        config, operation = routine.config, routine.operation
        assembly = Assembly()
        operands = [assembly.gathered(steps.READ, index) for index in routine.read_index]
        size = *stages.pooled_size(config, *routine.in_size), routine.read_index.shape[3]
        data = assembly.map(*size)
        if operation.convolves:
            data = stages.frame(assembly, config, operation, size, steps.SIGNED)
        stages.reduce(assembly, operands, config, rounding, data.inner, data.zero)
        self.kernels = Kernels([routine] if operation.convolves else [], choose_path())
        self.data, self.output, self.sums = data, data.inner, None
        if operation.convolves:
            size = *routine.size, routine.outputs
            self.sums = sums = assembly.map(*size, element=steps.SUM_BYTES).inner
            self.output = sums if config.wide else assembly.map(*size).inner
            fields = self.kernels.fields(0)
            self.kernels.maps[0] = data
            stages.convolve(assembly, config, data.outer, sums, raw=1, **fields)
            stages.finish(assembly, config, sums, self.output, raw=config.wide)
        write_output(assembly, routine, self.output)
        self.steps = Steps.of(assembly, self.kernels, routine.sum_limit)
        self.arena = steps.zeros(self.steps.size(1))

    def execute(self, stores: Stores) -> LayerTrace:
        """One run."""
        routine = self.routine
        inputs = stores.bytes(routine.flow.streamed_in).view(np.uint8)
        outputs = stores.bytes(routine.flow.streamed_out).view(np.uint8)
        self.kernels.update(stores.memory)
        if self.steps.run(self.arena, inputs, outputs) is not None:
            raise self.overflow()
        stores.memory.versions["data"] += 1
        data = seen(self.arena, self.data.inner) ^ np.uint8(self.data.zero)
        wide = routine.config.wide
        sums = None if self.sums is None else seen(self.arena, self.sums, np.int32)
        output = sums if wide and sums is not None else seen(self.arena, self.output, np.int8)
        return LayerTrace(routine.layer, data.view(np.int8), sums, output)

    def overflow(self) -> NotEmulated:
        """An accumulator is too large."""
        assert self.sums is not None
        sums = seen(self.arena, self.sums, np.int32).astype(np.int64)
        return self.routine.overflow(int(abs(sums).max()))


def write_output(assembly: Assembly, routine: Routine, output: View) -> None:
    """Bytes of an output go to the places that the registers say, gaps included."""
    element = steps.SUM_BYTES if routine.config.wide else 1
    each = np.arange(element)
    outside = routine.store_index.reshape(-1, 1) * element + each
    first = output.indices() - output.base - np.arange(output.channels)
    inside = output.base + first[..., None] + each + element * np.arange(output.channels)[:, None]
    assembly.write(outside, inside)


def seen(arena: np.ndarray, view: View, kind: type = np.uint8) -> np.ndarray:
    """A copy of what a view holds: [row, column, channel]."""
    element = np.dtype(kind).itemsize
    shape, strides = (view.rows, view.columns, view.channels), (view.row, view.column, element)
    return np.ndarray(shape, kind, arena, view.base, strides).copy()
