"""Every golden case that this project claims, at every level; and that none drops out."""

from __future__ import annotations

import filecmp

import pytest

from max78k_sim.errors import InputError, NotEmulated
from tests.conftest import CASES, NO_CORPUS, corpus, has_corpus

from .cases import EXPECTED_COUNTS, NOT_BUILT, OTHER_CHECKPOINT, Case, claimed_cases
from .harness import LEVELS, Result, check_case

COMMITTED = claimed_cases(CASES)
NAMES = {case.name for case in COMMITTED}
LARGE = [
    case
    for part in EXPECTED_COUNTS
    for case in (claimed_cases(corpus() / part) if has_corpus() else [])
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


def test_all_committed_cases_are_claimed():
    assert len(COMMITTED) == len(list(CASES.glob("*/meta.json"))) == 100


@pytest.mark.corpus
def test_no_case_drops_out():
    folder = corpus()
    claimed = {part: claimed_cases(folder / part) for part in EXPECTED_COUNTS}
    assert {part: len(cases) for part, cases in claimed.items()} == EXPECTED_COUNTS
    assert {case.name for case in claimed["fuzz"]} > {case.name for case in COMMITTED}
    names = {case.name for case in claimed["corpus"]}
    assert names >= OTHER_CHECKPOINT.keys()
    loaded = {case.name for case in claimed["corpus"] if case.checkpoint} - OTHER_CHECKPOINT.keys()
    assert loaded >= {"demo-mnist", "demo-cifar-10"}


@pytest.mark.corpus
@pytest.mark.parametrize("name", NOT_BUILT)
def test_what_is_not_built_says_so(name):
    with pytest.raises(NotEmulated, match=NOT_BUILT[name]):
        Case(corpus() / "corpus" / name).network()


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
