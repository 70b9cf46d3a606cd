"""The ways to multiply bytes, and what each needs of a processor; chosen in ``engine``."""

from __future__ import annotations

from dataclasses import dataclass

WORD = 4  # bytes of data that are broadcast, and weights of an output in a vector


@dataclass(frozen=True)
class Path:
    """A set of instructions, and the processor features that it needs (LLVM's names).

    ``lanes``: outputs of a vector, which is one register; ``group``: words whose products are added
    before they are widened to 32 bits; ``pixels``: of a tile, by its number of vectors, as many as
    registers hold; ``patches``: the same, of products of 16 bits (``winograd``), and none where
    these are never faster; ``gain``: how many fewer there have to be, 1.4 times what one costs
    (measured on AVX2, else an estimate); ``offset``: what is taken from every byte before it is
    multiplied, 128 where the instruction takes signed bytes only.
    """

    name: str
    features: tuple[str, ...]
    lanes: int
    group: int
    pixels: tuple[int, ...]
    patches: tuple[int, ...] = ()
    gain: float = 1.8
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
FEW, MANY = (8, 4, 3, 2), (12, 12, 8, 6)  # patches, for 16 and 32 registers
PATHS = {  # the fastest first
    path.name: path
    for path in (
        Path("avx512-vnni", VNNI, 16, 1, (12, 10, 8, 6), MANY, gain=2.8),
        Path("avx512", VNNI[:2], 16, 2, (8, 8, 6, 6), MANY),
        Path("avx-vnni", ("avx2", "avxvnni"), 8, 1, (10, 6, 4, 3), FEW, gain=2.8),
        Path("avx2", ("avx2",), 8, 2, (8, 4, 3, 2), FEW),
        Path("neon", ("dotprod",), 4, 1, (16, 12, 7, 5, 4, 4, 3, 3), offset=128),
        Path("portable", (), 8, 1, (8, 4, 3, 2), FEW),
    )
}
