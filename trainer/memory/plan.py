"""Where the backward pass gets each tensor from, at the least time within a budget of SRAM.

Schemes: a tensor lies unharmed in data memory after the run (in place; or re-planned: with other
offsets it does); the accelerator is stopped where it lies whole, and the processor copies it
(stashed); or the first layers run again when it is needed (run again).  What the chip is known to
do sets the price: a run always begins with layer 0 (the vendor's generator knows no other start on
MAX78000), so each stop is a run of its own, unless the caller says that the chip goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from max78k_sim.allocation import Plan
from max78k_sim.errors import InputError
from max78k_sim.latency import PROCESSOR_HERTZ, milliseconds
from max78k_sim.layer import NETWORK_INPUT

from .choice import (
    AGAIN,
    IN_PLACE,
    REPLANNED,
    SAMPLE,
    STASHED,
    Outcome,
    Rules,
    Run,
    Setting,
    best_of,
    evaluate,
    outcomes_of,
    setting_of,
)
from .lifetimes import tensor_placement
from .needs import Needs, Tensor, find_needs
from .replan import Move, replan
from .step_sram import step_sram


@dataclass(frozen=True)
class Source:
    """Where one tensor comes from.

    ``layer``: whose output it is, None for the network's input; ``address``: of its first element
    in data memory, None where it does not lie there when it is used; ``bytes``: of SRAM; ``words``:
    32-bit words read over the bus for it, all uses together; ``stop``: the layer after which it is
    copied.
    """

    tensor: str
    scheme: str
    layer: str | None
    address: int | None
    bytes: int
    words: int
    reason: str
    stop: str | None = None


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
    refuse_overlaps(plan, needs)
    taken = dict(other) if other is not None else step_sram(plan.network, needs)
    left = chosen.sram - sum(taken.values())
    settings = list(find_settings(setting_of(plan, needs, chosen)))
    outcomes = [(setting, best_of(setting, left)) for setting in settings]
    fitting = [(setting, found) for setting, found in outcomes if found is not None]
    if not fitting:
        raise too_small(settings, chosen, taken)
    setting, outcome = min(fitting, key=lambda pair: (pair[1].cost, len(pair[0].moves)))
    return report(setting, outcome, taken, tuple(alternatives_of(settings, left)))


def refuse_overlaps(plan: Plan, needs: Needs) -> None:
    """InputError where layers read what their sources did not write: backward would be of other
    data."""
    active = {need.layer.index for need in needs.layers}
    for overlap in plan.overlaps:
        foreign = overlap.rule == "foreign-input" and overlap.layer.index in active
        if overlap.error or foreign:
            raise InputError(
                f"training needs layers that read what their sources wrote; layer "
                f"{overlap.layer.name}: {overlap.message}"
            )


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
    lost = tuple(number for number in asis.lost if number != NETWORK_INPUT)
    ways = [("as it is, what is lost copied", asis, lost)]
    if lost and asis.rules.again:
        ways.append(("as it is, what is lost run for again", asis, ()))
    ways += [("re-planned", each, tuple(set(each.lost) & set(lost))) for each in changed]
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
        stop_of(setting, outcome, number) if scheme == STASHED else None,
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
    return f"{what}; copied after {stop_of(setting, outcome, number)}, before {by} writes over it"


def stop_of(setting: Setting, outcome: Outcome, number: int) -> str:
    """The layer after which a tensor is copied: at the first stop where it lies whole."""
    lost_at = setting.lifetimes.lost_at(number, setting.last)
    stops = [run.last for run in outcome.runs if run.purpose == "stash"]
    stop = next(stop for stop in stops if number <= stop < lost_at)
    return setting.plan.network.layers[stop].name


def find_settings(setting: Setting) -> Iterable[Setting]:
    """The network as it is and, where that loses tensors, re-planned for as many as go.

    All of them first; then without one, the largest first, and without the largest ones.
    """
    yield setting
    lost = setting.lost
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
