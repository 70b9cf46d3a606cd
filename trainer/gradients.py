"""How each operation learns: GRADIENTS says which products of errors, data and kernels those are.

Every operation with kernels is a correlation of stride 1 over some view of its data: so is its way
back.  Maps are [sample, row, column, channel]; 1-D ones have one row here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from max78k_sim.arithmetic import ACTIVATION_MAX, ACTIVATION_MIN, FRACTION_BITS
from max78k_sim.engine import gradients as products
from max78k_sim.engine.backward import BIAS_INPUT
from max78k_sim.engine.mantissas import EVERYWHERE, Passing
from max78k_sim.errors import InputError
from max78k_sim.layer import Layer

from .blocks import Block, mantissa_bits, normalised


@dataclass(frozen=True)
class Correlation:
    """An operation as the products see it.

    ``kernel``, ``padding``, ``dilation``: (rows, columns); ``view``: from data [s, row, column,
    channel] to what is correlated, and ``back``: from errors of that to errors of the data, given
    its shape.
    """

    kernel: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    view: Callable[[np.ndarray], np.ndarray] = np.asarray
    back: Callable[[np.ndarray, tuple[int, ...]], np.ndarray] = np.reshape


def conv2d(layer: Layer) -> Correlation:
    """As it is; one that flattens is linear."""
    padding = layer.padding, layer.padding
    return linear(layer) if layer.flatten else Correlation(layer.kernel_shape, padding)


def conv1d(layer: Layer) -> Correlation:
    """Along one row, so that neighbours lie side by side in memory."""
    return Correlation(
        (1, layer.kernel_shape[0]), (0, layer.padding), (1, layer.dilation), view=in_one_row
    )


def linear(layer: Layer) -> Correlation:
    """One pixel whose channels are features: channel * pixels + pixel."""
    return Correlation((1, 1), view=as_features, back=from_features)


def convtranspose2d(layer: Layer) -> Correlation:
    """Over the data with zeros between them, padded by what the hardware pads."""
    return Correlation(layer.kernel_shape, layer.hardware.padding, view=widened, back=narrowed)


GRADIENTS = {
    operation.__name__: operation for operation in (conv2d, conv1d, linear, convtranspose2d)
}


def correlation_of(layer: Layer) -> Correlation:
    """The row of a layer; InputError for one without kernels."""
    if layer.op not in GRADIENTS:
        trainable = ", ".join(GRADIENTS)
        raise InputError(
            f"{layer.name} is a {layer.op} layer and has no kernels to train; with kernels are: "
            f"{trainable}"
        )
    return GRADIENTS[layer.op](layer)


# ---- views --------------------------------------------------------------------------------------


def in_one_row(data: np.ndarray) -> np.ndarray:
    """[s, row, 1, c] as [s, 1, row, c]."""
    return data.reshape(len(data), 1, -1, data.shape[-1])


def as_features(data: np.ndarray) -> np.ndarray:
    """[s, row, column, c] as [s, 1, 1, feature]."""
    return data.transpose(0, 3, 1, 2).reshape(len(data), 1, 1, -1)


def from_features(error: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of ``as_features``."""
    count, rows, columns, channels = shape
    return error.reshape(count, channels, rows, columns).transpose(0, 2, 3, 1)


def widened(data: np.ndarray) -> np.ndarray:
    """A zero behind every row and column."""
    count, rows, columns, channels = data.shape
    wide = np.zeros((count, 2 * rows, 2 * columns, channels), data.dtype)
    wide[:, ::2, ::2] = data
    return wide


def narrowed(error: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Errors of the data among those of ``widened``."""
    return error[:, ::2, ::2].reshape(shape)


# ---- sums of a layer, and their ways back -------------------------------------------------------


def kernels_as_4d(layer: Layer, kernel: np.ndarray) -> np.ndarray:
    """Kernels as [out, in, row, column], whatever the operation."""
    shape = correlation_of(layer).kernel
    return kernel.reshape(layer.out_channels, -1, *shape)


def accumulators(layer: Layer, data: np.ndarray, kernel: np.ndarray, bias) -> np.ndarray:
    """int32 [s, row, column, out]: a layer's sums, by the processor (the accelerator keeps none).

    A correlation is the way back of one with the kernels turned around.
    """
    how = correlation_of(layer)
    turned = kernels_as_4d(layer, kernel).transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    padding = [
        step * (taps - 1) - pad
        for step, taps, pad in zip(how.dilation, how.kernel, how.padding, strict=True)
    ]
    view = np.ascontiguousarray(how.view(data).astype(np.int16))
    sums = products.input_gradients(
        view, np.ascontiguousarray(turned), (padding[0], padding[1]), how.dilation
    )
    whole = sums.reshape(len(data), *layer.out_size, layer.out_channels)
    return whole + (0 if bias is None else bias.astype(np.int32) * BIAS_INPUT)


def error_bits(layer: Layer) -> int:
    """Mantissa bits of the error of a layer's sums: all of its own products fit 32 bits."""
    rows, columns = layer.out_size
    taps = layer.kernel_shape[0] * layer.kernel_shape[1]
    to_weights = mantissa_bits(rows * columns)
    to_data = mantissa_bits(layer.out_channels * taps, layer.weight_bits)
    return min(to_weights, to_data)


def passing_of(layer: Layer, output: np.ndarray) -> Passing:
    """Which outputs let the error pass.

    An output at the end of its range was clipped, or may have been: nothing passes.
    """
    if layer.output_bits == 32:
        return EVERYWHERE
    return Passing(output, 0 if layer.activation else ACTIVATION_MIN, ACTIVATION_MAX)


def error_of_sums(layer: Layer, error: Block, output: np.ndarray, sums) -> Block:
    """From the error of an output to that of its accumulators, int16.

    ``sums``: these, needed for ``abs`` alone, whose output has lost the sign.
    """
    if layer.activation == "abs":
        assert sums is not None
        error = Block(error.values * np.where(sums < 0, -1, 1), error.exponent)
    return normalised(error, error_bits(layer), passing_of(layer, output))


def error_of_data(layer: Layer, error: Block, kernel: np.ndarray, shape) -> Block:
    """From the error of the accumulators to that of what was convolved, int32 [``shape``]."""
    how = correlation_of(layer)
    values = products.input_gradients(
        in_products(layer, error.values), kernels_as_4d(layer, kernel), how.padding, how.dilation
    )
    exponent = error.exponent + (layer.output_shift - FRACTION_BITS)
    return Block(how.back(values, shape), exponent)


def in_products(layer: Layer, error: np.ndarray) -> np.ndarray:
    """Errors of 1-D maps in one row, as the products take them."""
    return in_one_row(error) if layer.op == "conv1d" else error


def kernel_gradient(
    layer: Layer, error: Block, data: np.ndarray, shifts: np.ndarray, limit: int
) -> np.ndarray:
    """int32, in the kernel's shape: the samples' gradients / 2**shift, each limited, and added."""
    how = correlation_of(layer)
    gradient = products.weight_gradients(
        in_products(layer, error.values),
        np.ascontiguousarray(how.view(data)),
        how.kernel,
        how.padding,
        how.dilation,
        shifts,
        limit,
    )
    return gradient.reshape(layer.kernel_tensor_shape)


def bias_gradient(error: Block, shifts: np.ndarray, limit: int) -> np.ndarray:
    """int32 [out]: of a weight whose input is always 128."""
    return products.bias_gradients(error.values, shifts, limit)
