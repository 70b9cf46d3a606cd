"""Description + checkpoint + device -> Network, and the shortest way from files to outputs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import overrides
from .checkpoint import FAULTS, Checkpoint, LayerParameters, read_checkpoint
from .device import Device
from .devices import find_device
from .errors import HardwareLimit, InputError, Max78kError, NotEmulated
from .layer_builder import (
    Context,
    Options,
    build_layer,
    fit_parameters,
    layer_name,
    read_buffer,
)
from .network import Draft, Layer, Network, Parameters, faults
from .yaml_keys import ELTWISE_OPERATIONS
from .yaml_reader import Description, parse_description

if TYPE_CHECKING:
    from .program import Program


def load_network(
    config_file: str | Path,
    checkpoint_file: str | Path | None = None,
    device: str | Device = "MAX78000",
    *,
    input_shape: tuple[int, int, int] | None = None,
    **switches,
) -> Network:
    """Read a network from the vendor's files.

    ``config_file``: the vendor's YAML; ``checkpoint_file``: ``.pth.tar`` (also ``.xz``) or
    ``.npz``, None to look at addresses only; ``input_shape``: (channels, rows, columns) where the
    description does not say.  ``switches`` are the vendor's, with underscores: the fields of
    ``Options``.  Raises InputError, HardwareLimit or NotEmulated.
    """
    description, checkpoint, options = read_files(config_file, checkpoint_file, switches)
    for error in description.refused_until(options.stop_after):
        raise error
    return build_network(description, checkpoint, find_device(device), input_shape, options)


def find_faults(
    config_file: str | Path,
    checkpoint_file: str | Path | None = None,
    device: str | Device = "MAX78000",
    *,
    input_shape: tuple[int, int, int] | None = None,
    **switches,
) -> list[Max78kError]:
    """Every rule that a network breaks, as errors with their ``rule``; [] for a legal network.

    Takes what ``load_network`` takes.  What hides the rest (no valid YAML, no known input shape)
    is found alone; whether it fits the memories is looked at when nothing else is wrong.
    """
    from .allocation import allocate
    from .program import compile_network

    try:
        description, checkpoint, options = read_files(config_file, checkpoint_file, switches)
        refused = description.refused_until(options.stop_after)
        if refused:
            return list(refused)
        draft = build_draft(description, checkpoint, find_device(device), input_shape, options)
        found = faults(draft)
        if not found:
            ready = checkpoint is not None and draft.device.executes
            compile_network(Network.of(draft)) if ready else allocate(Network.of(draft))
        return found
    except Max78kError as error:
        return [error]


def read_files(
    config_file: str | Path, checkpoint_file: str | Path | None, switches: dict
) -> tuple[Description, Checkpoint | None, Options]:
    """What ``load_network`` reads; TypeError for a switch that is none."""
    unknown = set(switches) - {field.name for field in fields(Options)}
    if unknown:
        known = ", ".join(field.name for field in fields(Options))
        raise TypeError(f"load_network has no switch {sorted(unknown)}; there are: {known}")
    description = parse_description(config_file)
    checkpoint = read_checkpoint(checkpoint_file) if checkpoint_file is not None else None
    return description, checkpoint, Options(**switches)


def simulate(
    config_file: str | Path,
    checkpoint_file: str | Path | None,
    sample: np.ndarray | str | Path,
    device: str | Device = "MAX78000",
    **options,
) -> dict[str, np.ndarray]:
    """One inference through the simulated chip.

    ``sample``: integers -128..127 [channel, row, column], or a ``.npy`` file.  ``options`` are
    those of ``load_network``.  Returns ``{"layer0": ..., ..., "final": ...}``: int8 (int32 for
    32-bit output) [channel, row, column], read from data memory after each layer ran.
    """
    from .program import compile_network

    values = read_sample(sample)
    options.setdefault("input_shape", values.shape)
    network = load_network(config_file, checkpoint_file, device, **options)
    return simulate_program(compile_network(network), values)


def simulate_program(program: Program, sample: np.ndarray) -> dict[str, np.ndarray]:
    """``simulate`` for what is compiled already; ``sample``: integers [channel, row, column]."""
    from .machine import Machine

    machine = Machine(program.device)
    machine.load(program)
    outputs = {f"layer{trace.layer}": machine.output_of(trace) for trace in machine.traces(sample)}
    outputs["final"] = outputs[f"layer{len(program.plan.layers) - 1}"]
    return outputs


def read_sample(sample: np.ndarray | str | Path) -> np.ndarray:
    """A sample from an array or a ``.npy`` file, as [channel, row, column]."""
    if isinstance(sample, (str, Path)):
        try:
            with open(sample, "rb") as file:
                values = np.load(file, allow_pickle=False)
        except OSError as error:
            raise InputError(f"cannot read the sample: {error.strerror}", file=sample) from None
        except FAULTS:
            raise InputError(
                "is damaged, or not a .npy array of integers; numpy.save writes one", file=sample
            ) from None
        if not isinstance(values, np.ndarray):
            raise InputError("an .npz archive; give a .npy file with one sample", file=sample)
    else:
        values = np.asarray(sample)
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3:
        raise InputError(f"a sample is [channel, row, column]; this one has shape {values.shape}")
    return values


def build_network(
    description: Description,
    checkpoint: Checkpoint | None,
    device: Device,
    input_shape: tuple[int, int, int] | None,
    options: Options,
) -> Network:
    """``build_draft``, checked."""
    return Network.of(build_draft(description, checkpoint, device, input_shape, options))


def build_draft(
    description: Description,
    checkpoint: Checkpoint | None,
    device: Device,
    input_shape: tuple[int, int, int] | None,
    options: Options,
) -> Draft:
    """Work out every layer's channels and sizes from front to back."""
    check_architecture(description, checkpoint)
    description, checkpoint, options = overrides.apply(description, checkpoint, options)
    entries = description.layers
    if options.stop_after is not None:
        if not 0 <= options.stop_after < len(entries):
            message = f"stop_after {options.stop_after}: the layers are 0 to {len(entries) - 1}"
            raise InputError(message, rule="stop-after")
        entries = entries[: options.stop_after + 1]
    stored = assign_parameters(description, checkpoint, len(entries))
    layers: list[Layer] = []
    parameters: list[Parameters | None] = []
    for index, entry in enumerate(entries):
        context = Context(description, index, tuple(layers), stored[index], input_shape, options)
        try:
            layer = build_layer(context)
            parameters.append(fit_parameters(layer, stored[index], index in options.no_bias))
            layers.append(layer)
        except (InputError, HardwareLimit, NotEmulated) as error:
            if error.file is not None:
                raise
            raise error.at(description.file, entry.line, owner=f"layer {index}") from None
    return Draft(
        str(description.get("arch")),
        device,
        tuple(layers),
        tuple(parameters),
        options.avg_pool_rounding,
        options.fifo or options.fast_fifo,
        options.fast_fifo,
        read_buffer(description),
        description.file,
        options.overlap_data,
        options.weight_start,
        options.no_deduplicate_weights,
    )


