"""Paths of the engine that this processor has not got, run all the same.

That of Arm runs on an emulated processor.  Those whose only news is the instruction VPDPBUSD (the
exact sum of four products, added to 32 bits) run with portable code in its place: their tiles,
packs and loops are theirs.  That LLVM writes the instruction, with its operands in order, is looked
at in its text.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import import_module
from unittest.mock import patch

import pytest
from llvmlite import binding

from max78k_sim import engine
from max78k_sim.engine import gradients, native, pairs, tile
from max78k_sim.engine.path import PATHS as TABLE
from tests import arm64

EMULATED = "neon"
STOOD_IN = ("avx512-vnni", "avx-vnni")
ABSENT = tuple(path for path in (*STOOD_IN, EMULATED) if path not in engine.paths())
NEEDS_EMULATOR = pytest.mark.skipif(
    arm64.unicorn is None, reason="needs the extra: pip install 'max78k[emulate]'"
)
PATHS = (  # of a parameter "path"
    *engine.paths(),
    *(pytest.param(path, marks=NEEDS_EMULATOR if path == EMULATED else ()) for path in ABSENT),
)
WITH_POINTS = [path for path in (*engine.paths(), *ABSENT) if TABLE[path].patches]


@cache
def stood_in(path: str, name: str = native.FORWARD):
    """As ``native.loaded``, without the instruction."""
    portable = {path: tile.multiply_add_portable}
    halves = {path: pairs.multiply_portable}
    ordered = pairs.ORDERED if "avx512" in engine.paths() else ()  # it names a register of 512 bits
    with (
        patch.dict(tile.MULTIPLY_ADD, portable),
        patch.dict(pairs.MULTIPLY, halves),
        patch.object(pairs, "ORDERED", ordered),
    ):
        module = import_module(f"max78k_sim.engine.{name}").module_of(TABLE[path])
    machine = native.target()
    place = native.address_of("max78k_run", native.compiled(module, machine), machine)
    return ctypes.CFUNCTYPE(None, ctypes.c_int64)(place)


def text_of(path: str) -> str:
    """The compute core in assembly, as LLVM writes it for a processor that has the path."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    features = ",".join(f"+{name}" for name in TABLE[path].features)
    machine = binding.Target.from_triple("x86_64-linux-gnu").create_target_machine(
        features=features, opt=3
    )
    module = import_module("max78k_sim.engine.driver").module_of(TABLE[path])
    return machine.emit_assembly(native.optimised(module, machine))


def install(monkeypatch) -> None:
    """Let the engine run the absent paths, until the test ends; it takes none by itself."""
    own, of_this_processor = engine.paths(), native.loaded

    def loaded(path: str, name: str = native.FORWARD):
        if path in own:
            return of_this_processor(path, name)
        return (arm64.loaded if path == EMULATED else stood_in)(path, name)

    monkeypatch.setattr(engine, "paths", lambda: (*own, *ABSENT))
    for module in (native, gradients):
        monkeypatch.setattr(module, "loaded", loaded)
