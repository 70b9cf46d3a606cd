"""Whether the two directions of the address map are inverse, on every element of a plan."""

from __future__ import annotations

from collections import Counter

import numpy as np

from max78k_sim.allocation import Plan
from max78k_sim.network import set_bits
from max78k_sim.placement import Placement


def check_plan(plan: Plan) -> Counter[str]:
    """Every weight, bias byte and word of data; returns how many of each were looked up."""
    counts: Counter[str] = Counter()
    for (layer, kind), place in plan.placements.items():
        bytes_used = distinct(np.sort(place.address, axis=None).astype(np.int64))
        check_places(plan, layer, kind, bytes_used)
        check_elements(place, bytes_used)
        if place.kind == "data":
            counts["data words"] += len(distinct(bytes_used >> 2))
        else:
            counts["weights" if kind == "kernel" else "bias bytes"] += place.address.size
    return counts


def check_places(plan: Plan, layer: str, kind: str, address: np.ndarray) -> None:
    """Address -> quadrant, unit, entry, word and byte of the region, that it stores -> address."""
    place = plan.placements[layer, kind]
    region = plan.device.region(place.kind)
    group, unit, entry, word, byte = region.split(address)
    assert np.array_equal(region.address(group, unit, entry, word) + byte, address), (layer, kind)
    for index, count in zip((group, unit, entry, word, byte), (*region.shape, 4), strict=True):
        assert np.min(index) >= 0 and np.max(index) < count, (layer, kind)
    stored = np.array(region.word_masks)[word] >> 8 * byte & 0xFF
    assert stored.all(), (layer, kind)
    for each in (address[0], address[-1]):  # the form for one address agrees
        found = plan.device.locate(int(each))
        assert (found.region, found.address) == (region, each)
    if kind == "kernel":
        owner, twin = plan.network.layer(layer), plan.layers[plan.network.layer(layer).index]
        processor = group * region.units + unit
        assert set(np.unique(processor).tolist()) <= set(set_bits(owner.processors))
        index = owner.index if twin.shared_with is None else twin.shared_with
        assert (plan.kernel_map[processor, entry] == index).all(), layer


def check_elements(place: Placement, bytes_used: np.ndarray) -> None:
    """Every byte of the tensor -> the elements that it holds -> their addresses: each exactly once.

    Of 32-bit data, each of the four bytes of a word leads to its element.
    """
    size = place.address.size
    for byte in range(4 if place.bits == 32 else 1):
        position, element = place.elements_at(bytes_used + byte)
        assert np.array_equal(place.address.reshape(-1)[element], bytes_used[position])
        seen = np.zeros(size, bool)
        seen[element] = True
        assert len(element) == size and seen.all()  # each element once
        first = bytes_used[position] * 8 + place.bit.reshape(-1)[element]
        assert (first[:-1] + place.bits <= first[1:]).all()  # no two have a bit in common


def distinct(ascending: np.ndarray) -> np.ndarray:
    """Numbers without their repetitions."""
    return ascending[np.append(True, ascending[1:] != ascending[:-1])]
