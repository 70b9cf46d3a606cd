"""The accelerator's registers as a C header: addresses, and each field both ways; and its test."""

from __future__ import annotations

from collections.abc import Iterator

from max78k_sim.device import Device, Region
from max78k_sim.registers import Register

from .text import comment, fill


def registers_header(device: Device) -> str:
    """cnn_registers.h: needs no other file."""
    rows = (
        line
        for name, registers in device.registers.items()
        for register in registers
        for line in register_lines(device.region(name), register)
    )
    return fill("cnn_registers.h.in", device=device.name, registers="".join(rows))


def register_lines(region: Region, register: Register) -> Iterator[str]:
    """A register's macros: where it lies, and its fields."""
    yield f"\n/* {comment(register.meaning)} */\n"
    arguments, address = address_formula(region, register)
    yield f"#define CNN_{register.name}{arguments} {address}\n"
    for field in register.fields:
        name = f"CNN_{register.name}_{field.name.upper()}"
        yield f"#define {name}(value) (((uint32_t)(value) & 0x{field.limit:x}u) << {field.low}) "
        yield f"/* {comment(field.meaning)} */\n"
        yield f"#define {name}_OF(word) ((uint32_t)(word) >> {field.low} & 0x{field.limit:x}u)\n"


def address_formula(region: Region, register: Register) -> tuple[str, str]:
    """(arguments, expression) of a register's byte address: of quadrant and layer, where it has."""
    of_layer = region.units > 1
    base = region.address(0, *((register.unit, 0) if of_layer else (0, register.unit)))
    terms, arguments = [f"0x{base:08x}u"], []
    if region.groups > 1:
        arguments.append("quadrant")
        terms.append(f"0x{region.group_stride:x}u * (quadrant)")
    if of_layer:
        arguments.append("layer")
        terms.append(f"{region.entry_stride}u * (layer)")
    names = f"({', '.join(arguments)})" if arguments else ""
    return names, f"({' + '.join(terms)})"


# --- its test


def registers_check(device: Device, header: str) -> str:
    """A C program that compares the header named ``header`` with ``Device.address`` and encode.

    Addresses of every register in every quadrant and layer, and every field filled with ones, put
    in and taken out.  It prints PASS or FAIL, and exits with 0 or 1.
    """
    rows = [
        row
        for name, registers in device.registers.items()
        for register in registers
        for row in (
            *expected_addresses(device, device.region(name), register),
            *expected_fields(register),
        )
    ]
    return fill("cnn_registers_check.c.in", device=device.name, header=header, rows="".join(rows))


def expected_addresses(device: Device, region: Region, register: Register) -> Iterator[str]:
    """Rows of (text, what the header says, what it must be)."""
    of_layer = region.units > 1
    for quadrant in range(region.groups):
        for layer in range(region.entries if of_layer else 1):
            arguments = [str(quadrant)] * (region.groups > 1) + [str(layer)] * of_layer
            text = f"CNN_{register.name}" + (f"({', '.join(arguments)})" if arguments else "")
            place = (register.unit, layer) if of_layer else (0, register.unit)
            address = device.address(region.name, quadrant, *place)
            yield f'    {{"{text}", {text}, 0x{address:08x}u}},\n'


def expected_fields(register: Register) -> Iterator[str]:
    """Rows for each field: all its bits, and what is read from a word of ones."""
    for field in register.fields:
        name = f"CNN_{register.name}_{field.name.upper()}"
        word = register.encode({field.name: field.limit})
        for text, value in (
            (f"{name}(0xffffffffu)", word),
            (f"{name}_OF(0x{word:08x}u)", register.decode(word)[field.name]),
            (f"{name}_OF(0x{~word & 0xFFFFFFFF:08x}u)", 0),
        ):
            yield f'    {{"{text}", {text}, 0x{value:08x}u}},\n'
