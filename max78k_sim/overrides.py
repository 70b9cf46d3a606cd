"""Switches that override a description or a checkpoint, before layers are built from them."""

from __future__ import annotations

from dataclasses import replace

from .checkpoint import Checkpoint
from .errors import InputError
from .layer_builder import Options
from .yaml_reader import Description, LayerDescription, Value


def apply(
    description: Description, checkpoint: Checkpoint | None, options: Options
) -> tuple[Description, Checkpoint | None, Options]:
    """What the switches leave of all three; ``stop_after`` counts from the first layer kept.

    Raises InputError for a switch that names layers which do not exist.
    """
    entries = keep_layers(description, options.skip_yaml_layers)
    if options.ignore_activation:
        entries = [without(entry, "activate") for entry in entries]
    if options.ignore_streaming:
        entries = [without(entry, "streaming") for entry in entries]
    for number in options.streaming_layers:
        check_layer(description, "streaming_layers", number, len(entries))
        entries[number] = given(entries[number], "streaming", True)
    if options.input_offset is not None and entries:
        entries[0] = given(entries[0], "in_offset", options.input_offset)
    if options.weight_start < 0:
        raise InputError(f"weight_start {options.weight_start}: a kernel word from 0 up")
    if options.stop_after is not None:
        options = replace(options, stop_after=options.stop_after - options.skip_yaml_layers)
    kept = keep_weights(checkpoint, options.skip_checkpoint_layers)
    return replace(description, layers=tuple(entries)), kept, options


def keep_layers(description: Description, skip: int) -> list[LayerDescription]:
    """The layers after the first ``skip``; what they read is counted again."""
    if skip:
        check_layer(description, "skip_yaml_layers", skip, len(description.layers))
    return [renumbered(description, entry, skip) for entry in description.layers[skip:]]


def renumbered(description: Description, entry: LayerDescription, skip: int) -> LayerDescription:
    """A layer whose in_sequences count from the first layer kept; the input stays -1."""
    if not skip or "in_sequences" not in entry.values:
        return entry
    moved = []
    for item in entry.get("in_sequences"):
        if isinstance(item, int) and 0 <= item < skip:
            raise InputError(
                f"in_sequences {item}: skip_yaml_layers {skip} leaves that layer out",
                file=description.file,
                line=entry.line_of("in_sequences"),
            )
        moved.append(item - skip if isinstance(item, int) and item >= 0 else item)
    return given(entry, "in_sequences", tuple(moved))


def keep_weights(checkpoint: Checkpoint | None, skip: int) -> Checkpoint | None:
    """The weights after the first ``skip`` layers that have some."""
    if checkpoint is None or not skip:
        return checkpoint
    if not 0 <= skip < len(checkpoint.layers):
        raise InputError(
            f"skip_checkpoint_layers {skip}: the checkpoint has {len(checkpoint.layers)} layers",
            file=checkpoint.file,
        )
    kept = [
        replace(item, index=None if item.index is None else item.index - skip)
        for item in checkpoint.layers[skip:]
    ]
    return replace(checkpoint, layers=tuple(kept))


def check_layer(description: Description, switch: str, number: int, count: int) -> None:
    """InputError unless a switch names one of the layers."""
    if not 0 <= number < count:
        raise InputError(
            f"{switch} {number}: the layers are 0 to {count - 1}", file=description.file
        )


def without(entry: LayerDescription, key: str) -> LayerDescription:
    """A layer that does not have a key."""
    values = {name: value for name, value in entry.values.items() if name != key}
    return replace(entry, values=values)


def given(entry: LayerDescription, key: str, value) -> LayerDescription:
    """A layer with another value of a key; its place in the file stays, or is the layer's."""
    old = entry.values.get(key)
    place = (old.line, old.column) if old else (entry.line, 1)
    return replace(entry, values={**entry.values, key: Value(value, *place)})
