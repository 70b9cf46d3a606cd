"""Plan x weights -> Program: what is written to the chip, in order, and why.

Register values match the vendor's generator; zeros are not written (registers reset to 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import layer_config, packing
from .allocation import Plan, allocate
from .device import Device
from .errors import InputError, NotEmulated
from .layer_fields import layer_fields
from .network import Layer, Network, set_bits

FAST_FIFO_THRESHOLD = 10  # words; the vendor's value
MEMORY_TIMING = 0x40E  # the vendor's value; no functional effect
STAGES = ("init", "configure", "weights", "bias", "start")

# The order in which the vendor's generator configures a layer.
CONFIGURE_ORDER = (
    "RCNT", "CCNT", "PRCNT", "PCCNT", "STRIDE", "WPTR_BASE", "WPTR_TOFF", "WPTR_MOFF", "WPTR_CHOFF",
    "RPTR_BASE", "LCTL0", "LCTL1", "MCNT", "ONED", "TPTR", "POST", "EN", "STRM0", "STRM1", "FBUF",
    "IFRM",
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
        if layer.has_kernels and network.parameters[layer.index] is None:
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
        *fifo_writes(plan),
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
        stop = {"clock": 1, "fifo": plan.network.fifo}
        for entry, value, note in (
            (0, device.global_registers[0].encode(stop), "stop"),
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


def kernel_writes(plan: Plan) -> list[Write]:
    """Kernel words as read back: four 32-bit words a slot, a run for each processor and layer."""
    kernel = plan.device.region("kernel")
    writes = []
    for layer, layer_plan in zip(plan.network.layers, plan.layers, strict=True):
        if layer_plan.shared_with is not None or not layer.has_kernels:
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


def fifo_writes(plan: Plan) -> list[Write]:
    """Turn on the FIFOs of the quadrants that the first layer reads."""
    if not plan.network.fifo:
        return []
    device = plan.device
    if plan.network.fast_fifo:
        value = device.fast_fifo_registers[0].encode({"threshold": FAST_FIFO_THRESHOLD})
        return [word(device.address("fast fifo register"), value, "fast FIFO control", "configure")]
    first = plan.network.layers[0]
    channels = range(min(4, first.in_channels))
    enabled = sum(1 << group for group in channels if first.processors >> 16 * group & 1)
    fields = {"almost_full": 2, "almost_empty": 2, "couple": 1, "enable": enabled}
    value = device.fifo_registers[0].encode(fields)
    return [word(device.address("fifo register"), value, "FIFO control", "configure")]


def start_writes(plan: Plan) -> tuple[Write, ...]:
    """Enable the quadrants, the master last: its change of bit 0 from 0 to 1 starts the run."""
    device, master = plan.device, plan.groups[0]
    control = device.global_registers[0]
    common = {
        "clock": 1,
        "master_quadrant": master,
        "average_rounding": plan.network.average_rounding,
        "fifo": plan.network.fifo,
        "streaming": (streams := any(layer.streaming for layer in plan.network.layers)),
        "circular": streams and plan.network.fifo,
        "synchronise": plan.network.fifo,
    }
    fed = [group for group in plan.groups if plan.network.layers[0].processors >> 16 * group & 15]
    fast = {"fast_fifo": 1, "fifo_group": 1} if plan.network.fast_fifo else {}
    writes = []
    for group in plan.groups:
        mine = fast if group in fed else {}
        value = control.encode(common | mine | {"synchronise": 1, "enable": group != master})
        address = device.address("quadrant register", group)
        writes.append(word(address, value, f"quadrant {group}: enable", "start"))
    address = device.address("quadrant register", master)
    value = control.encode(common | (fast if master in fed else {}) | {"enable": 1})
    writes.append(word(address, value, f"master quadrant {master}: start", "start"))
    return tuple(writes)
