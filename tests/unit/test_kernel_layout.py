"""Kernel words that a layer takes, against those that the vendor's generator writes.

kernel_words.json has layers: their fields where they differ from FIRST, the ``count`` of kernels
and the words that the vendor's generator writes for them in their first processor (``written``:
first, past the last), and those that we reserve, which the hardware reads besides.  Cases are
golden cases, where the memory image has the same words, or other layers for which the generator's
loader was asked.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from max78k_sim.allocation import FREE, allocate
from max78k_sim.kernel_layout import loader_words
from max78k_sim.network import set_bits
from tests.builders import one_layer

ROWS = json.loads(Path(__file__).with_name("kernel_words.json").read_text())


def words(runs: list[list[int]]) -> list[int]:
    return [word for first, end in runs for word in range(first, end)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["case"])
def test_words_of_golden_layers(row):
    fields = {
        key: int(value, 16)
        if "processors" in key
        else tuple(value)
        if isinstance(value, list)
        else value
        for key, value in row.items()
        if key not in ("case", "count", "written", "reserved")
    }
    network = one_layer(**fields)
    plan = allocate(network)
    (layer,), shape = network.layers, plan.layers[0].kernel
    used = plan.kernel_map[layer.processors.bit_length() - 1] != FREE
    assert np.flatnonzero(used).tolist() == words(row["reserved"])
    assert sorted(loader_words(layer, shape)) == words(row["written"])
    first, *_, last = 2 * set_bits(layer.output_processors)
    assert (shape.span, shape.count) == (last + 1 - first // 4 * 4, row["count"])
