"""The explanations of mutants that survive are of lines that are still there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "mutation.md").read_text(encoding="utf-8")
REASONS = yaml.safe_load(Path(__file__).with_name("explained.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason["why"][:40])
def test_explained_lines_are_there(reason):
    assert reason["why"].strip() and reason["mutants"]
    assert reason["why"] in PAGE, "python -m tests.mutation --page"
    for module, function, line, mutated in reason["mutants"]:
        source = (ROOT / "max78k_sim" / f"{module}.py").read_text(encoding="utf-8")
        lines = [text.strip() for text in source.splitlines()]
        assert line in lines, f"{module}: the line of an explained mutant has changed: {line}"
        assert function.rpartition(".")[2] in source and mutated != line
