"""Other offsets for the same layers, so that chosen tensors outlive the run.

Tensors that one layer reads together (added, interleaved by a write gap, concatenated) move
together: a block.  Blocks are placed first fit, in a few orders; two may share bytes where they are
not alive at the same time.  A block lives from the layer that writes it to its last reader, or to
the end of the run.  What comes out is compiled and checked like any network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from max78k_sim.allocation import Plan, allocate, kernel_shapes
from max78k_sim.data_layout import written_bytes
from max78k_sim.errors import Max78kError
from max78k_sim.layer import NETWORK_INPUT
from max78k_sim.network import Layer, Network
from max78k_sim.overlap import read_bytes, ring_tenant
from max78k_sim.program import compile_network
from max78k_sim.rules.memory import Tenant, instance_bytes

from .lifetimes import WORD, find_lifetimes, loaded_places

BEFORE = NETWORK_INPUT  # the time at which the sample is written; layers are times 0 and up


@dataclass(frozen=True)
class Move:
    """One layer's offsets in a re-planned network, bytes in each data-memory instance."""

    layer: str
    in_offset: int
    out_offset: int


@dataclass(frozen=True, eq=False)
class Block:
    """Tensors that move together.

    ``extents``: (first byte, byte past the last) by instance, where the block lies now; ``start``
    and ``end``: the times of its life, both included; ``kept``: it is to outlive the run;
    ``fixed``: it cannot move.
    """

    tensors: frozenset[int]
    extents: dict[int, tuple[int, int]]
    start: int
    end: int
    kept: bool = False
    fixed: bool = False

    @property
    def size(self) -> int:
        """Bytes over all instances."""
        return sum(end - start for start, end in self.extents.values())

    def lives_with(self, other: Block) -> bool:
        """Whether both are alive at some time."""
        return self.start <= other.end and other.start <= self.end


ORDERS = (  # in which blocks are placed
    lambda block: (-block.size,),
    lambda block: (not block.kept, -block.size),
    lambda block: (block.kept, -block.size),
    lambda block: (block.start, -block.size),
    lambda block: (block.start - block.end, -block.size),
)


def replan(plan: Plan, kept: Collection[int]) -> tuple[tuple[Move, ...], Plan] | None:
    """Offsets with which the tensors ``kept`` lie unharmed after a run; None if none are found.

    ``kept``: layer indices, NETWORK_INPUT.  Returns the layers that change, and the plan of the
    changed network, which was compiled (allocated, where it has no weights) and looked at byte by
    byte.  First places in which everything that can stays where it is.
    """
    if plan.network.data_buffer is not None:  # its place, and who else uses it, is not looked at
        return None
    blocks = list(find_blocks(plan, kept))
    size = instance_bytes(plan.network)
    for stay in (True, False):
        for order in ORDERS:
            shifts = place(sorted(blocks, key=order), size, stay)
            if shifts is None:
                continue
            moves = moves_of(plan.network, shifts)
            changed = checked(apply_moves(plan.network, moves), plan, kept)
            if changed is not None:
                return moves, changed
    return None


def checked(network: Network, before: Plan, kept: Collection[int]) -> Plan | None:
    """The plan of a changed network; None where it breaks a rule, or harms what it should keep."""
    try:
        plan = plan_of(Network.of(network))
    except Max78kError:
        return None
    if len(plan.overlaps) > len(before.overlaps):
        return None
    last = len(plan.network.layers) - 1
    lifetimes = find_lifetimes(plan, kept)
    kept_all = all(lifetimes.lost_at(tensor, last) > last for tensor in kept)
    return plan if kept_all else None


def plan_of(network: Network) -> Plan:
    """A network's plan, by compiling it where it has all weights."""
    weights = all(
        network.parameters[layer.index] is not None for layer in network.layers if layer.has_kernels
    )
    return compile_network(network).plan if weights else allocate(network)


def apply_moves(network: Network, moves: Collection[Move]) -> Network:
    """The network with some layers' offsets changed; raises what breaks a rule."""
    by_name = {move.layer: move for move in moves}
    layers = tuple(
        replace(layer, in_offset=move.in_offset, out_offset=move.out_offset)
        if (move := by_name.get(layer.name)) is not None
        else layer
        for layer in network.layers
    )
    return replace(network, layers=layers)


# --- blocks


def find_blocks(plan: Plan, kept: Collection[int]) -> Iterator[Block]:
    """Everything that lies in data memory, ring buffers of a stream included."""
    network, size = plan.network, instance_bytes(plan.network)
    last = len(network.layers) - 1
    for group in groups_of(network):
        readers = [
            layer
            for layer in network.layers
            if group.intersection(layer.sources) and reads_memory(network, layer)
        ]
        places = [bytes_of(plan, tensor) for tensor in sorted(group)]
        places += [read_bytes(network, layer).reshape(-1) for layer in readers]
        stays = group.intersection(kept) or last in group
        stays = stays or any(n >= 0 and network.layers[n].keep for n in group)
        end = last + 1 if stays else max([*group, *(layer.index for layer in readers)])
        yield Block(
            frozenset(group),
            extents(np.concatenate(places), size),
            min(group),
            end,
            kept=bool(group.intersection(kept)),
            fixed=reaches_before_zero(plan, group),
        )
    streamed = [layer for layer in network.layers if not reads_memory(network, layer)]
    for layer in streamed:
        yield ring_block(ring_tenant(network, layer), streamed[-1].index)


