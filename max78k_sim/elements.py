"""Elements of tensors: by name to indices, by address to elements, and where each one lies.

A name is what PyTorch calls it, with an index as in Python: ``conv3.weight[12,5,1,2]``,
``conv3.bias[-1]``, ``conv1.output[3,:,0]``, ``layer2.input[0:4,0,0]``.  Everything works on
arrays of elements at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .allocation import Plan
from .device import WORD, Region
from .errors import InputError
from .network import Layer, Network
from .packing import WORD_BYTE
from .placement import Placement

NAME = re.compile(r"(.+?)(?:\.op)?\.(weight|kernel|bias|input|output)(?:\[([^\[\]]*)\])?")
NUMBER = re.compile(r"-?\d+")
SLICE = re.compile(r"(-?\d+)?:(-?\d+)?(?::([1-9]\d*)?)?|\*")
NUMBERED_LAYER = re.compile(r"(?:layer)?(\d+)")
EXAMPLES = "conv2.weight[3,5,1,2], conv2.bias[3] or conv1.output[3,:,0]"


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

    @property
    def name(self) -> str:
        """What ``select`` reads back: conv3.kernel[12,5,1,2]."""
        return f"{self.layer}.{self.kind}[{','.join(map(str, self.index))}]"

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


@dataclass(frozen=True, eq=False)
class Selection:
    """Elements of one tensor: ``index`` is int64 [element, axis], in the tensor's order."""

    layer: str
    kind: str
    axes: tuple[str, ...]
    index: np.ndarray


# --- by name


def select(plan: Plan, text: str) -> Selection:
    """The elements that a name stands for; indices left out, and ``:`` or ``*``, stand for all.

    ``weight`` is PyTorch's tensor: of a transposed convolution [in, out, row, column], turned by
    half a turn; ``kernel`` is [out, in, row, column] of every layer, as the hardware counts.
    Raises InputError, with the layers, or the axes and their sizes, that there are.
    """
    match = NAME.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is not the name of elements; write {EXAMPLES}")
    name, word, index = match.groups()
    owner = find_layer(plan.network, name)
    kind = "kernel" if word == "weight" else word
    place = plan.placement(owner.index, kind)
    turned = word == "weight" and owner.op == "convtranspose2d"
    order = (1, 0, 2, 3) if turned else tuple(range(len(place.shape)))
    parts = [part.strip() for part in index.split(",")] if index and index.strip() else []
    if len(parts) > len(order):
        raise no_element(owner, kind, place, f"[{index}]")
    parts += [":"] * (len(order) - len(parts))
    numbers = []
    for axis, part in zip(order, parts, strict=True):
        chosen = axis_numbers(part, place.shape[axis])
        if not len(chosen):
            raise no_element(owner, kind, place, f"[{index}]")
        numbers.append(place.shape[axis] - 1 - chosen if turned and axis > 1 else chosen)
    grid = np.stack(np.meshgrid(*numbers, indexing="ij"), axis=-1).reshape(-1, len(order))
    axes = tuple(piece.name for piece in place.pieces)
    return Selection(owner.name, kind, axes, grid[:, np.argsort(order)])


def find_layer(network: Network, name: str) -> Layer:
    """A layer by its name, or its number: "conv3", "layer2", "2"; InputError names them all."""
    number = NUMBERED_LAYER.fullmatch(name)
    if name not in network.by_name and number and int(number[1]) < len(network.layers):
        return network.layers[int(number[1])]
    return network.layer(name)


def axis_numbers(part: str, size: int) -> np.ndarray:
    """int64: what ``3``, ``-1``, ``2:5``, ``::2``, ``:`` or ``*`` select of an axis; or nothing."""
    numbers = np.arange(size)
    if NUMBER.fullmatch(part):
        number = int(part)
        return numbers[number % size :][:1] if -size <= number < size else numbers[:0]
    match = SLICE.fullmatch(part)
    if match is None:
        raise InputError(f"{part!r} is not an index; write 3, -1 (the last), 2:5 (2 to 4) or :")
    return numbers[slice(*(int(limit) if limit else None for limit in match.groups()))]


