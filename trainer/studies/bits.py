"""Study: a new class in weights of 8, 4, 2 and 1 bits, in place and with fractions kept beside."""

from __future__ import annotations

from argparse import Namespace

from rich.progress import Progress

from ..learning.experiment import REPLAY_BYTES, Outcome
from .bases import MOST, Bases
from .new_class import summary
from .pages import write_table

WIDTHS = (8, 4, 2, 1)
PRECISIONS = ("in place", "residual", "int16")


def study(options: Namespace, bases: Bases) -> None:
    """Every width that there are networks of, in every precision, for all classes and seeds."""
    widths = {8: bases} | {width: bases.of_bits(width) for width in WIDTHS[1:]}
    found = {width: some for width, some in widths.items() if some is not None}
    runs = sum(len(some.folders) for some in found.values()) * len(PRECISIONS) * options.seeds
    rows = []
    with Progress() as bar:
        task = bar.add_task("bits", total=runs)
        for width, some in found.items():
            for precision in PRECISIONS:
                outcomes: dict[int, list[Outcome]] = {}
                for label in some.folders:
                    for seed in range(1, options.seeds + 1):
                        result = some.run(label, options.strategy, MOST, seed, precision=precision)
                        outcomes.setdefault(label, []).append(result)
                        bar.advance(task)
                rows.append([width, precision, *cells(outcomes)])
    heads = ["bits", "precision", "old before %", "new %", "lowest class %", "old", "all %",
             "kernel words written", "bytes of training state"]  # fmt: skip
    text = (
        f"All layers have weights of so many bits; the last one learns by {options.strategy} from "
        f"{MOST} examples with {REPLAY_BYTES >> 10} KB of replay: in place with stochastic "
        "rounding, or with a fraction kept beside each weight (8 bits of it, or as many as make "
        f"16). Means of {len(bases.folders)} classes and {options.seeds} seeds on "
        f"{len(bases.test)} test samples. The recipe was chosen for 8 bits."
    )
    write_table(options, "Weights of 8, 4, 2 and 1 bits", text, heads, rows)


def cells(outcomes: dict[int, list[Outcome]]) -> list[str]:
    """A row's figures."""
    every = [each for some in outcomes.values() for each in some]
    found = summary(outcomes)
    before = 100 * sum(each.old[0] for each in every) / len(every)
    words = sum(each.words_written for each in every) / len(every)
    return [
        *(f"{before:.2f}", f"{found.new:.1f}", f"{found.least:.1f}", f"{found.old:+.2f}"),
        *(f"{found.overall:.2f}", f"{words:.0f}", f"{every[0].state_bytes}"),
    ]
