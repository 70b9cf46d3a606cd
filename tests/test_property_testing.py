"""The examples of docs/property-testing.md run as they are printed, and can fail."""

from __future__ import annotations

import re

import pytest
from hypothesis import Phase, Verbosity, settings

from max78k_sim import arithmetic, testing
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "property-testing.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^## (.*?)$.*?^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE))
CHANGES = {  # per example: what to break, and how; its tests have to notice
    "A Q7 routine of your own": ("q7_from_real(0.125)", "q7_from_real(0.12)"),
    "An address that your C code uses": ("address & ~3, address & 3", "address & ~3, ~address & 3"),
    "The machine against your own model": ("total, layer.output_shift)", "total - 1, 0)"),
}


def run(code: str) -> int:
    """Run every test of an example; how many there were."""
    names: dict = {}
    exec(compile(code, str(PAGE), "exec"), names)
    tests = [name for name in names if name.startswith("test_")]
    for name in tests:
        names[name]()
    return len(tests)


def test_the_page_has_three_examples():
    assert set(EXAMPLES) == set(CHANGES) and len(EXAMPLES) == TEXT.count("```python") == 3


@pytest.mark.parametrize("title", EXAMPLES)
def test_example(title):
    assert run(EXAMPLES[title]) >= 1


@pytest.fixture
def unshrunk():
    """Failures are found and not made small, which would take a minute."""
    settings.register_profile(
        "unshrunk",
        settings.get_profile("max78k"),
        phases=(Phase.generate,),
        verbosity=Verbosity.quiet,
    )
    settings.load_profile("unshrunk")
    yield
    settings.load_profile("max78k")


@pytest.mark.parametrize("title", EXAMPLES)
def test_example_notices_a_mistake(title, unshrunk):
    right, wrong = CHANGES[title]
    assert EXAMPLES[title].count(right) == 1
    with pytest.raises(AssertionError):
        run(EXAMPLES[title].replace(right, wrong))


def test_the_tables_name_what_exists():
    strategies = re.findall(r"^\| `(\w+)\(.*?\)` \| ", TEXT, re.MULTILINE)
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ", TEXT, re.MULTILINE)
    functions = [name for row in rows for name in re.findall(r"\w+", row)]
    assert len(strategies) == 11 and len(functions) == 15
    assert all(callable(getattr(testing, name)) for name in strategies)
    assert all(callable(getattr(arithmetic, name)) for name in functions)
