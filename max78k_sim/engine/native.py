"""LLVM code to machine code: compiled once for a processor, kept in a file, loaded in milliseconds.

The cache is a folder of object files, named by what they were made from: this code, the path, the
compiler and the processor with its features.  It is ``MAX78K_CACHE``, or ``NUMBA_CACHE_DIR``, or
``__pycache__`` here, or, where that cannot be written, ``max78k`` in the user's cache folder.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import tempfile
from array import array
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path as FilePath

import llvmlite
from llvmlite import binding

from .. import arithmetic
from .path import PATHS

# Modules of which each has a ``module_of(path)``
FORWARD, BACKWARD, ERRORS, UPDATE = "driver", "backward", "mantissas", "update"
COMMON = ("lanes", "maps", "native", "pack", "path", "steps")
SOURCES = {  # what an object file is made from
    FORWARD: (*COMMON, FORWARD, "pairs", "patches", "tile", "winograd"),
    BACKWARD: (*COMMON, BACKWARD, "pairs"),
    ERRORS: (*COMMON, ERRORS),
    UPDATE: (*COMMON, UPDATE),
}
CHECK_BYTES = 32  # of a SHA-256, before the object
KEPT: list[binding.ExecutionEngine] = []  # or their code would be gone


def target() -> binding.TargetMachine:
    """Code for this processor."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    triple = binding.Target.from_triple(binding.get_process_triple())
    name, features = host()
    return triple.create_target_machine(cpu=name, features=features, opt=3, jit=True)


def host() -> tuple[str, str]:
    """The processor's name and features, as LLVM knows them."""
    return binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()


def optimised(module, machine: binding.TargetMachine) -> binding.ModuleRef:
    """A module as LLVM's own, optimised."""
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    options = binding.create_pipeline_tuning_options(speed_level=2)
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return parsed


def compiled(module, machine: binding.TargetMachine) -> bytes:
    """An object file of a module, optimised."""
    return machine.emit_object(optimised(module, machine))


def address_of(name: str, code: bytes, machine: binding.TargetMachine) -> int:
    """A function of an object file, in memory from now on."""
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    KEPT.append(engine)
    return engine.get_function_address(name)


@cache
def loaded(path: str, name: str = FORWARD) -> Callable[[int], None]:
    """``max78k_run`` of a path: takes the address of a job; other threads run meanwhile."""
    machine, file = target(), cache_file(path, name)
    code = read_checked(file)
    if code is None:
        written = import_module(f".{name}", __package__)
        code = compiled(written.module_of(PATHS[path]), machine)
        write_checked(file, code)
    return ctypes.CFUNCTYPE(None, ctypes.c_int64)(address_of("max78k_run", code, machine))


def run(name: str, path: str, names: tuple[str, ...], fields: dict[str, int]) -> None:
    """Run a job of a module: numbers and addresses, in the order of their ``names``, or 0."""
    job = array("q", [fields.get(each, 0) for each in names])
    loaded(path, name)(job.buffer_info()[0])


# ---- the cache ----------------------------------------------------------------------------------


def cache_file(path: str, name: str = FORWARD) -> FilePath:
    """Where the object file of a module, for a path, is kept."""
    range_of_bytes = arithmetic.ACTIVATION_MIN, arithmetic.ACTIVATION_MAX
    built_in = *range_of_bytes, arithmetic.FRACTION_BITS, arithmetic.ROUND_HALF
    text = repr((llvmlite.__version__, host(), path, name, built_in)).encode()
    here = FilePath(__file__)
    text += b"".join(here.with_name(f"{source}.py").read_bytes() for source in SOURCES[name])
    return cache_folder() / f"max78k-{name}-{path}-{hashlib.sha256(text).hexdigest()[:24]}.o"


def cache_folder() -> FilePath:
    """The first of the possible folders that can be written."""
    named = os.environ.get("MAX78K_CACHE") or os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return FilePath(named)
    near = FilePath(__file__).with_name("__pycache__")
    if os.access(near if near.is_dir() else near.parent, os.W_OK):
        return near
    home = os.environ.get("XDG_CACHE_HOME")
    return (FilePath(home) if home else FilePath.home() / ".cache") / "max78k"


def read_checked(file: FilePath) -> bytes | None:
    """The object in a file of the cache; None if there is none, or it is damaged."""
    try:
        data = file.read_bytes()
    except OSError:
        return None
    check, code = data[:CHECK_BYTES], data[CHECK_BYTES:]
    return code if hashlib.sha256(code).digest() == check else None


def write_checked(file: FilePath, code: bytes) -> None:
    """Under a name of its own first, so that nobody reads half; without a cache all goes on."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as stream:
            try:
                stream.write(hashlib.sha256(code).digest() + code)
                stream.close()
                os.replace(stream.name, file)
            except OSError:
                os.unlink(stream.name)
