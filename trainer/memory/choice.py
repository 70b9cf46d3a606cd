"""The cheapest schemes for the tensors of one placed network: every run, word and byte counted.

A tensor that is lost in a run is stashed (the accelerator is stopped where it lies whole, and the
processor copies it) or had by running the first layers again when backward needs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from max78k_sim.allocation import Plan
from max78k_sim.latency import (
    ACCELERATOR_HERTZ,
    OVERHEAD_CYCLES,
    PROCESSOR_HERTZ,
    STARTUP_CYCLES,
    latency,
)
from max78k_sim.layer import NETWORK_INPUT

from .lifetimes import Lifetimes, find_lifetimes, tensor_placement
from .needs import Needs, Tensor
from .replan import Move

IN_PLACE, REPLANNED, STASHED, AGAIN, SAMPLE = (
    "in place", "re-planned", "stashed", "run again", "kept sample",
)  # fmt: skip
SRAM_BYTES = 96 * 1024  # of 128 KB
WORD_CYCLES = 4  # of the processor for a word of the accelerator's memory: estimate, waits unknown
EXHAUSTIVE = 8  # tensors of which every combination of schemes is tried


@dataclass(frozen=True)
class Rules:
    """What a plan may do.

    ``sram``: bytes in all; ``replan``: offsets may change; ``stash``: tensors may be copied into
    SRAM; ``again``: layers may run again after
    the forward pass; ``goes_on``: a stopped accelerator continues with the next layer (not known of
    MAX78000); ``sample_kept``: the sample can be read again at no cost in SRAM.
    """

    sram: int = SRAM_BYTES
    replan: bool = True
    stash: bool = True
    again: bool = True
    goes_on: bool = False
    sample_kept: bool = False


@dataclass(frozen=True)
class Run:
    """One start of the accelerator: layers ``first`` to ``last``; ``loads``: the sample before.

    ``use``: for "again", the position in ``Needs.uses`` before which it runs.
    """

    first: int
    last: int
    purpose: str  # "stash", "forward" or "again"
    loads: bool
    cycles: int  # of the accelerator, start and interrupt included
    use: int | None = None


@dataclass(frozen=True, eq=False)
class Setting:
    """A placed network, and what does not change while choices of schemes are tried."""

    plan: Plan
    needs: Needs
    rules: Rules
    lifetimes: Lifetimes
    layer_cycles: tuple[int, ...]
    words: dict[int, int]  # of each tensor in data memory
    kernel_words: int
    moves: tuple[Move, ...] = ()

    @property
    def last(self) -> int:
        """Index of the last layer."""
        return len(self.layer_cycles) - 1

    @cached_property
    def lost(self) -> tuple[int, ...]:
        """Tensors that are not in memory after one run."""
        run = [NETWORK_INPUT, *range(self.last + 1)]
        return tuple(
            tensor.number
            for tensor in self.needs.tensors
            if not self.lifetimes.survives(tensor.number, run)
        )

    @cached_property
    def tensors(self) -> dict[int, Tensor]:
        """By number."""
        return {tensor.number: tensor for tensor in self.needs.tensors}


@dataclass(frozen=True)
class Outcome:
    """What a choice of schemes comes to.  ``read``: words by tensor."""

    schemes: dict[int, str]
    runs: tuple[Run, ...]
    read: dict[int, int]
    bytes: dict[int, int]
    sample_bytes: int
    words: int
    loads: int  # words that are written to load samples

    @property
    def stashed_bytes(self) -> int:
        """SRAM that the choice takes."""
        return sum(self.bytes.values()) + self.sample_bytes

    @property
    def cycles(self) -> int:
        """Of the processor's clock, all that the choice decides (estimate)."""
        runs = sum(run.cycles for run in self.runs) * PROCESSOR_HERTZ // ACCELERATOR_HERTZ
        return runs + WORD_CYCLES * (self.words + self.loads)

    @property
    def cost(self) -> tuple[int, int, int]:
        """Least time, then fewest words, then least SRAM."""
        return self.cycles, self.words, self.stashed_bytes


def setting_of(plan: Plan, needs: Needs, rules: Rules, moves: tuple[Move, ...] = ()) -> Setting:
    """What the bytes of a plan say."""
    numbers = {NETWORK_INPUT, *(tensor.number for tensor in needs.tensors)}
    words = {}
    for number in numbers:
        placement = tensor_placement(plan, number)
        words[number] = len(placement.words) if placement is not None else 0
    kernels = (
        len(plan.placement(need.layer.index, "kernel").words)
        for need in needs.layers
        if need.passes_down and need.layer.has_kernels
    )
    lifetimes = find_lifetimes(plan, numbers)
    return Setting(plan, needs, rules, lifetimes, latency(plan).layers, words, sum(kernels), moves)


def best_of(setting: Setting, left: int) -> Outcome | None:
    """The best outcome within ``left`` bytes, or None.

    Every lost tensor is stashed or had by running again; every combination is tried for up to
    EXHAUSTIVE of them.  Beyond, all are stashed and the largest taken back until they fit.
    """
    fitting = [outcome for outcome in outcomes_of(setting) if outcome.stashed_bytes <= left]
    return min(fitting, key=lambda outcome: outcome.cost, default=None)


