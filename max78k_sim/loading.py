"""Description + checkpoint + device -> Network, and the shortest way from files to outputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from .checkpoint import Checkpoint, LayerParameters, read_checkpoint
from .device import Device
from .devices import find_device
from .errors import InputError, NotEmulated
from .network import Layer, Network, Parameters, passes_of
from .yaml_keys import BUILT_OPERATIONS
from .yaml_reader import Description, LayerDescription, read_description

if TYPE_CHECKING:
    from .program import Program

# (channels, rows, columns) of the vendor's data sets, used when nothing else gives the input shape
DATASET_SHAPES = {
    "mnist": (1, 28, 28),
    "fashionmnist": (1, 28, 28),
    "cifar-10": (3, 32, 32),
    "cifar10": (3, 32, 32),
    "cifar100": (3, 32, 32),
    "svhn_74": (3, 74, 74),
    "kws_20": (128, 128, 1),
    "cats_vs_dogs": (3, 128, 128),
    "faceid": (3, 160, 120),
}


@dataclass(frozen=True)
class Options:
    """The vendor's command-line switches that change the network."""

    avg_pool_rounding: bool = False
    no_bias: tuple[int, ...] = ()
    output_width: int | None = None
    stop_after: int | None = None


def load_network(
    config_file: str | Path,
    checkpoint_file: str | Path | None = None,
    device: str | Device = "MAX78000",
    *,
    input_shape: tuple[int, int, int] | None = None,
    avg_pool_rounding: bool = False,
    no_bias: tuple[int, ...] = (),
    output_width: int | None = None,
    stop_after: int | None = None,
) -> Network:
    """Read a network from the vendor's files.

    ``config_file``: the vendor's YAML; ``checkpoint_file``: ``.pth.tar`` (also ``.xz``) or
    ``.npz``, None to look at addresses only; ``input_shape``: (channels, rows, columns) where the
    description does not say.  The last four are the vendor's --avg-pool-rounding, --no-bias (layer
    numbers), --output-width and --stop-after.  Raises InputError, HardwareLimit or NotEmulated.
    """
    description = read_description(config_file)
    checkpoint = read_checkpoint(checkpoint_file) if checkpoint_file is not None else None
    options = Options(avg_pool_rounding, tuple(no_bias), output_width, stop_after)
    return build_network(description, checkpoint, find_device(device), input_shape, options)


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
    machine.prepare(sample)
    for write in program.start:
        machine.memory.write(write.address, write.words)
    outputs = {f"layer{trace.layer}": machine.read_output(trace.layer) for trace in machine.steps()}
    outputs["final"] = machine.read_output(len(program.plan.layers) - 1)
    return outputs


def read_sample(sample: np.ndarray | str | Path) -> np.ndarray:
    """A sample from an array or a ``.npy`` file, as [channel, row, column]."""
    if isinstance(sample, (str, Path)):
        try:
            with open(sample, "rb") as file:
                values = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError, MemoryError, BadZipFile) as error:
            raise InputError(f"not a .npy array of integers: {error}", file=sample) from None
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
    """Work out every layer's channels and sizes from front to back."""
    check_architecture(description, checkpoint)
    entries = description.layers
    if options.stop_after is not None:
        if not 0 <= options.stop_after < len(entries):
            raise InputError(
                f"stop_after {options.stop_after}: the layers are 0 to {len(entries) - 1}"
            )
        entries = entries[: options.stop_after + 1]
    stored = assign_parameters(description, checkpoint, len(entries))
    layers: list[Layer] = []
    parameters: list[Parameters | None] = []
    for index, entry in enumerate(entries):
        following = description.layers[index + 1] if index + 1 < len(description.layers) else None
        before = layers[-1] if layers else None
        try:
            shape = read_shape(description, entry, before, stored[index], input_shape)
            layer = build_layer(
                description, index, following, before, stored[index], shape, options
            )
            parameters.append(fit_parameters(layer, stored[index], index in options.no_bias))
            layers.append(layer)
        except (InputError, NotEmulated) as error:
            if error.file is not None:
                raise
            message = f"layer {index}: {error.message}"
            raise type(error)(message, file=description.file, line=entry.line) from None
    return Network(
        str(description.get("arch")),
        device,
        tuple(layers),
        tuple(parameters),
        options.avg_pool_rounding,
        description.file,
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
        )


