"""Plan x weights -> Program: what is written to the chip, in order, and why.

Register values match the vendor's generator; zeros are not written (registers reset to 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import layer_config, packing
from .allocation import LayerPlan, Plan, allocate
from .device import Device
from .errors import InputError, NotEmulated
from .network import Layer, Network, set_bits

MEMORY_TIMING = 0x40E  # the vendor's value; no functional effect
STAGES = ("init", "configure", "weights", "bias", "start")

# The order in which the vendor's generator configures a layer.
CONFIGURE_ORDER = (
    "RCNT", "CCNT", "PRCNT", "PCCNT", "STRIDE", "WPTR_BASE", "WPTR_TOFF", "WPTR_MOFF", "WPTR_CHOFF",
    "RPTR_BASE", "LCTL0", "LCTL1", "MCNT", "ONED", "TPTR", "POST", "EN",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Write:
    """One run of consecutive words: ``address`` in bytes, ``words`` uint32 [n], and what it is.

    ``stage`` is the function of a vendor's program that makes the write (one of STAGES).
    """

    address: int
    words: np.ndarray
    note: str
    stage: str


@dataclass(frozen=True, eq=False)
class Program:
    """Everything that a network writes to the chip.

    ``writes`` load it, ``start`` runs it once; ``plan`` says what lies where.
    """

    device: Device
    plan: Plan
    writes: tuple[Write, ...]
    start: tuple[Write, ...]

    @cached_property
    def word_count(self) -> int:
        """32-bit words in ``writes``."""
        return sum(len(write.words) for write in self.writes)


def compile_network(network: Network) -> Program:
    """Place a network and list its writes.

    Raises InputError without weights, HardwareLimit where it does not fit, NotEmulated for a
    device whose registers are not modelled.
    """
    if not network.device.executes:
        raise NotEmulated(f"{network.device.name}: only its addresses are known yet; use MAX78000")
    for layer in network.layers:
        if network.parameters[layer.index] is None:
            raise InputError(
                f"layer {layer.index} ({layer.name}) has no weights; give a checkpoint file",
                file=network.file,
            )
    plan = allocate(network)
    writes = (
        *init_writes(plan),
        *configure_writes(plan),
        *kernel_writes(plan),
        *bias_writes(plan),
    )
    return Program(network.device, plan, writes, start_writes(plan))


def word(address: int, value: int, note: str, stage: str) -> Write:
    """A write of one word."""
    return Write(address, np.array([value], np.uint32), note, stage)


def init_writes(plan: Plan) -> list[Write]:
    """Stop every quadrant in use and tell it the number of layers."""
    device = plan.device
    writes = [word(device.address("always-on register"), 0, "power: all on", "init")]
    last = len(plan.network.layers) - 1
    for group in plan.groups:
        for entry, value, note in (
            (0, device.global_registers[0].encode({"clock": 1}), "stop"),
            (1, MEMORY_TIMING, "memory timing"),
            (2, last, "last layer"),
        ):
            address = device.address("quadrant register", group, 0, entry)
            writes.append(word(address, value, f"quadrant {group}: {note}", "init"))
    return writes


def configure_writes(plan: Plan) -> list[Write]:
    """Layer registers, layer by layer and quadrant by quadrant; zeros are left out."""
    device = plan.device
    registers = {register.name: register for register in device.layer_registers}
    writes = []
    for layer, layer_plan in zip(plan.network.layers, plan.layers, strict=True):
        for group in plan.groups:
            words = layer_config.encode(device, layer_fields(plan, layer, layer_plan, group))
            for name in CONFIGURE_ORDER:
                if words[name]:
                    unit = registers[name].unit
                    address = device.address("layer register", group, unit, layer.index)
                    note = f"{layer.name}, quadrant {group}: {name}"
                    writes.append(word(address, words[name], note, "configure"))
    return writes


def layer_fields(plan: Plan, layer: Layer, layer_plan: LayerPlan, group: int) -> dict[str, int]:
    """Field values of one layer in one quadrant.  Matches the vendor's generator."""
    each = plan.device.limits.processors_per_group
    processors = layer.processors >> group * each & (1 << each) - 1
    fields = {
        **size_fields(layer),
        **pointer_fields(layer),
        **kernel_fields(layer, layer_plan),
        **pass_fields(layer, layer_plan),
        "relu": layer.activation == "relu",
        "absolute": layer.activation == "abs",
        "wide": layer.output_bits != 8,
        "shift": abs(layer.output_shift),
        "shift_right": layer.output_shift < 0,
        "weight_size": packing.WEIGHT_SIZES[layer.weight_bits],
        "processors": processors,
        "kernels": processors,
        "master": 1,
        "global_write": 1,
    }
    if layer_plan.bias_group == group:
        fields |= {"bias": 1, "bias_start": layer_plan.bias_start}
    if group == plan.groups[0]:
        fields["sources"] = source_quadrants(plan, layer, layer_plan)
    return fields