def outcomes_of(setting: Setting) -> Iterable[Outcome]:
    """Outcomes of the combinations that are looked at."""
    lost = [number for number in setting.lost if number != NETWORK_INPUT]
    if not setting.rules.stash:
        choices: Iterable[tuple[int, ...]] = [()]
    elif not setting.rules.again:
        choices = [tuple(lost)]
    elif len(lost) <= EXHAUSTIVE:
        choices = [
            tuple(number for place, number in enumerate(lost) if bits >> place & 1)
            for bits in range(1 << len(lost))
        ]
    else:
        ordered = sorted(lost, key=lambda number: setting.tensors[number].bytes)
        choices = [tuple(ordered[:count]) for count in range(len(ordered) + 1)]
    for stashed in choices:
        yield evaluate(setting, stashed)


def evaluate(setting: Setting, stashed: tuple[int, ...]) -> Outcome:
    """What it comes to when these tensors are copied and the other lost ones run for again."""
    tensors = setting.tensors
    state = State(setting)
    stops = cheapest_stops(setting, stashed)
    for stop in stops:
        state.run(stop, "stash")
    state.run(setting.last, "forward")
    schemes = dict.fromkeys(stashed, STASHED)
    read = {number: setting.words[number] for number in stashed}
    for position, number in enumerate(setting.needs.uses):
        if number in stashed:
            continue
        if number == NETWORK_INPUT and NETWORK_INPUT in setting.lost:
            schemes[number], read[number] = SAMPLE, 0
            continue
        if not setting.lifetimes.survives(number, state.writers):
            state.run(number, "again", position)
            schemes[number] = AGAIN
        lies = REPLANNED if setting.moves else IN_PLACE
        schemes.setdefault(number, AGAIN if number in setting.lost else lies)
        read[number] = read.get(number, 0) + setting.words[number]
    needs_sample = state.loads > 1 or SAMPLE in schemes.values()
    sample = 0
    if needs_sample and not setting.rules.sample_kept:
        channels, rows, columns = setting.plan.network.input_shape
        sample = channels * rows * columns
    return Outcome(
        schemes,
        tuple(state.runs),
        read,
        {number: tensors[number].bytes for number in stashed},
        sample,
        sum(read.values()) + setting.kernel_words,
        state.loads * load_words(setting),
    )


@dataclass(eq=False)
class State:
    """Data memory while a sample is processed: who wrote, in order, and the runs so far."""

    setting: Setting
    writers: list[int] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    loads: int = 0

    def run(self, last: int, purpose: str, use: int | None = None) -> None:
        """Layers up to ``last``; from the first one, but where a stopped run goes on."""
        first = 0
        if self.setting.rules.goes_on and self.runs and self.runs[-1].purpose == "stash":
            first = self.runs[-1].last + 1
        lies = self.setting.lifetimes.survives(NETWORK_INPUT, self.writers)
        loads = first == 0 and not lies
        if loads:
            self.writers.append(NETWORK_INPUT)
            self.loads += 1
        layers = range(first, last + 1)
        self.writers += layers
        cycles = STARTUP_CYCLES + OVERHEAD_CYCLES
        cycles += sum(self.setting.layer_cycles[layer] for layer in layers)
        self.runs.append(Run(first, last, purpose, loads, cycles, use))


def load_words(setting: Setting) -> int:
    """Words that the loading of a sample writes (of a FIFO: one a pixel and four channels)."""
    if setting.words[NETWORK_INPUT]:
        return setting.words[NETWORK_INPUT]
    layer = setting.plan.network.layers[0]
    return layer.in_bytes // 4 * -(-layer.in_channels // 4)


def cheapest_stops(setting: Setting, tensors: tuple[int, ...]) -> tuple[int, ...]:
    """Layers to stop after, so that each tensor lies whole at one stop; exact.

    A tensor lies whole from the layer that writes it to the one before it is harmed.  Stops behind
    a layer that writes one are enough; fewer and earlier ones are cheaper.
    """
    spans = [(number, setting.lifetimes.lost_at(number, setting.last)) for number in tensors]
    best: dict[int, tuple[int, tuple[int, ...]]] = {}  # from a stop on: (cycles, further stops)
    candidates = [-1, *sorted(set(tensors))]
    for stop in reversed(candidates):
        options: list[tuple[int, tuple[int, ...]]] = (
            [(0, ())] if all(start <= stop for start, _ in spans) else []
        )
        for following in (each for each in candidates if each > stop):
            missed = any(stop < start and end <= following for start, end in spans)
            if not missed:
                cost, further = best[following]
                options.append((cost + stop_cycles(setting, following), (following, *further)))
        best[stop] = min(options)
    return best[-1][1]


def stop_cycles(setting: Setting, stop: int) -> int:
    """Of the accelerator for one more stop."""
    layers = 0 if setting.rules.goes_on else sum(setting.layer_cycles[: stop + 1])
    return STARTUP_CYCLES + OVERHEAD_CYCLES + layers
