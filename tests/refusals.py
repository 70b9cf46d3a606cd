"""What the vendor's tool refused, and what we say: the table of docs/refusals.md.

    python -m tests.refusals --vendor DIR [--corpus DIR] [--refusals docs/refusals.md]

``DIR`` is a copy of the vendor's repository, whose descriptions, samples and weight files are read
from there (they are not part of this project); the cases are those of ``skipped.csv`` in the
corpus.  Where the vendor has no sample, or no weights, sizes are made up; the table says so.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from max78k_sim.checkpoint import Checkpoint, LayerParameters, read_checkpoint
from max78k_sim.devices import MAX78000
from max78k_sim.errors import Max78kError
from max78k_sim.layer_builder import Options
from max78k_sim.loading import build_draft
from max78k_sim.machine import Machine
from max78k_sim.network import Network, faults
from max78k_sim.program import compile_network
from max78k_sim.rules import RULES
from max78k_sim.yaml_keys import ELTWISE_OPERATIONS
from max78k_sim.yaml_reader import Description, Value, parse_description
from tests.conftest import CORPUS

OUTPUTS = 8  # of a last layer of which nothing says how many it has
SHAPES = {  # of samples that the vendor's repository lacks, as their names say
    "vga": (3, 480, 640),
    "fifostream-vga": (3, 480, 640),
    "fifostream-720p": (3, 720, 1280),
    "burnin_64x80x128": (64, 80, 128),
    "bayer": (4, 64, 64),
    "alternating": (64, 128, 128),
}
CONFIGS = {  # cases that were never tried, and what they were about
    "test-cifar100-ressimplenet": "networks/cifar100-ressimplenet.yaml",
    "test-cifar100-simplewide2x": "networks/cifar100-simplewide2x.yaml",
    "test-resnet": "tests/test-resnet.yaml",
    "test-resnet-4l": "tests/test-resnet-4l.yaml",
}
SAME = (  # part of the vendor's message, our rules of the same cause
    ("exceeds data memory instance", ("input-fits", "output-fits")),
    ("Supported on this device: 0 to 0x", ("offset-range", "output-fits")),
    ("exceeds system maximum", ("rows-and-columns",)),
    ("requires use of a FIFO", ("streaming-fifo",)),
    ("`processors` must not be zero", ("processors-given",)),
    ("bits instead of the expected", ("processors", "output-processors")),
    ("Binary weights", ("key-quantization",)),
    ("Kernel bypass", ("key-bypass",)),
    ("`dilation` > 1", ("dilation-operation",)),
    ("`pool_dilation`", ("key-pool_dilation",)),
    ("Convolution groups", ("key-groups",)),
    ("`readahead`", ("key-readahead",)),
    ("`calcx4`", ("key-calcx4",)),
    ("`snoop`", ("key-snoop",)),
    ("`next_sequence`", ("key-next_sequence",)),
    ("`read_gap`", ("key-read_gap",)),
    ("up to 32 layers", ("layer-count",)),
    ("must be a packed version", ("passthrough-map",)),
    ("final streaming layer", ("streaming-end",)),
    ("requires output width of 8", ("fast-fifo-width",)),
    ("do not match the weights file", ("weight-shape",)),
)
NO_FILE = ("does not exist", "absent")  # the vendor's tool never looked at the network
WEIGHTLESS = ("passthrough", *ELTWISE_OPERATIONS)


@dataclass(frozen=True)
class Case:
    """A row of skipped.csv."""

    vendor: Path
    name: str
    reason: str
    flags: tuple[str, ...]

    def flag(self, name: str) -> str | None:
        """The value after a flag."""
        pairs = dict(pairwise((*self.flags, "")))
        return pairs.get(name)

    @property
    def config(self) -> Path:
        """The description."""
        return self.vendor / (self.flag("--config-file") or CONFIGS[self.name])

    @property
    def options(self) -> Options:
        """The flags that change the network."""
        width, last = self.flag("--output-width"), self.flag("--stop-after")
        return Options(
            avg_pool_rounding="--avg-pool-rounding" in self.flags,
            output_width=int(width) if width else None,
            stop_after=int(last) if last else None,
            fifo="--fifo" in self.flags,
            fast_fifo="--fast-fifo" in self.flags,
            overlap_data="--overlap-data" in self.flags,
        )

    @cached_property
    def description(self) -> Description:
        """The file, without ``streaming`` where the flags say so."""
        description = parse_description(self.config)
        if "--ignore-streaming" not in self.flags:
            return description
        layers = (
            replace(layer, values={k: v for k, v in layer.values.items() if k != "streaming"})
            for layer in description.layers
        )
        return replace(description, layers=tuple(layers))

    def dataset(self) -> str:
        """As the vendor's file names have it."""
        return str(self.description.get("dataset")).lower()

    def input_shape(self) -> tuple[tuple[int, int, int] | None, bool]:
        """(channels, rows, columns) of the vendor's sample; whether it is made up."""
        given = self.flag("--sample-input") or f"tests/sample_{self.dataset()}.npy"
        if (self.vendor / given).is_file():
            shape = np.load(self.vendor / given).shape
            return (*shape, *(1,) * (3 - len(shape))), False
        for part, size in SHAPES.items():
            if part in given:
                return size, True
        return None, False

    def weights(self) -> tuple[Checkpoint | None, bool]:
        """The checkpoint, or weights in the shapes of the vendor's file; whether made up."""
        named = self.flag("--checkpoint-file")
        if named and (self.vendor / named).is_file():
            return read_checkpoint(self.vendor / named), False
        file = self.vendor / "tests" / f"weights_{self.dataset()}.npy"
        if named or not file.is_file():
            return None, True
        return Checkpoint(str(file), None, None, tuple(self.stored(file))), False

    def stored(self, file: Path) -> Iterator[LayerParameters]:
        """Weights of -1 and 0 in the shapes of a file: one array a layer, or one of all."""
        arrays = []
        with file.open("rb") as stream:
            try:
                while True:
                    arrays.append(np.load(stream))
            except (ValueError, EOFError):
                pass
        shapes = [array.shape for array in arrays]
        if len(arrays) == 1:
            shapes = [array.shape for array in arrays[0]]
        random = np.random.default_rng(0)
        layers = self.description.layers
        weighted = [n for n, layer in enumerate(layers) if layer.get("op") not in WEIGHTLESS]
        for index, shape in zip(weighted, shapes, strict=False):
            kernel = random.integers(-1, 1, shape).astype(np.int8)
            yield LayerParameters(f"w{index}", index, kernel, None, None, None)


