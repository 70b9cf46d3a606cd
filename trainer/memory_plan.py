"""Where the backward pass gets each tensor from, at the least time a sample within a budget of SRAM.

Schemes: a tensor lies unharmed in data memory after the run (in place; or re-planned: with other
offsets it does); the accelerator is stopped where it lies whole, and the processor copies it
(stashed); or the first layers run again when it is needed (run again).  What the chip is known to
do sets the price: a run always begins with layer 0 (the vendor's generator knows no other start on
MAX78000), so each stop is a run of its own, unless the caller says that the chip goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from max78k_sim.allocation import Plan
from max78k_sim.errors import InputError
from max78k_sim.latency import (
    ACCELERATOR_HERTZ,
    OVERHEAD_CYCLES,
    PROCESSOR_HERTZ,
    STARTUP_CYCLES,
    latency,
    milliseconds,
)
from max78k_sim.layer import NETWORK_INPUT

from .lifetimes import Lifetimes, find_lifetimes, tensor_placement
from .needs import Needs, Tensor, find_needs
from .replan import Move, replan
from .step_sram import step_sram

IN_PLACE, REPLANNED, STASHED, AGAIN, SAMPLE = (
    "in place", "re-planned", "stashed", "run again", "kept sample",
)  # fmt: skip
SRAM_BYTES = 96 * 1024  # of 128 KB
WORD_CYCLES = 4  # of the processor for a word of the accelerator's memory: estimate, waits unknown
EXHAUSTIVE = 8  # tensors of which every combination of schemes is tried


@dataclass(frozen=True)
class Rules:
    """What a plan may do.

    ``sram``: bytes in all; ``replan``: offsets may change; ``again``: layers may run again after
    the forward pass; ``goes_on``: a stopped accelerator continues with the next layer (not known of
    MAX78000); ``sample_kept``: the sample can be read again at no cost in SRAM.
    """

    sram: int = SRAM_BYTES
    replan: bool = True
    again: bool = True
    goes_on: bool = False
    sample_kept: bool = False


@dataclass(frozen=True)
class Source:
    """Where one tensor comes from.

    ``layer``: whose output it is, None for the network's input; ``address``: of its first element
    in data memory, None where it does not lie there when it is used; ``bytes``: of SRAM; ``words``:
    32-bit words read over the bus for it, all uses together.
    """

    tensor: str
    scheme: str
    layer: str | None
    address: int | None
    bytes: int
    words: int
    reason: str


@dataclass(frozen=True)
class Run:
    """One start of the accelerator: layers ``first`` to ``last``; ``loads``: the sample before."""

    first: int
    last: int
    purpose: str  # "stash", "forward" or "again"
    loads: bool
    cycles: int  # of the accelerator, start and interrupt included


@dataclass(frozen=True)
class Alternative:
    """Another way, and what it would have cost."""

    name: str
    milliseconds: float
    bytes: int
    words: int
    fits: bool


@dataclass(frozen=True, eq=False)
class MemoryPlan:
    """``plan``: of the network with ``changes``; ``sram``: bytes by purpose, copies included.

    ``bus_words``: read for a sample, kernels that errors pass through included; ``cycles`` of the
    processor are an estimate of all that the choice decides: runs and words.
    """

    plan: Plan
    needs: Needs
    sources: tuple[Source, ...]
    runs: tuple[Run, ...]
    changes: tuple[Move, ...]
    sram: dict[str, int]
    budget: int
    bus_words: int
    alternatives: tuple[Alternative, ...]

    @property
    def accelerator_runs(self) -> int:
        """Starts of the accelerator for a sample."""
        return len(self.runs)

    @property
    def accelerator_cycles(self) -> int:
        """Of all runs for a sample (estimate)."""
        return sum(run.cycles for run in self.runs)


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

    @property
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


def plan_memory(
    plan: Plan,
    trained: Iterable[str],
    biases: Iterable[str] = (),
    rules: Rules | None = None,
    other: Mapping[str, int] | None = None,
) -> MemoryPlan:
    """Where each tensor comes from that the backward pass of ``trained`` layers needs.

    ``biases``: layers whose bias alone is trained; ``other``: bytes of SRAM by purpose that are
    taken already (by default what ``step_sram`` counts).  Raises InputError where nothing fits the
    budget, with the smallest that would do.
    """
    chosen = rules or Rules()
    needs = find_needs(plan.network, trained, biases)
    taken = dict(other) if other is not None else step_sram(plan.network, needs)
    left = chosen.sram - sum(taken.values())
    settings = list(find_settings(setting_of(plan, needs, chosen)))
    outcomes = [(setting, best_of(setting, left)) for setting in settings]
    fitting = [(setting, found) for setting, found in outcomes if found is not None]
    if not fitting:
        raise too_small(settings, chosen, taken)
    setting, outcome = min(fitting, key=lambda pair: (pair[1].cost, len(pair[0].moves)))
    return report(setting, outcome, taken, tuple(alternatives_of(settings, left)))


def too_small(settings: list[Setting], rules: Rules, taken: Mapping[str, int]) -> InputError:
    """What does not fit, and the smallest budget that would do."""
    outcomes = [outcome for setting in settings for outcome in outcomes_of(setting)]
    least = min(outcomes, key=lambda outcome: outcome.stashed_bytes)
    fixed = sum(taken.values())
    end = f"the smallest budget that would do is {fixed + least.stashed_bytes:,} bytes"
    if fixed > rules.sram or not least.stashed_bytes:
        name = max(taken, key=lambda each: taken[each])
        return InputError(
            f"training takes {fixed:,} bytes of SRAM without any tensor, most of it for {name} "
            f"({taken[name]:,} bytes), and the budget is {rules.sram:,} bytes; {end}"
        )
    tensors = settings[0].tensors
    sizes = {tensors[number].name: size for number, size in least.bytes.items()}
    if least.sample_bytes:
        sizes["the sample"] = least.sample_bytes
    name = max(sizes, key=lambda each: sizes[each])
    return InputError(
        f"{name} takes {sizes[name]:,} bytes of SRAM, and of the budget of {rules.sram:,} bytes "
        f"{rules.sram - fixed:,} are left; {end}"
    )


def alternatives_of(settings: list[Setting], left: int) -> Iterable[Alternative]:
    """The plain ways, each with what it would cost: every lost tensor treated alike."""
    asis, *changed = settings
    lost = tuple(number for number in lost_tensors(asis) if number != NETWORK_INPUT)
    ways = [("as it is, what is lost copied", asis, lost)]
    if lost and asis.rules.again:
        ways.append(("as it is, what is lost run for again", asis, ()))
    ways += [("re-planned", each, tuple(set(lost_tensors(each)) & set(lost))) for each in changed]
    for name, setting, stashed in ways:
        outcome = evaluate(setting, stashed)
        yield Alternative(
            name,
            milliseconds(outcome.cycles, PROCESSOR_HERTZ),
            outcome.stashed_bytes,
            outcome.words,
            outcome.stashed_bytes <= left,
        )


def report(
    setting: Setting,
    outcome: Outcome,
    taken: dict[str, int],
    alternatives: tuple[Alternative, ...],
) -> MemoryPlan:
    """The chosen outcome as a plan."""
    sram = dict(taken)
    for purpose, size in (
        ("copies of tensors", sum(outcome.bytes.values())),
        ("the sample", outcome.sample_bytes),
    ):
        if size:
            sram[purpose] = sram.get(purpose, 0) + size
    return MemoryPlan(
        setting.plan,
        setting.needs,
        tuple(source_of(setting, outcome, tensor) for tensor in setting.needs.tensors),
        outcome.runs,
        setting.moves,
        sram,
        setting.rules.sram,
        outcome.words,
        alternatives,
    )


def source_of(setting: Setting, outcome: Outcome, tensor: Tensor) -> Source:
    """One tensor of the chosen outcome."""
    number, scheme = tensor.number, outcome.schemes[tensor.number]
    placement = tensor_placement(setting.plan, number)
    there = placement is not None and scheme in (IN_PLACE, REPLANNED, AGAIN)
    return Source(
        tensor.name,
        scheme,
        None if number == NETWORK_INPUT else tensor.name,
        int(placement.address.flat[0]) if there and placement is not None else None,
        outcome.bytes.get(number, outcome.sample_bytes if scheme == SAMPLE else 0),
        outcome.read[number],
        reason_of(setting, outcome, tensor),
    )


def reason_of(setting: Setting, outcome: Outcome, tensor: Tensor) -> str:
    """Why a tensor comes from where it does."""
    number, scheme = tensor.number, outcome.schemes[tensor.number]
    what = "whole" if tensor.whole else "only its clip mask"
    layers = setting.plan.network.layers
    lost_at = setting.lifetimes.lost_at(number, setting.last)
    if scheme == SAMPLE:
        if number not in setting.lifetimes.harmers:
            return f"{what}; it comes through the FIFOs and lies nowhere in data memory"
        return f"{what}; {layers[lost_at].name} writes over it"
    if scheme in (IN_PLACE, REPLANNED):
        how = "with the changed offsets " if scheme == REPLANNED else ""
        return f"{what}; {how}no later layer writes over it"
    by = layers[lost_at].name if lost_at <= setting.last else "a run before backward uses it"
    if scheme == AGAIN:
        return f"{what}; {by} writes over it, so the layers up to it run again"
    stops = [run.last for run in outcome.runs if run.purpose == "stash"]
    stop = next(stop for stop in stops if number <= stop < lost_at)
    return f"{what}; copied after {layers[stop].name}, before {by} writes over it"


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


def find_settings(setting: Setting) -> Iterable[Setting]:
    """The network as it is and, where that loses tensors, re-planned for as many as go.

    All of them first; then without one, the largest first, and without the largest ones.
    """
    yield setting
    lost = lost_tensors(setting)
    if not lost or not setting.rules.replan:
        return
    wanted = [number for number in setting.words if number in setting.lifetimes.harmers]
    wanted = [number for number in wanted if number in setting.tensors]
    largest = sorted(wanted, key=lambda number: (-setting.words[number], number))
    drops = [set(), *({number} for number in largest)]
    drops += [set(largest[:count]) for count in range(2, len(largest))]
    for drop in drops:
        found = replan(setting.plan, [number for number in wanted if number not in drop])
        if found is not None:
            moves, plan = found
            yield setting_of(plan, setting.needs, setting.rules, moves)
            if not drop:
                return


def lost_tensors(setting: Setting) -> list[int]:
    """Tensors that are not in memory after one run."""
    run = [NETWORK_INPUT, *range(setting.last + 1)]
    return [
        tensor.number
        for tensor in setting.needs.tensors
        if not setting.lifetimes.survives(tensor.number, run)
    ]


# --- the choice for one network


def best_of(setting: Setting, left: int) -> Outcome | None:
    """The best outcome within ``left`` bytes, or None.

    Every lost tensor is stashed or had by running again; every combination is tried for up to
    EXHAUSTIVE of them.  Beyond, all are stashed and the largest taken back until they fit.
    """
    fitting = [outcome for outcome in outcomes_of(setting) if outcome.stashed_bytes <= left]
    return min(fitting, key=lambda outcome: outcome.cost, default=None)


def outcomes_of(setting: Setting) -> Iterable[Outcome]:
    """Outcomes of the combinations that are looked at."""
    lost = [number for number in lost_tensors(setting) if number != NETWORK_INPUT]
    if not setting.rules.again:
        choices: Iterable[tuple[int, ...]] = [tuple(lost)]
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
    """Runs, words and bytes when these tensors are copied, and the other lost ones run for again."""
    tensors = setting.tensors
    state = State(setting)
    stops = cheapest_stops(setting, stashed)
    for stop in stops:
        state.run(stop, "stash")
    state.run(setting.last, "forward")
    schemes = dict.fromkeys(stashed, STASHED)
    read = {number: setting.words[number] for number in stashed}
    for number in setting.needs.uses:
        if number in stashed:
            continue
        if number == NETWORK_INPUT and NETWORK_INPUT in lost_tensors(setting):
            schemes[number], read[number] = SAMPLE, 0
            continue
        if not setting.lifetimes.survives(number, state.writers):
            state.run(number, "again")
            schemes[number] = AGAIN
        schemes.setdefault(number, REPLANNED if setting.moves else IN_PLACE)
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

    def run(self, last: int, purpose: str) -> None:
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
        self.runs.append(Run(first, last, purpose, loads, cycles))


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
        options = [(0, ())] if all(start <= stop for start, _ in spans) else []
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
