"""Placements as the C training step walks them: runs of words, segments of kernels.

What is found here is expanded again and compared with the Placement before it is printed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from max78k_sim.device import WORD
from max78k_sim.packing import KERNEL_BYTES, KERNEL_SLOT, slot_offset
from max78k_sim.placement import Placement

NONE = 0xFFFFFFFF  # CNN_NONE
NO_TAP = 0xFF  # CNN_NO_TAP


@dataclass(frozen=True)
class Run:
    """``cnn_run``: see cnn_layers.h."""

    address: int
    step: int
    element: int
    word_step: int
    lane_step: int
    words: int
    first_lane: int
    lanes: int

    def elements(self) -> Iterator[tuple[int, int]]:
        """(byte address, element) of all that the run holds."""
        for word in range(self.words):
            address = self.address + word * self.step
            element = self.element + word * self.word_step
            for lane in range(max(self.lanes, 1)):
                yield address + self.first_lane + lane, element + lane * self.lane_step


@dataclass(frozen=True)
class Chunk:
    """Bytes of one word that hold elements in equal steps; a whole word has no lanes."""

    address: int
    first_lane: int
    lanes: int
    element: int
    lane_step: int

    @property
    def kind(self) -> tuple[int, int, int]:
        """What all words of a run have in common."""
        return self.first_lane, self.lanes, self.lane_step


def find_runs(
    addresses: np.ndarray, elements: np.ndarray, period: int, wide: bool = False
) -> tuple[Run, ...]:
    """Runs of elements at byte addresses (integers, of the same shape).

    ``period``: elements of a pixel; those of one channel are walked together.  ``wide``: of 32
    bits.
    """
    flat = addresses.reshape(-1).astype(np.int64), elements.reshape(-1).astype(np.int64)
    chunks = list(chunks_of(*flat, wide))
    chunks.sort(key=lambda chunk: (chunk.element % period, chunk.element))
    found = list(joined(chunks))
    expanded = sorted(pair for run in found for pair in run.elements())
    assert expanded == sorted(zip(*(each.tolist() for each in flat), strict=True))
    return tuple(found)


def chunks_of(addresses: np.ndarray, elements: np.ndarray, wide: bool) -> Iterator[Chunk]:
    """Elements of each word, as few chunks as possible."""
    order = np.argsort(addresses, kind="stable")
    pairs = zip(addresses[order].tolist(), elements[order].tolist(), strict=True)
    if wide:
        yield from (Chunk(address, 0, 0, element, 0) for address, element in pairs)
        return
    held: list[tuple[int, int]] = []
    for address, element in pairs:
        if held and not continues(held, address, element):
            yield chunk_of(held)
            held = []
        held.append((address, element))
    if held:
        yield chunk_of(held)


def continues(held: list[tuple[int, int]], address: int, element: int) -> bool:
    """Whether an element is the next one of a chunk."""
    last_address, last_element = held[-1]
    if address != last_address + 1 or address % WORD == 0:
        return False
    return len(held) == 1 or element - last_element == last_element - held[-2][1]


def chunk_of(held: list[tuple[int, int]]) -> Chunk:
    """Neighbours in one word."""
    address, element = held[0]
    step = held[1][1] - element if len(held) > 1 else 0
    return Chunk(address // WORD * WORD, address % WORD, len(held), element, step)


def joined(chunks: list[Chunk]) -> Iterator[Run]:
    """Words in equal steps, taken together as they come."""
    first = 0
    while first < len(chunks):
        one, last = chunks[first], first + 1
        step = word_step = 0
        while last < len(chunks) and chunks[last].kind == one.kind:
            before, here = chunks[last - 1], chunks[last]
            steps = here.address - before.address, here.element - before.element
            if last == first + 1:
                step, word_step = steps
            if steps != (step, word_step) or step < 0:
                break
            last += 1
        if last - first == 1:
            step = word_step = 0
        yield Run(
            one.address, step, one.element, word_step, one.lane_step, last - first,
            one.first_lane, one.lanes,
        )  # fmt: skip
        first = last


# ---- kernels ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Segment:
    """``cnn_segment``: kernels that follow each other in one processor."""

    address: int
    element: int
    outputs: int
    first_pass: int
    first_byte: int
    first_lane: int


@dataclass(frozen=True)
class Kernels:
    """``cnn_kernels``, but for what is trained of them."""

    segments: tuple[Segment, ...]
    passes: tuple[int, ...]  # offsets of a pass' input, of all kinds of processors
    each: int  # passes of an output
    output_step: int
    bits: int
    taps: tuple[int, ...]  # element of each byte of a kernel

    @property
    def outputs_a_word(self) -> int:
        """The fewest outputs of a processor whose kernels fill whole kernel words."""
        lanes = 8 // self.bits
        return next(
            outputs
            for outputs in range(1, lanes * KERNEL_BYTES + 1)
            if outputs * self.each % lanes == 0
            and outputs * self.each // lanes * len(self.taps) % KERNEL_BYTES == 0
        )

    def elements(self) -> tuple[np.ndarray, np.ndarray]:
        """int64 [n] twice: 8 * address + bit, and element, as the C code walks them."""
        lanes, found = 8 // self.bits, []
        for segment in self.segments:
            number = np.arange(segment.outputs * self.each)
            offset = np.array(self.passes[segment.first_pass :][: self.each])[number % self.each]
            first = segment.element + number // self.each * self.output_step + offset
            group, lane = np.divmod(number + segment.first_lane, lanes)
            for tap, element in enumerate(self.taps):
                byte = segment.first_byte + group * len(self.taps) + tap
                place = 8 * (segment.address + slot_offset(byte)) + lane * self.bits
                used = (offset != NONE) & (element != NO_TAP)
                found.append(np.stack([place[used], (first + element)[used]]))
        places, elements = np.concatenate(found, axis=1)
        return places, elements


def find_kernels(place: Placement) -> Kernels:
    """How the kernels of a layer follow each other in each of its processors."""
    out, inputs, *tap_axes = place.pieces
    user_taps = int(np.prod(place.shape[2:]))
    taps = taps_of(place, tap_axes)
    code = place.origin_code + inputs.code
    each = int((code.max() - code.min()) // place.bits) + 1  # passes
    table: list[int] = []
    segments = []
    for base in np.unique(inputs.base).tolist():
        mine = np.flatnonzero(inputs.base == base)
        first = int(mine.min()) * user_taps
        offsets = [NONE] * each
        for index in mine.tolist():
            number = int(code[index] - code.min()) // place.bits
            offsets[number] = index * user_taps - first
        for begin, count in stretches(out.code, each * place.bits):
            start = int(code.min() + out.code[begin])
            byte = (start >> 3) * place.taps + place.origin_tap
            segments.append(
                Segment(
                    place.origin + base + byte // KERNEL_BYTES * KERNEL_SLOT,
                    begin * place.shape[1] * user_taps + first,
                    count,
                    place_in(table, offsets),
                    byte % KERNEL_BYTES,
                    (start & 7) // place.bits,
                )
            )
    segments.sort(key=lambda segment: (segment.address, segment.first_byte, segment.first_lane))
    step = place.shape[1] * user_taps
    kernels = Kernels(tuple(segments), tuple(table), each, step, place.bits, taps)
    check_kernels(kernels, place)
    return kernels


def taps_of(place: Placement, axes: list) -> tuple[int, ...]:
    """The element at each byte of a kernel, NO_TAP where none lies."""
    numbers = np.zeros(place.shape[2:], np.int64)
    for number, piece in enumerate(axes):
        shape = [-1 if n == number else 1 for n in range(len(axes))]
        numbers = numbers + piece.tap.reshape(shape)
    found = [NO_TAP] * place.taps
    for element, byte in enumerate(numbers.reshape(-1).tolist()):
        found[byte] = element
    return tuple(found)


def stretches(codes: np.ndarray, step: int) -> Iterator[tuple[int, int]]:
    """(first output, how many) of those whose kernels follow each other."""
    breaks = np.flatnonzero(np.diff(codes) != step) + 1
    bounds = [0, *breaks.tolist(), len(codes)]
    for first, last in pairwise(bounds):
        yield first, last - first


def place_in(table: list[int], wanted: list[int]) -> int:
    """Where numbers lie in a table; they are appended if they do not."""
    for start in range(len(table) - len(wanted) + 1):
        if table[start : start + len(wanted)] == wanted:
            return start
    table += wanted
    return len(table) - len(wanted)


def check_kernels(kernels: Kernels, place: Placement) -> None:
    """The walk is the Placement."""
    places, elements = kernels.elements()
    wanted = place.address.reshape(-1).astype(np.int64) * 8 + place.bit.reshape(-1)
    assert len(elements) == wanted.size and len(np.unique(elements)) == wanted.size
    assert np.array_equal(wanted[elements], places), place.layer
