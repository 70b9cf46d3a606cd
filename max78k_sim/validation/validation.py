"""A run against a reference: what differs first, how far each layer is off, and why.

``compare`` computes; ``verbs/validate.py`` prints.  A layer's error is given twice: accumulated, as
our run from the sample gives it, and isolated, where each layer reads the reference's values of the
layers before it, so that the layer at fault stands alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .. import placement
from ..allocation import Plan
from ..errors import InputError, Max78kError
from ..explain import explain
from ..machine import Machine
from ..network import Layer, Network
from ..program import Program, compile_network
from .causes import Finding, Situation, sample_changes
from .golden import ALL_BITS, Run
from .patterns import find_causes, same_sums
from .recording import Record, record
from .references import Reference

FAULTS_EXPLAINED = 4  # layers for which causes are tried: each costs some runs
STORED = {"mram": "kernel memory", "bias": "bias memory", "input": "input image"}
REGISTER_STAGES = ("init", "configure", "start")


@dataclass(frozen=True)
class Error:
    """How far values are off: ``largest`` is the largest absolute difference."""

    values: int
    different: int
    largest: int


@dataclass(frozen=True)
class Difference:
    """One value that differs; ``address`` in bytes, None where a streamed output lies nowhere."""

    channel: int
    row: int
    column: int
    address: int | None
    expected: int
    ours: int


@dataclass(frozen=True)
class LayerResult:
    """One layer: its errors, the first value that differs and why.

    ``isolated`` is None where nothing differs so far; ``sums_equal``: whether the accumulators
    agree, None where the reference has none.
    """

    layer: int
    name: str
    accumulated: Error
    isolated: Error | None
    first: Difference | None
    causes: tuple[Finding, ...]
    sums_equal: bool | None = None


@dataclass(frozen=True)
class WordsResult:
    """Words of one part of the chip; ``first``: (address, expected, ours, what lies there)."""

    name: str
    words: int
    different: int
    first: tuple[int, int, int, str] | None = None


@dataclass(frozen=True)
class Report:
    """Everything that was compared."""

    kind: str
    source: str
    network: str
    input: LayerResult | None
    layers: tuple[LayerResult, ...]
    words: tuple[WordsResult, ...]
    missing: tuple[str, ...]  # layers that the reference does not have
    notes: tuple[str, ...]

    @property
    def first_fault(self) -> LayerResult | None:
        """The first layer that is wrong by itself; the input, if that differs."""
        faults = [self.input, *self.layers] if self.input else self.layers
        return next((layer for layer in faults if layer and layer.first), None)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        off = any(layer.accumulated.different or layer.first for layer in self.layers)
        return not off and not self.input and not any(part.different for part in self.words)


def compare(program: Program, reference: Reference, sample: np.ndarray | None) -> Report:
    """Run a network and compare all that the reference has.

    ``sample``: integers [channel, row, column]; None: the reference's own input.  Raises InputError
    where neither has one, or nothing can be compared.
    """
    mine = reference.sample if sample is None else np.asarray(sample)
    if mine is None:
        raise InputError(
            f"{reference.kind} without an input; give --sample-input", file=reference.source
        )
    if not reference.outputs and not reference.memory:
        raise InputError("nothing to compare in it", file=reference.source)
    network = program.plan.network
    machine = Machine(program.device)
    machine.load(program)
    stored = words_before(machine, program, reference, mine)
    chain, words = [], []
    for trace in machine.traces(mine):
        chain.append(record(machine, trace))
        words += compare_runs(machine, reference, f"l{trace.layer}")
    words += compare_runs(machine, reference, "output")
    fed = mine if reference.sample is None else reference.sample
    entry = compare_input(program.plan, reference, mine)
    return Report(
        reference.kind,
        reference.source,
        network.name,
        entry,
        tuple(compare_layers(program, reference, chain, fed, entry is not None)),
        (*stored, *words),
        tuple(item.name for item in network.layers if item.index not in reference.outputs),
        tuple(reference.notes),
    )


# --- layers


def compare_layers(
    program: Program, reference: Reference, chain: list[Record], sample: np.ndarray, other: bool
) -> Iterator[LayerResult]:
    """Every layer that the reference has; ``other``: our run had another input."""
    wrong = other or any(
        item.layer.index in reference.outputs
        and not same(item.output, reference.outputs[item.layer.index])
        for item in chain
    )
    alone = isolated(program, reference, sample) if wrong else iter(chain)
    explained = 0
    for item, single in zip(chain, alone, strict=True):
        number = item.layer.index
        if number not in reference.outputs:
            continue
        expected = reference.outputs[number]
        first = first_difference(program.plan, item.layer, single.output, expected)
        causes: tuple[Finding, ...] = ()
        if first is not None and explained < FAULTS_EXPLAINED:
            explained += 1
            known = np.ones(expected.shape, bool)
            causes = explain_layer(program, reference, single, expected, known, sample)
        yield LayerResult(
            number,
            item.layer.name,
            error_of(item.output, expected),
            error_of(single.output, expected) if wrong else None,
            first,
            causes,
            same_sums(single, reference.accumulators.get(number)),
        )


def isolated(program: Program, reference: Reference, sample: np.ndarray) -> Iterator[Record]:
    """Every layer on the reference's values of the layers before it.

    Where the reference has none, or they go past memory in a stream, a layer reads our own.
    """
    machine = Machine(program.device)
    machine.load(program)
    for trace in machine.traces(sample):
        done = record(machine, trace)
        yield done
        values = reference.outputs.get(trace.layer)
        place = program.plan.placements.get((done.layer.name, "output"))
        if place is not None and values is not None and values.shape == place.shape:
            placement.write(machine.memory, place, values)


def explain_layer(
    program: Program,
    reference: Reference,
    single: Record,
    expected: np.ndarray,
    known: np.ndarray,
    sample: np.ndarray,
) -> tuple[Finding, ...]:
    """Causes of one layer's difference."""
    network, number = program.plan.network, single.layer.index
    before = replace(
        reference,
        outputs={n: values for n, values in reference.outputs.items() if n < number},
    )

    def rerun(changed: Network, given: np.ndarray) -> np.ndarray | None:
        try:
            for done in isolated(compile_network(changed), before, given):
                if done.layer.index == number:
                    return done.output.astype(np.int64)
        except Max78kError:  # what the chip cannot do is not what happened
            pass
        return None

    case = Situation(network, single, expected, known, sample, rerun)
    place = program.plan.placements.get((single.layer.name, "output"))
    return find_causes(case, None if place is None else place.address)


