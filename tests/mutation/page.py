"""docs/mutation.md, from the outcomes of every module and the explanations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .judge import KILLED, SECONDS, SLOWER, SURVIVED, TIMED_OUT

HEAD = """# Mutation testing

Written by `make mutation` (`python -m tests.mutation`), which takes about an hour of one core.

Would a test fail if the code were wrong?  Cosmic-ray's operators change the modules that decide
what is computed and where it lies, one small thing at a time: each arithmetic, bit and comparison
operator becomes each other one, each number one more and one less, conditions are negated, loops
emptied, decorators removed.  Every such mutant is tried against golden cases (`tests/cases`,
compared at every level) and the module's own tests until one fails.

"""
RULES = """
Not counted: mutants of annotations, which nothing evaluates; those with the same text as another;
and those that are not Python.  Messages are code like any other.  Timed out: a check took more
than {SLOWER} times what it takes without the mutant, and {SECONDS} s.

`python -m tests.mutation packing` runs one module, with `--again` only what survived last time.
The run fails if a mutant survives and `tests/mutation/explained.yaml` does not say why no test
can kill it, or if that file explains one that does not survive.

## Survivors, explained
"""


def page(results: dict[str, dict], reasons: list[dict]) -> str:
    """docs/mutation.md."""
    rows = [(f"`{module}`", *figures(result)) for module, result in results.items()]
    total = [sum(row[column] for row in rows) for column in range(1, 6)]
    lines = [
        "| module | mutants | killed | timed out | survived, explained | not counted |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in (*rows, ("all", *total))]
    rules = RULES.format(SLOWER=SLOWER, SECONDS=SECONDS)
    return HEAD + "\n".join(lines) + "\n" + rules + "".join(explained_tables(reasons))


def figures(result: dict) -> tuple[int, ...]:
    """Mutants, killed, timed out, survived, not counted."""
    count = Counter(result["outcomes"])
    outcomes = count[KILLED], count[TIMED_OUT], count[SURVIVED]
    return len(result["outcomes"]), *outcomes, sum(result["left out"].values())


def explained_tables(reasons: list[dict]) -> Iterator[str]:
    """A paragraph for each reason, and a table of its mutants."""
    for reason in reasons:
        yield f"\n{reason['why']}\n\n| in | line | mutant |\n| --- | --- | --- |\n"
        for module, function, line, mutated in reason["mutants"]:
            cells = (f"`{text}`".replace("|", "\\|") for text in (line, mutated))
            yield f"| {' '.join(filter(None, (module, function)))} | {' | '.join(cells)} |\n"