def assign_parameters(
    description: Description, checkpoint: Checkpoint | None, count: int
) -> list[LayerParameters | None]:
    """Stored weights by layer index; a missing one is an error, one too many as well."""
    total = len(description.layers)
    stored: list[LayerParameters | None] = [None] * total
    if checkpoint is None:
        return stored
    for number, item in enumerate(checkpoint.layers):
        index = number if item.index is None else item.index
        if index < total:  # a checkpoint may hold more layers than the description uses
            stored[index] = item
        elif item.index is not None:
            raise InputError(
                f"weights '{item.name}' have no layer: {description.file} describes {total} layers",
                file=checkpoint.file,
            )
    for index in range(count):
        if stored[index] is None:
            ended = f" ({checkpoint.ended_by})" if checkpoint.ended_by else ""
            name = layer_name(description.layers[index], index)
            raise InputError(
                f"no weights for layer {index} ({name}): the checkpoint has "
                f"{len(checkpoint.layers)} layers with weights{ended}, "
                f"{description.file} describes {total}",
                file=checkpoint.file,
            )
    return stored


def layer_name(entry: LayerDescription, index: int) -> str:
    """The given name, or layer<index>."""
    return entry.get("name", f"layer{index}")


def read_shape(
    description: Description,
    entry: LayerDescription,
    before: Layer | None,
    stored: LayerParameters | None,
    input_shape: tuple[int, int, int] | None,
) -> tuple[int, int, int]:
    """(channels, rows, columns) that a layer reads."""
    if before is not None:
        shape: Any = before.out_channels, *before.out_size
    else:
        dataset = str(description.get("dataset")).lower()
        shape = input_shape or DATASET_SHAPES.get(dataset)
    channels = entry.get("in_channels") or (shape[0] if shape else None)
    size = entry.get("in_dim") or (tuple(shape[1:]) if shape else None)
    if channels is None and stored is not None and stored.kernel.ndim == 4:
        channels = stored.kernel.shape[1]
    if channels is None or size is None:
        raise InputError(
            "the input shape is not known; add in_channels and in_dim to the first layer, for "
            "example in_channels: 1 and in_dim: [28, 28]"
        )
    return channels, *size


def build_layer(
    description: Description,
    index: int,
    following: LayerDescription | None,
    before: Layer | None,
    stored: LayerParameters | None,
    shape: tuple[int, int, int],
    options: Options,
) -> Layer:
    """One Layer in the user's units; limits are checked by Network."""
    entry = description.layers[index]
    op = entry.get("op", "conv2d")
    if op not in BUILT_OPERATIONS:
        raise NotEmulated(f"the operation {op} is not emulated yet")
    if "processors" not in entry.values:
        raise InputError("'processors' is missing, for example processors: 0x000000000000000f")
    stride = entry.get("pool_stride", (1, 1))
    if stride[0] != stride[1]:
        raise InputError(f"pool_stride {list(stride)}: rows and columns have the same stride")
    kernel_shape = (1, 1) if op == "linear" else entry.get("kernel_size", (3, 3))
    flatten = entry.get("flatten", False)
    pixels = shape[1] * shape[2] if flatten else 1
    taps = kernel_shape[0] * kernel_shape[1]
    out_channels = read_out_channels(entry, following, stored, shape[0] * pixels * taps)
    weight_bits = entry.get("quantization") or (stored.weight_bits if stored else None) or 8
    final = following is None or index == options.stop_after
    output_bits = entry.get("output_width", 8)
    if options.output_width is not None and final:
        output_bits = options.output_width
    return Layer(
        index=index,
        name=layer_name(entry, index),
        op=op,
        in_channels=shape[0],
        out_channels=out_channels,
        in_size=shape[1:],
        processors=entry.get("processors"),
        output_processors=read_output_processors(
            description, index, following, final, out_channels
        ),
        kernel_shape=kernel_shape,
        padding=entry.get("pad", 0 if op == "linear" else 1),
        pool=entry.get("max_pool") or entry.get("avg_pool") or (1, 1),
        pool_average="avg_pool" in entry.values and "max_pool" not in entry.values,
        stride=stride[0],
        activation=entry.get("activate"),
        output_shift=read_shift(entry, stored) + 8 - weight_bits,
        weight_bits=weight_bits,
        output_bits=output_bits,
        in_offset=entry.get("in_offset", before.out_offset if before else 0),
        out_offset=entry.get("out_offset", 0),
        big_data=entry.get("data_format", False),
        flatten=flatten,
        bias_groups=entry.get("bias_group"),
        line=entry.line,
    )


