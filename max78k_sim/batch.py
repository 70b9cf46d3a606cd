"""Batch: the program of a machine over whole sets of samples, the same bits as ``Machine.run``.

Layers are executed from the same registers, kernels and biases by the same engine; only what lies
between them need not go through data memory, where ``Links`` shows which byte is which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

import numpy as np

from .arithmetic import ACTIVATION_MAX, ACTIVATION_MIN
from .engine import choose_path, steps
from .engine.threads import pool
from .errors import InputError
from .linker import Compiled, Layers, Linker, signs
from .links import Links
from .machine import Machine, check_values
from .routine import Routine

CACHE = 1 << 19  # bytes of arenas that are worked on at a time
SAMPLES = 16  # at most, that are worked on at a time
REGISTERS = "layer register", "quadrant register"
PARAMETERS = "kernel", "bias"
SHARES = 2  # of the samples, for each thread: one that is late delays less


class Batch:
    """A machine's loaded program over many samples.

    The machine's registers, kernels and biases count as they are at each call; its data memory is
    left as it is.  A network whose results depend on the sample before (rolling buffers) is run by
    the machine itself, in order.
    """

    def __init__(self, machine: Machine, threads: int = 1, path: str | None = None):
        if machine.program is None:
            raise InputError("the machine has no program; call load(compile_network(network))")
        self.machine, self.threads, self.path = machine, threads, choose_path(path)
        self.network = machine.program.plan.network
        self._compiled: Compiled | None = None
        self._state: tuple | None = None  # of the memory, for which that was compiled
        self._reach: dict[Routine, tuple[np.ndarray, ...]] = {}  # kernels, sums above and below 0
        self._arenas: list[np.ndarray] = []  # kept: new memory costs as much as some samples

    def run(self, samples: np.ndarray) -> np.ndarray:
        """int8 [sample, channel, row, column] -> the last layer's output, int8 or int32, alike.

        InputError for samples of another shape or range; NotEmulated as ``Machine.run``.
        """
        last = self.network.layers[-1].name
        return self.run_layers(samples, [last])[last]

    def run_layers(self, samples: np.ndarray, layers: Iterable[int | str]) -> dict[str, np.ndarray]:
        """Outputs of some layers, by name: int8 or int32 [sample, channel, row, column].

        In memory, the channels of a pixel lie side by side.
        """
        values = check_images(samples, self.network.input_shape)
        chosen = {self.network.layer(layer).index: self.network.layer(layer) for layer in layers}
        wanted = tuple(sorted(chosen))
        compiled = self._compile(wanted)
        if not compiled.layers.links.alone:
            found = self._one_by_one(values, wanted)
        else:
            found = self._all(compiled, values)
        return {
            chosen[index].name: array.reshape(len(values), *self._shape(index))
            for index, array in zip(wanted, found, strict=True)
        }

    def _shape(self, index: int) -> tuple[int, ...]:
        """(channels, rows, columns) of an output."""
        layer = self.network.layers[index]
        return (layer.out_channels, *layer.out_size)

    def _one_by_one(self, samples: np.ndarray, wanted: Sequence[int]) -> list[np.ndarray]:
        """By the machine, in order, layer by layer."""
        found: list[list[np.ndarray]] = [[] for _ in wanted]
        for sample in samples:
            for trace in self.machine.traces(sample):
                if trace.layer in wanted:
                    found[wanted.index(trace.layer)].append(self.machine.output_of(trace))
        return [np.array(each) for each in found]

    def _all(self, compiled: Compiled, samples: np.ndarray) -> list[np.ndarray]:
        """By the engine, in shares that threads take."""
        template = compiled.steps.template
        memory = self.machine.memory
        compiled.steps.kernels.update(memory)
        constants = (
            memory.arrays["data"].reshape(-1).view(np.uint8)[compiled.layers.links.constants]
        )
        template[compiled.constants : compiled.constants + len(constants)] = constants
        count, size = len(samples), samples[0].size if len(samples) else 0
        inputs = np.ascontiguousarray(samples).reshape(-1).view(np.uint8)
        results = np.empty(count * compiled.size, np.uint8)
        together = max(1, min(SAMPLES, CACHE // len(template), count))
        share = max(together, -(-count // (SHARES * self.threads)))

        def work(first: int) -> None:
            arena = self._arena(compiled.steps.size(together))
            these = range(first, min(first + share, count))
            layer = compiled.steps.run(arena, inputs, results, (size, compiled.size), these)
            if layer is not None:
                raise compiled.layers.routines[layer].overflow()
            self._arenas.append(arena)

        shares = range(0, count, share)
        if self.threads == 1 or len(shares) < 2:
            for first in shares:
                work(first)
        else:
            list(pool(self.threads).map(work, shares))
        whole = results.reshape(count, compiled.size)
        return [
            np.ascontiguousarray(whole[:, first : first + int(np.prod(shape))])
            .view(kind)
            .reshape(count, *shape[:3])
            .transpose(0, 3, 1, 2)
            for first, shape, kind in compiled.places
        ]

    def _arena(self, size: int) -> np.ndarray:
        """uint8 [size], that nobody else has now; those of another size are given up."""
        with suppress(IndexError):  # none is left; threads take them, too
            while (arena := self._arenas.pop()).size != size:
                pass
            return arena
        return steps.zeros(size)

    def _compile(self, wanted: tuple[int, ...]) -> Compiled:
        """Steps for the registers as they are now; kept until these, or what is wanted, change."""
        machine, memory = self.machine, self.machine.memory
        assert machine.program is not None
        for write in machine.program.start:
            memory.write(write.address, write.words)
        registers = (memory.arrays[name].tobytes() for name in REGISTERS)
        versions = (memory.versions[name] for name in PARAMETERS)
        state = wanted, memory, *registers, *versions
        if self._compiled is None or state != self._state:
            self._state, self._compiled = None, self._link(wanted, self._compiled)
            self._state = state
        return self._compiled

    def _link(self, wanted: tuple[int, ...], old: Compiled | None) -> Compiled:
        """These, or the old ones where they do."""
        machine = self.machine
        machine.check_control()
        routines = tuple(machine.routines())
        rounding = bool(machine.control(machine.master())["average_rounding"])
        layers = old.layers if old else None
        if layers is None or (layers.routines, layers.rounding) != (routines, rounding):
            links = Links(machine, routines, int(np.prod(self.network.input_shape)))
            layers = Layers(routines, rounding, links, signs(routines, links))
        checked = frozenset(
            number
            for number, routine in enumerate(routines)
            if routine.operation.convolves and not self._fits(routine, layers.signed[number])
        )
        found = layers, wanted, checked
        if old is None or (old.layers, old.wanted, old.checked) != found:
            return Linker(layers, checked, self.path).compile(wanted)
        return old

    def _fits(self, routine: Routine, signed: bool) -> bool:
        """Whether no data can carry an accumulator out of its bits; for most, no weights either."""
        products = routine.kernel_place[0][0].size + len(routine.quadrants)  # a bias is one of them
        if products * ACTIVATION_MIN**2 < routine.sum_limit:
            return True
        kernels = routine.kernels(self.machine.memory)
        bias = routine.bias(self.machine.memory).astype(np.int64)
        known = self._reach.get(routine)
        if known is None or known[0] is not kernels:
            flat = kernels.reshape(len(kernels), -1).astype(np.int64)
            known = kernels, np.maximum(flat, 0).sum(axis=1), np.minimum(flat, 0).sum(axis=1)
            self._reach[routine] = known
        _, above, below = known
        least = ACTIVATION_MIN if signed else 0
        most, lowest = (
            bias + ACTIVATION_MAX * above + least * below,
            bias + ACTIVATION_MAX * below + least * above,
        )
        return bool(most.max() < routine.sum_limit and lowest.min() >= -routine.sum_limit)


def check_images(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Images as int8 [sample, channel, row, column]; InputError with what is wrong."""
    values = np.asarray(images)
    if values.ndim == 3 and shape[0] == 1:
        values = values[:, None]
    if values.shape[1:] != shape:
        raise InputError(
            f"images of shape {values.shape}: the network takes [sample, "
            f"{', '.join(map(str, shape))}]"
            + (" (for one image, images[None])" if values.shape == shape else "")
        )
    return check_values(values, "images")
