"""A batch computes every layer of every golden case as the machine does, its extremes too."""

from __future__ import annotations

import os

import numpy as np
import pytest

from max78k_sim import Machine, compile_network, engine
from max78k_sim.batch import Batch
from tests.conftest import NO_CORPUS, corpus, has_corpus

from .cases import Case, cases_in

# machine and batch of every case, on every path: at night only
NIGHTLY = os.environ.get("MAX78K_NIGHTLY") == "1"
LARGE = [
    case
    for part in ("corpus", "fuzz")
    for case in (cases_in(corpus() / part)[:: 1 if NIGHTLY else 20] if has_corpus() else [])
]


@pytest.mark.corpus
@pytest.mark.parametrize(
    "case",
    LARGE or [pytest.param(None, marks=pytest.mark.skip(reason=NO_CORPUS))],
    ids=lambda case: case.name if case else "none",
)
def test_corpus_case(case: Case):
    network = case.network()
    golden = np.asarray(case.sample).reshape(network.input_shape).astype(np.int8)
    least, most = np.full_like(golden, -128), np.full_like(golden, 127)
    samples = np.stack([golden, least, most])
    machine, names = Machine(), [layer.name for layer in network.layers]
    machine.load(compile_network(network))
    wanted: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for sample in samples:
        for trace in machine.traces(sample):
            wanted[names[trace.layer]].append(machine.output_of(trace))
    for path in engine.paths() if NIGHTLY else engine.paths()[:1]:
        fresh = Machine()
        fresh.load(compile_network(network))
        found = Batch(fresh, path=path).run_layers(samples, names)
        for name in names:
            np.testing.assert_array_equal(found[name], np.array(wanted[name]), err_msg=name)
