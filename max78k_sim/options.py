"""Switches that several verbs share; a verb's own are in cli.py."""

from __future__ import annotations

import argparse

from .switches import ALL_LAYERS, Refuse, refused


def network_options(parser: argparse.ArgumentParser, checkpoint: bool | None = True) -> None:
    """The vendor's own switches that say which network; ``checkpoint`` None: both optional."""
    group = parser.add_argument_group("network (the vendor's switches)")
    group.add_argument(
        "--config-file", metavar="YAML", required=checkpoint is not None, help="network description"
    )
    group.add_argument(
        "--checkpoint-file",
        metavar="FILE",
        required=bool(checkpoint),
        help="quantised weights: .pth.tar (also .xz) or .npz",
    )
    group.add_argument("--device", default="MAX78000", help="default: %(default)s")
    group.add_argument(
        "--input-shape",
        metavar="C,H,W",
        type=numbers,
        help="channels, rows and columns of a sample",
    )
    group.add_argument("--avg-pool-rounding", action="store_true", help="average pooling rounds")
    group.add_argument(
        "--no-bias",
        metavar="L,L",
        type=numbers,
        nargs="?",
        const=ALL_LAYERS,
        default=(),
        help="layers whose bias is ignored (default: all)",
    )
    group.add_argument("--output-width", type=int, choices=(8, 32), help="of the last layer")
    group.add_argument("--stop-after", metavar="L", type=int, help="last layer to use")
    group.add_argument("--fifo", action="store_true", help="the input comes through the FIFOs")
    group.add_argument("--fast-fifo", action="store_true", help="... through the fast FIFO")
    override_options(group)
    for name in refused():
        group.add_argument(name, action=Refuse, nargs="?", help=argparse.SUPPRESS)


def override_options(group: argparse._ArgumentGroup) -> None:
    """Switches that leave out or replace parts of the description or the checkpoint."""
    for name, default, meaning in (
        ("--skip-yaml-layers", 0, "leave out the first N layers"),
        ("--skip-checkpoint-layers", 0, "leave out the first N layers with weights"),
        ("--input-offset", None, "in_offset of the first layer, bytes"),
        ("--weight-start", 0, "first kernel word to use"),
    ):
        group.add_argument(name, metavar="N", type=whole, default=default, help=meaning)
    for name, meaning in (
        ("--ignore-activation", "no layer has an activation"),
        ("--ignore-streaming", "no layer streams"),
        ("--no-deduplicate-weights", "store equal kernels once for each layer"),
        ("--overlap-data", "outputs may overwrite data still to be read"),
    ):
        group.add_argument(name, action="store_true", help=meaning)
    group.add_argument(
        "--streaming-layers", metavar="L,L", type=numbers, default=(), help="more that stream"
    )


def data_options(parser: argparse.ArgumentParser, measured: bool = True) -> None:
    """Which images; ``measured``: some are there to measure on."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data",
        default="fashion",
        metavar="WHERE",
        help="fashion (shipped), idx:DIR, npz:FILE, npy:DIR, wav:DIR, kws20:DIR or digits "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--new-class", type=int, help="class to learn (default: the last one; of the demo: bag)"
    )
    group.add_argument("--new-images", type=int, default=100, help="default: %(default)s")
    group.add_argument(
        "--replay-images", type=int, default=30, help="of each old class (default: %(default)s)"
    )
    if measured:
        group.add_argument(
            "--test-images", type=int, default=0, help="to measure on (default: all)"
        )


def kept_options(parser: argparse.ArgumentParser, title: str) -> None:
    """Examples that a board keeps, and learns again."""
    group = parser.add_argument_group(title)
    group.add_argument(
        "--replay", metavar="BYTES", type=int, default=0, help="of SRAM for them (default: 0)"
    )
    group.add_argument(
        "--replay-bits", type=int, choices=(8, 4), default=8, help="a value (default: 8)"
    )
    group.add_argument(
        "--replay-policy",
        choices=("balanced", "reservoir"),
        default="balanced",
        help="who stays: as many of each class as possible, or any (default: balanced)",
    )


def sram_option(parser: argparse.ArgumentParser) -> None:
    """What training may take."""
    parser.add_argument(
        "--sram", metavar="KB", type=int, default=96, help="that may be used (default: %(default)s)"
    )
    parser.add_argument(
        "--kernel-copy",
        action=argparse.BooleanOptionalAction,
        help="kernels in SRAM too, where a linear layer learns from one sample a step (default: "
        "where it fits)",
    )


RECIPE_OPTIONS = (  # of trainer.recipe.Recipe, which has the defaults and the ranges
    ("--steps", int, "N", "batches"),
    ("--batch", int, "N", "examples in a batch"),
    ("--rate-mantissa", int, "N", "learning rate: mantissa / 2**shift"),
    ("--rate-shift", int, "N", None),
    ("--deeper-shift", int, "N", "... more for each trained layer further from the output"),
    ("--schedule", str, "NAME", "of the rate: constant, linear, halving"),
    ("--optimizer", str, "NAME", "momentum, adam"),
    ("--momentum-shift", int, "N", "momentum: 1 - 2**-shift"),
    ("--decay-shift", int, "N", "weights lose 2**-shift of themselves at each step; 0: nothing"),
    ("--precision", str, "NAME", "beside a weight: in place, residual (8 bits), int16"),
    ("--rounding", str, "NAME", "of a step: stochastic, nearest, truncate"),
    ("--loss", str, "NAME", "cross-entropy, squared"),
    ("--teacher-share", int, "N", "of 256: what the untrained network said, against the label"),
    ("--new-share", int, "N", "of 256 examples, how many are new"),
    ("--seed", int, "N", "of rounding and order"),
)


def recipe_options(parser: argparse.ArgumentParser) -> None:
    """How to train; the defaults are trainer.recipe.Recipe's."""
    group = parser.add_argument_group("training")
    group.add_argument(
        "--layers", "--layer", type=names, metavar="NAMES", help="default: the last; conv4,fc"
    )
    group.add_argument("--parts", type=names, metavar="NAMES", help="default: kernel,bias")
    for flag, kind, metavar, text in RECIPE_OPTIONS:
        group.add_argument(flag, type=kind, metavar=metavar, help=text)
    group.add_argument(
        "--wide-bias", action="store_true", default=None, help="32-bit biases on the processor"
    )


def json_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Output for programs."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def numbers(text: str) -> tuple[int, ...]:
    """Comma-separated integers."""
    return tuple(int(part, 0) for part in text.split(","))


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def whole(text: str) -> int:
    """An integer, decimal or 0x hexadecimal."""
    return int(text, 0)
