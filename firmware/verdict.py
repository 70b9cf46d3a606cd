"""What a program says of itself: the known-answer tests of examples print PASS or FAIL."""

from __future__ import annotations

import re

FAILED = re.compile(r"\bFAIL(ED)?\b|ASSERT|Data mismatch", re.IGNORECASE)
PASSED = re.compile(r"\bPASS(ED)?\b", re.IGNORECASE)


def verdict_of(text: str) -> str:
    """ "pass", "fail" (wins), or "none" when the text has neither."""
    if FAILED.search(text):
        return "fail"
    return "pass" if PASSED.search(text) else "none"
