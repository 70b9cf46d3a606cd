"""Compile: a C project, our stub headers and the runtime that sees its accesses -> a program."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from max78k_sim.bus.bus import POWER_REGIONS, WINDOW
from max78k_sim.device import Device
from max78k_sim.errors import InputError

from ..cosim.host import compiler

DIRECTORY = Path(__file__).parent
MAKEFILES = ("Makefile", "project.mk")
RUNTIME = ("exec_runtime.c", "exec_stubs.c")
# Headers of the support library that mxc.h stands for, too.
LIBRARY = ("device", "sys", "delay", "errors", "assert", "lock", "pins")
REGISTERS = ("gcr", "gcfr", "fcr", "sema", "icc", "tmr", "gpio", "bbfc")
PARTS = ("max78000", "nvic_table", "board", "led", "pb", "icc", "tmr", "gpio", "sema", "uart")
SAME_AS_MXC = (*(f"mxc_{n}" for n in LIBRARY), *(f"{n}_regs" for n in REGISTERS), *PARTS)
PERIPHERALS = (0x40000000, 0x40200000)  # storage: programs that write to registers themselves
WRAPPED = ("memcpy", "memmove", "memset", "memcmp")
ANYWHERE = ("-g", "-O1", "-fno-pie", "-std=gnu11", "-DTARGET_NUM=78000", "-DMAX78K_EXEC")
SEEN = (
    "-w",
    "-Werror=implicit-function-declaration",
    "-fno-strict-aliasing",
    "-fno-tree-loop-distribute-patterns",
    "-fno-tree-vectorize",
    "-fsanitize=thread",
    "--param=tsan-distinguish-volatile=1",
    *(f"-fno-builtin-{name}" for name in WRAPPED),
)
LINKED = ("-no-pie", *(f"-Wl,--wrap={name}" for name in WRAPPED))
ERROR = re.compile(r"^([^:\s][^:]*):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$", re.MULTILINE)
# What a compiler says -> what to tell a person; {} is what it names.
MEANINGS = (
    (re.compile(r"^(\S+\.h): No such file"), "needs {}, for which exec has no stub"),
    (
        re.compile(r"implicit declaration of function '(\w+)'"),
        "calls {}, which neither the project nor exec's stubs declare",
    ),
    (
        re.compile(r"'(\w+)' undeclared"),
        "uses {}, which neither the project nor exec's stubs declare",
    ),
    (
        re.compile(r"unknown type name '(\w+)'"),
        "uses the type {}, which neither the project nor exec's stubs declare",
    ),
)
UNDEFINED = re.compile(r"(\S+\.c):(\d+)\S*: undefined reference to [`'](\w+)'")
NO_STUB = "programs with cameras, displays or sound are for max78k emulate"


def make_words(folder: Path, *variables: str) -> list[str]:
    """What a project's Makefile and project.mk put into variables; words with $ are left out."""
    line = re.compile(rf"^\s*(?:{'|'.join(variables)})\s*[+:?]?=([^#\n]*)", re.MULTILINE)
    files = [folder / name for name in MAKEFILES if (folder / name).is_file()]
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    words = " ".join(found for text in texts for found in line.findall(text)).split()
    return [word for word in dict.fromkeys(words) if "$" not in word]


def folders(folder: Path) -> list[Path]:
    """Where a project's files are: its folder, src, include, and others that its Makefile names."""
    named = (folder / word for word in make_words(folder, "VPATH", "IPATH"))
    found = dict.fromkeys((folder, folder / "src", folder / "include", *named))
    return [place for place in found if place.is_dir()]


def sources(folder: Path) -> list[Path]:
    """The C files that the SDK's Makefile would take for the Arm core.

    All of the folder and of src, and of other folders those that SRCS names.
    """
    if not folder.is_dir():
        raise InputError("there is no such folder; exec takes a C project", file=folder)
    found = [file for place in (folder, folder / "src") for file in sorted(place.glob("*.c"))]
    found = [file for file in found if not file.stem.endswith("_riscv")]
    if not found:
        raise InputError("no C file here, nor in src", file=folder)
    have = {file.name for file in found}
    for name in make_words(folder, "SRCS"):
        file = next((place / name for place in folders(folder) if (place / name).is_file()), None)
        if file is not None and file.name not in have:
            found.append(file)
    return found