@dataclass(frozen=True)
class Answer:
    """What we say of a case: the rules that it breaks, or what it does."""

    case: Case
    errors: tuple[Max78kError, ...]
    made_up: tuple[str, ...]
    done: str = ""

    @property
    def rule(self) -> str:
        """The first rule, "" for a legal network."""
        return self.errors[0].rule or "" if self.errors else ""

    @property
    def message(self) -> str:
        """Our message, with the file as the vendor's repository has it."""
        text = str(self.errors[0]) if self.errors else self.done
        return text.replace(f"{self.case.vendor}/", "")

    @property
    def same(self) -> str:
        """Whether the vendor's tool refuses it for the same cause."""
        if any(part in self.case.reason for part in NO_FILE):
            return "file missing"
        rules = next((rules for part, rules in SAME if part in self.case.reason), ())
        broken = [error.rule for error in self.errors]
        if not rules:
            return "assertion"
        return "yes" if self.rule in rules else "also" if set(broken) & set(rules) else "no"


def answer(case: Case) -> Answer:
    """Read, build, check, place and run one case."""
    (shape, shape_made_up), (weights, weights_made_up) = case.input_shape(), case.weights()
    notes = []
    if shape_made_up:
        notes.append(f"input of {'x'.join(map(str, shape or ()))} made up")
    description, options = case.description, case.options
    if weights_made_up:
        description = with_outputs(description, options.stop_after)
        if description is not case.description:
            notes.append(f"{OUTPUTS} outputs made up")
    refused = description.refused_until(options.stop_after)
    if refused:
        return Answer(case, refused, ())
    try:
        draft = build_draft(description, weights, MAX78000, shape, options)
        found = faults(draft)
        if found:
            return Answer(case, tuple(found), tuple(notes))
        return Answer(case, (), tuple(notes), run(Network.of(draft)))
    except Max78kError as error:
        return Answer(case, (error,), tuple(notes))


