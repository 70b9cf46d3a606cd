"""Traces: what a program did on the bus, access by access, replayed and recorded.

A trace is an .npz: ``kind`` (0 read, 1 write, 2 interrupt delivered), ``size`` (bytes), ``address``
and ``value``, a row for each access; ``check_addr``, ``check_mask``, ``check_len``, ``check_val``:
runs of words that data memory must hold at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..bus import Bus
from ..checkpoint import FAULTS
from ..device import WORD, Device
from ..errors import InputError, Max78kError
from ..explain import explain

READ, WRITE, INTERRUPT = range(3)
ROWS = {"kind": 2, "size": WORD, "address": 0xFFFFFFFF, "value": 0xFFFFFFFF}  # largest values
CHECKS = ("check_addr", "check_mask", "check_len")


@dataclass(frozen=True, eq=False)
class Trace:
    """Accesses as arrays of the same length, and what data memory must hold after them.

    ``checks``: (address, mask, uint32 words).
    """

    name: str
    kind: np.ndarray  # uint8
    size: np.ndarray  # uint8, bytes
    address: np.ndarray  # uint32
    value: np.ndarray  # uint32
    checks: tuple[tuple[int, int, np.ndarray], ...] = ()


@dataclass(frozen=True)
class Difference:
    """A read, a check word or an interrupt that was not what the trace says.

    ``access`` is the row of the trace, None for a word that is checked at the end.
    """

    access: int | None
    text: str

    def __str__(self):
        return f"{'at the end' if self.access is None else f'access {self.access:,}'}: {self.text}"


@dataclass
class Result:
    """What a replay found; ``first`` are the first differences, ``differences`` counts all."""

    name: str
    accesses: int
    reads: int = 0
    interrupts: int = 0
    words: int = 0
    differences: int = 0
    first: tuple[Difference, ...] = ()
    warnings: tuple[str, ...] = ()

    def add(self, access: int | None, text: str) -> None:
        """Count a difference; the first few are kept."""
        self.differences += 1
        if len(self.first) < 10:
            self.first += (Difference(access, text),)


def load_trace(file: str | Path) -> Trace:
    """Read a trace; InputError with what is wrong with it."""
    file = Path(file)
    try:
        with file.open("rb") as stream:
            stored = np.load(stream, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                raise ValueError("one array")
            arrays = {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise InputError("there is no such file", file=file) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=file) from None
    except FAULTS:
        raise InputError("is damaged, or not a trace (.npz)", file=file) from None
    missing = [name for name in (*ROWS, *CHECKS, "check_val") if name not in arrays]
    if missing:
        raise InputError(f"not a trace: it has no {', '.join(missing)}", file=file)
    for name, array in arrays.items():
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
            raise InputError(f"{name} is not a row of integers", file=file)
        if name in ROWS and (len(array) != len(arrays["kind"]) or array.min(initial=0) < 0):
            raise InputError(f"{name} does not have a value for every access", file=file)
        if name in ROWS and array.max(initial=0) > ROWS[name]:
            raise InputError(f"{name} has {array.max()}, the limit is {ROWS[name]}", file=file)
    rows = {name: arrays[name] for name in ROWS}
    return Trace(file.stem, **rows, checks=read_checks(arrays, file))


def read_checks(arrays: dict[str, np.ndarray], file: Path):
    """The runs of words that are checked at the end."""
    ends = np.cumsum(arrays["check_len"], dtype=np.int64)
    if len({len(arrays[name]) for name in CHECKS}) != 1 or (
        len(ends) and ends[-1] != len(arrays["check_val"])
    ):
        raise InputError("check_len does not add up to the words of check_val", file=file)
    runs = np.split(arrays["check_val"].astype(np.uint32), ends[:-1])
    pairs = zip(arrays["check_addr"].tolist(), arrays["check_mask"].tolist(), runs, strict=False)
    return tuple((address, mask, words) for address, mask, words in pairs)


def find_start(trace: Trace, device: Device) -> int:
    """The access that starts the first run: the master's CTRL.enable goes from 0 to 1."""
    controls = [device.address("quadrant register", group) for group in range(4)]
    control = device.global_registers[0]
    enabled: set[int] = set()
    for access in np.flatnonzero((trace.kind == WRITE) & np.isin(trace.address, controls)):
        fields = control.decode(int(trace.value[access]))
        group = controls.index(int(trace.address[access]))
        if fields["enable"] and group not in enabled and fields["master_quadrant"] == group:
            return int(access)
        (enabled.add if fields["enable"] else enabled.discard)(group)
    raise InputError(f"{trace.name}: no access starts the accelerator")


def status_addresses(bus: Bus) -> set[int]:
    """Registers that programs poll: how often they are read before they change is not compared."""
    device = bus.device
    groups = range(device.region("quadrant register").groups)
    quadrant = {
        device.address("quadrant register", group, 0, at) for group in groups for at in (0, 3)
    }
    return quadrant | {
        device.address(region, entry=1) for region in ("fifo register", "fast fifo register")
    }


