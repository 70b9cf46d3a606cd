"""Where the golden cases are, and what a skipped test means.

Environment variables:

* ``MAX78K_CORPUS``: folder with the golden cases ("corpus" and "fuzz"), absolute or relative to the
  repository root, default ``../shared``; ``none`` says that this machine has none, and leaves the
  tests that need them out without a skip.
* ``MAX78K_ARM=none``: this machine has no compiler for Arm; leaves the tests that need one out.
* ``MAX78K_ANALYSIS=none``: the same of clang-tidy and cppcheck.
* ``MAX78K_REQUIRE_ALL=1``: a skipped test is a failure.
* ``MAX78K_NIGHTLY=1``: many more examples of every property.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "cases"
CORPUS_NAME = os.environ.get("MAX78K_CORPUS", "../shared")
CORPUS = (ROOT / CORPUS_NAME).resolve()
NO_ARM = os.environ.get("MAX78K_ARM") == "none"
NO_ANALYSIS = os.environ.get("MAX78K_ANALYSIS") == "none"
REQUIRE_ALL = os.environ.get("MAX78K_REQUIRE_ALL") == "1"
NO_CORPUS = (
    f"no golden cases in {CORPUS_NAME!r}; set MAX78K_CORPUS to the folder that has 'corpus' and "
    "'fuzz', or to 'none'"
)

settings.register_profile("max78k", deadline=None, derandomize=True)
settings.load_profile("max78k")


def has_corpus() -> bool:
    """Whether the golden cases are on this machine."""
    return CORPUS_NAME != "none" and (CORPUS / "corpus").is_dir()


def corpus() -> Path:
    """The folder of the golden cases; skips the test where there is none."""
    if not has_corpus():
        pytest.skip(NO_CORPUS)
    return CORPUS


def pytest_configure(config):
    config.addinivalue_line("markers", "corpus: needs the golden cases (MAX78K_CORPUS)")
    config.addinivalue_line("markers", "arm: needs a compiler for Arm (MAX78K_ARM)")
    config.addinivalue_line("markers", "analysis: needs clang-tidy, cppcheck (MAX78K_ANALYSIS)")


def pytest_report_header():
    if CORPUS_NAME == "none":
        return "golden cases: none (MAX78K_CORPUS), only those in tests/cases"
    return f"golden cases: {CORPUS if has_corpus() else 'not found; see tests/conftest.py'}"


def pytest_collection_modifyitems(config, items):
    """What needs something that this machine is said not to have is counted as deselected."""
    absent = ((CORPUS_NAME == "none", "corpus"), (NO_ARM, "arm"), (NO_ANALYSIS, "analysis"))
    for missing, marker in absent:
        left_out = [item for item in items if missing and item.get_closest_marker(marker)]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def fail_when_skipped(report):
    """A skipped report as a failed one, with its reason."""
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: skipped, but MAX78K_REQUIRE_ALL=1: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return fail_when_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return fail_when_skipped((yield))