def ranges(device: Device) -> tuple[tuple[int, int], ...]:
    """Addresses (first, end) that the bus answers."""
    found = [WINDOW]
    for name in (*POWER_REGIONS, "fast fifo register"):
        region = device.region(name)
        if not WINDOW[0] <= region.base < WINDOW[1]:
            found += [
                (address, address + 4)
                for address in (region.address(0, 0, entry) for entry in range(region.entries))
            ]
    return tuple(found)


def prepare(build: Path, device: Device) -> None:
    """What is generated: the chip's addresses as C, and the names of the stub headers."""
    rows = ", ".join(f"{{{first:#x}, {end:#x}}}" for first, end in ranges(device))
    maps = ", ".join(f"{{{first:#x}, {end:#x}}}" for first, end in (WINDOW, PERIPHERALS))
    text = f"#define EXEC_RANGES {{{rows}}}\n#define EXEC_MAPS {{{maps}}}\n"
    (build / "exec_ranges.h").write_text(text)
    (build / "stubs").mkdir(exist_ok=True)
    for name in SAME_AS_MXC:
        (build / "stubs" / f"{name}.h").write_text('#include "mxc.h"\n')


def compile_project(folder: Path, build: Path, device: Device) -> Path:
    """The program; InputError that names file, line and what is missing."""
    files = sources(folder)
    prepare(build, device)
    stubs = [f"-I{path}" for path in (DIRECTORY / "stubs", build / "stubs", build, DIRECTORY)]
    own = [f"-I{path}" for path in folders(folder)]
    objects = []
    for number, file in enumerate(files):
        objects.append(build / f"{number}_{file.stem}.o")
        call(folder, *ANYWHERE, *SEEN, *own, *stubs, "-c", file, "-o", objects[-1])
    for name in RUNTIME:
        objects.append(build / f"{name}.o")
        call(folder, *ANYWHERE, *stubs, "-c", DIRECTORY / name, "-o", objects[-1])
    program = build / "program"
    call(folder, *LINKED, *objects, "-lm", "-o", program)
    return program


def call(folder: Path, *arguments: object) -> None:
    """The compiler; InputError with its first error, in words."""
    command = [compiler(), *map(str, arguments)]
    language = os.environ | {"LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=language)
    if not done.returncode:
        return
    error, missing = ERROR.search(done.stderr), UNDEFINED.search(done.stderr)
    if error is not None:
        file, line, text = error.groups()
        raise InputError(in_words(text), file=short(file, folder), line=int(line))
    if missing is not None:
        file, line, name = missing.groups()
        message = f"calls {name}, which neither the project nor exec's stubs define; {NO_STUB}"
        raise InputError(message, file=short(file, folder), line=int(line))
    text = f"the compiler says:\n{done.stderr.strip()}\nexec needs GCC (set CC)"
    raise InputError(text, file=folder)


def in_words(text: str) -> str:
    """A compiler's error, with what it means for a program that runs here."""
    for pattern, meaning in MEANINGS:
        match = pattern.search(text)
        if match is not None:
            return f"{meaning.format(match[1])}; {NO_STUB}"
    return text


def short(file: str, folder: Path) -> str:
    """A path below the project's folder, if it is."""
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else file


def place(program: Path, counter: int) -> str:
    """Function and line of a program counter: " in memcpy32 (cnn.c:92)"; "" if unknown.

    A function that the compiler put into its caller is followed by it: ", in load (cnn.c:120)".
    """
    command = ["addr2line", "-f", "-s", "-i", "-e", str(program), f"{max(counter - 1, 0):#x}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    lines = done.stdout.splitlines()
    pairs = zip(lines[::2], lines[1::2], strict=False)
    found = [f" in {name} ({at.split(' ')[0]})" for name, at in pairs if "?" not in name + at]
    return ",".join(found)
