"""``python -m tests.mutation [MODULE ...]``: does a test fail for every small change of the code?

A mutant that no check kills has to be explained in explained.yaml, by function and by the text of
its line; a mutant that is explained but killed, or that is not there, is an error too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import yaml

from ..conftest import ROOT
from .judge import SURVIVED, Judge
from .mutants import file_of, mutants_of
from .page import page

EXPLANATIONS = Path(__file__).with_name("explained.yaml")
RESULTS = ROOT / "build" / "mutation"
PAGE = ROOT / "docs" / "mutation.md"
LAYOUT = (
    "unit/test_allocation.py",
    "unit/test_overlap.py",
    "unit/test_placement.py",
    "unit/test_kernel_layout.py",
)
OPERATION = ("unit/test_ops.py", "unit/test_machine.py")
# Modules, and the files of tests that are checks of each, beside all golden cases.
MODULES = {
    "arithmetic": ("unit/test_arithmetic.py", "unit/test_number_format.py"),
    "packing": ("unit/test_packing.py",),
    "layer_config": ("unit/test_layer_config.py", "unit/test_registers.py"),
    "ops/__init__": OPERATION,
    "ops/conv1d": OPERATION,
    "ops/conv2d": OPERATION,
    "ops/convtranspose2d": OPERATION,
    "ops/linear": OPERATION,
    "ops/passthrough": OPERATION,
    "ops/stages": OPERATION,
    "kernel_layout": LAYOUT,
    "data_layout": ("unit/test_data_layout.py", *LAYOUT),
    "allocation": LAYOUT,
}


def reasons() -> list[dict]:
    """explained.yaml: ``why`` no test can kill the ``mutants``."""
    return yaml.safe_load(EXPLANATIONS.read_text(encoding="utf-8"))


def explanations() -> set[tuple[str, ...]]:
    """(module, function, line, mutated line) of every explained mutant."""
    return {tuple(key) for reason in reasons() for key in reason["mutants"]}


def run(module: str, again: bool) -> None:
    """Judge every mutant of a module, or those not killed last time.

    Outcomes are stored as they come: what is cut off goes on with ``again``.
    """
    source, explained, stored = file_of(module), explanations(), RESULTS / f"{module}.json"
    mutants, left_out = mutants_of(module)
    killed = last_killed(stored) if again else {}
    outcomes = [killed.get(mutant.key, "") for mutant in mutants]
    judge, started = Judge(module, MODULES[module]), time.monotonic()
    result = {"source": digest(source), "keys": [mutant.key for mutant in mutants],
              "outcomes": outcomes, "left out": left_out}  # fmt: skip
    stored.parent.mkdir(parents=True, exist_ok=True)
    for number, mutant in enumerate(mutants):
        if not outcomes[number]:
            outcomes[number] = judge.outcome(mutant.code, thorough=mutant.key not in explained)
        if (number + 1) % 100 == 0 or number + 1 == len(mutants):
            stored.write_text(json.dumps(result))
            seconds = time.monotonic() - started
            print(f"{module}: {number + 1} of {len(mutants)}, {seconds:.0f} s", flush=True)


def last_killed(stored: Path) -> dict[tuple[str, ...], str]:
    """Outcomes of the mutants that some check found last time; checks are only added."""
    result = json.loads(stored.read_text()) if stored.is_file() else {"keys": [], "outcomes": []}
    pairs = zip(result["keys"], result["outcomes"], strict=True)
    return {tuple(key): outcome for key, outcome in pairs if outcome not in (SURVIVED, "")}


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def faults(results: dict[str, dict]) -> list[str]:
    """Survivors without an explanation, and explanations without a survivor."""
    explained = explanations()
    survivors = {
        tuple(key)
        for result in results.values()
        for key, outcome in zip(result["keys"], result["outcomes"], strict=True)
        if outcome == SURVIVED
    }
    stale = {key for key in explained - survivors if key[0] in results}
    return [
        f"{text}: {key[0]} {key[1]}\n    {key[2]}\n    {key[3]}"
        for text, keys in (("survived", survivors - explained), ("no survivor", stale))
        for key in sorted(keys)
    ]


def main() -> int:
    """0 when every mutant was killed or is explained."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("module", nargs="*", help=f"of {', '.join(MODULES)} (default: all)")
    parser.add_argument(
        "--again", action="store_true", help="only what is new or survived last time"
    )
    parser.add_argument("--page", action="store_true", help=f"only write {PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    os.environ["MAX78K_CORPUS"] = "none"
    for module in () if arguments.page else arguments.module or MODULES:
        run(module, arguments.again)
    results = {}
    for module in MODULES:
        stored = RESULTS / f"{module}.json"
        result = json.loads(stored.read_text()) if stored.is_file() else {}
        if result.get("source") == digest(file_of(module)) and all(result["outcomes"]):
            results[module] = result
    found = faults({key: results[key] for key in arguments.module or MODULES if key in results})
    print(*found, f"{len(found)} mutants to explain", sep="\n")
    if len(results) == len(MODULES) and not found:
        PAGE.write_text(page(results, reasons()), encoding="utf-8")
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
