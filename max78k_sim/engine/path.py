"""The ways to multiply bytes, and what each needs of a processor; chosen in ``engine``."""

from __future__ import annotations

from dataclasses import dataclass

WORD = 4  # bytes of data that are broadcast, and weights of an output in a vector
VECTORS = 4  # at most, of a tile


@dataclass(frozen=True)
class Path:
    """A set of instructions, and the processor features that it needs (LLVM's names).

    ``group``: words whose products are added before they are widened to 32 bits; ``pair_limit``:
    whether each pair of products, added over a group, has to fit 16 bits; ``pixels``: of a tile, by
    its number of vectors, as many as registers hold; ``offset``: what is taken from every byte
    before it is multiplied, 128 where the instruction takes signed bytes only.
    """

    name: str
    features: tuple[str, ...]
    group: int
    pair_limit: bool
    pixels: tuple[int, ...]
    offset: int = 0


VNNI = ("avx512bw", "avx512vl", "avx512vnni")
PATHS = {  # the fastest first
    path.name: path
    for path in (
        Path("avx512-vnni", VNNI, group=1, pair_limit=False, pixels=(12, 10, 8, 6)),
        Path("avx512", VNNI[:2], group=2, pair_limit=True, pixels=(8, 8, 6, 6)),
        Path("avx-vnni", ("avx2", "avxvnni"), group=1, pair_limit=False, pixels=(6, 2, 2, 1)),
        Path("avx2", ("avx2",), group=2, pair_limit=True, pixels=(4, 2, 2, 1)),
        Path("neon", ("dotprod",), group=1, pair_limit=False, pixels=(5, 2, 1, 1), offset=128),
        Path("portable", (), group=1, pair_limit=False, pixels=(4, 2, 2, 1)),
    )
}