def with_outputs(description: Description, stop_after: int | None) -> Description:
    """The description with out_channels where the last layer in use has none."""
    number = len(description.layers) - 1 if stop_after is None else stop_after
    last = description.layers[number]
    if "out_channels" in last.values or last.get("op") in WEIGHTLESS:
        return description
    known = description.get("output_map") or last.get("output_processors")
    count = known.bit_count() if known else OUTPUTS
    values = last.values | {"out_channels": Value(count, last.line, 1)}
    layers = list(description.layers)
    layers[number] = replace(last, values=values)
    return replace(description, layers=tuple(layers))


def run(network: Network) -> str:
    """Compile with what weights there are, and execute once."""
    from max78k_sim.allocation import allocate

    if any(
        layer.has_kernels and parameters is None
        for layer, parameters in zip(network.layers, network.parameters, strict=True)
    ):
        allocate(network)
        return "legal: it is placed; without weights there is nothing to run"
    machine = Machine("MAX78000")
    machine.load(compile_network(network))
    output = machine.run(np.ones(network.input_shape, np.int8))
    return f"legal: it runs, output {'x'.join(map(str, output.shape))}"


def cases_of(corpus: Path, vendor: Path) -> list[Case]:
    """The rows of skipped.csv."""
    with (corpus / "corpus" / "skipped.csv").open(encoding="utf-8") as file:
        return [
            Case(vendor, row["case"], row["reason"], tuple(shlex.split(row["last flags tried"])))
            for row in csv.DictReader(file)
        ]


# --- the page

INTRODUCTION = """# Refusals

Written by `python -m tests.refusals --vendor DIR --refusals docs/refusals.md`.

The vendor's tool skipped {count} of its own test and demo networks. This is what we say of each:
the rule ([docs/rules.md](rules.md)), and the message of `max78k`, with the place in the vendor's
file. "same": whether the vendor's tool gives the same cause (*yes*; *also*: we name another first,
and this one is found too; *no*; *assertion*: it stops with an AssertionError that says nothing,
and we refuse it for the reason given;
*file missing*: it never looked at the network, because a sample or a checkpoint is not in its
repository; sizes that nothing tells are made up then, and the table says so).

{summary}"""


def page(answers: list[Answer]) -> str:
    """The whole page, by rule."""
    order = {rule.name: number for number, rule in enumerate(RULES)}
    groups: dict[str, list[Answer]] = defaultdict(list)
    for each in answers:
        groups[each.rule].append(each)
    names = sorted(groups, key=lambda name: order.get(name, -1))
    summary = ["| rule | cases | same cause |", "| --- | --- | --- |"]
    parts = []
    for name in names:
        title = f"`{name}`" if name else "legal"
        kinds: dict[str, int] = defaultdict(int)
        for each in groups[name]:
            kinds[each.same] += 1
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
        summary.append(f"| {title} | {len(groups[name])} | {counts} |")
        statement = next((rule.statement for rule in RULES if rule.name == name), "")
        parts.append(f"## {name or 'legal'}: {len(groups[name])}\n\n{statement}".rstrip())
        parts.append("\n".join(rows(groups[name])))
    head = INTRODUCTION.format(count=len(answers), summary="\n".join(summary))
    return "\n\n".join((head, *parts)) + "\n"


def rows(answers: list[Answer]) -> Iterator[str]:
    """A row a case."""
    yield "| case | our message | same |"
    yield "| --- | --- | --- |"
    for each in answers:
        note = f" ({'; '.join(each.made_up)})" if each.made_up else ""
        yield f"| {each.case.name} | {each.message.replace('|', '/')}{note} | {each.same} |"


def main() -> int:
    """Answer every case; 1 if one of them is answered without a rule."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vendor", type=Path, required=True, help="the vendor's repository")
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--refusals", type=Path, metavar="FILE", help="write the page there")
    options = parser.parse_args()
    answers = [answer(case) for case in cases_of(options.corpus, options.vendor)]
    if options.refusals:
        options.refusals.write_text(page(answers), encoding="utf-8")
    unnamed = [each for each in answers if each.errors and not each.rule]
    for each in unnamed:
        print(f"no rule: {each.case.name}: {each.message}")
    different = [each for each in answers if each.same == "no"]
    for each in different:
        print(f"another cause: {each.case.name}: {each.case.reason} / {each.message}")
    print(f"{len(answers)} cases, {sum(bool(each.errors) for each in answers)} refused")
    return 1 if unnamed else 0


if __name__ == "__main__":
    sys.exit(main())
