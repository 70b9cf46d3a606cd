"""Arguments of ``quantize``: the vendor's own names."""

from __future__ import annotations

import argparse


def quantize_options(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``quantize``."""
    parser.add_argument("input", metavar="IN", help="trained checkpoint (.pth.tar, also .xz)")
    parser.add_argument("output", metavar="OUT", help="quantised checkpoint to write")
    parser.add_argument("--device", default="MAX78000", help="default: %(default)s")
    group = parser.add_argument_group("weight bits")
    group.add_argument(
        "-c",
        "--config-file",
        metavar="YAML",
        help="network description whose 'quantization' counts (default: the checkpoint's widths)",
    )
    group.add_argument(
        "--qat-weight-bits",
        type=int,
        choices=(1, 2, 4, 8),
        help="where neither says (default: 8)",
    )
    group = parser.add_argument_group("factor (default: a power of two that fits the weights)")
    group.add_argument(
        "--clip-method",
        choices=("AVGMAX", "MAX", "STDDEV", "SCALE"),
        help="of networks that were not trained for quantisation",
    )
    group.add_argument("--scale", type=float, help="of SCALE (default: 0.85)")
    group.add_argument("--stddev", type=float, help="deviations of STDDEV (default: 2.0)")
    group.add_argument(
        "--round-shift-up",
        action="store_true",
        help="as the vendor's tool did before its checkpoints had shift_quantile",
    )
    group = parser.add_argument_group("output")
    group.add_argument("-v", "--verbose", action="store_true", help="a row for each layer")
    group.add_argument("--json", action="store_true", help="print JSON")
