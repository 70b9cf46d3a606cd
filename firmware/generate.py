"""Plan -> C files: the only place that makes C text.

Tables come from the Placements that the simulator and the trainer use; hand-written C from
``runtime/`` is copied beside them.  Compute first (the functions that return dictionaries), then
print (the templates).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Set
from pathlib import Path

import numpy as np

from max78k_sim.allocation import Plan
from max78k_sim.errors import InputError
from max78k_sim.placement import Axis, Placement

from .layout import layout_header
from .register_header import registers_header
from .text import DIRECTORY, fill, identifier, number_lines, prefixes
from .training.check import TrainingCheck, check_header
from .training.sources import ALL_FILES, LINEAR_FILES, TRAIN_FILES, train_files
from .training.tables import TrainingStep

EMPTY: frozenset[str] = frozenset()
MAP_RUNTIME = (
    "cnn_address.h",
    "cnn_address.c",
    "cnn_arithmetic.h",
    "cnn_port.h",
    "cnn_host.h",
    "cnn_host.c",
)
PROJECT_RUNTIME = ("cnn.c", "cnn.h", "softmax.c")
CHECK_RUNTIME = ("train_check.c", "check.mk")
# How a project is built, with the vendor's SDK and without: where each file comes from.
BUILD = {
    "Makefile": "runtime/project/Makefile",
    "arm/start.c": "runtime/arm/start.c",
    "arm/port.c": "runtime/arm/port.c",
    "arm/board.ld": "runtime/arm/board.ld",
    "arm/mxc.h": "exec/stubs/mxc.h",
}


def generate(
    plan: Plan,
    directory: Path,
    step: TrainingStep | None = None,
    check: TrainingCheck | None = None,
    project: Mapping[str, str] | None = None,
) -> tuple[Path, ...]:
    """Write the C files of a plan; returns their paths.

    Without ``step`` the map and what builds it; with ``step`` the training step too; with ``check``
    also its known-answer test; ``project``: more files, by name (project/).  Nothing is left
    half-written: files appear together or not at all.
    """
    files = {"cnn_map.h": map_header(plan), "cnn_map.c": map_source(plan)}
    files["cnn_layout.h"] = layout_header(plan)
    files["cnn_registers.h"] = registers_header(plan.device)
    copied = {name: name for name in MAP_RUNTIME}
    if project is None:
        name = identifier(plan.network.name)
        files["project.mk"] = fill("project.mk.in", name=name, board="EvKit_V1")
    else:
        files |= project
    if step is not None:
        files |= train_files(plan, step)
        copied |= TRAIN_FILES if step.copy is None else LINEAR_FILES
    if check is not None:
        files["train_check.h"] = check_header(check)
        copied |= {name: name for name in CHECK_RUNTIME}
    places = {name: f"runtime/{source}" for name, source in copied.items()} | BUILD
    if project is not None:
        places |= {name: f"runtime/project/{name}" for name in PROJECT_RUNTIME}
    return write_files(directory, files, places, ALL_FILES)


def write_files(
    directory: Path, files: Mapping[str, str], copied: Mapping[str, str], known: Set[str] = EMPTY
) -> tuple[Path, ...]:
    """Write to a temporary folder beside the target, then move every file into place.

    ``files``: texts by name; ``copied``: where in this package a file comes from, by name; those of
    ``known`` that are neither are removed: a project before this one may have left them.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=".generate-") as temporary:
            for name in (*files, *copied):
                for folder in (Path(temporary), directory):
                    (folder / name).parent.mkdir(exist_ok=True)
            for name, text in files.items():
                (Path(temporary) / name).write_text(text)
            for name, source in copied.items():
                shutil.copyfile(DIRECTORY / source, Path(temporary) / name)
            for name in (*files, *copied):
                (Path(temporary) / name).replace(directory / name)
        for name in known - {*files, *copied}:
            (directory / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write C files: {error.strerror}", file=directory) from None
    return tuple(directory / name for name in sorted((*files, *copied)))


# --- the map


def map_header(plan: Plan) -> str:
    """cnn_map.h."""
    names = prefixes(plan)
    return fill(
        "cnn_map.h.in",
        network=plan.network.name,
        device=plan.device.name,
        declarations="".join(declaration(names, *item) for item in plan.placements.items()),
        placement_count=len(plan.placements),
    )


def declaration(names: dict[str, str], key: tuple[str, str], place: Placement) -> str:
    """One extern line, with shape and first address."""
    layer, kind = key
    shape = " x ".join(map(str, place.shape))
    first = int(place.address.flat[0])
    comment = f"/* {shape}, {place.bits} bits, first at 0x{first:08x} */"
    return f"extern const cnn_placement {names[layer]}_{kind}; {comment}\n"


def map_source(plan: Plan) -> str:
    """cnn_map.c."""
    names = prefixes(plan)
    tables: list[str] = []
    placements, listed = [], []
    for (layer, kind), place in plan.placements.items():
        name = f"{names[layer]}_{kind}"
        placements.append(placement_source(name, place, tables))
        listed.append(f"    &{name},\n")
    return fill(
        "cnn_map.c.in",
        network=plan.network.name,
        device=plan.device.name,
        tables="\n".join(tables),
        placements="\n".join(placements),
        placement_list="".join(listed),
    )


def placement_source(name: str, place: Placement, tables: list[str]) -> str:
    """One cnn_placement; tables that it needs are appended to ``tables``."""
    origins = {"base": place.origin, "code": place.origin_code, "tap": place.origin_tap}
    axes = []
    for number, piece in enumerate(place.pieces):
        columns = []
        for part in origins:
            first, step, table = column(piece, part)
            origins[part] += first
            table_name = "NULL"
            if table is not None:
                table_name = f"{name}_{part}_{number}"
                tables.append(table_source(table_name, table))
            columns.append(f"{{{table_name}, {step}}}")
        axes.append(f"        {{{', '.join(columns)}}}, /* {piece.name} */\n")
    shape = ", ".join(map(str, place.shape))
    return (
        f"const cnn_placement {name} = {{\n"
        f"    0x{origins['base']:08x}u, {origins['code']}u, {origins['tap']}u,\n"
        f"    {place.taps}, {place.bits}, {len(place.shape)}, {{{shape}}},\n"
        f"    {{\n{''.join(axes)}    }}\n}};\n"
    )


def column(piece: Axis, part: str) -> tuple[int, int, np.ndarray | None]:
    """(first, step, table) of a column: affine where it is, else a table relative to 0."""
    values = getattr(piece, part)
    first = int(values[0])
    step = int(values[1]) - first if len(values) > 1 else 0
    if np.array_equal(values, first + step * np.arange(len(values))):
        return first, step, None
    return 0, 0, values


def table_source(name: str, values: np.ndarray) -> str:
    """A static table of 32-bit numbers."""
    return f"static const uint32_t {name}[] = {{\n{number_lines(values)}}};\n"