def check_architecture(description: Description, checkpoint: Checkpoint | None) -> None:
    """The description and the checkpoint have to speak of the same architecture."""
    if checkpoint is None or not checkpoint.arch:
        return
    arch = str(description.get("arch"))
    if arch.lower() != checkpoint.arch.lower():
        raise InputError(
            f"arch '{arch}' is not the checkpoint's '{checkpoint.arch}' ({checkpoint.file})",
            file=description.file,
            line=description.values["arch"].line,
            rule="architecture",
        )


def assign_parameters(
    description: Description, checkpoint: Checkpoint | None, count: int
) -> list[LayerParameters | None]:
    """Stored weights by layer index; a missing one is an error, one too many as well."""
    total = len(description.layers)
    stored: list[LayerParameters | None] = [None] * total
    if checkpoint is None:
        return stored
    weightless = ("passthrough", *ELTWISE_OPERATIONS)
    weighted = [n for n in range(total) if description.layers[n].get("op") not in weightless]
    for number, item in enumerate(checkpoint.layers):
        if item.index is None and number < len(weighted):
            stored[weighted[number]] = item
        elif item.index is not None and item.index < total:
            stored[item.index] = item
        elif item.index is not None:
            raise InputError(
                f"weights '{item.name}' have no layer: {description.file} describes {total} layers",
                file=checkpoint.file,
                rule="layer-weights",
            )
    for index in range(count):
        if stored[index] is None and index in weighted:
            ended = f" ({checkpoint.ended_by})" if checkpoint.ended_by else ""
            name = layer_name(description.layers[index], index)
            raise InputError(
                f"no weights for layer {index} ({name}): the checkpoint has "
                f"{len(checkpoint.layers)} layers with weights{ended}, "
                f"{description.file} describes {total}",
                file=checkpoint.file,
                rule="layer-weights",
            )
    return stored