def size_fields(layer: Layer) -> dict[str, int]:
    """Rows, columns, pooling.  A flattening layer is one pixel."""
    rows, columns = (1, 1) if layer.flatten else layer.in_size
    window_rows, window_columns = layer.pool
    return {
        "row_count": rows - 1 + 2 * layer.padding,
        "row_pad": layer.padding,
        "column_count": columns - 1 + 2 * layer.padding,
        "column_pad": layer.padding,
        "pool_row_count": window_rows - 1,
        "pool_column_count": window_columns - 1,
        "pool": layer.pool != (1, 1),
        "pool_max": not layer.pool_average,
        "stride_count": layer.stride - 1,
        "big_data": layer.big_data,
    }


def pointer_fields(layer: Layer) -> dict[str, int]:
    """Where the layer reads and writes."""
    out_passes = layer.out_passes[0]
    one_by_one = layer.kernel_shape == (1, 1)
    return {
        "write_word": layer.out_offset // 4,
        "write_instance": set_bits(layer.output_processors)[0] // 4,
        "timeslot_step": 1 if one_by_one else 0,
        "mask_step": 1 << 13,
        "channel_step": layer.output_bits // 8 if out_passes > 1 else 0,
        "write_step": out_passes - 1,
        "read_word": layer.in_offset // 4,
    }


def kernel_fields(layer: Layer, layer_plan: LayerPlan) -> dict[str, int]:
    """Which kernels, and the line buffer that the convolution uses."""
    shape = layer_plan.kernel
    assert shape is not None
    one_by_one = layer.kernel_shape == (1, 1)
    first, tap_start = divmod(packing.KERNEL_BYTES * layer_plan.kernel_start, shape.taps)
    line = max(0, layer.pooled_size[1] + 2 * layer.padding - layer.kernel_shape[1])
    return {
        "kernel_first": first * 8,
        "kernel_last": first * 8 + (shape.count - 1) * layer.weight_bits,
        "tap_start": tap_start,
        "kernel_width": 1 if one_by_one else 0,
        "line_last": 0 if one_by_one else line,
    }


def pass_fields(layer: Layer, layer_plan: LayerPlan) -> dict[str, int]:
    """Input passes and output span; a flattening layer of 17 or more passes has its own bits."""
    shape = layer_plan.kernel
    assert shape is not None
    fields = {
        "pass_count": shape.passes - 1 & 15,
        "span_bits": (shape.span - 1) * layer.weight_bits,
    }
    if layer.flatten and shape.passes > 16:
        last = shape.passes - 1
        fields |= {
            "flatten": 1,
            "pass_high": last >> 4,
            "line_base": last,
            "line_last": 2 * last + 1,
        }
    return fields


