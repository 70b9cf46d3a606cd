"""The generated pages: committed as generated, and complete."""

from __future__ import annotations

import pytest

from max78k_sim import docs
from max78k_sim.devices import DEVICES
from max78k_sim.yaml_reader import GLOBAL_NAMES, LAYER_NAMES


@pytest.mark.parametrize("name", docs.documents())
def test_committed_pages_are_current(name):
    committed = (docs.FOLDER / name).read_text(encoding="utf-8")
    assert committed == docs.documents()[name], "the tables changed: run make docs"


def test_pages_name_everything():
    pages = docs.documents()
    for device in DEVICES:
        for region in device.regions:
            assert f"| {region.name} | `0x{region.base:08x}`" in pages["memory-map.md"]
        for register in (*device.global_registers, *device.layer_registers):
            assert f"#### {register.name}: " in pages["registers.md"]
            assert all(f"`{field.name}`" in pages["registers.md"] for field in register.fields)
    for key in (*LAYER_NAMES, *GLOBAL_NAMES):
        assert f"`{key}`" in pages["yaml-keys.md"]


def test_cells():
    assert "`0x50100590 + 0x400000 * quadrant + 4 * layer`" in docs.documents()["registers.md"]
    assert "| 15:12 | `sources` |" in docs.documents()["registers.md"]
    assert docs.bit_range(7, 1) == "7"


def test_main_writes_the_pages(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(docs, "FOLDER", tmp_path / "docs")
    docs.main()
    written = {file.name: file.read_text(encoding="utf-8") for file in docs.FOLDER.iterdir()}
    assert written == docs.documents()
    assert "wrote docs/registers.md" in capsys.readouterr().out
