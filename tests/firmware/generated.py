"""``python -m tests.firmware.generated --corpus DIR``: generated projects pass their own tests.

Networks of this repository and golden ones are generated, compiled for this computer (``exec``) and
for Arm without the vendor's SDK (``emulate``; with ``--sdk`` also with it, for two boards), and
run: their known-answer tests compare kernel memory and the words of the output.  The expected
outputs of a golden network are the vendor's.  ``--write``: the table goes into docs/firmware.md.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware.generate import generate
from firmware.project.project import BOARDS, Choices, make_project
from max78k_sim.loading import load_network
from max78k_sim.program import Program, compile_network
from tests.conformance.cases import Case
from tests.conftest import CASES, ROOT

DOCUMENT = ROOT / "docs" / "firmware.md"
BEGIN, END = "<!-- generated projects: begin -->", "<!-- generated projects: end -->"
OWN = ("digits", "fashion", "keywords")
GOLDEN = (  # of the corpus: the vendor's networks of every kind
    *("demo-mnist", "demo-cats-dogs", "demo-kws20-v3", "demo-svhn-tinierssd", "demo-cifar-10"),
    *(
        "demo-kws20-v3-msnoise-mixed",
        "demo-facedet-tinierssd",
        "demo-autoencoder",
        "demo-dotprod-demo",
    ),
    *("demo-camvid-unet", "demo-aisegment-unet"),
    *("net-cifar10-hwc", "net-cifar100-simple-synthw", "net-cifar100-ressimplenet-synthw"),
    *("net-faceid-v1", "net-fashionmnist-chw", "net-kws20-v1", "net-mnist-chw-extrasmallnet"),
    *("net-speechcom-chw", "test-ai85-fire-cifar10-fifo", "test-conv1d-multilayer-q1248"),
    *("test-eltwiseadd-pool", "test-fifostream-cifar-hwc", "test-widein-q2", "test-layers-out32"),
)
FLASH_WORDS = 20_000  # of an output that are compared: what is left of the flash beside the network
SECONDS = 60  # on the chip


@dataclass(frozen=True)
class Subject:
    """A network with its sample and, where somebody else computed it, its output."""

    name: str
    program: Program
    sample: np.ndarray
    expected: np.ndarray | None = None


def own(name: str) -> Subject:
    """A network of this repository."""
    folder = ROOT / "networks" / name
    sample = np.load(folder / "sample.npy")
    files = folder / "network.yaml", folder / "checkpoint.pth.tar"
    network = load_network(*files, input_shape=sample.shape)
    return Subject(name, compile_network(network), sample, np.load(folder / "expected.npy"))


def golden(folder: Path) -> Subject:
    """A golden case."""
    case = Case(folder)
    network = case.network()
    expected = case.array("expected")[f"layer{len(network.layers) - 1}"]
    return Subject(case.name, compile_network(network), case.sample, expected)


def write_project(subject: Subject, folder: Path, **choices):
    """The project in a folder; what it expects is what others computed."""
    given = {"sample": subject.sample, "sample_name": "golden", "max_verify_length": FLASH_WORDS}
    project = make_project(subject.program, Choices(subject.name, **(given | choices)))
    if subject.expected is not None:
        same = np.array_equal(project.outputs.reshape(-1), subject.expected.reshape(-1))
        assert same, f"{subject.name}: the simulator does not give what was computed elsewhere"
    shutil.rmtree(folder, ignore_errors=True)
    generate(subject.program.plan, folder, project=project.files)
    return project


def make(folder: Path, *words: str) -> None:
    """Run make; RuntimeError with what it said."""
    command = ["make", "-s", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError("make: " + next((line for line in lines if "rror" in line), lines[-1]))


def on_this_computer(folder: Path, _: Path | None) -> str:
    """The program's verdict in exec."""
    from firmware.exec import run_project

    return run_project(folder, timeout=300).verdict.upper()


def without_sdk(folder: Path, _: Path | None) -> str:
    """... of the Arm program that no SDK is needed for, on the emulated board."""
    make(folder, "arm")
    return emulate(next((folder / "arm" / "build").glob("*.elf")))


def emulate(elf: Path) -> str:
    """The verdict of an Arm program."""
    from firmware.board import Board

    return Board(elf).run(seconds=SECONDS).verdict.upper()


def with_sdk(board: str):
    """... of the SDK's own build for a board."""

    def route(folder: Path, sdk: Path | None) -> str:
        shutil.rmtree(folder / "build", ignore_errors=True)
        make(folder, f"MAXIM_PATH={sdk}", f"BOARD={board}")
        return emulate(next((folder / "build").glob("*.elf")))

    return route


def run(
    subject: Subject, folder: Path, routes: dict, sdk: Path | None, **choices
) -> dict[str, str]:
    """One row of the table."""
    project = write_project(subject, folder, **choices)
    shape = " x ".join(map(str, project.outputs.shape))
    row = {"network": subject.name, "output": shape, "words compared": f"{project.checked:,}"}
    for name, route in routes.items():
        try:
            row[name] = route(folder, sdk)
        except Exception as error:
            print(f"  {name}: {error}")
            row[name] = type(error).__name__
    return row


def lines(rows: list[dict[str, str]]) -> str:
    """A table in Markdown."""
    heads = list(rows[0])
    cells = [heads, ["---"] * len(heads), *([row[head] for head in heads] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def main() -> int:
    """0 when every project passed by every route."""
    parser = argparse.ArgumentParser(prog="python -m tests.firmware.generated")
    parser.add_argument("--corpus", type=Path, help="folder with the golden networks")
    parser.add_argument("--sdk", type=Path, help="the vendor's SDK: also its builds")
    parser.add_argument("--work", type=Path, required=True, help="folder to build in")
    parser.add_argument("--write", action="store_true", help="write docs/firmware.md")
    parser.add_argument("name", nargs="*", help="default: three of this repository, and GOLDEN")
    arguments = parser.parse_args()
    routes = {"exec": on_this_computer, "emulate": without_sdk}
    if arguments.sdk:
        routes |= {f"SDK, {board}": with_sdk(board) for board in BOARDS}
    rows = []
    for name in arguments.name or (*OWN, *(GOLDEN if arguments.corpus else ())):
        subject = find(name, arguments.corpus)
        rows.append(run(subject, arguments.work.resolve() / name, routes, arguments.sdk))
        print(", ".join(rows[-1].values()), flush=True)
    table = lines(rows)
    print(f"\n{table}")
    if arguments.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        first, last = text.index(BEGIN) + len(BEGIN), text.index(END)
        DOCUMENT.write_text(f"{text[:first]}\n{table}\n{text[last:]}", encoding="utf-8")
    return int(any(row[name] != "PASS" for row in rows for name in routes))


def find(name: str, corpus: Path | None) -> Subject:
    """A network of this repository, of tests/cases or of the corpus."""
    if name in OWN:
        return own(name)
    places = [CASES / name]
    if corpus is not None:
        places += [corpus / "corpus" / name, corpus / "fuzz" / name]
    for place in places:
        if (place / "meta.json").is_file():
            return golden(place)
    sys.exit(f"no network {name!r}; corpus: {corpus}")


if __name__ == "__main__":
    sys.exit(main())
