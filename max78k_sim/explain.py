"""Address -> sentence, and element -> address: what lies where, for people.

``find`` computes, the others print.  Data memory is used over and over: an address may hold one
layer's output and, later, another's; all of them are named, in order of execution.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import index as to_integer

import numpy as np

from .allocation import FREE, Plan
from .device import WORD, Device, Location, Region
from .errors import InputError, NotEmulated
from .program import configure_writes, init_writes, start_writes
from .registers import Register

ALSO = "; also "
TENSOR_REGIONS = ("kernel", "bias", "data")  # kinds of Placement
REGISTER_REGIONS = (
    "reset register", "clock register", "power register", "fifo register", "fast fifo register",
    "always-on register", "quadrant register", "layer register", "stream register", "mlator",
)  # fmt: skip


@dataclass(frozen=True)
class Element:
    """One element of a tensor: ``index`` along ``axes``, at ``bit`` of its byte, ``bits`` wide.

    ``kind`` is "kernel", "bias", "input" or "output"; ``feature`` is (channel, row, column) behind
    the second index of a flattening layer's kernel.
    """

    layer: str
    kind: str
    axes: tuple[str, ...]
    index: tuple[int, ...]
    bit: int
    bits: int
    feature: tuple[int, int, int] | None = None

    def __str__(self):
        parts = ", ".join(
            f"{axis} {number}" for axis, number in zip(self.axes, self.index, strict=True)
        )
        text = f"{self.layer} {self.kind} [{parts}]"
        if self.feature is not None:
            text += " (in is channel {}, row {}, column {})".format(*self.feature)
        if self.bits < 8:
            text += f" in bits {self.bit} to {self.bit + self.bits - 1}"
        return text


def element(plan: Plan, layer: str, kind: str, index: tuple[int, ...]) -> Element:
    """An element by its index; InputError where the tensor does not have it."""
    owner = plan.network.layer(layer)
    place = plan.placement(layer, kind)
    axes = tuple(piece.name for piece in place.pieces)
    fits = len(index) == len(axes) and all(
        0 <= number < size for number, size in zip(index, place.shape, strict=False)
    )
    if not fits:
        shape = ", ".join(
            f"{axis} 0 to {size - 1}" for axis, size in zip(axes, place.shape, strict=True)
        )
        raise InputError(f"{owner.name} {kind} has no element {list(index)}; it has [{shape}]")
    feature = None
    if kind == "kernel" and owner.flatten:
        channel, row, column = np.unravel_index(index[1], (owner.in_channels, *owner.in_size))
        feature = int(channel), int(row), int(column)
    bit = int(place.bit[index])
    return Element(owner.name, kind, axes, tuple(index), bit, place.bits, feature)


def find(plan: Plan, address: int) -> tuple[Element, ...]:
    """The elements that the byte at an address belongs to, in order of execution."""
    memory = plan.device.locate(address).region.name
    return tuple(
        element(plan, layer, kind, index)
        for (layer, kind), place in plan.placements.items()
        if place.kind == memory
        for index in place.index_of(address)
    )


def explain(source: Plan | Device, address: int, word: int | None = None) -> str:
    """What lies at a byte address, as a sentence.

    ``source``: a plan, or a device where only the chip is known.  ``word``: a register's content
    to decode, instead of what the plan writes there.  Raises InputError for an address that
    nothing answers.
    """
    plan = source if isinstance(source, Plan) else None
    chip = source.device if isinstance(source, Plan) else source
    place = chip.locate(address)
    if place.region.name in REGISTER_REGIONS:
        return f"0x{address:08x}: {explain_register(plan, chip, place, word)}"
    owner = memory_name(place.region) if plan is None else explain_elements(plan, place)
    text = f"0x{address:08x}: {owner}, {describe_location(place)}"
    stored = place.region.word_masks[place.word] >> 8 * place.byte & 0xFF
    return text if stored else f"{text}; the chip stores no bits there"


def where(plan: Plan, layer: str, kind: str, index: tuple[int, ...]) -> str:
    """The inverse of ``explain``: the address of one element, as a sentence."""
    found = element(plan, layer, kind, tuple(to_integer(number) for number in index))
    address = int(plan.placement(layer, kind).address[found.index])
    place = plan.device.locate(address)
    return f"{found}: 0x{address:08x}, {describe_location(place)}"


# --- memories


def explain_elements(plan: Plan, place: Location) -> str:
    """The tensors that a byte belongs to; an output and the input that reads it are one phrase."""
    here = find(plan, place.address)
    if not here:
        return explain_nothing(plan, place)
    phrases: list[str] = []
    is_word = place.region.name == "data" and not place.byte
    others = [find(plan, place.address + byte) for byte in range(1, WORD)] if is_word else []
    for before, found in zip((None, *here), here, strict=False):
        if before and (before.kind, before.index) == ("output", found.index):
            phrases[-1] = phrases[-1].replace(" output [", f" output and {found.layer} input [")
        else:
            phrases.append(str(found).replace("]", word_end(found, others) + "]", 1))
    return ALSO.join(phrases)


def word_end(first: Element, others: list[tuple[Element, ...]]) -> str:
    """Where a word of data begins with ``first``: what it ends with, out of its other bytes."""
    last = first
    for other in (found for byte in others for found in byte):
        if (other.layer, other.kind, other.bits) == (first.layer, first.kind, 8):
            last = other
    moved = [
        f"{axis} {number}"
        for axis, number, start in zip(first.axes, last.index, first.index, strict=True)
        if number != start
    ]
    return f"; the word up to {', '.join(moved)}" if moved else ""


def explain_nothing(plan: Plan, place: Location) -> str:
    """Why no tensor has an element there."""
    memory = memory_name(place.region)
    if place.region.name == "kernel":
        owner = int(plan.kernel_map[place.processor, place.entry])
        if owner != FREE:
            return f"{memory} of {plan.network.layers[owner].name}, but no weight"
    return f"{memory} that no layer uses" if place.region.name in TENSOR_REGIONS else memory


def memory_name(region: Region) -> str:
    """The region's name as a noun."""
    return region.name if region.name == "line buffer" else f"{region.name} memory"