def no_element(owner: Layer, kind: str, place: Placement, index: str) -> InputError:
    """Says which elements there are."""
    shape = ", ".join(
        f"{piece.name} 0 to {size - 1}"
        for piece, size in zip(place.pieces, place.shape, strict=True)
    )
    return InputError(f"{owner.name} {kind} has no element {index}; it has [{shape}]")


def element(plan: Plan, layer: str | int, kind: str, index: tuple[int, ...]) -> Element:
    """An element by its index; InputError where the tensor does not have it."""
    owner = plan.network.layer(layer)
    place = plan.placement(layer, kind)
    fits = len(index) == len(place.shape) and all(
        0 <= number < size for number, size in zip(index, place.shape, strict=True)
    )
    if not fits:
        raise no_element(owner, kind, place, str(list(index)))
    axes = tuple(piece.name for piece in place.pieces)
    feature = feature_of(owner, kind, index)
    return Element(owner.name, kind, axes, index, int(place.bit[index]), place.bits, feature)


def feature_of(owner: Layer, kind: str, index: Sequence[int]) -> tuple[int, int, int] | None:
    """(channel, row, column) of the pooled input that a flattening layer's weight belongs to."""
    if kind != "kernel" or not owner.flatten:
        return None
    channel, pixel = divmod(index[1], owner.pixels)
    return (channel, *divmod(pixel, owner.pooled_size[1]))


# --- by address


def find(plan: Plan, address: int) -> tuple[Element, ...]:
    """The elements that the byte at an address belongs to, in order of execution."""
    return find_each(plan, np.array([address]))[0]


def find_each(plan: Plan, addresses: np.ndarray) -> list[tuple[Element, ...]]:
    """``find`` for byte addresses (integers [n]) at once: every tensor is searched once."""
    wanted = np.asarray(addresses, np.int64)
    memories = {region.name for region in plan.device.regions if np.any(region.holds(wanted))}
    found: list[list[Element]] = [[] for _ in wanted]
    for (layer, kind), place in plan.placements.items():
        if place.kind not in memories:
            continue
        owner = plan.network.layer(layer)
        axes = tuple(piece.name for piece in place.pieces)
        position, flat = place.elements_at(wanted)
        columns = (axis.tolist() for axis in np.unravel_index(flat, place.shape))
        bits = place.bit.reshape(-1)[flat].tolist()
        for number, bit, *index in zip(position.tolist(), bits, *columns, strict=True):
            feature = feature_of(owner, kind, index)
            one = Element(layer, kind, axes, tuple(index), bit, place.bits, feature)
            found[number].append(one)
    return [tuple(elements) for elements in found]


# --- where they lie


def coordinates(region: Region, group, unit, entry, word, byte) -> dict:
    """What people call the numbers of ``Region.split``; integers or arrays, by their name.

    Processors and instances count over the whole chip; bytes within their entry.  Of a kernel word
    ``byte`` counts b0 to b8 (-1 where the slot stores none), and ``slot byte`` addresses.
    """
    parts = {}
    if region.groups > 1:
        parts["quadrant"] = group
    if region.units > 1:
        parts[region.unit_name] = group * region.units + unit
    parts[region.entry_name] = entry
    if region.entry_name == "kernel word":
        parts["byte"] = np.array(WORD_BYTE)[word * WORD + byte]
        parts["slot byte"] = word * WORD + byte
    elif region.entry_name != "byte":
        parts["byte"] = word * WORD + byte
    return parts


def columns_of(plan: Plan, chosen: Selection) -> dict[str, np.ndarray]:
    """A table of elements and where each lies: integers [element] by the name of the column.

    The axes of the tensor; ``address``; the ``coordinates``; the first and last bit of the byte
    (``bit``, ``last bit``; 0 and 31 of a 32-bit word); of kernels ``packed address``.
    """
    place = plan.placement(chosen.layer, chosen.kind)
    region = plan.device.region(place.kind)
    index = tuple(chosen.index.T)
    address = place.address[index].astype(np.int64)
    split = [np.broadcast_to(part, address.shape) for part in region.split(address)]
    bit = place.bit[index].astype(np.int64)
    table = dict(zip(chosen.axes, index, strict=True))
    table |= {"address": address, **coordinates(region, *split)}
    table |= {"bit": bit, "last bit": bit + place.bits - 1}
    if place.kind == "kernel":
        table["packed address"] = region.packed_address(*split[:3])
    return table
