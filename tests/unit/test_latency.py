"""Cycles: every golden case of the operations built here, layer by layer, and silicon."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from max78k_sim import load_network
from max78k_sim.latency import CPU_COSTS, OVERHEAD_CYCLES, latency, milliseconds

ROOT = Path(__file__).parents[2]
CASES = sorted((ROOT / "tests" / "cases").glob("*/meta.json"))
CORPUS = ROOT / os.environ.get("MAX78K_CORPUS", "../shared")
BUILT = re.compile(
    r"act_\w+|(no_)?bias|chw|conv2d|conv2d_(1x1|3x3|pad\d)|(avg|max)pool(_\d+x\d+s\d+)?|linear"
    r"|flatten|(in|out)_chan%4|(in|out)_multipass|q8|out32|shift_nonzero|avg-pool-rounding"
)
SWITCHES = {"--output-width": "output_width", "--stop-after": "stop_after"}


def estimates(meta_file: Path) -> tuple[list[int], list[int]]:
    """(cycles here, cycles of the vendor's generator): each layer, then the total."""
    meta = json.loads(meta_file.read_text())
    case, flags = meta_file.parent, meta["flags"]
    options = {
        name: int(flags[flags.index(key) + 1]) for key, name in SWITCHES.items() if key in flags
    }
    shape = (*np.load(case / "sample.npy").shape, 1)[:3]
    network = load_network(case / "network.yaml", case / "params.npz", input_shape=shape, **options)
    found = latency(network)
    expected = [layer["est_cycles"] for layer in meta["layers"]]
    return [*found.layers, found.total], [*expected, meta["est_cycles"]]


@pytest.mark.parametrize("meta_file", CASES, ids=[file.parent.name for file in CASES])
def test_cycles_of_committed_cases(meta_file):
    found, expected = estimates(meta_file)
    assert found == expected


@pytest.mark.parametrize(("folder", "at_least"), [("corpus", 100), ("fuzz", 15)])
def test_cycles_of_all_golden_cases(folder, at_least):
    files = sorted((CORPUS / folder).glob("*/meta.json"))
    if not files:
        pytest.skip(
            f"no cases in {CORPUS / folder}; set MAX78K_CORPUS to the folder of golden cases"
        )
    compared = 0
    for file in files:
        if all(BUILT.fullmatch(feature) for feature in json.loads(file.read_text())["features"]):
            found, expected = estimates(file)
            assert found == expected, file.parent.name
            compared += 1
    assert compared >= at_least


def test_silicon():
    """Cycles of the vendor's MNIST network, and the time measured on the chip."""
    assert milliseconds(70_158 + OVERHEAD_CYCLES) == pytest.approx(1.410, abs=0.0002)


def test_cpu_costs_name_their_source():
    assert all(cost.cycles > 0 and cost.source.startswith("estimate") for cost in CPU_COSTS)
