"""Bit fields of 32-bit registers: one table row a field, encode beside decode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from .errors import InputError, NotEmulated


@dataclass(frozen=True)
class Field:
    """Bits ``low`` to ``low + width - 1`` of a register, with what they mean."""

    name: str
    low: int  # bit number
    width: int  # bits
    meaning: str

    @property
    def limit(self) -> int:
        """Largest value that the field holds."""
        return (1 << self.width) - 1


@dataclass(frozen=True)
class Register:
    """A register: its name, its index among its peers (``unit``), and its fields."""

    name: str
    unit: int
    meaning: str
    fields: tuple[Field, ...]

    @cached_property
    def known_bits(self) -> int:
        """Mask of the bits that some field describes."""
        return sum(field.limit << field.low for field in self.fields)

    def encode(self, values: Mapping[str, int]) -> int:
        """Pack field values into a word; raises InputError where a value does not fit its field."""
        word = 0
        for field in self.fields:
            if field.name not in values:
                continue
            value = int(values[field.name])
            if not 0 <= value <= field.limit:
                raise InputError(
                    f"register {self.name} field {field.name} = {value}: "
                    f"{field.width} bits hold 0 to {field.limit} ({field.meaning})"
                )
            word |= value << field.low
        return word

    def replace(self, word: int, **values: int) -> int:
        """A word with some fields changed; the other bits are kept, known or not."""
        for field in self.fields:
            if field.name in values:
                word &= ~(field.limit << field.low)
                word |= self.encode({field.name: values[field.name]})
        return word

    def decode(self, word: int) -> dict[str, int]:
        """Unpack a word; raises NotEmulated when bits outside of the known fields are set."""
        unknown = word & ~self.known_bits
        if unknown:
            raise NotEmulated(
                f"register {self.name} = 0x{word:08x}: bits 0x{unknown:08x} are set, "
                "and the chip model does not know what they do"
            )
        return {field.name: word >> field.low & field.limit for field in self.fields}
