"""The ways to multiply bytes, and what each needs of a processor; chosen in ``engine``."""

from __future__ import annotations

from dataclasses import dataclass

WORD = 4  # bytes of data that are broadcast, and weights of an output in a vector


@dataclass(frozen=True)
class Path:
    """A set of instructions, and the processor features that it needs (LLVM's names).

    ``lanes``: outputs of a vector, which is one register; ``group``: words whose products are added
    before they are widened to 32 bits; ``pixels``: of a tile, by its number of vectors, as many as
    registers hold; ``offset``: what is taken from every byte before it is multiplied, 128 where the
    instruction takes signed bytes only.
    """

    name: str
    features: tuple[str, ...]
    lanes: int
    group: int
    pixels: tuple[int, ...]
    offset: int = 0

    @property
    def pair_limit(self) -> bool:
        """Whether each pair of products, added over a group, has to fit 16 bits."""
        return self.group > 1

    @property
    def block(self) -> int:
        """Outputs of the largest tile."""
        return self.lanes * len(self.pixels)


VNNI = ("avx512bw", "avx512vl", "avx512vnni")
PATHS = {  # the fastest first
    path.name: path
    for path in (
        Path("avx512-vnni", VNNI, lanes=16, group=1, pixels=(12, 10, 8, 6)),
        Path("avx512", VNNI[:2], lanes=16, group=2, pixels=(8, 8, 6, 6)),
        Path("avx-vnni", ("avx2", "avxvnni"), lanes=8, group=1, pixels=(12, 6, 4, 3)),
        Path("avx2", ("avx2",), lanes=8, group=2, pixels=(8, 4, 3, 2)),
        Path("neon", ("dotprod",), 4, group=1, pixels=(16, 12, 7, 5, 4, 4, 3, 3), offset=128),
        Path("portable", (), lanes=8, group=1, pixels=(8, 4, 3, 2)),
    )
}
