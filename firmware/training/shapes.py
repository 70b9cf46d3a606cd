"""What training does with one layer, and its geometry in the C code's terms (cnn_layers.h)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from max78k_sim.allocation import Plan
from max78k_sim.errors import NotEmulated
from max78k_sim.layer import NETWORK_INPUT, Layer

from .runs import NONE, Kernels, Run, find_kernels, find_runs

# int32 gradients of weights that are made at once, if that is an output or more: of kernels with
# one tap, and with several, where more at once save arranging the data again
WORK_SUMS = 1024, 3072
GROUP = 4  # processors of which gradients are made together, where they are applied at once
WORK_STEPPED = 3072  # int32 gradients of those, and ...
WORK_ERRORS = 4096  # ... int16 errors, of the outputs that are made together: where that is one
SHARE_ONE = 1 << 15
THERE = -2  # CNN_THERE
PLAIN, FEATURES, WIDENED = "CNN_PLAIN", "CNN_FEATURES", "CNN_WIDENED"
SIGNS = {"add": 1, "sub": -1}


@dataclass(frozen=True)
class LayerStep:
    """What the trainer says of one layer on the way back.

    ``kernel``, ``padding``, ``dilation``, ``strides``: (rows, columns); ``view``: PLAIN, FEATURES
    or WIDENED; ``numbers``: of the first weight of each part that learns ("kernel", "bias");
    ``fraction_bits``: by part; ``exponent``: gradients count 2**exponent; ``right_shift``: from a
    change to steps of a weight; ``again``: last layer of the run that is needed before "output" or
    "operands" are read, where they do not lie in data memory any more.
    """

    layer: Layer
    kernel: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    view: str = PLAIN
    error_bits: int = 0
    numbers: Mapping[str, int] | None = None
    fraction_bits: Mapping[str, int] | None = None
    exponent: int = 0
    right_shift: int = 0
    again: Mapping[str, int] | None = None

    def number(self, part: str) -> int:
        """Of the first weight; NONE where the part does not learn."""
        return (self.numbers or {}).get(part, NONE)

    def run(self, what: str) -> int:
        """Last layer of the run before ``what`` is read; THERE for none."""
        return (self.again or {}).get(what, THERE)


class Shape:
    """One layer's geometry, in the C code's terms."""

    def __init__(self, plan: Plan, step: LayerStep, involved: frozenset[int], at_once=False):
        self.plan, self.step, self.layer = plan, step, step.layer
        layer = step.layer
        self.sources = layer.sources
        self.lower = [source for source in layer.sources if source in involved]
        self.trained = bool(step.numbers)
        self.at_once = at_once
        self.passes_down = bool(self.lower)
        self.pools = layer.pool != (1, 1)
        self.average = self.pools and layer.pool_average
        self.plain_source = layer.operands == 1 and not self.pools and step.strides == (1, 1)
        self.name = layer.name

    @cached_property
    def reads(self) -> bool:
        """Whether the operands are needed."""
        layer = self.layer
        multiplies = self.step.number("kernel") != NONE or layer.activation == "abs"
        winners = self.pools and not self.average
        down = self.passes_down and (winners or layer.operands > 1)
        return (layer.has_kernels and multiplies) or down

    @property
    def needs_weights(self) -> bool:
        """To pass errors, or to know the sign of a sum."""
        return self.layer.has_kernels and (self.passes_down or self.layer.activation == "abs")

    @cached_property
    def channels_read(self) -> list[int]:
        """Of each source."""
        return [self.source_shape(source)[0] for source in self.sources]

    def source_shape(self, source: int) -> tuple[int, int, int]:
        """(channels, rows, columns) of what a layer wrote, or of the sample."""
        if source == NETWORK_INPUT:
            channels, rows, columns = self.plan.network.input_shape
            return channels, rows, columns
        layer = self.plan.network.layers[source]
        return layer.out_channels, *layer.out_size

    @property
    def side_by_side(self) -> bool:
        """Several inputs are read as one."""
        return self.layer.operands == 1 and len(self.sources) > 1

    @property
    def apart(self) -> bool:
        """Each operand is an input of its own."""
        return self.layer.operands > 1 and len(self.sources) > 1

    @property
    def pixel_step(self) -> int:
        """Elements from one pixel of an operand to the next."""
        within = 1 if self.apart else self.layer.operands
        return self.layer.in_channels * within

    @property
    def operand_size(self) -> int:
        """Elements of one operand."""
        return self.layer.in_size[0] * self.layer.in_size[1] * self.layer.in_channels

    @cached_property
    def size(self) -> int:
        """Elements of all that is read."""
        if self.apart or self.side_by_side:
            return self.operand_size * self.layer.operands
        return int(np.prod(self.source_shape(self.sources[0])))

    @property
    def pooled_size(self) -> int:
        """Elements of what is convolved."""
        rows, columns = self.layer.pooled_size
        return rows * columns * self.layer.in_channels

    @cached_property
    def correlation(self) -> dict[str, int]:
        """``cnn_correlation``."""
        layer, step = self.layer, self.step
        size, out = layer.pooled_size, layer.out_size
        channels = layer.in_channels
        if layer.op == "conv1d":
            size, out = (1, size[0]), (1, out[0])
        elif layer.op == "linear" or layer.flatten:
            size, channels = (1, 1), layer.features
        elif step.view == WIDENED:
            size = 2 * size[0], 2 * size[1]
        pairs = {
            "in": size, "out": out, "kernel": step.kernel, "pad": step.padding,
            "dilation": step.dilation,
        }  # fmt: skip
        fields = {
            f"{name}_{axis}": value
            for name, pair in pairs.items()
            for axis, value in zip(("rows", "columns"), pair, strict=True)
        }
        return fields | {"in_channels": channels, "out_channels": layer.out_channels}

    @property
    def view_size(self) -> int:
        """Elements of what is multiplied."""
        how = self.correlation
        return how["in_rows"] * how["in_columns"] * how["in_channels"]

    @property
    def weights_an_output(self) -> int:
        """Elements of its kernels."""
        return self.correlation["in_channels"] * self.step.kernel[0] * self.step.kernel[1]

    @property
    def weights(self) -> int:
        """Elements of the kernels."""
        return self.layer.out_channels * self.weights_an_output

    @property
    def outputs_at_once(self) -> int:
        """Outputs of which the gradients are made together: in pairs, where two fit."""
        if self.at_once:
            return self.outputs_stepped
        several_taps = self.step.kernel != (1, 1)
        pairs = WORK_SUMS[several_taps] // (2 * self.weights_an_output)
        return min(self.layer.out_channels, max(1, 2 * pairs))

    @cached_property
    def kernels(self) -> Kernels | None:
        """Where they lie."""
        if not self.layer.has_kernels:
            return None
        return find_kernels(self.plan.placement(self.name, "kernel"))

    @property
    def gradients_an_output(self) -> int:
        """int32 of one output that are made together: of all inputs, or of some processors'."""
        if not self.at_once or self.kernels is None:
            return self.weights_an_output
        taps = self.step.kernel[0] * self.step.kernel[1]
        return GROUP * self.kernels.each * taps

    @cached_property
    def outputs_stepped(self) -> int:
        """The same where they step at once: all, or so many that end with a kernel word.

        One that two parts of the outputs share is read, and written, for each.
        """
        assert self.kernels is not None
        positions = self.layer.out_size[0] * self.layer.out_size[1]
        most = min(WORK_STEPPED // self.gradients_an_output, WORK_ERRORS // positions)
        if most >= self.layer.out_channels:
            return self.layer.out_channels
        word = self.kernels.outputs_a_word
        return most // word * word or max(1, most & -2)

    @property
    def gradients(self) -> int:
        """int32 of gradients that are kept while the layer learns."""
        size = 0
        if self.step.number("kernel") != NONE:
            size = self.outputs_at_once * self.gradients_an_output
        learns = self.at_once and bool(self.step.numbers)  # of biases; largest errors
        return max(size, self.layer.out_channels * learns)

    @property
    def scratch(self) -> int:
        """int16 that products take: CNN_WEIGHT_SCRATCH, CNN_DATA_SCRATCH (cnn_products_m4.h)."""
        how, (kernel_rows, kernel_columns) = self.correlation, self.step.kernel
        reach = (kernel_columns - 1) * how["dilation_columns"]
        needed = [1]
        if self.step.number("kernel") != NONE:
            steps = (how["out_columns"] + 1) // 2
            errors = (self.outputs_at_once + 1) // 2 * how["out_rows"] * steps * 2
            needed.append(2 + 2 * (errors + 4 * how["in_rows"] * (2 * steps + reach)))
        if self.passes_down:
            pairs, columns = (how["out_channels"] + 1) // 2, (how["in_columns"] + 1) // 2 + reach
            taps = kernel_rows * kernel_columns
            needed.append(2 + 2 * (2 * pairs * how["out_rows"] * columns + taps * pairs * 4))
        return max(needed)

    @property
    def outputs(self) -> int:
        """Elements that the layer writes."""
        return self.layer.out_channels * self.layer.out_size[0] * self.layer.out_size[1]

    @cached_property
    def source(self) -> dict[str, int]:
        """``cnn_source``."""
        layer, (down, across) = self.layer, self.step.strides
        count = layer.pool[0] * layer.pool[1]
        overlap = -(-layer.pool[0] // down) * -(-layer.pool[1] // across)
        identity = count == 1 and layer.stride == 1
        return {
            "rows": layer.in_size[0],
            "columns": layer.in_size[1],
            "channels": layer.in_channels,
            "pooled_rows": layer.pooled_size[0],
            "pooled_columns": layer.pooled_size[1],
            "share": (SHARE_ONE + count // 2) // count if self.average else 0,
            "operands": layer.operands,
            "sign": SIGNS.get(layer.eltwise or "", 0),
            "pool_first": int(layer.pool_first),
            "pool_rows": layer.pool[0],
            "pool_columns": layer.pool[1],
            "stride_rows": down,
            "stride_columns": across,
            "overlap_shift": 0 if identity else (overlap - 1).bit_length(),
            "operand_step": self.operand_size if self.apart else layer.in_channels,
            "pixel_step": self.pixel_step,
            "size": self.size,
        }

    # ---- int8 buffers: operands at 0, then data, then their view ---------------------------------

    @property
    def data(self) -> int:
        """Where what is convolved lies: with the operands, if it is these."""
        combined = self.layer.operands == 1 or not self.layer.pool_first
        alike = not self.pools and self.step.strides == (1, 1)
        contiguous = self.pixel_step == self.layer.in_channels
        return 0 if combined and alike and contiguous else self.size

    @property
    def view(self) -> int:
        """Where what is multiplied lies."""
        return self.data if self.step.view == PLAIN else self.data + self.pooled_size

    @property
    def map_size(self) -> int:
        """Elements of all of them."""
        if not self.reads:
            return 0
        ends = [self.size, self.data + self.pooled_size]
        if self.step.view != PLAIN:
            ends.append(self.view + self.view_size)
        return max(ends)

    # ---- where things are read -------------------------------------------------------------------

    def read_runs(self) -> tuple[Run, ...]:
        """Of the operands, to their places."""
        if not self.reads:
            return ()
        addresses, elements, first = [], [], 0
        for source in self.sources:
            place = self.plan.placement(
                *((0, "input") if source == NETWORK_INPUT else (source, "output"))
            )
            channels, rows, columns = self.source_shape(source)
            pixel = np.arange(rows * columns).reshape(1, rows, columns)
            channel = np.arange(channels).reshape(-1, 1, 1)
            joint = channels
            if self.side_by_side:
                joint = sum(self.channels_read)
            elements.append((pixel * joint + channel + first).reshape(-1))
            addresses.append(place.address.reshape(-1))
            first += channels if self.side_by_side else self.operand_size
        return find_runs(np.concatenate(addresses), np.concatenate(elements), self.pixel_step)

    def output_runs(self) -> tuple[Run, ...]:
        """Of the output, [row, column, channel]."""
        place = self.plan.placement(self.name, "output")
        channels, rows, columns = self.source_shape(self.layer.index)
        pixel = np.arange(rows * columns).reshape(1, rows, columns)
        elements = pixel * channels + np.arange(channels).reshape(-1, 1, 1)
        return find_runs(place.address, elements, channels, self.layer.output_bits == 32)

    def bias_runs(self) -> tuple[Run, ...] | None:
        """Of the biases, where there are any."""
        if (self.name, "bias") not in self.plan.placements:
            return None
        place = self.plan.placement(self.name, "bias")
        numbers = np.arange(self.layer.out_channels)
        return find_runs(place.address, numbers, self.layer.out_channels)

    def refuse(self) -> None:
        """NotEmulated for what the C code does not do: maps that are read in another order."""
        joint = sum(self.channels_read) if self.side_by_side else self.channels_read[0]
        split = self.layer.operands > 1 and not self.apart  # in the order of memory, whatever it is
        if joint != self.layer.in_channels and not split:
            raise NotEmulated(
                f"C that trains through {self.name}, which reads {joint} channels as "
                f"{self.layer.in_channels}"
            )
