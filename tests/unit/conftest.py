"""A test whose parameter ``path`` is one that this processor has not got runs all the same."""

from __future__ import annotations

import pytest

from tests import processors


@pytest.fixture(autouse=True)
def processor_of_the_path(request, monkeypatch):
    """See ``processors``."""
    call = getattr(request.node, "callspec", None)
    if call and call.params.get("path") in processors.ABSENT:
        processors.install(monkeypatch)
