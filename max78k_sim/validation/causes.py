"""Why a layer's values differ: a table of things that go wrong, each tried on the numbers.

A cause computes what the layer would give if something were otherwise; the one that gives the
reference's values explains the difference.  Nothing here prints or compares whole networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import arithmetic
from ..layer import ELTWISE, NETWORK_INPUT, Layer
from ..network import Network, Parameters
from .recording import Record

SHIFTS = range(-8, 9)  # tried around the layer's own
LIKELY = 0.5  # share of the difference that a probable cause explains
FEW = 0.02  # share of a layer's values that a local fault changes at most
Array = np.ndarray[Any, Any]
Rerun = Callable[[Network, Array], Array | None]
Guess = Iterator[tuple[str, Array | None]]


@dataclass(frozen=True, eq=False)
class Situation:
    """One layer that differs.

    ``record``: what it gives here for the reference's inputs; ``expected`` int64 [channel, row,
    column], known where ``known`` is true; ``sample``: the network's input; ``rerun``: the layer's
    output if network and sample were others, None where that cannot run.
    """

    network: Network
    record: Record
    expected: np.ndarray
    known: np.ndarray
    sample: np.ndarray
    rerun: Rerun

    @property
    def layer(self) -> Layer:
        """The layer."""
        return self.record.layer

    @property
    def ours(self) -> np.ndarray:
        """Its output here, int64."""
        return self.record.output.astype(np.int64)

    @property
    def parameters(self) -> Parameters | None:
        """Its weights."""
        return self.network.parameters[self.layer.index]

    @property
    def sums(self) -> np.ndarray | None:
        """Its accumulator, int64."""
        sums = self.record.accumulator
        return None if sums is None else sums.astype(np.int64)

    def with_layer(self, **fields) -> np.ndarray | None:
        """The output if fields of the layer were others."""
        layers = list(self.network.layers)
        layers[self.layer.index] = replace(self.layer, **fields)
        return self.rerun(replace(self.network, layers=tuple(layers)), self.sample)

    def with_kernel(self, kernel: np.ndarray) -> np.ndarray | None:
        """The output if the kernel were another."""
        parameters = list(self.network.parameters)
        assert self.parameters is not None
        parameters[self.layer.index] = replace(self.parameters, kernel=kernel)
        return self.rerun(replace(self.network, parameters=tuple(parameters)), self.sample)


@dataclass(frozen=True)
class Finding:
    """A cause that fits: it explains ``explained`` of ``different`` values; certain: all of them,
    and spoils none that were right."""

    cause: str
    sentence: str
    explained: int
    different: int
    certain: bool


def finish(layer: Layer, sums: np.ndarray, **fields) -> np.ndarray:
    """8-bit output of an accumulator, with some of shift and activation otherwise."""
    shift = fields.get("shift", layer.output_shift)
    requantise = fields.get("requantise", arithmetic.requantise)
    saturate = fields.get("saturate", arithmetic.saturate)
    output = saturate(requantise(sums, shift))
    activation = fields.get("activation", layer.activation)
    if activation == "relu":
        return np.maximum(output, 0)
    return arithmetic.saturate(abs(output)) if activation == "abs" else output


def wrap(values: np.ndarray) -> np.ndarray:
    """The low 8 bits, as a chip without saturation would keep them."""
    return (values + 128 & 255) - 128


# --- causes, one a function; each yields (sentence, output if it were so)


def average_rounding(case: Situation) -> Guess:
    """The switch for average pooling."""
    if case.layer.pool_average and case.layer.pool != (1, 1):
        other = not case.network.average_rounding
        way = "rounds" if other else "truncates"
        sentence = f"the reference {way} average pooling; "
        sentence += "add --avg-pool-rounding" if other else "leave out --avg-pool-rounding"
        changed = replace(case.network, average_rounding=other)
        yield sentence, case.rerun(changed, case.sample)


def pooling_kind(case: Situation) -> Guess:
    """Maximum and average exchanged; pooling before or after the element-wise operation."""
    layer = case.layer
    if layer.pool != (1, 1):
        kind = "maximum" if layer.pool_average else "average"
        yield (
            f"the reference takes the {kind} in pooling",
            case.with_layer(pool_average=not layer.pool_average),
        )
    if layer.eltwise and layer.pool != (1, 1):
        order = "after" if layer.pool_first else "before"
        yield (
            f"the reference pools {order} the element-wise operation (pool_first)",
            case.with_layer(pool_first=not layer.pool_first),
        )


def output_shift(case: Situation) -> Guess:
    """Another power of two."""
    layer, implicit = case.layer, 8 - case.layer.weight_bits
    if case.sums is None or layer.output_bits == 32:
        return
    for step in sorted(SHIFTS, key=abs):
        shift = layer.output_shift + step
        if step and -15 <= shift <= 15:
            yield (
                f"the reference has output_shift {shift - implicit}, "
                f"here it is {layer.output_shift - implicit}",
                finish(layer, case.sums, shift=shift),
            )


def activation(case: Situation) -> Guess:
    """Another activation."""
    if case.sums is None or case.layer.output_bits == 32:
        return
    mine = case.layer.activation or "none"
    for other in ("none", "relu", "abs"):
        if other != mine:
            value = None if other == "none" else other
            yield (
                f"the reference has the activation {other}, here it is {mine}",
                finish(case.layer, case.sums, activation=value),
            )


def requantise_rounding(case: Situation) -> Guess:
    """Other ways to round the scaled accumulator."""
    if case.sums is None or case.layer.output_bits == 32:
        return

    def floor(sums, shift):
        return sums * 2 ** max(shift, 0) >> 7 - min(shift, 0)

    def truncate(sums, shift):
        return np.sign(sums) * floor(abs(sums), shift)

    def half_even(sums, shift):
        return np.rint(sums * 2.0 ** (shift - 7)).astype(np.int64)

    def half_away(sums, shift):
        return np.sign(sums) * arithmetic.requantise(abs(sums), shift)

    for way, function in (
        ("rounds down", floor),
        ("truncates toward zero", truncate),
        ("rounds half to even", half_even),
        ("rounds half away from zero", half_away),
    ):
        yield (
            f"the reference {way} after the shift; the chip rounds half up",
            finish(case.layer, case.sums, requantise=function),
        )


def saturation(case: Situation) -> Guess:
    """Wrapping instead of clipping."""
    if case.sums is not None and case.layer.output_bits == 8:
        yield (
            "the reference wraps around at 8 bits; the chip saturates at -128 and 127",
            finish(case.layer, case.sums, saturate=wrap),
        )


def bias(case: Situation) -> Guess:
    """No bias, or in another unit."""
    if case.sums is None or case.parameters is None or case.parameters.bias is None:
        return
    values = case.parameters.bias.astype(np.int64)[:, None, None]
    for change, sentence in (
        (-values * 128, "the reference has no bias (--no-bias drops it here)"),
        (-values * 127, "the reference adds the bias as it is; the chip adds it times 128"),
        (values * 128, "the reference adds the bias twice"),
    ):
        sums = case.sums + change
        wide = case.layer.output_bits == 32
        yield sentence, (sums if wide else finish(case.layer, sums))


def output_width(case: Situation) -> Guess:
    """8 bits and 32 bits."""
    if case.sums is None:
        return
    if case.layer.output_bits == 32:
        sentence = "the reference has 8-bit output, here it is 32-bit (output_width)"
        yield sentence, finish(case.layer, case.sums)
    else:
        yield "the reference has 32-bit output, here it is 8-bit (output_width)", case.sums


def sample_changes(sample: np.ndarray) -> Iterator[tuple[str, Array]]:
    """What goes wrong with an input, and the input that it would be; int64, the same shape."""
    channels, rows, columns = sample.shape
    yield "128 was not subtracted from the pixels (or twice)", wrap(sample + 128)
    if rows == columns:
        yield "rows and columns are exchanged", sample.transpose(0, 2, 1)
    if channels > 1:
        yield "channels are in reverse order (BGR for RGB)", sample[::-1]
        yield "it is HWC where CHW is taken", sample.transpose(1, 2, 0).reshape(sample.shape)
        again = sample.reshape(rows, columns, channels)
        yield "it is CHW where HWC is taken", again.transpose(2, 0, 1)
    yield "rows are upside down", sample[:, ::-1]
    yield "columns are mirrored", sample[:, :, ::-1]
    yield "it is all zeros", np.zeros_like(sample)


def sample_input(case: Situation) -> Guess:
    """The same input in another form."""
    if NETWORK_INPUT in case.layer.sources:
        for sentence, changed in sample_changes(case.sample.astype(np.int64)):
            yield f"the input: {sentence}", case.rerun(case.network, changed)


def kernel_layout(case: Situation) -> Guess:
    """Kernels in another order."""
    if case.parameters is None:
        return
    kernel = case.parameters.kernel
    if kernel.ndim == 4 and kernel.shape[2] > 1:
        yield "kernels are rotated by 180 degrees", case.with_kernel(kernel[:, :, ::-1, ::-1])
        changed = kernel.transpose(0, 1, 3, 2)
        yield "kernels have rows and columns exchanged", case.with_kernel(changed)
    if kernel.ndim == 3 and kernel.shape[2] > 1:
        yield "kernels are reversed", case.with_kernel(kernel[:, :, ::-1])
    if case.layer.flatten and case.layer.pixels > 1:
        pooled = case.layer.pooled_size
        parts = kernel.reshape(len(kernel), *pooled, case.layer.in_channels)
        changed = parts.transpose(0, 3, 1, 2).reshape(kernel.shape)
        yield "the reference flattens HWC; the chip's order is CHW", case.with_kernel(changed)


def eltwise(case: Situation) -> Guess:
    """Another element-wise operation."""
    for other in ELTWISE if case.layer.eltwise else ():
        if other != case.layer.eltwise:
            yield (
                f"the reference's element-wise operation is {other}",
                case.with_layer(eltwise=other),
            )
    if case.layer.eltwise == "sub" and case.sums is None:
        sentence = "the operands of sub are exchanged (in_sequences, or their order in memory)"
        yield sentence, arithmetic.saturate(-case.ours)


def order(case: Situation) -> Guess:
    """The same values in other places."""
    ours, expected = case.ours, case.expected
    channels, rows, columns = ours.shape
    if rows == columns > 1:
        yield "rows and columns are exchanged", ours.transpose(0, 2, 1)
    moved = permutation(ours, expected) if case.known.all() else None
    if moved is not None:
        first = int(np.flatnonzero(moved != np.arange(channels))[0])
        yield (
            f"channels are permuted: channel {first} there is channel {moved[first]} here; "
            "compare processors and output_processors",
            ours[moved],
        )
    if channels > 1 and rows * columns > 1:
        yield "values are HWC where CHW is taken", ours.transpose(1, 2, 0).reshape(ours.shape)
        again = ours.reshape(rows, columns, channels)
        yield "values are CHW where HWC is taken", again.transpose(2, 0, 1)


def permutation(ours: np.ndarray, expected: np.ndarray) -> np.ndarray | None:
    """For each channel of ``expected`` the channel of ``ours`` that it equals, if all differ."""
    places: dict[bytes, list[int]] = {}
    for channel, plane in enumerate(ours.astype(np.int64)):
        places.setdefault(plane.tobytes(), []).append(channel)
    found = [places.get(plane.tobytes(), []) for plane in expected.astype(np.int64)]
    if not all(found):
        return None
    stays = [n if n in here else here[0] for n, here in enumerate(found)]
    moved = np.array(stays)
    return moved if len(set(stays)) == len(stays) and (np.diff(moved) != 1).any() else None


def not_run(case: Situation) -> Guess:
    """Nothing was written."""
    yield (
        "all zeros: the layer did not run, or its kernels were not loaded",
        np.zeros_like(case.ours),
    )


CAUSES: tuple[tuple[str, Callable[[Situation], Guess]], ...] = (
    ("not run", not_run),
    ("avg_pool_rounding", average_rounding),
    ("pooling", pooling_kind),
    ("output_shift", output_shift),
    ("activation", activation),
    ("rounding", requantise_rounding),
    ("saturation", saturation),
    ("bias", bias),
    ("output_width", output_width),
    ("element-wise", eltwise),
    ("order", order),
    ("kernel layout", kernel_layout),
    ("input", sample_input),
)
