"""The table of docs/training-memory.md: ``python -m tests.trainer.memory_page`` prints it."""

from __future__ import annotations

from collections.abc import Iterator

from max78k_sim.latency import PROCESSOR_HERTZ, milliseconds
from max78k_sim.network import Network
from tests.bench.subjects import load
from trainer.memory.choice import Outcome, Rules, evaluate, setting_of
from trainer.memory.needs import find_needs
from trainer.memory.plan import plan_memory

PLENTY = 1 << 20  # bytes: every way is shown, whatever it takes
TRAINED = (("mnist", (2, 3, 5)), ("kws20_v3", (1, 2, 3, 9)), ("simplenet", (2, 4, 14)))
HEADER = (
    "| network | last layers | lost | copied: SRAM, time | copied, if the chip goes on | run again "
    "| other offsets: layers moved, time | words read |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
)


def distinct_words(network: Network) -> int:
    """Words of each data-memory instance if input and hidden tensors lie behind each other."""
    layers = network.layers
    return (layers[0].in_bytes + sum(layer.out_bytes for layer in layers[:-1])) // 4


def time(outcome: Outcome) -> str:
    """Runs and bus, in milliseconds."""
    return f"{milliseconds(outcome.cycles, PROCESSOR_HERTZ):.2f} ms"


def row(name: str, count: int) -> str:
    """One network with its last ``count`` layers trained."""
    plan = load(name).program.plan
    trained = [layer.name for layer in plan.network.layers[-count:]]
    needs = find_needs(plan.network, trained)
    rules = Rules(PLENTY, sample_kept=True)
    setting = setting_of(plan, needs, rules)
    going = setting_of(plan, needs, Rules(PLENTY, sample_kept=True, goes_on=True))
    copied = tuple(number for number in setting.lost if number >= 0)
    stash, on, again = evaluate(setting, copied), evaluate(going, copied), evaluate(setting, ())
    chosen = plan_memory(plan, trained, rules=rules, other={})
    best = evaluate(setting_of(chosen.plan, needs, rules, chosen.changes), ())
    assert chosen.accelerator_runs == 1
    return (
        f"| {name} | {count} | {len(copied)} of {len(needs.tensors)} | {stash.stashed_bytes:,} B, "
        f"{time(stash)} | {time(on)} | {time(again)} | {len(chosen.changes)}, {time(best)} | "
        f"{chosen.bus_words:,} |"
    )


def table() -> Iterator[str]:
    """Every row."""
    yield from HEADER
    for name, counts in TRAINED:
        for count in counts:
            yield row(name, count)


if __name__ == "__main__":
    print(*table(), sep="\n")
