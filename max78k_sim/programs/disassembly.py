"""Disassembly: each layer's registers in words, and what differs between two programs by meaning.

``disassemble`` and ``differences`` compute; ``max78k registers`` prints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..device import Device, Location
from ..devices import MAX78000
from ..errors import Max78kError
from ..explain import describe_word
from ..layer import ELTWISE
from ..layer_config import LayerConfig
from ..machine import Machine
from ..packing import KERNEL_BYTES
from ..registers import Register
from ..routine import Routine

Words = dict[int, int]  # address -> contents


@dataclass(frozen=True)
class RegisterWord:
    """One word, in the quadrants that have it: ``fields`` are those that are not 0."""

    name: str
    meaning: str
    quadrants: tuple[int, ...]
    word: int
    fields: str  # as explain.describe_word has them


@dataclass(frozen=True)
class LayerText:
    """One layer: what it does by topic, and its registers; ``number`` None: not of one layer."""

    number: int | None
    topics: dict[str, str]
    registers: tuple[RegisterWord, ...]


@dataclass(frozen=True)
class FieldDifference:
    """A field that two programs set differently, in some quadrants of a layer."""

    layer: int | None
    quadrants: tuple[int, ...]
    register: str
    field: str
    meaning: str
    left: int
    right: int


def disassemble(words: Words, device: Device = MAX78000) -> tuple[LayerText, ...]:
    """The registers that are not a layer's, then each layer that runs."""
    machine = Machine(device)
    for address, word in words.items():
        machine.memory.write(address, word)
    by_layer = group_words(words, device)
    texts = [LayerText(None, {}, tuple(register_words(by_layer.pop(None, []))))]
    for number in sorted(layer for layer in by_layer if layer is not None):
        registers = tuple(register_words(by_layer[number]))
        if registers:
            texts.append(LayerText(number, topics(machine, number), registers))
    return tuple(texts)


def group_words(
    words: Words, device: Device
) -> dict[int | None, list[tuple[Location, Register | None, int]]]:
    """Words by layer; those of no layer under None."""
    groups: dict[int | None, list[tuple[Location, Register | None, int]]] = {}
    for address in sorted(words):
        place = device.locate(address)
        layer = place.entry if place.region.name == "layer register" else None
        groups.setdefault(layer, []).append((place, device.register(place), words[address]))
    return groups


def register_words(found: list[tuple[Location, Register | None, int]]) -> Iterator[RegisterWord]:
    """Registers that are not 0, a row for each word that quadrants share."""
    shared: dict[tuple[str, str, int], list[int]] = {}
    fields: dict[tuple[str, str, int], str] = {}
    for place, register, word in found:
        if word:
            name = register.name if register else f"{place.region.name} {place.entry}"
            key = name, register.meaning if register else place.region.meaning, word
            shared.setdefault(key, []).append(place.group)
            fields[key] = describe_word(register, word).removesuffix(", ")
    for (name, meaning, word), quadrants in shared.items():
        yield RegisterWord(name, meaning, tuple(quadrants), word, fields[name, meaning, word])


def topics(machine: Machine, layer: int) -> dict[str, str]:
    """What a layer does, in words; one topic "refused" where the chip model cannot run it."""
    try:
        routine = machine.routine(layer)
        return dict(describe_routine(routine))
    except Max78kError as error:
        return {"refused": error.message}


