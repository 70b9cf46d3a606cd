"""``validate`` calls every golden case equal, but for where the vendor contradicts itself."""

from __future__ import annotations

import os

import pytest

from max78k_sim.program import compile_network
from max78k_sim.validation.golden import GoldenFolder
from max78k_sim.validation.references import read_reference
from max78k_sim.validation.validation import compare
from tests.conftest import CASES, NO_CORPUS, corpus, has_corpus

from .cases import Case, cases_in
from .contradictions import wrong_kernels, wrong_outputs

# every case of the corpus takes as long as the conformance run itself: at night only
STEP = 1 if os.environ.get("MAX78K_NIGHTLY") == "1" else 10
LARGE = [
    case
    for part in ("corpus", "fuzz")
    for case in (cases_in(corpus() / part)[::STEP] if has_corpus() else [])
]


def check(case: Case) -> None:
    network = GoldenFolder(case.folder).network()
    report = compare(compile_network(network), read_reference(case.folder, network), None)
    excused = any(
        wrong_outputs(case, network, layer) or wrong_kernels(case, network, layer)
        for layer in network.layers
    )
    assert report.equal != excused
    assert report.input is None and (report.words or report.layers)


@pytest.mark.parametrize("case", cases_in(CASES), ids=lambda case: case.name)
def test_committed_case(case):
    check(case)


@pytest.mark.corpus
@pytest.mark.parametrize(
    "case",
    LARGE or [pytest.param(None, marks=pytest.mark.skip(reason=NO_CORPUS))],
    ids=lambda case: case.name if case else "none",
)
def test_corpus_case(case):
    check(case)