def ring_block(ring: Tenant, last: int) -> Block:
    """A ring buffer, or the frame that FIFOs bring: in use until the last streamed layer ran."""
    place = dict.fromkeys(ring.instances, (ring.start, ring.end))
    return Block(frozenset(), place, BEFORE, last, fixed=True)


def reads_memory(network: Network, layer: Layer) -> bool:
    """Whether a layer's input lies in memory whole."""
    return not (layer.streaming or (network.fifo and layer.index == 0))


def groups_of(network: Network) -> list[set[int]]:
    """Tensors that lie in memory, those together that some layer reads together."""
    groups = [{layer.index} for layer in network.layers if not network.streams_into_next(layer)]
    if any(
        NETWORK_INPUT in layer.sources and reads_memory(network, layer) for layer in network.layers
    ):
        groups.append({NETWORK_INPUT})
    for layer in network.layers:
        together = [group for group in groups if group.intersection(layer.sources)]
        for first, second in pairwise(together):
            second |= first
            groups.remove(first)
    return groups


def bytes_of(plan: Plan, tensor: int) -> np.ndarray:
    """int64 [n]: bytes that the writing of a tensor touches."""
    if tensor == NETWORK_INPUT:
        return loaded_places(plan)
    layer = plan.network.layers[tensor]
    shape = kernel_shapes(plan.layers).get(tensor)
    return written_bytes(plan.network, layer, shape).reshape(-1)


def reaches_before_zero(plan: Plan, group: set[int]) -> bool:
    """Whether a dilated layer writes before the offsets that exist: its place is not moved."""
    layers = [plan.network.layers[n] for n in group if n >= 0]
    return any(
        WORD * layer.hardware.skipped * layer.out_passes[0] > layer.out_offset for layer in layers
    )


def extents(places: np.ndarray, size: int) -> dict[int, tuple[int, int]]:
    """(first byte, byte past the last) in whole words, by instance."""
    instance, offset = np.divmod(places, size)
    found = {}
    for number in np.unique(instance):
        mine = offset[instance == number] // WORD
        found[int(number)] = int(mine.min()) * WORD, (int(mine.max()) + 1) * WORD
    return found


# --- placing


def place(blocks: list[Block], size: int, stay: bool) -> dict[Block, int] | None:
    """First fit: how far each block moves, in bytes; None where one finds no place.

    ``stay``: a block that can stay where it is does.
    """
    placed: list[tuple[Block, int]] = [(block, 0) for block in blocks if block.fixed]
    for block in blocks:
        if block.fixed:
            continue
        near = [(other, shift) for other, shift in placed if block.lives_with(other)]
        shift = next((s for s in shifts_of(block, near, stay) if free(block, s, near, size)), None)
        if shift is None:
            return None
        placed.append((block, shift))
    return dict(placed)


def shifts_of(block: Block, near: list[tuple[Block, int]], stay: bool) -> list[int]:
    """Moves to try, the lowest place first: to the beginning, and behind each neighbour."""
    lowest = min(start for start, _ in block.extents.values())
    behind = {-lowest} | {
        other.extents[instance][1] + shift - start
        for other, shift in near
        for instance, (start, _) in block.extents.items()
        if instance in other.extents
    }
    return [0, *sorted(behind)] if stay else sorted(behind)


def free(block: Block, shift: int, near: list[tuple[Block, int]], size: int) -> bool:
    """Whether a block lies within its instances, beside those that are alive with it.

    Two that both stay, and need not outlive the run, share what they always shared.
    """
    for instance, (start, end) in block.extents.items():
        start, end = start + shift, end + shift
        if start < 0 or end > size:
            return False
        for other, moved in near:
            if not (shift or moved or block.kept or other.kept):
                continue
            first, past = other.extents.get(instance, (0, 0))
            if start < past + moved and first + moved < end:
                return False
    return True


def moves_of(network: Network, shifts: dict[Block, int]) -> tuple[Move, ...]:
    """The layers whose offsets change."""
    by_tensor = {tensor: shift for block, shift in shifts.items() for tensor in block.tensors}
    moves = []
    for layer in network.layers:
        read = 0
        if reads_memory(network, layer):
            read = next((by_tensor[n] for n in layer.sources if n in by_tensor), 0)
        move = Move(
            layer.name, layer.in_offset + read, layer.out_offset + by_tensor.get(layer.index, 0)
        )
        if (move.in_offset, move.out_offset) != (layer.in_offset, layer.out_offset):
            moves.append(move)
    return tuple(moves)
