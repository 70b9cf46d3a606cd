"""A Program's words as the tables of a C project: kernels, biases, registers, sample and answer.

Compute only; ``project.py`` prints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from max78k_sim import packing
from max78k_sim.bus.driver import FAST_PORT, FIRST_PORT, express, mode
from max78k_sim.device import WORD
from max78k_sim.errors import InputError
from max78k_sim.fifo import fifo_words
from max78k_sim.machine import Machine
from max78k_sim.placement import Placement
from max78k_sim.program import Program, Write

Run = tuple[int, np.ndarray]  # address in bytes, uint32 words


@dataclass(frozen=True)
class RegisterWrite:
    """One register write, with what it is."""

    address: int
    value: int
    note: str


@dataclass(frozen=True)
class CheckedRun:
    """Consecutive words of an answer, of which the bits in ``mask`` count."""

    address: int
    mask: int
    words: np.ndarray  # uint32 [n], masked


@dataclass(frozen=True)
class Fifo:
    """One FIFO's input: words uint32 [n] for ``port``, while ``full`` is not set in the status."""

    number: int
    port: int
    full: int
    words: np.ndarray


def register_writes(program: Program, stage: str, packed: bool) -> list[RegisterWrite]:
    """The writes of one stage (program.STAGES), in order."""
    source = program.start if stage == "start" else program.writes
    meanings = {row.name: row.meaning for row in program.device.layer_registers}
    rows = []
    for write in source:
        if write.stage == stage:
            (value,) = mode(program.device, write, packed).tolist()
            meaning = meanings.get(write.note.rpartition(": ")[2])
            note = f"{write.note}, {meaning}" if meaning else write.note
            rows.append(RegisterWrite(write.address, value, note))
    return rows


def kernel_runs(program: Program, packed: bool) -> list[Run]:
    """Kernel words, a run for each processor and layer: a packed stream, or as they are read."""
    writes = [write for write in program.writes if write.stage == "weights"]
    if not packed:
        return [(write.address, write.words) for write in writes]
    return [packed_run(program, write) for write in writes]


def packed_run(program: Program, write: Write) -> Run:
    """One run as a packed stream."""
    (_, _, _), *words = express(program.device, write)
    return words[0][0], np.array([value for _, _, value in words], np.uint32)


def bias_runs(program: Program) -> list[tuple[int, int, np.ndarray]]:
    """(address, bytes, uint32 words of four bytes) of each quadrant that has biases."""
    runs = []
    for write in program.writes:
        if write.stage == "bias":
            lanes = np.pad(write.words.astype(np.uint8), (0, -len(write.words) % WORD))
            words = packing.pack_bytes(lanes.reshape(-1, WORD))
            runs.append((write.address, len(write.words), words))
    return runs


def input_runs(program: Program, sample: np.ndarray) -> list[Run]:
    """A sample in data memory, where no FIFO brings it; bytes that it does not fill are 0."""
    place = program.plan.placement(0, "input")
    words = place.pack(np.zeros(len(place.words), np.uint32), sample)
    runs, first = [], 0
    for address, count in place.runs:
        runs.append((address, words[first : first + count]))
        first += count
    return runs


def input_fifos(program: Program, sample: np.ndarray) -> list[Fifo]:
    """A sample for the FIFOs."""
    device, network = program.device, program.plan.network
    fast = network.fast_fifo
    region, first = ("fast fifo register", FAST_PORT) if fast else ("fifo register", FIRST_PORT)
    status = (device.fast_fifo_registers if fast else device.fifo_registers)[1]
    return [
        Fifo(
            number,
            device.address(region, entry=first + number),
            status.encode({"full": 1 << number}),
            words,
        )
        for number, words in sorted(fifo_words(network, sample).items())
    ]


def fifo_status(program: Program) -> int:
    """Address of the status register of the FIFOs that the network uses."""
    name = "fast fifo register" if program.plan.network.fast_fifo else "fifo register"
    return program.device.address(name, entry=1)


def output_placement(program: Program) -> Placement:
    """Where the last layer's output lies."""
    return program.plan.placement(len(program.plan.layers) - 1, "output")


def step_of(place: Placement, number: int) -> int:
    """Bytes from one index of an axis to the next; InputError where that is not one number."""
    base = place.pieces[number].base
    steps = set(np.diff(base).tolist()) or {0}
    if len(steps) > 1 or min(steps) < 0:
        raise InputError(f"{place.layer}: its output's {place.pieces[number].name} lie unevenly")
    return steps.pop()


def channel_addresses(place: Placement) -> list[int]:
    """The address of each channel's first value."""
    return place.address[:, 0, 0].tolist()


def answer(program: Program, sample: np.ndarray) -> tuple[np.ndarray, list[CheckedRun]]:
    """What the simulated chip gives: values [channel, row, column], and the words with them."""
    machine = Machine(program.device)
    machine.load(program)
    values = machine.run(sample)
    place = output_placement(program)
    zeros = np.zeros(len(place.words), np.uint32)
    masks = place.pack(zeros, np.full(place.shape, -1))
    words = place.pack(zeros, values)
    breaks = (np.diff(place.words.astype(np.int64)) != WORD) | (
        np.diff(masks.astype(np.int64)) != 0
    )
    parts = np.split(np.arange(len(words)), np.flatnonzero(breaks) + 1)
    return values, [
        CheckedRun(int(place.words[part[0]]), int(masks[part[0]]), words[part]) for part in parts
    ]


def first_words(runs: list[CheckedRun], most: int) -> list[CheckedRun]:
    """The first ``most`` words of an answer."""
    kept = []
    for run in runs:
        if most > 0:
            kept.append(CheckedRun(run.address, run.mask, run.words[:most]))
            most -= len(run.words)
    return kept


def made_up_sample(program: Program, seed: int = 1) -> np.ndarray:
    """int8 [channel, row, column]: random values, where no sample was given."""
    shape = program.plan.network.input_shape
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
