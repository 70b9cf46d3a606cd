"""What a run is compared with, whoever computed it: one Reference from each kind of file.

Golden folder, .npz of arrays (PyTorch's, or ``run --dump``'s), log of the vendor's generator, its
known answer, and what a board printed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..layer import Layer
from ..network import Network
from .golden import GoldenFolder, Run, read_arrays
from .vendor_log import PASSED, Mismatch, blocks, known_answer, mismatches

KINDS = (
    "a folder in the golden layout, an .npz of arrays (PyTorch's, or of run --dump), the log.txt "
    "of the vendor's generator, its sampleoutput.h, or what a board printed (Data mismatch ...)"
)
INPUT_NAMES = ("input", "sample", "x")
LAYER_KINDS = ("layer", "acc")  # arrays that are compared; the rest of a dump is not
UNIT = 128.0  # what 1.0 of an activation is on the chip
WIDE_UNITS = (1.0, 128.0, 128.0 * 128.0)  # what 1.0 of a 32-bit output may be


@dataclass(eq=False)
class Reference:
    """Values by layer index, int64 [channel, row, column]; what a file does not have is empty.

    ``memory``: words that should be there after a run, by part; ``registers``: words by address;
    ``notes``: what was assumed.
    """

    source: str
    kind: str
    outputs: dict[int, np.ndarray] = field(default_factory=dict)
    accumulators: dict[int, np.ndarray] = field(default_factory=dict)
    sample: np.ndarray | None = None
    memory: list[Run] = field(default_factory=list)
    registers: dict[int, int] = field(default_factory=dict)
    mismatches: list[Mismatch] = field(default_factory=list)
    passed: bool = False  # the board says so itself
    notes: list[str] = field(default_factory=list)


def read_reference(path: str | Path, network: Network) -> Reference:
    """The reference in a folder or file; InputError when it is of no known kind."""
    place = Path(path)
    if place.is_dir():
        return from_golden(GoldenFolder(place), network)
    try:
        with place.open("rb") as opened:
            start = opened.read(2)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}; give {KINDS}", file=place) from None
    if start == b"PK":
        return from_arrays(place, network)
    text = place.read_text(encoding="utf-8", errors="replace")
    wrong, answer = mismatches(text), known_answer(text)
    if wrong or PASSED in text:
        return Reference(str(place), "board", mismatches=wrong, passed=not wrong)
    if answer:
        return Reference(str(place), "known answer", memory=answer)
    return from_log(place, text, network)


def from_golden(folder: GoldenFolder, network: Network) -> Reference:
    """Outputs, and where the folder has them, memory and registers."""
    reference = Reference(str(folder.folder), "golden folder")
    if not folder.has("expected.npz"):
        raise InputError("no expected.npz; a golden folder has one", file=folder.folder)
    take_arrays(reference, read_arrays(folder.folder / "expected.npz"), network)
    if folder.has("sample.npy"):
        reference.sample = take_sample(reference, folder.sample, network)
    if folder.has("memory.npz"):
        parts = ("mram", "bias", "input", *(f"l{layer.index}" for layer in network.layers))
        reference.memory = [run for part in (*parts, "output") for run in folder.runs(part)]
    if folder.has("registers.json"):
        reference.registers = folder.registers()
    return reference


def from_arrays(file: Path, network: Network) -> Reference:
    """Arrays by layer name or ``layer<l>``; integers, or floats as ai8x-training has them."""
    arrays, reference = read_arrays(file), Reference(str(file), "arrays")
    take_arrays(reference, arrays, network)
    given = next((arrays[name] for name in INPUT_NAMES if name in arrays), None)
    if given is not None:
        scaled = narrow(reference, "input", given, unit_of(reference, {"input": given}))
        reference.sample = take_sample(reference, scaled, network)
    return reference


def from_log(file: Path, text: str, network: Network) -> Reference:
    """A layer's output is the last block of its section, whatever its title."""
    reference = Reference(str(file), "vendor's log")
    try:
        found = blocks(text)
    except InputError as error:
        raise InputError(error.message, file=file, line=error.line) from None
    if not found:
        raise InputError(f"of no known kind; give {KINDS}", file=file)
    first = [block.values for block in found if (block.layer, block.kind) == (0, "input")]
    if len(first) == 1:
        reference.sample = take_sample(reference, first[0], network)
    for layer in network.layers:
        section = [block for block in found if block.layer == layer.index]
        sums = [block.values for block in section if block.kind == "accumulator"]
        if section and (not layer.has_kernels or sums):
            reference.outputs[layer.index] = fit(reference, layer, section[-1].values)
        if sums and layer.has_kernels:
            reference.accumulators[layer.index] = fit(reference, layer, sums[-1])
    count = max(block.layer for block in found) + 1
    if count > len(network.layers):
        reference.notes.append(
            f"the log has {count} layers, {network.name} has {len(network.layers)}; "
            "the others are not compared"
        )
    return reference


# --- arrays


