"""Memory regions of a chip: ``address`` and its inverse ``locate`` over one small table.

Every memory and layer-register address of MAX78000 and of MAX78002 is
``base + group * group_stride + unit * unit_stride + entry * entry_stride``; there is no branch on
the device.  A group is a quadrant of 16 processors; what a unit and an entry are, each region says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise

from .errors import InputError
from .registers import Register

WORD = 4  # bytes in a 32-bit word
WORD_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class Region:
    """One kind of memory: a row of the address table.  Addresses and strides are in bytes."""

    name: str
    meaning: str
    base: int
    groups: int
    group_stride: int
    units: int
    unit_stride: int
    unit_name: str
    entries: int
    entry_stride: int
    entry_name: str
    word_masks: tuple[int, ...] = (WORD_MASK,)  # the bits that each word of an entry keeps

    @property
    def words(self) -> int:
        """32-bit words in one entry."""
        return len(self.word_masks)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """[group, unit, entry, word]: the shape of the array that stores the region."""
        return self.groups, self.units, self.entries, self.words

    def address(self, group=0, unit=0, entry=0, word=0):
        """Byte address of a word; takes integers or integer arrays (then unchecked)."""
        offset = group * self.group_stride + unit * self.unit_stride
        return self.base + offset + entry * self.entry_stride + word * WORD

    def locate(self, address: int) -> Location | None:
        """The place that a byte address names in this region, or None when it is outside."""
        strides = (self.group_stride, self.unit_stride, self.entry_stride, WORD)
        place, byte = [0, 0, 0, 0], address - self.base
        for axis in sorted(range(4), key=lambda axis: -strides[axis]):
            if self.shape[axis] > 1:
                place[axis], byte = divmod(byte, strides[axis])
        if not 0 <= byte < WORD:
            return None
        inside = all(0 <= index < count for index, count in zip(place, self.shape, strict=True))
        group, unit, entry, word = place
        return Location(self, group, unit, entry, word, byte) if inside else None

    def runs(self) -> Iterator[tuple[int, int]]:
        """(first, past-the-end) byte addresses of each contiguous stretch of entries."""
        size = self.words * WORD
        contiguous = self.entry_stride == size
        for group in range(self.groups):
            for unit in range(self.units):
                for entry in range(1 if contiguous else self.entries):
                    first = self.address(group, unit, entry)
                    yield first, first + (size * self.entries if contiguous else size)


@dataclass(frozen=True)
class Location:
    """What an address names; ``byte`` counts within the word (0 is the least significant)."""

    region: Region
    group: int
    unit: int
    entry: int
    word: int
    byte: int

    @property
    def address(self) -> int:
        """The byte address that this location was found from."""
        return self.region.address(self.group, self.unit, self.entry, self.word) + self.byte

    @property
    def processor(self) -> int:
        """Processor 0 to 63 that owns a kernel-memory location."""
        return self.group * self.region.units + self.unit


@dataclass(frozen=True)
class Limits:
    """Numbers that networks are checked against."""

    layers: int
    stream_layers: int
    processors: int
    processors_per_group: int
    processors_per_instance: int
    channels: int
    rows_and_columns: int
    passes: int
    pool: int
    flatten_pixels: int
    flatten_features: int
    bias_channels: int
    accumulator_bits: int
    total_shift: int


@dataclass(frozen=True)
class Device:
    """One chip as a value, passed explicitly.

    ``layer_registers`` are indexed by ``unit`` in the region "layer register", every other table by
    ``unit`` (the entry) in its region; ``registers`` finds them by the region's name.
    """

    name: str
    regions: tuple[Region, ...] = field(repr=False)
    layer_registers: tuple[Register, ...] = field(repr=False)
    global_registers: tuple[Register, ...] = field(repr=False)
    fifo_registers: tuple[Register, ...] = field(repr=False)
    limits: Limits = field(repr=False)
    executes: bool  # whether Machine knows this chip's behaviour, or only its addresses
    fast_fifo_registers: tuple[Register, ...] = field(default=(), repr=False)
    always_on_registers: tuple[Register, ...] = field(default=(), repr=False)
    power_registers: tuple[Register, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def by_name(self) -> dict[str, Region]:
        """Regions by their name."""
        return {region.name: region for region in self.regions}

    @cached_property
    def registers(self) -> dict[str, tuple[Register, ...]]:
        """Register tables by the region that they describe."""
        return {
            "quadrant register": self.global_registers,
            "layer register": self.layer_registers,
            "fifo register": self.fifo_registers,
            "fast fifo register": self.fast_fifo_registers,
            "always-on register": self.always_on_registers,
            "power register": self.power_registers,
        }

    def register(self, place: Location) -> Register | None:
        """The row of the register tables that a location belongs to, where there is one."""
        unit = place.unit if place.region.units > 1 else place.entry
        table = self.registers.get(place.region.name, ())
        return next((register for register in table if register.unit == unit), None)

    def region(self, name: str) -> Region:
        """A region by its name; raises InputError with the names that exist."""
        if name not in self.by_name:
            names = ", ".join(region.name for region in self.regions)
            raise InputError(f"{self.name} has no region {name!r}; there are: {names}")
        return self.by_name[name]

    def address(self, region: str, group: int = 0, unit: int = 0, entry: int = 0, word: int = 0):
        """Byte address of one word, checked against the region's size."""
        row = self.region(region)
        given = (group, unit, entry, word)
        parts = ("quadrant", row.unit_name, row.entry_name, "word")
        for part, value, count in zip(parts, given, row.shape, strict=True):
            if not 0 <= value < count:
                raise InputError(f"{self.name} {region}: {part} {value} is not in 0..{count - 1}")
        return row.address(group, unit, entry, word)

    def locate(self, address: int) -> Location:
        """The inverse of ``address``; raises InputError for an address that nothing answers."""
        for region in self.regions:
            location = region.locate(address)
            if location is not None:
                return location
        raise InputError(
            f"0x{address:08x} is in no memory of {self.name}; the accelerator has: "
            + ", ".join(f"{row.name} from 0x{row.base:08x}" for row in self.regions)
        )

    def overlaps(self) -> list[tuple[str, str, int]]:
        """Pairs of regions that claim one address, with that address; empty for a sound table."""
        found = []
        for left, right in combinations(self.regions, 2):
            spans = sorted([(*run, 0) for run in left.runs()] + [(*run, 1) for run in right.runs()])
            for (_, end, owner), (start, _, other) in pairwise(spans):
                if owner != other and start < end:
                    found.append((left.name, right.name, start))
                    break
        return found
