"""``python -m tests.conformance [--corpus DIR] [CASE ...]``: a table by feature and level."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from ..conftest import CASES, CORPUS, has_corpus
from .cases import OTHER_CHECKPOINT, Case, cases_in
from .harness import LEVELS, Result, check_case

DIFFERENCES = """# Where the vendor contradicts itself

Written by `python -m tests.conformance --corpus DIR --differences docs/vendor-differences.md`.

For these layers of the golden cases the vendor's memory image, registers and software model cannot
all be right.  The machine follows memory and registers.  What is compared instead, and that nothing
else differs, is in `tests/conformance/contradictions.py` and `harness.py`; everything else of these
cases is compared word by word like any other.
"""


def main() -> int:
    """0 when at least one case ran and every comparison held; 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument(
        "--corpus", type=Path, help="folder with 'corpus' and 'fuzz' (default: MAX78K_CORPUS)"
    )
    parser.add_argument(
        "--differences", type=Path, metavar="FILE", help="write where the vendor contradicts itself"
    )
    parser.add_argument("case", nargs="*", help="names of cases (default: all)")
    arguments = parser.parse_args()
    folders = case_folders(arguments.corpus)
    present = [case for folder in folders for case in cases_in(folder)]
    chosen = [case for case in present if not arguments.case or case.name in arguments.case]
    started = time.perf_counter()
    results = {case.folder: check_case(case) for case in chosen}
    seconds = time.perf_counter() - started
    print("\n".join(table(chosen, results)))
    print("\nfrom: " + ", ".join(str(folder) for folder in folders))
    print(f"{len(chosen)} cases of {len(present)} run in {seconds:.1f} s")
    for case in chosen:
        if case.name in OTHER_CHECKPOINT:
            print(f"{case.name}: without its checkpoint: {OTHER_CHECKPOINT[case.name]}")
    found: dict[str, list[str]] = {}
    for case in chosen:
        for layer, level, reason in results[case.folder].contradictions:
            found.setdefault(f"{level}: {reason}", []).append(f"{case.name} layer {layer}")
    differences = [f"\n## {reason}\n\n{', '.join(found[reason])}.\n" for reason in sorted(found)]
    print("".join(differences))
    if arguments.differences:
        arguments.differences.write_text(DIFFERENCES + "".join(differences), encoding="utf-8")
    faults = [(case, fault) for case in chosen for fault in results[case.folder].faults]
    for case, fault in faults:
        print(f"FAILED {case.folder}: {fault}")
    checked = sum(level.checked for result in results.values() for level in result.values())
    print(f"{checked:,} comparisons, {len(faults)} failed")
    return 1 if faults or not checked else 0


def case_folders(given: Path | None) -> list[Path]:
    """The folders to search; one that was asked for has to have cases."""
    root = given if given is not None else CORPUS if has_corpus() else None
    if root is None:
        return [CASES]
    folders = [root / part for part in ("corpus", "fuzz") if (root / part).is_dir()] or [root]
    if not any(cases_in(folder) for folder in folders):
        sys.exit(f"no golden cases in {root}; give the folder that has 'corpus' and 'fuzz'")
    return folders


def table(cases: list[Case], results: dict[Path, Result]) -> list[str]:
    """A row for each feature: cases, and by level "passed" or "passed/all" of those with it."""
    rows: list[tuple[str, ...]] = [("feature", "cases", *LEVELS)]
    features = sorted({feature for case in cases for feature in case.features})
    for feature in (*features, "all"):
        chosen = [case for case in cases if feature == "all" or feature in case.features]
        having, passed = Counter[str](), Counter[str]()
        for case in chosen:
            for name, level in results[case.folder].items():
                having[name] += 1
                passed[name] += not level.faults
        cells = [
            str(passed[name]) if passed[name] == having[name] else f"{passed[name]}/{having[name]}"
            for name in LEVELS
        ]
        rows.append((feature, str(len(chosen)), *cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


if __name__ == "__main__":
    sys.exit(main())
