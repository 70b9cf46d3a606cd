"""The page of refusals: every case once, each under a rule that there is."""

from __future__ import annotations

import csv
import re

import pytest

from max78k_sim.rules import RULES
from tests.conftest import ROOT, corpus

PAGE = (ROOT / "docs" / "refusals.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## (\S+): (\d+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)


def cases_of(section: str) -> list[str]:
    rows = re.findall(r"^\| (\S+) \| ", section, re.MULTILINE)
    return [name for name in rows if name not in ("case", "---")]


def test_sections_are_rules():
    names = {rule.name for rule in RULES} | {"legal"}
    for name, count, section in SECTIONS:
        assert name in names and len(cases_of(section)) == int(count), name
        if name != "legal":
            assert ".yaml:" in section or "layer" in section


def test_messages_say_where():
    """File and line; what is wrong is asserted in test_rules.py."""
    for name, _, section in SECTIONS:
        for row in re.findall(r"^\| \S+ \| (.*) \| .* \|$", section, re.MULTILINE):
            if name != "legal" and not row.startswith(("our message", "---")):
                assert re.match(r"(tests|networks)/\S+\.yaml:\d+(:\d+)?: ", row), row


@pytest.mark.corpus
def test_every_skipped_case_has_a_row():
    with (corpus() / "corpus" / "skipped.csv").open(encoding="utf-8") as file:
        skipped = [row["case"] for row in csv.DictReader(file)]
    assert sorted(skipped) == sorted(case for *_, part in SECTIONS for case in cases_of(part))
