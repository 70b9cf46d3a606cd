"""Plan -> field values of every layer register: what the chip is told of each layer.

Values match the vendor's generator.
"""

from __future__ import annotations

from . import packing
from .allocation import LayerPlan, Plan
from .data_layout import ring_words, stream_start
from .network import ELTWISE, Layer, Network, set_bits

NEXT_INSTANCE = 1 << 13  # write-pointer step to the next data-memory instance


def layer_fields(plan: Plan, layer: Layer, layer_plan: LayerPlan, group: int) -> dict[str, int]:
    """Field values of one layer in one quadrant.  Matches the vendor's generator."""
    each = plan.device.limits.processors_per_group
    processors = layer.processors >> group * each & (1 << each) - 1
    fields = {
        **size_fields(layer),
        **pointer_fields(layer, group),
        **(kernel_fields(layer, layer_plan) if layer.has_kernels else passthrough_fields(layer)),
        **eltwise_fields(layer),
        **stream_fields(plan.network, layer),
        "relu": layer.activation == "relu",
        "absolute": layer.activation == "abs",
        "wide": layer.output_bits != 8,
        "processors": processors,
        "timeslot_count": timeslots(layer) - 1,
        "master": 1,
        "global_write": 1,
    }
    if layer.has_kernels:
        fields["kernels"] = processors
        if group == plan.groups[0]:
            fields["sources"] = source_quadrants(plan, layer, layer_plan)
    if layer_plan.bias_group == group:
        fields |= {"bias": 1, "bias_start": layer_plan.bias_start}
    return fields


def size_fields(layer: Layer) -> dict[str, int]:
    """Rows, columns, pooling.  A flattening layer is one pixel, an upsampling one counts double."""
    hardware = layer.hardware
    rows, columns = (1, 1) if layer.flatten else hardware.in_size
    if hardware.op == "convtranspose2d":
        rows, columns = 2 * rows, 2 * columns
    elif several_passes_as_rows(layer):
        rows *= layer.in_passes[0]
    row_pad, column_pad = hardware.padding
    window_rows, window_columns = layer.pool
    return {
        "row_count": rows - 1 + 2 * row_pad,
        "row_pad": row_pad,
        "column_count": columns - 1 + 2 * column_pad,
        "column_pad": column_pad,
        "pool_row_count": window_rows - 1,
        "pool_column_count": window_columns - 1,
        "pool": layer.pool != (1, 1),
        "pool_max": not layer.pool_average,
        "stride_count": 0 if hardware.op == "convtranspose2d" else layer.stride - 1,
        "big_data": layer.big_data,
    }


def several_passes_as_rows(layer: Layer) -> bool:
    """An element-wise layer of several passes is run as one pass over as many more rows."""
    passes = layer.in_passes[0]
    beyond = layer.operands * passes != layer.operands + passes
    return not layer.has_kernels and layer.operands > 1 and passes > 1 and beyond


