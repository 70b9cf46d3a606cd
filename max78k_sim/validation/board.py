"""What a board printed, against our run: whose value is at each wrong address, and what ours is.

A board's known-answer test prints an address, the word that was expected there and the word that it
read.  ``compare_board`` finds the layer, channel, row and column, and tries the causes of
``causes.py`` on what the board read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..explain import explain
from ..machine import Machine
from ..program import Program
from .causes import Finding
from .recording import Record, record
from .references import Reference
from .validation import explain_layer
from .vendor_log import Mismatch

WORD = 4  # bytes


@dataclass(frozen=True)
class BoardValue:
    """One value in a wrong word: what was expected, what the board read, and what it is here."""

    channel: int
    row: int
    column: int
    expected: int
    read: int
    ours: int


@dataclass(frozen=True)
class BoardWord:
    """One line of the board; ``where`` a sentence, ``layer`` None where no layer's output lies.

    ``ours``: the whole word here.  ``verdict``: which of expected and read it is.
    """

    address: int
    expected: int
    read: int
    ours: int
    where: str
    layer: str | None
    values: tuple[BoardValue, ...]
    verdict: str


@dataclass(frozen=True)
class BoardReport:
    """A board's words, and what explains what it read; ``equal``: the board had no complaint."""

    source: str
    network: str
    words: tuple[BoardWord, ...]
    causes: tuple[Finding, ...]
    equal: bool


VERDICTS = {
    (True, False): "the simulator gives what was expected: the board is wrong",
    (False, True): "the simulator gives what the board read: the known answer (sampleoutput.h) is "
    "of other weights, another sample or other switches",
    (False, False): "the simulator gives neither: network, checkpoint or sample here are not those "
    "of the known answer",
}


def compare_board(program: Program, reference: Reference, sample: np.ndarray) -> BoardReport:
    """Every mismatch that the board printed, at its place in the network.

    ``sample``: integers [channel, row, column].  Raises InputError for an address outside of the
    chip's memories.
    """
    machine = Machine(program.device)
    machine.load(program)
    addresses = [item.address & ~3 for item in reference.mismatches]
    machine.prepare(sample)
    history = [("before the run", read_all(machine, reference, addresses))]
    run = []
    for trace in machine.traces(sample):
        run.append(record(machine, trace))
        history.append((run[-1].layer.name, read_all(machine, reference, addresses)))
    words = [
        board_word(program, run, item, history[-1][1][number])
        for number, item in enumerate(reference.mismatches)
    ]
    causes = stopped(reference, history) or computed(program, reference, run, words, sample)
    name = program.plan.network.name
    return BoardReport(reference.source, name, tuple(words), causes, not words)


def read_all(machine: Machine, reference: Reference, addresses: list[int]) -> list[int]:
    """The words that the board complained of, as they are now."""
    try:
        return [int(machine.memory.read(address)[0]) for address in addresses]
    except InputError as error:
        raise InputError(error.message, file=reference.source) from None


def board_word(program: Program, run: list[Record], item: Mismatch, ours: int) -> BoardWord:
    """One line: the layer that wrote there last, its values in that word, and who is right."""
    values: list[BoardValue] = []
    owner = None
    for done in run:
        place = program.plan.placements.get((done.layer.name, "output"))
        if place is None:
            continue
        hits = np.argwhere((place.address & ~np.uint32(3)) == item.address & ~3)
        if not len(hits):
            continue
        owner, values = done.layer.name, []
        for at in (tuple(map(int, hit)) for hit in hits):
            low, bits = 8 * (int(place.address[at]) & 3), place.bits
            fields = [signed(word >> low, bits) for word in (item.expected, item.read, ours)]
            values.append(BoardValue(at[0], at[1], at[2], *fields))
    verdict = VERDICTS[right(values, item, ours)]
    where = explain(program.plan, item.address)
    return BoardWord(
        item.address, item.expected, item.read, ours, where, owner, tuple(values), verdict
    )


def right(values: list[BoardValue], item: Mismatch, ours: int) -> tuple[bool, bool]:
    """Whether ours is what was expected, and whether it is what was read (never both)."""
    if not values:
        return ours == item.expected, ours == item.read != item.expected
    expected = all(value.ours == value.expected for value in values)
    return expected, not expected and all(value.ours == value.read for value in values)


def signed(word: int, bits: int) -> int:
    """The low bits of a word as a signed number."""
    value = word & (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def stopped(reference: Reference, history: list[tuple[str, list[int]]]) -> tuple[Finding, ...]:
    """Whether the board read what lay there before the last layers ran."""
    read = [item.read for item in reference.mismatches]
    final = history[-1][1]
    for name, words in history[:-1]:
        if words == read and words != final and any(words):
            when = name if name == "before the run" else f"after {name}"
            sentence = (
                f"the board read what lies there {when}: the run did not end, or the output was "
                "read before the interrupt"
            )
            return (Finding("stopped", sentence, len(read), len(read), True),)
    return ()


def computed(
    program: Program,
    reference: Reference,
    run: list[Record],
    words: list[BoardWord],
    sample: np.ndarray,
) -> tuple[Finding, ...]:
    """The causes of causes.py, tried on the values that the board read in the last layer there.

    Words of a run before the first mismatch were right, and count as known.
    """
    owners = [word.layer for word in words if word.layer and word.read != word.ours]
    done = next((item for item in run if owners and item.layer.name == owners[-1]), None)
    if done is None:
        return ()
    place = program.plan.placement(done.layer.index, "output")
    seen, known = done.output.astype(np.int64), np.zeros(done.output.shape, bool)
    in_words = place.address & ~np.uint32(3)
    for item in reference.mismatches:
        before = item.address - WORD * (item.number - 1)
        known |= (in_words >= before) & (in_words < item.address)
    for word in words:
        for value in word.values if word.layer == done.layer.name else ():
            at = value.channel, value.row, value.column
            seen[at], known[at] = value.read, True
    nothing = replace(reference, outputs={})
    return explain_layer(program, nothing, done, seen, known, sample)
