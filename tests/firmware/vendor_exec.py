"""``python -m tests.firmware.vendor_exec --sdk DIR``: the vendor's CNN examples on this computer.

Unmodified, where they lie: their own verdict on their known answer, which the vendor ran on
silicon.  Examples that need a camera, a display or sound do not compile, and are named.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from firmware.exec import run_project
from max78k_sim.errors import InputError, Max78kError

EXAMPLES = Path("Examples/MAX78000/CNN")


def exec_example(project: Path, timeout: float = 300) -> tuple[str, ...]:
    """Verdict, accesses, words read after the last run, seconds; or why there are none."""
    try:
        result = run_project(project, timeout=timeout)
    except InputError as error:
        return "not run", str(error)
    except Max78kError as error:
        return type(error).__name__, str(error)
    verdict = result.verdict.upper() if result.verdict != "none" else result.reason
    return verdict, f"{result.accesses:,}", f"{result.words_read:,}", f"{result.seconds:.1f}"


def main() -> int:
    """0 when no example that could be run failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.firmware.vendor_exec")
    parser.add_argument("--sdk", type=Path, required=True, help="folder of the vendor's SDK")
    parser.add_argument("example", nargs="*", help="default: all")
    arguments = parser.parse_args()
    projects = sorted(path for path in (arguments.sdk / EXAMPLES).glob("*") if path.is_dir())
    if arguments.example:
        projects = [path for path in projects if path.name in arguments.example]
    if not projects:
        sys.exit(f"no example in {arguments.sdk / EXAMPLES}")
    print("example, verdict, accesses, words read after the last run, seconds")
    verdicts = []
    for project in projects:
        verdict, *rest = exec_example(project)
        verdicts.append(verdict)
        print(", ".join((project.name, verdict, *rest)), flush=True)
    print(f"{verdicts.count('PASS')} pass, {verdicts.count('not run')} not run, of {len(verdicts)}")
    return int(not set(verdicts) <= {"PASS", "not run"})


if __name__ == "__main__":
    sys.exit(main())
