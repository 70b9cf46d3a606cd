"""LayerConfig: the decoded registers of one layer in one quadrant; the hardware's view.

Its attributes are the fields of the device's layer registers, so encode and decode are the tables.
"""

from __future__ import annotations

from types import SimpleNamespace

from .device import Device
from .packing import WEIGHT_BITS


class LayerConfig(SimpleNamespace):
    """Field values of every layer register, 0 where none is given (the reset value)."""

    @property
    def rows(self) -> int:
        """Input rows before pooling."""
        return self.row_count + 1 - 2 * self.row_pad

    @property
    def columns(self) -> int:
        """Input columns before pooling."""
        return self.column_count + 1 - 2 * self.column_pad

    @property
    def pool_window(self) -> tuple[int, int]:
        """(rows, columns) that become one pixel: one of each without pooling."""
        return (self.pool_row_count + 1, self.pool_column_count + 1) if self.pool else (1, 1)

    @property
    def stride(self) -> int:
        """Pooling stride, also without pooling."""
        return self.stride_count + 1

    @property
    def weight_bits(self) -> int:
        """Width of a weight."""
        return WEIGHT_BITS[self.weight_size]

    @property
    def passes(self) -> int:
        """Input passes; when flattening, pixels times passes."""
        return (self.pass_high << 4 if self.flatten else 0) + self.pass_count + 1

    @property
    def kernel_count(self) -> int:
        """Kernels: output positions times input passes."""
        return (self.kernel_last - self.kernel_first) // self.weight_bits + 1

    @property
    def span(self) -> int:
        """Output positions of one output pass."""
        return self.span_bits // self.weight_bits + 1

    @property
    def signed_shift(self) -> int:
        """Output shift, negative to the right."""
        return -self.shift if self.shift_right else self.shift

    @property
    def kernel_size(self) -> tuple[int, int]:
        """(rows, columns) of a kernel: a 1-D width, or 1x1, or 3x3."""
        return (self.kernel_width, 1) if self.conv1d or self.kernel_width else (3, 3)


def encode(device: Device, values: dict[str, int]) -> dict[str, int]:
    """Field values -> register words, by register name in the order of the table."""
    unknown = set(values) - {field.name for row in device.layer_registers for field in row.fields}
    if unknown:
        raise ValueError(f"no layer register of {device.name} has the fields {sorted(unknown)}")
    return {register.name: register.encode(values) for register in device.layer_registers}


def decode(device: Device, words) -> LayerConfig:
    """The inverse of ``encode``: register words, indexed by the register's unit -> LayerConfig."""
    values: dict[str, int] = {}
    for register in device.layer_registers:
        values |= register.decode(int(words[register.unit]))
    return LayerConfig(**values)
