"""The address map, both ways: every element of every golden case, and samples as people ask."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from max78k_sim.address_map import runs
from max78k_sim.allocation import Plan, allocate
from max78k_sim.elements import columns_of, select
from max78k_sim.explain import explain, where
from max78k_sim.map_files import addresses_json
from max78k_sim.verbs.map import read_range
from tests.conftest import CASES, ROOT, corpus
from tests.strategies import examples

from .address_map import check_plan
from .cases import EXPECTED_COUNTS, Case, cases_in

COMMITTED = sorted(case.name for case in cases_in(CASES))


@cache
def plan_of(name: str) -> Plan:
    return allocate(Case(CASES / name).network())


@pytest.mark.parametrize("name", COMMITTED)
def test_every_element_of_a_committed_case(name):
    counts = check_plan(plan_of(name))
    assert counts["data words"] > 0


@pytest.mark.corpus
def test_every_element_of_the_corpus():
    """And that the figures in docs/conformance.md are these."""
    counts: Counter[str] = Counter()
    for part in EXPECTED_COUNTS:
        for case in cases_in(corpus() / part):
            counts += check_plan(allocate(case.network()))
    told = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    for name, count in counts.items():
        assert f"{count:,} {name}" in told


@pytest.mark.parametrize("name", COMMITTED)
def test_runs_hold_every_element(name):
    """Kernel runs are what allocation reserved; all other runs are exactly the words in use."""
    plan = plan_of(name)
    used: dict[tuple, list] = {}
    for run in runs(plan):
        stretch = run.first + run.step * np.arange(run.words)
        assert run.end == stretch[-1] + (16 if run.kind == "kernel" else 4)
        used.setdefault((run.layer, run.kind), []).append(stretch)
    for (layer, kind), place in plan.placements.items():
        mine = np.sort(np.concatenate(used[layer, kind]))
        needed = np.unique(place.address & ~np.uint32(15 if kind == "kernel" else 3))
        assert len(np.unique(mine)) == len(mine)
        assert np.isin(needed, mine).all()
        assert kind == "kernel" or len(needed) == len(mine)
    reserved = {
        layer.name: int((plan.kernel_map == layer.index).sum())
        for layer, mine in zip(plan.network.layers, plan.layers, strict=True)
        if layer.has_kernels and mine.shared_with is None
    }
    found = {name: sum(map(len, used[name, "kernel"])) for name in reserved}
    assert found == reserved and sum(found.values()) == plan.kernel_words_used


@st.composite
def questions(draw: st.DrawFn) -> tuple[Plan, str, str, tuple[int, ...], str]:
    """A plan, an element of it, and a name that a person may give it."""
    plan = plan_of(draw(st.sampled_from(COMMITTED)))
    layer, kind = draw(st.sampled_from(sorted(plan.placements)))
    shape = plan.placements[layer, kind].shape
    index = tuple(draw(st.integers(0, size - 1)) for size in shape)
    shown = [draw(st.sampled_from([n, n - size])) for n, size in zip(index, shape, strict=True)]
    owner = plan.network.layer(layer)
    name = draw(st.sampled_from([layer, f"layer{owner.index}", str(owner.index)]))
    pytorch = kind == "kernel" and owner.op != "convtranspose2d"
    word = draw(st.sampled_from(["kernel", "weight", "op.weight"] if pytorch else [kind]))
    return plan, layer, kind, index, f"{name}.{word}[{', '.join(map(str, shown))}]"


@examples(150)
@given(question=questions())
def test_what_undoes_where_as_people_ask(question):
    plan, layer, kind, index, asked = question
    chosen = select(plan, asked)
    assert (chosen.layer, chosen.kind, chosen.index.tolist()) == (layer, kind, [list(index)])
    answer = where(plan, chosen.layer, chosen.kind, tuple(chosen.index[0]))
    address, length = read_range(re.findall(r"\]?.*?: (0x[0-9a-f]{8}), ", answer)[0])
    assert length is None
    table = columns_of(plan, chosen)
    found = addresses_json(plan, [address])[0]
    for name, number in found["place"].items():
        assert table[name.replace("_", " ")].tolist() == [number]
    (mine,) = [one for one in found["elements"] if (one["layer"], one["tensor"]) == (layer, kind)
               and tuple(one["index"].values()) == index]  # fmt: skip
    assert mine["bits"] == [int(table["bit"][0]), int(table["last bit"][0])]
    assert select(plan, mine["name"]).index.tolist() == [list(index)]
    if kind in ("kernel", "bias"):
        assert answer.split(": 0x")[0] in explain(plan, address)