def describe_routine(routine: Routine) -> Iterator[tuple[str, str]]:
    """Topic and text, in the order in which the layer works."""
    config = routine.config
    has_kernels = routine.operation.convolves
    yield "operation", operation_text(routine)
    rows, columns = routine.in_size
    channels = len(routine.processors) * config.passes
    kind = "a stream" if routine.flow.streamed_in else f"word 0x{config.read_word:x}"
    order = "CHW" if config.big_data else "HWC"
    enabled = sum(1 << processor for processor in routine.processors)
    yield (
        "input",
        (
            f"{channels}x{rows}x{columns} {order} from {kind}, processors {enabled:016x}, "
            f"{passes_text(config.passes, 'pass')}"
        ),
    )
    if has_kernels:
        taps = config.kernel_size[0] * config.kernel_size[1]
        first = (config.kernel_first >> 3) * taps + config.tap_start
        end = (config.kernel_last >> 3) * taps + config.tap_start + taps
        words = f"{first // KERNEL_BYTES} to {(end - 1) // KERNEL_BYTES}"
        text = f"{config.kernel_count:,} of {config.weight_bits} bits, kernel words {words}"
        yield "kernels", text
        bias = [
            f"quadrant {group} from byte {routine.configs[group].bias_start}"
            for group in routine.quadrants
            if routine.configs[group].bias
        ]
        yield "bias", ", ".join(bias) or "none"
        shift = config.signed_shift
        yield "shift", "none" if not shift else f"{'left' if shift > 0 else 'right'} {abs(shift)}"
    yield "output", output_text(routine)


def output_text(routine: Routine) -> str:
    """Shape and place of a layer's output."""
    config = routine.config
    rows, columns = routine.size
    text = f"{routine.outputs}x{rows}x{columns}, {32 if config.wide else 8} bits, "
    if routine.flow.streamed_out:
        return f"{text}streamed to the next layer"
    text += f"to instance {config.write_instance}, word 0x{config.write_word:x}"
    if config.write_step:
        text += f", every {config.write_step + 1} words"
    if routine.operation.convolves and routine.outputs > config.span:
        passes = -(-routine.outputs // config.span)
        text += f", {passes_text(passes, 'pass')} {config.channel_step} words apart"
    return text


def operation_text(routine: Routine) -> str:
    """What a layer does with its values, like report.operation says it of a description."""
    config, parts = routine.config, []
    pooled = [pooling_text(config)] if pooling_text(config) else []
    if config.eltwise:
        combined = f"{ELTWISE[config.eltwise_function]} of {config.operand_count + 1}"
        pooled.insert(len(pooled) if config.pool_first else 0, combined)
    parts += pooled
    name = routine.operation.name
    if name in ("conv2d", "convtranspose2d"):
        name += " {}x{}".format(*config.kernel_size)
    elif name == "conv1d":
        name += f" {config.kernel_width}"
    rows, columns = config.row_pad, config.column_pad
    if rows or columns:
        square = rows == columns or config.conv1d
        name += f" pad {rows}" if square else f" pad {rows}x{columns}"
    parts.append(name)
    parts += ["abs"] if config.absolute else ["relu"] if config.relu else []
    return ", ".join(parts)


def pooling_text(config: LayerConfig) -> str:
    """Window and stride; empty without either."""
    text = ""
    if config.pool:
        rows, columns = config.pool_window
        text = f"{'max' if config.pool_max else 'average'} {rows}x{columns}"
        if config.stride == rows == columns:
            return text
    if config.stride > 1 or (config.pool and not config.transpose):
        text += f"{' ' if text else ''}stride {config.stride}"
    return text


def passes_text(count: int, name: str) -> str:
    """A count with its noun."""
    return f"1 {name}" if count == 1 else f"{count} {name}es"


def differences(
    left: Words, right: Words, device: Device = MAX78000
) -> tuple[FieldDifference, ...]:
    """Fields that differ, by layer; a register that a program does not write is 0."""
    found: dict[tuple, list[int]] = {}
    for address in sorted({*left, *right}):
        values = left.get(address, 0), right.get(address, 0)
        if values[0] == values[1]:
            continue
        place = device.locate(address)
        layer = place.entry if place.region.name == "layer register" else None
        register = device.register(place)
        if register is None:
            key = layer, place.region.name, "", place.region.meaning, *values
            found.setdefault(key, []).append(place.group)
            continue
        for field in register.fields:
            one, other = (word >> field.low & field.limit for word in values)
            if one != other:
                key = layer, register.name, field.name, field.meaning, one, other
                found.setdefault(key, []).append(place.group)
    order = sorted(found, key=lambda key: -1 if key[0] is None else key[0])
    return tuple(FieldDifference(key[0], tuple(found[key]), *key[1:]) for key in order)
