"""Arguments of ``generate``: the vendor's own names, for what a project does around the chip."""

from __future__ import annotations

import argparse

from ..options import data_options, kept_options, network_options, recipe_options, sram_option

# Switches that are on or off: name, default, meaning.
SWITCHED = (
    ("--softmax", False, "print classes and their probabilities"),
    ("--mexpress", True, "kernels as packed streams: 9 bytes a kernel word, not 16"),
    ("--compact-data", True, "the sample as arrays, not a line of C for each word"),
    ("--kat", True, "known-answer tests"),
    ("--energy", False, "repeat each part between SYS_START and SYS_COMPLETE, to be measured"),
    ("--forever", False, "run again and again, after the tests"),
    ("--wfi", True, "sleep while the accelerator works"),
)


def generate_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``generate``."""
    network_options(parser)
    parser.add_argument("--out", metavar="DIR", required=True, help="the project's folder")
    group = parser.add_argument_group("project (the vendor's switches)")
    group.add_argument("--sample-input", metavar="NPY", help="integers, CHW (default: made up)")
    group.add_argument("--prefix", metavar="NAME", help="of the program (default: the network's)")
    group.add_argument(
        "--board-name", metavar="NAME", default="EvKit_V1", help="FTHR_RevA (default: %(default)s)"
    )
    group.add_argument("--timer", metavar="N", type=int, help="0 to 3: times the inference")
    group.add_argument(
        "--max-verify-length",
        "--max-checklines",
        metavar="N",
        type=int,
        help="words of the output that the known-answer test compares (default: all)",
    )
    group.add_argument("--boost", metavar="PORT.PIN", help="pin that turns on a stronger supply")
    group.add_argument(
        "--clock-divider", metavar="N", type=int, default=1, help="of the accelerator's clock"
    )
    group.add_argument(
        "--debugwait", metavar="S", type=int, default=2, help="before the start (default: 2)"
    )
    for name, default, meaning in SWITCHED:
        both = argparse.BooleanOptionalAction
        group.add_argument(name, action=both, default=default, help=meaning)
    recipe_options(parser)
    data_options(parser, measured=False)
    sram_option(parser)
    parser.add_argument("--train", action="store_true", help="also the training step, with a test")
    parser.add_argument(
        "--protocol",
        action="store_true",
        help="the program answers max78k board on its serial port (docs/protocol.md)",
    )
    parser.add_argument(
        "--save", action="store_true", help="with --protocol and --train: what was learnt in flash"
    )
    kept_options(parser, "with --protocol and --train: examples that the board keeps")