def describe_location(place: Location) -> str:
    """Where in its memory an address lies; processors and instances count over the whole chip."""
    region, parts = place.region, []
    if region.units > 1:
        unit = f"{region.unit_name} {place.group * region.units + place.unit}"
        in_quadrant = "" if region.unit_name == "processor" else f" (quadrant {place.group})"
        parts.append(unit + in_quadrant)
    elif region.groups > 1:
        parts.append(f"quadrant {place.group}")
    entry = f"{region.entry_name} {place.entry}"
    byte = place.word * WORD + place.byte
    parts.append(entry if region.entry_name == "byte" else f"{entry} (byte {byte})")
    return ", ".join(parts)


# --- registers


def explain_register(plan: Plan | None, chip: Device, place: Location, word: int | None) -> str:
    """Name, owner, and the fields of the word there (the given one, or what the plan writes)."""
    register = chip.register(place)
    region = place.region
    if register is not None:
        text = f"{region.name} {register.name} ({register.meaning})"
    else:
        number = place.unit if region.units > 1 else place.entry
        text = f"{region.name} {number} ({region.meaning})"
    if region.entry_name == "layer":
        text += f" of {layer_name(plan, place.entry)}"
    if region.groups > 1:
        text += f" in quadrant {place.group}"
    if register is not None and word is None and plan is not None:
        word = planned_words(plan).get(place.address - place.byte, 0)
    if word is None:
        return text
    return f"{text}: {describe_word(register, word)}0x{word:08x}"


def layer_name(plan: Plan | None, number: int) -> str:
    """A layer's name, or its number where the plan has none."""
    if plan is None:
        return f"layer {number}"
    if number < len(plan.network.layers):
        return plan.network.layers[number].name
    return f"layer {number}, which {plan.network.name} does not have,"


def planned_words(plan: Plan) -> dict[int, int]:
    """Contents of every register that the plan writes, by address, when a run has started."""
    writes = (*init_writes(plan), *configure_writes(plan), *start_writes(plan))
    return {write.address: int(write.words[0]) for write in writes}


def describe_word(register: Register | None, word: int) -> str:
    """Fields that are not 0: flags by name, numbers with their value; ends in a separator."""
    if register is None or not word:
        return ""
    try:
        values = register.decode(word)
    except NotEmulated as error:
        return f"{error.message}; "
    widths = {field.name: field.width for field in register.fields}
    shown = [
        name if widths[name] == 1 else f"{name} {value}" for name, value in values.items() if value
    ]
    return ", ".join(shown) + ", "
