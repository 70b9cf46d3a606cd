"""``max78k quantize``: a trained checkpoint's real weights to the chip's integers."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from trainer.host.quantize import Method, QuantisedLayer, quantise

from ..devices import find_device
from ..errors import InputError
from ..saved_state import read_saved
from ..torch_writer import write_torch
from ..yaml_reader import parse_description


def main(options: Namespace) -> None:
    """Read, quantise, write whole, and say what became of each layer."""
    find_device(options.device)
    method = method_from(options)
    saved = read_saved(options.input)
    output = Path(options.output)
    if output.exists() and output.samefile(options.input):
        raise InputError("is the trained checkpoint; give another name to write to", file=output)
    try:
        result = quantise(saved.root, method)
    except InputError as error:
        raise error.at(options.input) from None
    write_torch(output, result.root)
    if saved.left_out and options.verbose:
        say(f"left out, not plain values: {', '.join(saved.left_out)}")
    warn_of_shifts(result.layers)
    if options.json:
        print(json.dumps({"file": str(output), "layers": [asdict(row) for row in result.layers]}))
        return
    if options.verbose:
        print("\n".join(table(result.layers)))
    print(f"{output}: {len(result.layers)} layers")


def method_from(options: Namespace) -> Method:
    """The Method that was asked for; InputError for a number that its method does not take."""
    numbers = {}
    for name, of, field in (("scale", "SCALE", "scale"), ("stddev", "STDDEV", "deviations")):
        value = getattr(options, name)
        if value is None:
            continue
        if options.clip_method != of:
            raise InputError(f"--{name} {value} belongs to --clip-method {of}; give both")
        numbers[field] = value
    if options.round_shift_up and options.clip_method:
        raise InputError("--round-shift-up has no meaning with --clip-method; leave one out")
    described = described_bits(options.config_file) if options.config_file else None
    return Method(
        options.clip_method,
        weight_bits=options.qat_weight_bits,
        layer_bits=described,
        round_up=options.round_shift_up,
        **numbers,
    )


def described_bits(config_file: str) -> tuple[int | None, ...]:
    """``quantization`` of each layer of a description; None where it does not say."""
    layers = parse_description(config_file).layers
    for error in (error for layer in layers for error in layer.refused):
        if error.rule == "key-quantization":
            raise error
    return tuple(layer.get("quantization") for layer in layers)


def warn_of_shifts(layers: Sequence[QuantisedLayer]) -> None:
    """Older training software stored shifts that today's rule does not give."""
    other = [
        row for row in layers if row.trained_shift and row.shift not in (None, row.trained_shift)
    ]
    if other:
        first = other[0]
        say(
            f"{len(other)} layers were trained with another output_shift ({first.name}: "
            f"{first.trained_shift}, now {first.shift}); for checkpoints of the vendor's older "
            "software add --round-shift-up"
        )


def table(layers: Sequence[QuantisedLayer]) -> list[str]:
    """A line for each layer."""
    width = max(len(row.name) for row in layers)
    lines = [f"{'layer':<{width}} bits  largest  factor  shift  clipped"]
    for row in layers:
        shift = "-" if row.shift is None else row.shift
        lines.append(
            f"{row.name:<{width}} {row.bits:>4} {row.largest:>8.4g} {row.factor:>7.5g} {shift:>6} "
            f"{row.clipped:>8,}"
        )
    return lines


def say(text: str) -> None:
    """A warning."""
    print(f"max78k: warning: {text}", file=sys.stderr)