def source_quadrants(plan: Plan, layer: Layer, layer_plan: LayerPlan) -> int:
    """Bit i: the master adds the partial sums of quadrant i (also one that only has the bias)."""
    each = plan.device.limits.processors_per_group
    used = {processor // each for processor in set_bits(layer.processors)}
    if layer_plan.bias_group is not None:
        used.add(layer_plan.bias_group)
    return sum(1 << group for group in used - {plan.groups[0]})


def kernel_writes(plan: Plan) -> list[Write]:
    """Kernel words as read back: four 32-bit words a slot, a run for each processor and layer."""
    kernel = plan.device.region("kernel")
    writes = []
    for layer, layer_plan in zip(plan.network.layers, plan.layers, strict=True):
        if layer_plan.shared_with is not None:
            continue
        parameters = plan.network.parameters[layer.index]
        assert parameters is not None
        image = kernel_image(plan, layer, parameters.kernel)
        for processor in set_bits(layer.processors):
            columns = np.flatnonzero(plan.kernel_map[processor] == layer.index)
            for run in np.split(columns, np.flatnonzero(np.diff(columns) != 1) + 1):
                address = kernel.address(*divmod(processor, kernel.units), int(run[0]))
                words = image[processor, run].reshape(-1)
                note = f"{layer.name}: kernels, processor {processor}"
                writes.append(Write(address, words, note, "weights"))
    return writes


def kernel_image(plan: Plan, layer: Layer, values: np.ndarray) -> np.ndarray:
    """uint32 [processor, kernel word, 4]: kernel memory that holds only this layer's kernel."""
    kernel = plan.device.region("kernel")
    placement = plan.placement(layer.index, "kernel")
    image = np.zeros((kernel.groups, kernel.units, kernel.entries, packing.KERNEL_SLOT), np.uint8)
    group, offset = np.divmod(placement.address.astype(np.int64) - kernel.base, kernel.group_stride)
    unit, byte = np.divmod(offset, kernel.unit_stride)
    slot, byte = np.divmod(byte, packing.KERNEL_SLOT)
    for bit in range(0, 8, placement.bits):
        here = placement.bit == bit
        place = group[here], unit[here], slot[here], byte[here]
        image[place] = packing.insert_bits(image[place], values[here], bit, placement.bits)
    return image.view("<u4").astype(np.uint32).reshape(-1, kernel.entries, kernel.words)


def bias_writes(plan: Plan) -> list[Write]:
    """A run for each quadrant that holds biases; unused lanes are zero."""
    bias = plan.device.region("bias")
    writes = []
    for group in plan.groups:
        image = np.zeros(bias.entries, np.uint32)
        end, names = 0, []
        for layer, layer_plan in zip(plan.network.layers, plan.layers, strict=True):
            if layer_plan.bias_group != group:
                continue
            parameters = plan.network.parameters[layer.index]
            assert parameters is not None and parameters.bias is not None
            placement = plan.placement(layer.index, "bias")
            entries = (
                placement.address.astype(np.int64) - bias.address(group)
            ) // bias.entry_stride
            image[entries] = parameters.bias.view(np.uint8)
            end = max(end, int(entries.max()) + 1)
            names.append(layer.name)
        if names:
            note = f"quadrant {group}: bias of {', '.join(names)}"
            writes.append(Write(bias.address(group), image[:end], note, "bias"))
    return writes


def start_writes(plan: Plan) -> tuple[Write, ...]:
    """Enable the quadrants, the master last: its change of bit 0 from 0 to 1 starts the run."""
    device, master = plan.device, plan.groups[0]
    control = device.global_registers[0]
    common = {
        "clock": 1,
        "master_quadrant": master,
        "average_rounding": plan.network.average_rounding,
    }
    writes = []
    for group in plan.groups:
        value = control.encode(common | {"synchronise": 1, "enable": group != master})
        address = device.address("quadrant register", group)
        writes.append(word(address, value, f"quadrant {group}: enable", "start"))
    address = device.address("quadrant register", master)
    value = control.encode(common | {"enable": 1})
    writes.append(word(address, value, f"master quadrant {master}: start", "start"))
    return tuple(writes)
