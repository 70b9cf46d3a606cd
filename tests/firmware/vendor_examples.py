"""``python -m tests.firmware.vendor_examples --sdk DIR``: the vendor's CNN examples.

Unmodified: each is copied to ``--work``, run by every route in ROUTES, and its own verdict is
taken: a known-answer test, which the vendor ran on silicon.  With ``--write`` the table goes into
docs/conformance.md; a column that this run did not make is kept.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ..conftest import ROOT

EXAMPLES = Path("Examples/MAX78000/CNN")
DOCUMENT = ROOT / "docs" / "conformance.md"
COMMON = "Common"
BEGIN, END = "<!-- vendor examples: begin -->", "<!-- vendor examples: end -->"
COMPARED = re.compile(r"!= 0x[0-9a-f]+\)\s*(?:\{\s*)?return CNN_FAIL")
ENTRY = re.compile(r"0x[0-9a-fA-F]+|\d+")
RUN_SECONDS = 30  # on the chip
RUN_TIMEOUT = 300  # s, here


def words_checked(project: Path) -> int:
    """Words that the example's known-answer test compares (sampleoutput.h, or main.c)."""
    if not (project / "sampleoutput.h").exists():
        text = (project / "main.c").read_text(encoding="utf-8", errors="replace")
        return len(COMPARED.findall(text))
    text = (project / "sampleoutput.h").read_text(encoding="utf-8")
    body = text[text.index("{") + 1 : text.index("}")]
    numbers = [int(number, 0) for number in ENTRY.findall(body)]
    words = place = 0
    while place < len(numbers) and numbers[place]:  # address, mask, count, values; 0 ends
        words += numbers[place + 2]
        place += 3 + numbers[place + 2]
    return words


def has_known_answer(project: Path) -> bool:
    """Whether it tests itself, on the Arm core."""
    main = project / "main.c"
    return (
        main.exists()
        and not (project / "main_riscv.c").exists()
        and "check_output()" in main.read_text(encoding="utf-8", errors="replace")
    )


def build(project: Path, sdk: Path) -> Path:
    """The ELF that the SDK's own Makefile makes."""
    command = ["make", f"MAXIM_PATH={sdk}"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    made = sorted((project / "build").glob("*.elf"))
    if done.returncode or not made:
        raise RuntimeError(f"make: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return made[0]


def emulate(project: Path, sdk: Path) -> str:
    """Build for Arm and run on the emulated board."""
    from firmware.board import Board

    board = Board(build(project, sdk))
    result = board.run(seconds=RUN_SECONDS)
    print(f"  {result.instructions:,} instructions, {result.seconds:.3f} s, {result.reason}")
    return {"pass": "PASS", "fail": "FAIL"}.get(result.verdict, result.reason)


def on_this_computer(project: Path, sdk: Path) -> str:
    """Compile for this computer and run against the simulated chip."""
    from firmware.exec import run_project

    result = run_project(project, timeout=RUN_TIMEOUT)
    print(f"  {result.accesses:,} accesses, {result.seconds:.1f} s, {result.reason}")
    return {"pass": "PASS", "fail": "FAIL"}.get(result.verdict, result.reason)


# column of the table -> (project folder, SDK folder) -> what to write there
ROUTES: dict[str, Callable[[Path, Path], str]] = {"exec": on_this_computer, "emulate": emulate}


def run_example(project: Path, sdk: Path, work: Path, release: str) -> dict[str, str]:
    """Every column of one example."""
    copy = work / project.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(project, copy)
    if (project.parent / COMMON).is_dir():  # sources that several share
        shutil.copytree(project.parent / COMMON, work / COMMON, dirs_exist_ok=True)
    name = f"{project.name} ({release})" if release else project.name
    row = {"example": name, "words checked": str(words_checked(project))}
    for column, route in ROUTES.items():
        try:
            row[column] = route(copy, sdk)
        except Exception as error:
            print(f"  {column}: {error}")
            row[column] = f"{type(error).__name__}"
    return row


def read_table(text: str) -> list[dict[str, str]]:
    """The rows between the marks of a document."""
    if BEGIN not in text:
        return []
    lines = text[text.index(BEGIN) : text.index(END)].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    if len(cells) < 2:
        return []
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def write_table(file: Path, rows: list[dict[str, str]]) -> None:
    """Put rows between the marks; columns and rows that were there and are not new stay."""
    text = file.read_text(encoding="utf-8")
    known = {row["example"]: row for row in read_table(text)}
    for row in rows:
        known[row["example"]] = known.get(row["example"], {}) | row
    merged = [known[name] for name in sorted(known)]
    columns = list(dict.fromkeys(column for row in merged for column in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[row.get(column, "") for column in columns] for row in merged]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    first, last = text.index(BEGIN) + len(BEGIN), text.index(END)
    file.write_text(f"{text[:first]}\n{table}\n{text[last:]}", encoding="utf-8")


def main() -> int:
    """0 when every example passed by every route."""
    parser = argparse.ArgumentParser(prog="python -m tests.firmware.vendor_examples")
    parser.add_argument("--sdk", type=Path, required=True, help="folder of the vendor's SDK")
    parser.add_argument("--work", type=Path, required=True, help="folder to build in")
    parser.add_argument("--release", default="", help="of the SDK: stands beside its examples")
    parser.add_argument("--write", action="store_true", help="write docs/conformance.md")
    parser.add_argument("example", nargs="*", help="default: all with a known-answer test")
    arguments = parser.parse_args()
    projects = sorted(p for p in (arguments.sdk / EXAMPLES).iterdir() if has_known_answer(p))
    if arguments.example:
        projects = [p for p in projects if p.name in arguments.example]
    if not projects:
        sys.exit(f"no example with a known-answer test in {arguments.sdk / EXAMPLES}")
    rows = []
    for project in projects:
        print(project.name, flush=True)
        folders = arguments.sdk.resolve(), arguments.work.resolve()
        rows.append(run_example(project, *folders, arguments.release))
        print("  " + ", ".join(f"{key}: {value}" for key, value in rows[-1].items()), flush=True)
        if arguments.write:
            write_table(DOCUMENT, rows)
    return int(any(row[column] != "PASS" for row in rows for column in ROUTES))


if __name__ == "__main__":
    sys.exit(main())