def compare_input(plan: Plan, reference: Reference, sample: np.ndarray) -> LayerResult | None:
    """Whether the reference read another input; None where it is the same, or not known."""
    theirs = reference.sample
    if theirs is None or same(sample, theirs):
        return None
    ours = sample.astype(np.int64).reshape(theirs.shape)
    causes = tuple(
        Finding("input", sentence, int((ours != theirs).sum()), int((ours != theirs).sum()), True)
        for sentence, changed in sample_changes(ours)
        if np.array_equal(changed, theirs)
    )
    layer = plan.network.layers[0]
    place = plan.placements.get((layer.name, "input"))
    first = difference_at(place, ours, theirs)
    return LayerResult(-1, "input", error_of(ours, theirs), None, first, causes[:1])


def same(ours: np.ndarray, expected: np.ndarray) -> bool:
    """Whether shape and values agree."""
    return ours.size == expected.size and np.array_equal(ours.reshape(expected.shape), expected)


def error_of(ours: np.ndarray, expected: np.ndarray) -> Error:
    """Counts; another shape is wrong in every value."""
    if ours.shape != expected.shape:
        return Error(expected.size, expected.size, 0)
    off = np.abs(ours.astype(np.int64) - expected)
    return Error(expected.size, int((off != 0).sum()), int(off.max(initial=0)))


def first_difference(
    plan: Plan, layer: Layer, ours: np.ndarray, expected: np.ndarray
) -> Difference | None:
    """The first value of a layer's output that differs, in the order channel, row, column."""
    return difference_at(plan.placements.get((layer.name, "output")), ours, expected)


def difference_at(place, ours: np.ndarray, expected: np.ndarray) -> Difference | None:
    """The first value that differs and its address; of another shape, the first of all."""
    if ours.shape != expected.shape:
        at = (0, 0, 0)
    else:
        wrong = np.argwhere(ours != expected)
        if not len(wrong):
            return None
        at = (int(wrong[0][0]), int(wrong[0][1]), int(wrong[0][2]))
    address = None if place is None else int(place.address[at])
    return Difference(*at, address, int(expected[at]), int(ours[at]))


# --- words


def words_before(
    machine: Machine, program: Program, reference: Reference, sample: np.ndarray
) -> list[WordsResult]:
    """Registers, kernels, biases and the input, as they are when a run starts."""
    results = []
    if reference.registers:
        actual = {
            write.address: int(write.words[0])
            for write in (*program.writes, *program.start)
            if write.stage in REGISTER_STAGES
        }
        pairs = {
            address: (reference.registers.get(address, 0), actual.get(address, 0))
            for address in sorted(reference.registers | actual)
        }
        results.append(words_result(program.plan, "registers", pairs))
    if any(run.part in STORED for run in reference.memory):
        machine.prepare(sample)
        for part in STORED:
            results += compare_runs(machine, reference, part)
    return results


def compare_runs(machine: Machine, reference: Reference, part: str) -> list[WordsResult]:
    """One part of the reference's memory, as the machine has it now; nothing without runs."""
    runs = [run for run in reference.memory if run.part == part]
    if not runs:
        return []
    assert machine.program is not None
    plan = machine.program.plan
    pairs = {address: pair for run in runs for address, pair in run_pairs(machine, run)}
    count = sum(len(run.words) for run in runs)
    return [words_result(plan, part_name(plan, part), pairs, count)]


def run_pairs(machine: Machine, run: Run) -> list[tuple[int, tuple[int, int]]]:
    """(address, (expected, ours)) of the words of a run that differ where its mask has bits.

    Words past the end of a memory cannot be there: they count as 0.
    """
    words = np.zeros(len(run.words), np.uint32)
    for count in range(len(words), 0, -1):
        try:
            words[:count] = machine.memory.read(run.address, count)
            break
        except Max78kError as error:
            if count == 1:
                raise InputError(f"{run.part}: {error.message}") from None
    wrong = np.flatnonzero((words ^ run.words) & np.uint32(run.mask & ALL_BITS))
    return [
        (run.address + 4 * int(word), (int(run.words[word]), int(words[word]) & run.mask))
        for word in wrong
    ]


def part_name(plan: Plan, part: str) -> str:
    """A part of memory.npz in words."""
    if part == "output":
        return "known answer"
    name = STORED.get(part)
    return name or f"data memory after {plan.network.layers[int(part[1:])].name}"


def words_result(
    plan: Plan, name: str, pairs: dict[int, tuple[int, int]], count: int | None = None
) -> WordsResult:
    """The count of words that differ, and the first of them with what lies there."""
    wrong = [(address, *pair) for address, pair in sorted(pairs.items()) if pair[0] != pair[1]]
    total = len(pairs) if count is None else count
    if not wrong:
        return WordsResult(name, total, 0)
    address, expected, ours = wrong[0]
    return WordsResult(name, total, len(wrong), (address, expected, ours, explain(plan, address)))