def take_arrays(reference: Reference, arrays: dict[str, np.ndarray], network: Network) -> None:
    """Sort arrays by layer; floats become the chip's integers."""
    chosen = name_arrays(arrays, network)
    if not any(kind == "layer" for kind, _ in chosen):
        names = ", ".join(layer.name for layer in network.layers[:3])
        raise InputError(
            f"no array of a layer; name them layer0, layer1, ... or {names}, ...; it has "
            f"{', '.join(sorted(arrays)[:8]) or 'none'}",
            file=reference.source,
        )
    outputs = {name: arrays[name] for (kind, _), name in chosen.items() if kind == "layer"}
    for name, array in outputs.items():
        check_numbers(reference, name, array)
    narrow_ones = {
        name: arrays[name]
        for (kind, number), name in chosen.items()
        if kind == "layer" and network.layers[number].output_bits == 8
    }
    unit = unit_of(reference, narrow_ones)
    for (kind, number), name in chosen.items():
        layer, array = network.layers[number], arrays[name]
        if kind == "acc" and array.dtype.kind in "iu":
            reference.accumulators[number] = fit(reference, layer, array.astype(np.int64))
        elif kind == "layer" and layer.output_bits == 32:
            reference.outputs[number] = fit(reference, layer, wide(reference, name, array))
        elif kind == "layer":
            reference.outputs[number] = fit(reference, layer, narrow(reference, name, array, unit))


def name_arrays(arrays: dict[str, np.ndarray], network: Network) -> dict[tuple[str, int], str]:
    """(kind, layer index) -> name of an array; a layer's own name, or ``layer<l>``, ``acc<l>``."""
    lower = {name.lower(): name for name in arrays}
    found: dict[tuple[str, int], str] = {}
    for layer in network.layers:
        for kind in LAYER_KINDS:
            own = [layer.name.lower()] if kind == "layer" else []
            given = [lower[name] for name in (*own, f"{kind}{layer.index}") if name in lower]
            if given:
                found[kind, layer.index] = given[0]
    last = len(network.layers) - 1
    if "final" in lower and ("layer", last) not in found:
        found["layer", last] = lower["final"]
    return found


def check_numbers(reference: Reference, name: str, array: np.ndarray) -> None:
    """Finite integers or floats only."""
    if array.dtype.kind not in "iuf" or not array.size or not np.isfinite(array).all():
        raise InputError(
            f"array {name}: {array.dtype} of shape {array.shape}; finite integers or floats",
            file=reference.source,
        )


def unit_of(reference: Reference, arrays: dict[str, np.ndarray]) -> float:
    """What 1 stands for in a file's 8-bit activations: 128 for floats from -1 to 1, else 1."""
    floats = [array for array in arrays.values() if array.dtype.kind == "f" and array.size]
    if not floats:
        return 1.0
    largest = max(float(abs(array).max()) for array in floats)
    whole = all((array == np.rint(array)).all() for array in floats)
    if largest > 1 or (whole and largest > 0):
        reference.notes.append("floats taken as they are: they are the chip's integers already")
        return 1.0
    reference.notes.append("floats from -1 to 1 taken times 128")
    return UNIT


def narrow(reference: Reference, name: str, array: np.ndarray, unit: float) -> np.ndarray:
    """8-bit activations as int64; says how many were no values of the chip."""
    check_numbers(reference, name, array)
    if array.dtype.kind != "f":
        return array.astype(np.int64)
    scaled = array.astype(np.float64) * unit
    rounded = np.floor(scaled + 0.5)
    off = int((scaled != rounded).sum())
    if off:
        reference.notes.append(
            f"{name}: {off:,} of {array.size:,} floats are no multiples of 1/{unit:.0f} and were "
            "rounded; is the model quantised, and in evaluation mode?"
        )
    return rounded.astype(np.int64)


def wide(reference: Reference, name: str, array: np.ndarray) -> np.ndarray:
    """32-bit output as int64: floats in the unit that makes all of them integers."""
    if array.dtype.kind != "f":
        return array.astype(np.int64)
    for unit in WIDE_UNITS:
        scaled = array.astype(np.float64) * unit
        if (scaled == np.rint(scaled)).all():
            break
    reference.notes.append(f"{name}: floats of 32-bit output taken times {unit:,.0f}")
    return np.rint(scaled).astype(np.int64)


# --- shapes


def fit(reference: Reference, layer: Layer, array: np.ndarray) -> np.ndarray:
    """An array as [channel, row, column]: a batch of one and missing axes are put right.

    A shape that cannot be the layer's stays, and is a difference.
    """
    shape = (layer.out_channels, *layer.out_size)
    long = [tuple(size for size in item if size != 1) for item in (array.shape, shape)]
    if long[0] == long[1] or (array.ndim < 3 and array.size == np.prod(shape)):
        return array.reshape(shape)
    if array.ndim == 4 and array.shape[0] == 1:
        return array[0]
    if array.ndim > 3:
        raise InputError(
            f"{layer.name}: an array of shape {array.shape}; give one sample, {shape}",
            file=reference.source,
        )
    return array.reshape(array.shape + (1,) * (3 - array.ndim))


def take_sample(reference: Reference, array: np.ndarray, network: Network) -> np.ndarray | None:
    """The input that the reference was computed from; None (and a note) when it does not fit."""
    shape = network.input_shape
    long = [tuple(size for size in item if size != 1) for item in (array.shape, shape)]
    if long[0] == long[1] and array.size and -128 <= array.min() <= array.max() <= 127:
        return array.reshape(shape).astype(np.int64)
    reference.notes.append(
        f"the reference's input, shape {array.shape}, is not {network.name}'s {shape} of 8 bits; "
        "it is not used"
    )
    return None
