"""Address -> sentence, and element -> address: what lies where, for people.

``elements.py`` computes, this prints.  Data memory is used over and over: an address may hold one
layer's output and, later, another's; all of them are named, in order of execution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import index as to_integer

import numpy as np

from .allocation import FREE, Plan
from .device import WORD, Device, Location, Region
from .elements import Element, coordinates, element, find_each
from .errors import NotEmulated
from .program import configure_writes, fifo_writes, init_writes, start_writes
from .registers import Register

ALSO = "; also "
TENSOR_REGIONS = ("kernel", "bias", "data")  # kinds of Placement
REGISTER_REGIONS = (
    "reset register", "clock register", "power register", "fifo register", "fast fifo register",
    "always-on register", "quadrant register", "layer register", "stream register", "mlator",
)  # fmt: skip
NO_BITS = "the chip stores no bits there"
NO_MEMORY = "no memory"

Found = Sequence[tuple[Element, ...]]  # elements of consecutive bytes


def explain(source: Plan | Device, address: int, word: int | None = None) -> str:
    """What lies at a byte address, as a sentence.

    ``source``: a plan, or a device where only the chip is known.  ``word``: a register's content
    to decode, instead of what the plan writes there.  Raises InputError for an address that
    nothing answers.
    """
    plan, chip = plan_and_chip(source)
    place = chip.locate(address)
    found: Found = [()]
    if plan is not None and place.region.name in REGISTER_REGIONS:
        word = planned_words(plan).get(address - place.byte, 0) if word is None else word
    elif plan is not None:
        found = find_each(plan, np.arange(address, address + phrase_bytes(place)))
    return sentence(plan, chip, place, found, word)


def sentence(
    plan: Plan | None, chip: Device, place: Location, found: Found, word: int | None
) -> str:
    """``explain`` for elements, and a register's content, that were looked up already."""
    if place.region.name in REGISTER_REGIONS:
        return f"0x{place.address:08x}: {explain_register(plan, chip, place, word)}"
    owner = owner_of(plan, place, found)
    text = f"0x{place.address:08x}: {owner}, {describe_location(place)}"
    return text if is_stored(place) else f"{text}; {NO_BITS}"


def explain_range(source: Plan | Device, first: int, length: int) -> list[str]:
    """What lies in ``length`` bytes from an address on.

    A line for each byte of a kernel word and each word of any other memory; neighbours that hold
    nothing share one.  Raises InputError where the first byte is in no memory.
    """
    plan, chip = plan_and_chip(source)
    chip.locate(first)
    words = {} if plan is None else planned_words(plan)
    end = first + length
    found = [] if plan is None else find_each(plan, np.arange(first, end + WORD))
    lines: list[tuple[int, str, bool]] = []  # address, text, whether something lies there
    for address, place in places_between(chip, first, end):
        if place is None:
            lines.append((address, NO_MEMORY, False))
        elif place.region.name in REGISTER_REGIONS:
            word = None if plan is None else words.get(address - place.byte, 0)
            lines.append((address, explain_register(plan, chip, place, word), True))
        else:
            here = found[address - first : address - first + phrase_bytes(place)]
            owner = owner_of(plan, place, here) if is_stored(place) else NO_BITS
            holds = any(here[:1])
            text = f"{owner}, {describe_location(place)}" if holds else owner
            lines.append((address, text, holds))
    return fold(lines, end)


def places_between(chip: Device, first: int, end: int) -> Iterator[tuple[int, Location | None]]:
    """Bytes of kernel words and words of any other memory, each with its place."""
    address, place = first, None
    while address < end:
        likely = chip.regions if place is None else (place.region, *chip.regions)
        located = (region.locate(address) for region in likely)
        place = next((place for place in located if place is not None), None)
        yield address, place
        kernel = place is not None and place.region.entry_name == "kernel word"
        address += 1 if kernel else WORD - address % WORD


def fold(lines: list[tuple[int, str, bool]], end: int) -> list[str]:
    """Lines with their addresses; those that hold nothing are joined where their texts agree."""
    folded = []
    following = [address for address, _, _ in lines[1:]] + [end]
    pairs = list(zip(lines, following, strict=True))
    for key, group in groupby(pairs, lambda pair: pair[0][0] if pair[0][2] else pair[0][1]):
        run = list(group)
        (address, text, _), past = run[0][0], run[-1][1]
        to = f" to 0x{past - 1:08x}" if key == text and past - address > 1 else ""
        folded.append(f"0x{address:08x}{to}: {text}")
    return folded


def where(plan: Plan, layer: str, kind: str, index: tuple[int, ...]) -> str:
    """The inverse of ``explain``: the address of one element, as a sentence."""
    found = element(plan, layer, kind, tuple(to_integer(number) for number in index))
    address = int(plan.placement(layer, kind).address[found.index])
    place = plan.device.locate(address)
    text = f"{found}: 0x{address:08x}, {describe_location(place)}"
    if kind != "kernel":
        return text
    packed = place.region.packed_address(place.group, place.unit, place.entry)
    return f"{text}; packed address 0x{packed:08x} (strobe 0x{packed + 1:08x})"


def plan_and_chip(source: Plan | Device) -> tuple[Plan | None, Device]:
    """The plan where there is one, and the device."""
    return (source, source.device) if isinstance(source, Plan) else (None, source)


# --- memories


def phrase_bytes(place: Location) -> int:
    """Bytes that one phrase speaks of: a whole word where a word of data begins."""
    return WORD if place.region.name == "data" and not place.byte else 1


def is_stored(place: Location) -> bool:
    """Whether the chip keeps any bit of the byte."""
    return bool(place.region.word_masks[place.word] >> 8 * place.byte & 0xFF)


def owner_of(plan: Plan | None, place: Location, found: Found) -> str:
    """The tensors that a byte belongs to, or why it belongs to none."""
    if plan is None:
        return memory_name(place.region)
    return explain_elements(found) if found[0] else explain_nothing(plan, place)


def explain_elements(found: Found) -> str:
    """Elements of a byte, and the others of its word where it begins one of data.

    An output and the input that reads it are one phrase.
    """
    here, *others = found
    phrases: list[str] = []
    for before, one in zip((None, *here), here, strict=False):
        if before and (before.kind, before.index) == ("output", one.index):
            phrases[-1] = phrases[-1].replace(" output [", f" output and {one.layer} input [")
        else:
            phrases.append(str(one).replace("]", word_end(one, others) + "]", 1))
    return ALSO.join(phrases)


def word_end(first: Element, others: Found) -> str:
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
    region = place.region
    parts = coordinates(region, place.group, place.unit, place.entry, place.word, place.byte)
    shown = [f"{region.entry_name} {place.entry}"]
    if region.units > 1:
        in_quadrant = "" if region.unit_name == "processor" else f" (quadrant {place.group})"
        shown.insert(0, f"{region.unit_name} {parts[region.unit_name]}{in_quadrant}")
    elif region.groups > 1:
        shown.insert(0, f"quadrant {place.group}")
    if "slot byte" in parts:
        of_word = f"b{parts['byte']}, " if parts["byte"] >= 0 else ""
        shown.append(f"{of_word}byte {parts['slot byte']} of the slot")
    elif region.entry_name != "byte":
        shown[-1] += f" (byte {parts['byte']})"
    return ", ".join(shown)


# --- registers


def explain_register(plan: Plan | None, chip: Device, place: Location, word: int | None) -> str:
    """Name, owner, and the fields of the word there, where it is known."""
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
    if register is None or word is None:
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
    setup = *init_writes(plan), *configure_writes(plan), *fifo_writes(plan)
    writes = *setup, *start_writes(plan)
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