def timeslots(layer: Layer) -> int:
    """Time slots of a pass-through layer: four processors of a quadrant each; otherwise 1."""
    if layer.has_kernels:
        return 1
    most = max((layer.processors >> 16 * group & 0xFFFF).bit_count() for group in range(4))
    return (most * layer.output_bits // 8 - 1) // 4 + 1


def pointer_fields(layer: Layer, group: int) -> dict[str, int]:
    """Where the layer reads and writes."""
    out_passes = layer.out_passes[0]
    targets = set_bits(layer.output_processors)
    gap = layer.write_gap
    fields = {
        "write_word": layer.out_offset // 4 - layer.hardware.skipped * out_passes,
        "channel_step": layer.output_bits // 8 * (gap + 1) if out_passes > 1 else 0,
        "read_word": layer.in_offset // 4,
    }
    if layer.has_kernels:
        one_by_one = layer.hardware.op != "conv1d" and layer.hardware.kernel_shape == (1, 1)
        return fields | {
            "write_instance": targets[0] // 4,
            "timeslot_step": 1 if one_by_one else 0,
            "mask_step": NEXT_INSTANCE,
            "write_step": out_passes * (gap + 1) - 1,
        }
    mine = [processor for processor in targets if processor // 16 == group]
    several = layer.processors.bit_count() > 4 or (layer.operands > 1 and layer.in_passes[0] > 1)
    return fields | {
        "write_instance": mine[0] // 4 if mine else 0,
        "timeslot_step": NEXT_INSTANCE if several else NEXT_INSTANCE // 4,
        "write_step": gap,
    }


def kernel_fields(layer: Layer, layer_plan: LayerPlan) -> dict[str, int]:
    """Which kernels, the line buffer, passes and shift of a layer with kernels."""
    shape, hardware = layer_plan.kernel, layer.hardware
    assert shape is not None
    no_line = hardware.op == "conv1d" or hardware.kernel_shape == (1, 1)
    first, tap_start = divmod(packing.KERNEL_BYTES * layer_plan.kernel_start, shape.taps)
    fields = {
        "kernel_first": first * 8,
        "kernel_last": first * 8 + (shape.count - 1) * layer.weight_bits,
        "tap_start": tap_start,
        "conv1d": hardware.op == "conv1d",
        "kernel_width": hardware.kernel_shape[0] if no_line else 0,
        "line_last": 0 if no_line else line_length(layer),
        "shift": abs(layer.output_shift),
        "shift_right": layer.output_shift < 0,
        "weight_size": packing.WEIGHT_SIZES[layer.weight_bits],
        "transpose": hardware.op == "convtranspose2d",
        "pass_count": shape.passes - 1 & 15,
        "span_bits": (shape.span - 1) * layer.weight_bits,
    }
    if layer.flatten and shape.passes > 16:  # has its own bits for the upper part
        last = shape.passes - 1
        fields |= {
            "flatten": 1,
            "pass_high": last >> 4,
            "line_base": last,
            "line_last": 2 * last + 1,
        }
    return fields


def passthrough_fields(layer: Layer) -> dict[str, int]:
    """A layer without kernels."""
    as_rows = several_passes_as_rows(layer)
    single = layer.operands == 1
    return {
        "kernel_last": 0 if as_rows else (layer.out_passes[0] - 1) * 8,
        "kernel_width": 1 if single else 0,
        "timeslots": 1,
        "one_by_one": single,
        "pass_count": 0 if as_rows else layer.in_passes[0] - 1,
    }


def line_length(layer: Layer) -> int:
    """Pixels of a row in the line buffer, less 1."""
    hardware = layer.hardware
    if not layer.has_kernels:
        return 0
    columns = hardware.pooled_size[1] * (2 if hardware.op == "convtranspose2d" else 1)
    return max(0, columns + 2 * hardware.padding[1] - hardware.kernel_shape[1])


def stream_fields(network: Network, layer: Layer) -> dict[str, int]:
    """When a layer starts that is fed by a FIFO or by the layer before.

    These fields time the stream; they do not change values.  Matches the vendor's generator.
    """
    first = layer.index == 0
    if not (network.fifo and first) and not layer.streaming:
        return {}
    rows, columns = layer.hardware.in_size
    pool_rows, pool_columns = layer.pool
    frame = -(-rows * columns // 4) if layer.big_data else rows * columns
    if first:
        fields = {"frame_words": frame}
        if layer.streaming:
            fields["stream_delta1"] = (layer.stride - 1) * layer.operands
            fields["stream_delta2"] = (pool_rows - 1) * columns * layer.operands
    else:
        before = network.layers[layer.index - 1].hardware
        wide = before.pooled_size[1] + 2 * before.padding[1]
        earlier = network.layers[: layer.index]
        base = sum((line_length(other) + 1) * other.in_passes[0] for other in earlier)
        fields = {
            "stream_delta1": layer.stride * layer.operands,
            "stream_delta2": (layer.stride - 1) * wide + pool_columns * layer.operands,
            "stream_volume": sum(other.in_passes[0] for other in earlier),
            "line_base": base,
            "line_last": line_length(layer) + base,
        }
    fields["stream_start"] = stream_start(network, layer)
    if layer.streaming:
        fields["ring_words"] = ring_words(network, layer)
    return fields


def eltwise_fields(layer: Layer) -> dict[str, int]:
    """An element-wise operation, in flight or alone."""
    if not layer.eltwise:
        return {}
    return {
        "eltwise": 1,
        "eltwise_function": ELTWISE.index(layer.eltwise),
        "operand_count": layer.operands - 1,
        "pool_first": layer.pool != (1, 1) and layer.pool_first,
        "eltwise_convolve": layer.has_kernels,
    }


def source_quadrants(plan: Plan, layer: Layer, layer_plan: LayerPlan) -> int:
    """Bit i: the master adds the partial sums of quadrant i (also one that only has the bias)."""
    each = plan.device.limits.processors_per_group
    used = {processor // each for processor in set_bits(layer.processors)}
    if layer_plan.bias_group is not None:
        used.add(layer_plan.bias_group)
    return sum(1 << group for group in used - {plan.groups[0]})
