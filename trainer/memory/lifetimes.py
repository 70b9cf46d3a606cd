"""Which tensors lie unharmed in data memory after which layers ran: byte by byte.

A tensor is harmed by whoever writes one of its bytes after it was written: a later layer, or the
loading of the next input.  Where layers stream, their ring buffers count as written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from max78k_sim.allocation import Plan, kernel_shapes
from max78k_sim.data_layout import written_bytes
from max78k_sim.layer import NETWORK_INPUT
from max78k_sim.network import Network
from max78k_sim.overlap import ring_tenant
from max78k_sim.placement import Placement
from max78k_sim.rules.memory import Tenant, instance_bytes

WORD = 4  # bytes


@dataclass(frozen=True)
class Lifetimes:
    """``harmers``: for each tensor, the writers of any of its bytes but itself.

    Writers are layer indices, and NETWORK_INPUT for the loading of a sample.  A tensor that lies
    nowhere (an input that comes through the FIFOs) has no entry.
    """

    harmers: dict[int, frozenset[int]]

    def survives(self, tensor: int, writers: Sequence[int]) -> bool:
        """Whether a tensor lies whole in memory after these writers wrote, in this order."""
        if tensor not in self.harmers or tensor not in writers:
            return False
        written = len(writers) - 1 - writers[::-1].index(tensor)
        return self.harmers[tensor].isdisjoint(writers[written + 1 :])

    def lost_at(self, tensor: int, last: int) -> int:
        """The first layer of one run that harms a tensor; ``last + 1`` if none does."""
        if tensor not in self.harmers:
            return tensor + 1
        later = [writer for writer in self.harmers[tensor] if writer > tensor]
        return min([*later, last + 1])


def find_lifetimes(plan: Plan, tensors: Iterable[int]) -> Lifetimes:
    """Who harms each of these tensors, from the bytes that layers write by their registers."""
    writers = written_places(plan)
    found = {}
    for number in tensors:
        placement = tensor_placement(plan, number)
        if placement is not None:
            mine = tensor_places(plan, placement)
            found[number] = frozenset(
                writer
                for writer, theirs in writers.items()
                if writer != number and touch(mine, theirs)
            )
    return Lifetimes(found)


def tensor_placement(plan: Plan, number: int) -> Placement | None:
    """Where a tensor lies: of the network's input as the first layer reads it; None if nowhere."""
    kind = (0, "input") if number == NETWORK_INPUT else (number, "output")
    name = plan.network.layers[kind[0]].name
    return plan.placements.get((name, kind[1]))


def tensor_places(plan: Plan, placement: Placement) -> np.ndarray:
    """int64 [n], ascending: bytes of data memory that hold a tensor, over all instances."""
    data = plan.device.region("data")
    address = placement.address.reshape(-1).astype(np.int64) - data.base
    if placement.bits == 8 * WORD:
        address = (address[:, None] + np.arange(WORD)).reshape(-1)
    group, offset = np.divmod(address, data.group_stride)
    unit, byte = np.divmod(offset, data.unit_stride)
    return np.unique((group * data.units + unit) * instance_bytes(plan.network) + byte)


def written_places(plan: Plan) -> dict[int, np.ndarray]:
    """int64 [n], ascending, by writer: the bytes that it writes in a run."""
    network, shapes = plan.network, kernel_shapes(plan.layers)
    found = {NETWORK_INPUT: loaded_places(plan)}
    for layer in network.layers:
        if network.streams_into_next(layer):
            ring = ring_tenant(network, network.layers[layer.index + 1])
            found[layer.index] = tenant_places(network, ring)
        else:
            written = written_bytes(network, layer, shapes.get(layer.index))
            found[layer.index] = np.unique(written)
    return found


def loaded_places(plan: Plan) -> np.ndarray:
    """Bytes that the loading of a sample may change: whole words, or the FIFOs' buffer."""
    placement = tensor_placement(plan, NETWORK_INPUT)
    if placement is None:
        return tenant_places(plan.network, ring_tenant(plan.network, plan.network.layers[0]))
    words = np.unique(tensor_places(plan, placement) // WORD * WORD)
    return (words[:, None] + np.arange(WORD)).reshape(-1)


def tenant_places(network: Network, tenant: Tenant) -> np.ndarray:
    """The bytes of a tenant, over all instances."""
    size = instance_bytes(network)
    first = np.array(sorted(tenant.instances), np.int64) * size
    return (first[:, None] + np.arange(tenant.start, min(tenant.end, size))).reshape(-1)


def touch(mine: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two ascending arrays have a number in common."""
    if not mine.size or not theirs.size or mine[0] > theirs[-1] or theirs[0] > mine[-1]:
        return False
    place = np.minimum(np.searchsorted(mine, theirs), len(mine) - 1)
    return bool((mine[place] == theirs).any())