def polls(trace: Trace, status: set[int]) -> np.ndarray:
    """bool [access]: reads of a status register that the same read follows."""
    same = np.zeros(len(trace.kind), bool)
    same[:-1] = (trace.address[:-1] == trace.address[1:]) & (trace.kind[1:] == READ)
    return same & (trace.kind == READ) & np.isin(trace.address, sorted(status))


def replay(trace: Trace, bus: Bus, start: int = 0, stop: int | None = None) -> Result:
    """Apply accesses and compare what they read; ``finish`` compares what is left at the end.

    ``bus`` should be timed: a run then ends where the trace delivers its interrupt, or where a
    status register was polled until it had.
    """
    stop = len(trace.kind) if stop is None else stop
    result = Result(trace.name, stop - start)
    status = status_addresses(bus)
    skipped = polls(trace, status).tolist()
    columns = (trace.kind, trace.size, trace.address, trace.value)
    rows = zip(*(column[start:stop].tolist() for column in columns), strict=True)
    access = start
    try:
        for access, (kind, size, address, value) in enumerate(rows, start):
            if kind == WRITE:
                bus.write(address, size, value)
            elif kind == READ:
                found = bus.read(address, size)
                result.reads += 1
                if found != value and bus.runner.running and address in status:
                    bus.runner.finish()
                    found = bus.read(address, size)
                if found != value and not skipped[access]:
                    result.add(access, describe(bus, address, value, found))
            else:
                result.interrupts += 1
                if not bus.deliver_interrupt():
                    result.add(access, "an interrupt is delivered, but none is pending")
    except Max78kError as error:
        result.add(access, error.message)
    result.warnings = tuple(bus.warnings)
    return result


def finish(trace: Trace, bus: Bus, result: Result) -> Result:
    """Compare the words that data memory must hold."""
    for address, mask, words in trace.checks:
        found = bus.memory.read(address, len(words))
        result.words += len(words)
        for index in np.flatnonzero((found ^ words) & np.uint32(mask)).tolist():
            place = address + WORD * index
            result.add(None, describe(bus, place, int(words[index]), int(found[index]), mask))
    return result


def describe(bus: Bus, address: int, expected: int, found: int, mask: int = 0xFFFFFFFF) -> str:
    """One difference: what lies there, and both values."""
    masked = "" if mask == 0xFFFFFFFF else f" under mask 0x{mask:08x}"
    meaning = explain(bus.device, address)
    return f"{meaning} is 0x{found:08x}, expected 0x{expected:08x}{masked}"


class Recorder:
    """A bus that writes down what is done on it: ``read``, ``write``, ``deliver_interrupt``.

    ``machine`` and ``memory`` are the bus's; ``save`` writes the trace, with words to check.
    """

    def __init__(self, bus: Bus):
        self.bus, self.machine, self.memory = bus, bus.machine, bus.memory
        self.rows: list[tuple[int, int, int, int]] = []  # kind, size, address, value

    def read(self, address: int, size: int = WORD) -> int:
        """A read, written down with what it gave."""
        value = self.bus.read(address, size)
        self.rows.append((READ, size, address, value))
        return value

    def write(self, address: int, size: int, value: int) -> None:
        """A write, written down."""
        self.rows.append((WRITE, size, address, value))
        self.bus.write(address, size, value)

    def deliver_interrupt(self) -> bool:
        """The processor takes the interrupt now."""
        self.rows.append((INTERRUPT, 0, 0, 0))
        return self.bus.deliver_interrupt()

    def trace(self, name: str, checks: tuple[tuple[int, int, int], ...] = ()) -> Trace:
        """What was recorded; ``checks``: (address, mask, count) of words as they are now."""
        columns = np.array(self.rows, np.int64).reshape(-1, 4).T
        kind, size = (column.astype(np.uint8) for column in columns[:2])
        address, value = (column.astype(np.uint32) for column in columns[2:])
        runs = tuple((first, mask, self.memory.read(first, count)) for first, mask, count in checks)
        return Trace(name, kind, size, address, value, runs)


def save_trace(trace: Trace, file: Path) -> None:
    """Write a trace, compressed, under exactly this name."""
    runs = [words for _, _, words in trace.checks]
    with file.open("wb") as stream:  # to a name without .npz, numpy would add it
        np.savez_compressed(
            stream,
            **{name: getattr(trace, name) for name in ROWS},
            check_addr=np.array([address for address, _, _ in trace.checks], np.uint32),
            check_mask=np.array([mask for _, mask, _ in trace.checks], np.uint32),
            check_len=np.array([len(words) for words in runs], np.uint32),
            check_val=np.concatenate([np.zeros(0, np.uint32), *runs]),
        )
