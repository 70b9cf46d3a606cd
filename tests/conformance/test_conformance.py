"""Every golden case, at every level; and that none drops out."""

from __future__ import annotations

import filecmp

import pytest

from max78k_sim.errors import InputError
from tests.conftest import CASES, NO_CORPUS, corpus, has_corpus

from .cases import EXPECTED_COUNTS, OTHER_CHECKPOINT, Case, cases_in
from .harness import LEVELS, Result, check_case

COMMITTED = cases_in(CASES)
NAMES = {case.name for case in COMMITTED}
LARGE = [
    case
    for part in EXPECTED_COUNTS
    for case in (cases_in(corpus() / part) if has_corpus() else [])
    if case.name not in NAMES
]
ALWAYS = {"loads", "layers", "allocation"}  # simulation-only variants have no more


def check(case: Case) -> Result:
    result = check_case(case)
    assert not result.faults, "\n".join(result.faults[:20])
    assert set(result) >= ALWAYS and set(result) <= set(LEVELS)
    return result


@pytest.mark.parametrize("case", COMMITTED, ids=lambda case: case.name)
def test_committed_case(case):
    check(case)


@pytest.mark.corpus
@pytest.mark.parametrize(
    "case",
    LARGE or [pytest.param(None, marks=pytest.mark.skip(reason=NO_CORPUS))],
    ids=lambda case: case.name if case else "none",
)
def test_corpus_case(case):
    result = check(case)
    if case.checkpoint and case.name not in OTHER_CHECKPOINT:
        assert result["checkpoint"].checked == 1


def test_all_cases_are_committed():
    assert len(COMMITTED) == len(list(CASES.glob("*/meta.json"))) == 100


@pytest.mark.corpus
def test_no_case_drops_out():
    folder = corpus()
    present = {part: cases_in(folder / part) for part in EXPECTED_COUNTS}
    assert {part: len(cases) for part, cases in present.items()} == EXPECTED_COUNTS
    assert {case.name for case in present["fuzz"]} > {case.name for case in COMMITTED}
    names = {case.name for case in present["corpus"]}
    assert names >= OTHER_CHECKPOINT.keys()
    loaded = {case.name for case in present["corpus"] if case.checkpoint} - OTHER_CHECKPOINT.keys()
    assert loaded >= {"demo-mnist", "demo-cifar-10"}


@pytest.mark.corpus
def test_committed_cases_are_the_originals():
    for case in COMMITTED:
        names = [file.name for file in case.folder.iterdir()]
        original = corpus() / "fuzz" / case.name
        assert not any(filecmp.cmpfiles(case.folder, original, names, shallow=False)[1:])


@pytest.mark.corpus
@pytest.mark.parametrize("name", OTHER_CHECKPOINT)
def test_a_checkpoint_said_to_be_another_is_another(name):
    case = Case(corpus() / "corpus" / name)
    assert case.checkpoint
    with pytest.raises(InputError, match="is not the checkpoint's 'ai85nascifarnet'"):
        case.network_of_checkpoint()
