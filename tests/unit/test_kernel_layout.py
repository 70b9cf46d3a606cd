"""Kernel words that a layer takes, against those that the vendor's generator writes.

kernel_words.json has layers of golden cases: their fields where they differ from FIRST, the words
that the vendor's memory image holds for them in each processor (``written``: first, past the last),
and those that we reserve, from which the layers after them in the case got the vendor's addresses.
Where the output map has gaps these are more: registers read words there that the vendor does not
write.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from max78k_sim.allocation import FREE, allocate
from max78k_sim.kernel_layout import loader_words
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
        if key not in ("case", "written", "reserved")
    }
    network = one_layer(**fields)
    plan = allocate(network)
    (layer,), shape = network.layers, plan.layers[0].kernel
    used = plan.kernel_map[layer.processors.bit_length() - 1] != FREE
    assert np.flatnonzero(used).tolist() == words(row["reserved"])
    skipping = loader_words(layer, shape)
    assert skipping == (words(row["written"]) if skipping else [])
    assert skipping or row["written"] == row["reserved"]
