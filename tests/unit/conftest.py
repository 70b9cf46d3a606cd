"""A test whose parameter ``path`` is that of another processor runs on an emulated one."""

from __future__ import annotations

import pytest

from max78k_sim import engine
from tests import arm64


@pytest.fixture(autouse=True)
def processor_of_the_path(request, monkeypatch):
    """Of this machine, or emulated."""
    call = getattr(request.node, "callspec", None)
    if call and call.params.get("path") == arm64.EMULATED not in engine.paths():
        arm64.install(monkeypatch)