def read_shift(entry: LayerDescription, stored: LayerParameters | None) -> int:
    """output_shift without the part of the weight width: the description's, or the checkpoint's."""
    if "output_shift" in entry.values:
        return entry.get("output_shift")
    return (stored.output_shift if stored else None) or 0


def read_out_channels(
    entry: LayerDescription,
    following: LayerDescription | None,
    stored: LayerParameters | None,
    weights_of_output: int,
) -> int:
    """From the key, the weights, or (without a checkpoint) the processors that take the output."""
    if "out_channels" in entry.values:
        return entry.get("out_channels")
    if stored is not None:
        count, rest = divmod(stored.kernel.size, weights_of_output)
        if rest or not count:
            raise InputError(
                f"weights '{stored.name}' of shape {stored.kernel.shape} do not fit: one output "
                f"takes {weights_of_output} weights; check in_channels, kernel_size and flatten"
            )
        return count
    if following is not None and "in_channels" in following.values:
        return following.get("in_channels")
    map_key = entry.get("output_processors") or (following.get("processors") if following else None)
    if map_key is None:
        raise InputError("give a checkpoint file, or out_channels for the last layer")
    return map_key.bit_count()


def read_output_processors(
    description: Description,
    index: int,
    following: LayerDescription | None,
    final: bool,
    out_channels: int,
) -> int:
    """The layer's own map, the next layer's processors, the global map, or from processor 0 up."""
    entry = description.layers[index]
    if final and "output_map" in description.values:
        return description.get("output_map")
    if "output_processors" in entry.values:
        return entry.get("output_processors")
    if following is not None and "processors" in following.values:
        return following.get("processors")
    return (1 << passes_of(out_channels)[1]) - 1


def fit_parameters(
    layer: Layer, stored: LayerParameters | None, no_bias: bool
) -> Parameters | None:
    """Stored weights in the layer's own shape, checked against its weight width."""
    if stored is None:
        return None
    shape = layer.kernel_tensor_shape
    if stored.kernel.size != np.prod(shape):
        raise InputError(
            f"weights '{stored.name}' have shape {stored.kernel.shape}; {layer.name} takes {shape}"
        )
    if stored.kernel.ndim == len(shape) == 4 and stored.kernel.shape != shape:
        raise InputError(
            f"weights '{stored.name}' have shape {stored.kernel.shape}; {layer.name} takes {shape}"
        )
    kernel = stored.kernel.reshape(shape)
    limit = 1 << layer.weight_bits - 1
    if kernel.min() < -limit or kernel.max() >= limit:
        raise InputError(
            f"weights '{stored.name}' reach from {kernel.min()} to {kernel.max()}; "
            f"quantization: {layer.weight_bits} holds {-limit} to {limit - 1}"
        )
    if stored.bias is None or no_bias:
        return Parameters(kernel)
    if len(stored.bias) != layer.out_channels:
        raise InputError(
            f"{len(stored.bias)} bias values for '{stored.name}'; {layer.name} has "
            f"{layer.out_channels} output channels"
        )
    return Parameters(kernel, stored.bias)
