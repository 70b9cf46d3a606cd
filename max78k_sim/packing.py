"""Bits inside words: kernel bytes, sub-byte weights, pixels of four channels.  Pack beside unpack.

A kernel word has 72 bits in a slot of 16 bytes.  A processor's kernels are one stream of bytes;
stream byte ``s`` lies in slot ``s // 9`` at byte address ``KERNEL_BYTE[s % 9]`` of the slot.
(Matches the vendor's generator on every word of every golden case.)
"""

from __future__ import annotations

import numpy as np

KERNEL_BYTES = 9  # stream bytes in a kernel word
KERNEL_SLOT = 16  # bytes of address space of a kernel word
KERNEL_BYTE = (8, 9, 10, 11, 4, 5, 6, 7, 0)  # byte address in the slot of stream bytes 0 to 8
# Byte b0 to b8 of the 72-bit word that each byte of a slot holds, -1 for none.  b0 comes first in a
# packed ("mexpress") write; a stream fills the word from b8 down.
WORD_BYTE = tuple(
    KERNEL_BYTES - 1 - KERNEL_BYTE.index(byte) if byte in KERNEL_BYTE else -1
    for byte in range(KERNEL_SLOT)
)
WEIGHT_SIZES = {8: 0, 1: 1, 2: 2, 4: 3}  # weight width in bits -> code in POST.weight_size
WEIGHT_BITS = {code: bits for bits, code in WEIGHT_SIZES.items()}

_KERNEL_BYTE = np.array(KERNEL_BYTE)
_EXPRESS = slice(3, 12)  # b0 to b8 in a slot whose words are read most significant byte first


def slot_offset(stream_byte: np.ndarray) -> np.ndarray:
    """Byte offset, from a processor's first slot, of each byte of its kernel stream."""
    slot, byte = np.divmod(stream_byte, KERNEL_BYTES)
    return slot * KERNEL_SLOT + _KERNEL_BYTE[byte]


def pack_kernel_stream(stream: np.ndarray) -> np.ndarray:
    """uint8 [words * 9] kernel stream -> uint32 [words, 4] as read back from kernel memory."""
    slots = np.zeros((len(stream) // KERNEL_BYTES, KERNEL_SLOT), np.uint8)
    slots[:, _KERNEL_BYTE] = stream.reshape(-1, KERNEL_BYTES)
    return slots.view("<u4").astype(np.uint32)


def unpack_kernel_stream(words: np.ndarray) -> np.ndarray:
    """The inverse of ``pack_kernel_stream``: uint32 [words, 4] -> uint8 [words * 9]."""
    slots = np.ascontiguousarray(words, "<u4").view(np.uint8).reshape(-1, KERNEL_SLOT)
    return slots[:, _KERNEL_BYTE].ravel()


def insert_bits(old: np.ndarray, values: np.ndarray, bit, bits: int) -> np.ndarray:
    """Replace ``bits`` bits from ``bit`` on in each byte of ``old`` (uint8) by ``values``.

    ``bit``: an integer, or an array of the same shape.
    """
    mask = (1 << bits) - 1
    kept = old.astype(np.int64) & ~(mask << bit)
    return (kept | (values.astype(np.int64) & mask) << bit).astype(np.uint8)


def extract_bits(packed: np.ndarray, bit, bits: int) -> np.ndarray:
    """The inverse of ``insert_bits``: signed values (int8) from the bytes ``packed`` (uint8)."""
    raw = packed.astype(np.int64) >> bit & (1 << bits) - 1
    sign = 1 << bits - 1
    return ((raw ^ sign) - sign).astype(np.int8)


def pack_bytes(values: np.ndarray) -> np.ndarray:
    """int8 or uint8 [words, 4] -> uint32 [words]; lane 0 is the least significant byte."""
    return np.ascontiguousarray(values).view(np.uint8).view("<u4").ravel().astype(np.uint32)


def unpack_bytes(words: np.ndarray) -> np.ndarray:
    """The inverse of ``pack_bytes``: uint32 [words] -> int8 [words, 4]."""
    return np.ascontiguousarray(words, "<u4").view(np.int8).reshape(-1, 4)


def pack_express(words: np.ndarray) -> np.ndarray:
    """uint32 [words, 4] kernel words -> uint32 [n]: the packed stream, nine bytes each, padded.

    Byte 0 of a kernel word comes first, and the first byte is a stream word's most significant.
    """
    wide = np.ascontiguousarray(words, ">u4").view(np.uint8).reshape(-1, KERNEL_SLOT)
    stream = wide[:, _EXPRESS].ravel()
    return np.pad(stream, (0, -len(stream) % 4)).view(">u4").astype(np.uint32)


def unpack_express(stream: np.ndarray) -> np.ndarray:
    """The inverse of ``pack_express``; bytes that fill no kernel word are dropped."""
    taken = np.ascontiguousarray(stream, ">u4").view(np.uint8)
    rows = taken[: len(taken) // KERNEL_BYTES * KERNEL_BYTES].reshape(-1, KERNEL_BYTES)
    wide = np.zeros((len(rows), KERNEL_SLOT), np.uint8)
    wide[:, _EXPRESS] = rows
    return wide.view(">u4").astype(np.uint32)
