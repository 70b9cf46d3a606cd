"""Links: which byte of the sample, or of a layer's output, each byte is that a run reads.

Found by asking the machine, not by reading the plan: a twin of it runs with the names of bytes in
the place of their values, written, moved and read at the addresses that its registers say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .engine.steps import SUM_BYTES
from .errors import NotEmulated
from .machine import Machine
from .routine import Routine

UNWRITTEN = 0  # no name yet: what was in memory before the run
SAMPLE, CONSTANT = -1, -2  # where bytes come from, beside layers
NAME_BYTES = 4


class Links:
    """Names: 1 and up the sample's bytes, then every layer's output [pixel, position, byte];
    -1 and down constants.

    ``reads`` int32 [operand, row, column, channel], a layer each; ``first`` the name of each
    layer's first byte; ``results``: the names of each layer's output as a user sees it, int32
    [channel, row, column, byte].  ``before``: int64, places in data memory that a run reads before
    it writes them, if it does (then its results depend on the run before); ``constants``: those
    that it reads and never writes.
    """

    def __init__(self, machine: Machine, routines: Sequence[Routine], size: int):
        self.reads: list[np.ndarray] = []
        self.first: list[int] = []
        self.results: list[np.ndarray] = []
        self._twin = twin(machine)
        self._names = np.zeros(machine.memory.arrays["data"].nbytes, np.int32)
        self._stream = np.zeros(0, np.int64), np.zeros(0, np.int32)  # places, their names
        self._written = np.zeros(len(self._names), bool)
        self._unwritten: list[np.ndarray] = []
        self.stream_before = False
        self._name_sample(routines[0])
        following = size + 1
        for routine in routines:
            self.reads.append(self._look_up(routine))
            self.first.append(following)
            following += self._name_output(routine, following)
            self.results.append(self._result(routine))
        read = np.unique(np.concatenate([np.zeros(0, np.int64), *self._unwritten]))
        self.before = read[self._written[read]]
        self.constants = read[~self._written[read]]
        for routine, names in zip(routines, self.reads, strict=True):
            places = routine.read_index[names == UNWRITTEN]
            names[names == UNWRITTEN] = -1 - np.searchsorted(self.constants, places)

    @property
    def alone(self) -> bool:
        """Whether a run's results depend on its sample alone."""
        return not (self.before.size or self.stream_before)

    def owner_of(self, names: np.ndarray) -> np.ndarray:
        """The layer that each byte comes from, or SAMPLE, or CONSTANT."""
        layers = np.searchsorted(np.array(self.first), names, side="right") - 1
        return np.where(names <= UNWRITTEN, CONSTANT, layers)

    def owners(self, names: np.ndarray) -> list[int]:
        """All of them, once each."""
        return np.unique(self.owner_of(names)).tolist()

    def _name_sample(self, first: Routine) -> None:
        """Samples that spell the names, byte by byte, go the way that every sample goes."""
        twin = self._twin
        assert twin.program is not None
        shape = twin.program.plan.network.input_shape
        names = np.arange(1, int(np.prod(shape)) + 1, dtype=np.int32).reshape(shape)
        streamed = first.flow.streamed_in
        places = np.unique(first.read_index) if streamed else np.arange(len(self._names))
        found = np.zeros(len(places), np.int32)
        for byte in range(NAME_BYTES):
            program = twin.prepare((names >> 8 * byte & 255).astype(np.uint8).view(np.int8))
            for write in program.start:
                twin.memory.write(write.address, write.words)
            twin.take_from_fifos()
            seen = twin.stores.bytes(streamed).view(np.uint8)[places]
            found |= seen.astype(np.int32) << 8 * byte
        if streamed:
            self._stream = places, found
        else:
            self._names[:] = found
            self._written |= found > 0

    def _look_up(self, routine: Routine) -> np.ndarray:
        """Names of what a layer reads; what is unwritten is noted, and named as a constant."""
        index = routine.read_index
        if routine.flow.streamed_in:
            places, names = self._stream
            found = np.minimum(np.searchsorted(places, index), max(len(places) - 1, 0))
            read = np.where(places[found] == index, names[found], UNWRITTEN)
            self.stream_before |= bool((read == UNWRITTEN).any())
            return read
        read = self._names[index]
        self._unwritten.append(index[read == UNWRITTEN].astype(np.int64))
        return read

    def _name_output(self, routine: Routine, first: int) -> int:
        """Every byte that a layer writes gets a name; how many."""
        element = SUM_BYTES if routine.config.wide else 1
        places = (routine.store_index.reshape(-1, 1) * element + np.arange(element)).reshape(-1)
        names = np.arange(first, first + places.size, dtype=np.int32)
        if first + places.size > np.iinfo(np.int32).max:
            raise NotEmulated("a network with more than 2**31 bytes of maps")
        if routine.flow.streamed_out:
            order = np.argsort(places, kind="stable")
            self._stream = places[order], names[order]
        else:
            self._names[places] = names
            self._written[places] = True
        return places.size

    def _result(self, routine: Routine) -> np.ndarray:
        """Names of a layer's output: read from memory where names lie in the place of values."""
        twin = self._twin
        assert twin.program is not None
        plan = twin.program.plan
        layer = plan.network.layers[routine.layer]
        if (layer.name, "output") not in plan.placements:
            names = self._stream_result(routine)
            return names[:, :, plan.positions(layer)].transpose(2, 0, 1)[..., None]
        store, found = twin.stores.bytes(False).view(np.uint8), None
        for byte in range(NAME_BYTES):
            store[:] = self._names >> 8 * byte & 255
            output = np.ascontiguousarray(twin.read_output(routine.layer))
            each = output.view(np.uint8).reshape(*output.shape, -1).astype(np.int32) << 8 * byte
            found = each if found is None else found | each
        assert found is not None
        return found

    def _stream_result(self, routine: Routine) -> np.ndarray:
        """Names of an output that is nowhere whole: [row, column, position]."""
        count = routine.outputs * routine.size[0] * routine.size[1]
        names = np.arange(self.first[-1], self.first[-1] + count, dtype=np.int32)
        return names.reshape(*routine.size, routine.outputs)


def twin(machine: Machine) -> Machine:
    """Another machine with the same registers and program, and nothing in data memory."""
    other = Machine(machine.device)
    other.program = machine.program
    for name, array in machine.memory.arrays.items():
        if name not in ("data", "kernel"):
            other.memory.arrays[name][:] = array
    return other
