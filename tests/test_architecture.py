"""Imports point one way; the command line answers without loading anything heavy."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Units of each package (files, or folders, which may import from themselves) from the lowest level
# up.  A unit imports from lower levels only, wherever in the file the statement stands.
CHIP = (
    ("errors", "packing", "layer", "cycle_model"),
    ("registers", "pickles", "switches", "yaml_keys", "placement", "arithmetic", "whole_files"),
    ("device", "torch_files", "torch_writer", "yaml_reader", "engine", "options"),
    ("devices", "memory", "rules", "layer_config", "checkpoint"),
    ("network", "ops", "saved_state"),
    ("kernel_layout", "layer_builder", "routine", "fifo"),
    ("data_layout", "provenance", "overrides", "core"),
    ("overlap", "docs"),
    ("allocation",),
    ("layer_fields", "testing", "elements", "address_map"),
    ("program", "latency"),
    ("machine", "explain", "report"),
    ("loading", "map_files", "map_text", "checking", "bus", "links"),
    ("validation", "programs", "linker"),
    ("batch",),
    ("evaluator",),
    ("verbs",),
    ("cli",),
)
TRAINER = (
    (
        "blocks",
        "kernel_store",
        "losses",
        "optimizers",
        "pictures",
        "quantized_update",
        "yaml_mapping",
    ),
    ("data", "gradients", "operands", "recipe", "snapshots"),
    ("backward", "host", "parameter", "schedule", "state"),
    ("forward", "memory", "step_cost"),
    ("loop",),
    ("evaluation", "learning"),
    ("studies",),
)
FIRMWARE = (
    ("cost", "memories", "text", "verdict"),
    ("board", "layout", "protocol", "register_header", "training"),
    ("cosim", "generate", "size"),
    ("exec", "project"),
)
LEVELS = {"max78k_sim": CHIP, "trainer": TRAINER, "firmware": FIRMWARE}
LEVEL = {
    package: {unit: number for number, units in enumerate(levels) for unit in units}
    for package, levels in LEVELS.items()
}
PACKAGES = tuple(LEVELS)
# What the packages above the chip may not use: its command line.
COMMAND_LINE = ("cli", "verbs")
HEAVY = ("numpy", "numba", "torch", "yaml", "rich", "matplotlib", "sklearn", "trainer", "firmware")


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def unit_of(file: Path) -> str:
    """The part of a package that a file belongs to: its own name, or its folder's."""
    first = file.relative_to(ROOT).parts[1]
    return first.removesuffix(".py")


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node, but not what only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from statements(node)


def imports(file: Path) -> Iterator[str]:
    """Absolute dotted names of everything that a file imports, also inside functions."""
    module = file.relative_to(ROOT).with_suffix("").parts
    folder = module[:-1]
    for node in statements(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else ()
            name = ".".join((*base, *(node.module or "").split("."))).strip(".")
            yield from (f"{name}.{alias.name}" for alias in node.names)


def units_used(package: str, file: Path) -> set[str]:
    """Units of a package that a file imports."""
    parts = [name.split(".") for name in imports(file) if name.startswith(f"{package}.")]
    return {part[1] for part in parts if part[1] in LEVEL[package]}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_has_a_level(package):
    files = {unit_of(file) for file in sources(package)} - {"__init__", "__main__"}
    assert files == set(LEVEL[package]), "add new files to LEVELS, at the lowest level that holds"


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_down(package):
    level = LEVEL[package]
    for file in sources(package):
        unit = unit_of(file)
        if unit in ("__init__", "__main__"):
            continue
        for other in units_used(package, file) - {unit}:
            assert level[other] < level[unit], f"{file} imports {other}, which is not below {unit}"


@pytest.mark.parametrize("package", PACKAGES)
def test_levels_are_as_low_as_they_can_be(package):
    """So that the table says something: each unit imports from the level right below."""
    level = LEVEL[package]
    for unit, height in level.items():
        files = [file for file in sources(package) if unit_of(file) == unit]
        used = set().union(*(units_used(package, file) for file in files)) - {unit}
        lowest = max((level[other] + 1 for other in used), default=0)
        assert height == lowest or unit in ("verbs", "cli"), f"{unit} could be on level {lowest}"


def packages_used(file: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(file)} & set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_stay_apart(package):
    """Only the verbs of the command line see everything."""
    for file in sources(package):
        used = packages_used(file) - {package}
        if package == "max78k_sim" and unit_of(file) == "verbs":
            continue
        allowed = set() if package == "max78k_sim" else {"max78k_sim"}
        assert used <= allowed, f"{file.relative_to(ROOT)} imports {used - allowed}"
        if package != "max78k_sim":
            assert not units_used("max78k_sim", file) & set(COMMAND_LINE), (
                f"{file.relative_to(ROOT)}"
            )


def test_only_host_training_imports_torch():
    found = {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in sources(package)
        if any(name.split(".")[0] == "torch" for name in imports(file))
    }
    assert found and all(name.startswith("trainer/host/") for name in found), found


def test_every_data_file_is_installed():
    """setup.cfg names what a package holds beside Python: C, templates, tables, networks."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", "utf-8")
    rows = config["options.package_data"].items()
    installed = {
        file
        for package, patterns in rows
        for pattern in patterns.split(",")
        for file in (ROOT / package.replace(".", "/")).glob(pattern.strip())
    }
    command = ["git", "ls-files", "--", *PACKAGES, "networks"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    data = {ROOT / name for name in listed.stdout.split() if not name.endswith(".py")}
    assert data and not data - installed


def loaded_by(code: str) -> set[str]:
    """Top-level modules in sys.modules after some code, in a fresh interpreter."""
    names = "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    command = [sys.executable, "-c", f"import sys; {code}; {names}"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["max78k_sim", "max78k_sim.cli"])
def test_the_command_line_loads_nothing_heavy(module):
    assert not loaded_by(f"import {module}") & set(HEAVY)


def test_a_simulation_does_not_load_torch_or_the_trainer():
    code = "from max78k_sim import Machine, compile_network, load_network, simulate"
    assert not loaded_by(code) & {"torch", "trainer", "firmware", "numba", "matplotlib"}


def test_hypothesis_is_for_testing_only():
    """The rest runs without the extra "test"."""
    users = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in sources(package)
        if any(name.split(".")[0] in ("hypothesis", "pytest") for name in imports(file))
    }
    assert {str(Path(file).parent) for file in users} == {"max78k_sim/testing"}
