"""Tries a mutant against checks: golden cases, and files of tests.

This process imports everything once and forgets what depends on the mutated module.  For every
mutant it forks, and the child imports that again, with the mutant in the module's place, and tries
the checks one by one, those that found most mutants for their time first, until one fails.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, settings

from ..conftest import CASES, ROOT
from ..test_architecture import imports
from .mutants import file_of

KILLED, TIMED_OUT, SURVIVED = "killed", "timed out", "survived"
SLOWER, SECONDS = 5, 2  # a check that takes so many times as long, and so much more, loops
MEMORY = 3 << 30  # bytes of address space: a mutant that wants more is killed
IMPORTING = 1.0  # seconds that a mutant takes besides, when checks are put in order
SMALL_CASES = 40  # golden cases for every mutant; the larger ones only for what survives these


@dataclass
class Check:
    """A golden case (its name) or a file of tests (its path below tests/)."""

    name: str
    seconds: float = 0.0  # of processor time without a mutant
    kills: int = 0

    def passes(self) -> bool:
        """Whether it holds; what it raises is a failure."""
        try:
            if self.name.endswith(".py"):
                options = "-qx", "--assert=plain", "-p", "no:cacheprovider"
                return pytest.main([*options, str(ROOT / "tests" / self.name)]) == 0
            from tests.conformance.cases import Case
            from tests.conformance.harness import check_case

            return not check_case(Case(CASES / self.name)).faults
        except BaseException:
            return False


class Judge:
    """Tries mutants of one module, each in a child of this process.

    Everything is imported here first; what depends on the module is then forgotten, so that a
    child imports that again, with the mutant, and nothing else.
    """

    def __init__(self, module: str, files: tuple[str, ...]):
        self.name = f"max78k_sim.{module}".replace("/", ".").removesuffix(".__init__")
        self.path = file_of(module)
        from max78k_sim.engine import native  # noqa: F401
        from tests import builders  # noqa: F401
        from tests.conformance.cases import cases_in

        cases = sorted(
            cases_in(CASES), key=lambda case: (case.folder / "memory.npz").stat().st_size
        )
        networks = {case.folder: case.network() for case in cases}
        forgotten = dependents(self.name)
        for name in forgotten:
            del sys.modules[name]
            parent, _, last = name.rpartition(".")
            if parent in sys.modules:
                vars(sys.modules[parent]).pop(last, None)
        self.networks = {} if "max78k_sim.layer_builder" in forgotten else networks
        quick = settings(phases=(Phase.explicit, Phase.generate))  # nobody reads a shrunk example
        settings.register_profile("mutation", quick)
        settings.load_profile("mutation")
        gc.freeze()
        small, large = cases[:SMALL_CASES], cases[SMALL_CASES:]
        self.checks = [Check(file, kills=1) for file in files]  # tried first, to begin with
        self.checks += [Check(case.name) for case in small]
        self.others = [Check(case.name) for case in large]
        checks = self.checks + self.others
        failed = self.first_failure(None, checks)
        if failed:
            sys.exit(f"{checks[failed - 1].name} fails without a mutant")

    def outcome(self, code: str, thorough: bool) -> str:
        """Killed, timed out or survived; ``thorough`` tries the larger golden cases too."""
        self.checks.sort(key=lambda check: -check.kills / (check.seconds + IMPORTING))
        checks = self.checks + (self.others if thorough else [])
        status = self.first_failure(code, checks)
        if status == 0:
            return SURVIVED
        if status < 0:
            return TIMED_OUT
        checks[status - 1].kills += 1
        return KILLED

    def first_failure(self, code: str | None, checks: list[Check]) -> int:
        """0 if all checks pass, else the number, from 1, of the first that fails; -1: stopped."""
        with tempfile.TemporaryDirectory() as folder:
            child = os.fork()
            if child == 0:
                os._exit(self._run(code, checks, folder))
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code is None and status == 0:
                for check, seconds in zip(checks, np.load(f"{folder}/seconds.npy"), strict=True):
                    check.seconds = float(seconds)
        return max(status, -1)

    def _run(self, code: str | None, checks: list[Check], folder: str) -> int:
        """What a child does, and its exit status."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        if code is not None:
            sys.meta_path.insert(0, Finder(self.name, self.path, code))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        if self.networks:
            with suppress(BaseException):
                from tests.conformance.cases import Case

                Case.network = lambda case: self.networks[case.folder]
        ends = [time.process_time()]
        for number, check in enumerate(checks, 1):
            if code is not None:
                limit = int(time.process_time() + check.seconds * SLOWER + SECONDS)
                resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
            if not check.passes():
                return number
            ends.append(time.process_time())
        if code is None:
            np.save(f"{folder}/seconds.npy", np.diff(ends))
        return 0 if self.name in sys.modules else 1  # what nobody imports is not tested


def dependents(name: str) -> set[str]:
    """The loaded modules of this project that import a module, also through others; and itself."""
    files = {
        key: Path(module.__file__)
        for key, module in sys.modules.items()
        if getattr(module, "__file__", None) and Path(module.__file__).is_relative_to(ROOT)
        if key not in ("__main__", __name__)
    }
    uses = {key: {*imports(file)} for key, file in files.items()}
    found, size = {name}, 0
    while len(found) > size:
        size = len(found)
        reached = {key for key, used in uses.items() for part in used if reaches(part, found)}
        found |= reached
    return found & files.keys()


def reaches(part: str, found: set[str]) -> bool:
    """Whether an imported name is a module that was found, or something in one."""
    return part in found or part.rpartition(".")[0] in found


class Finder:
    """Finds one module, and gives it a mutant's code."""

    def __init__(self, name: str, path: Path, code: str):
        self.name, self.path, self.code = name, path, code

    def find_spec(self, name, path=None, target=None):
        """Part of the import protocol."""
        if name != self.name:
            return None
        loader = Loader(name, str(self.path))
        loader.code = self.code
        return spec_from_file_location(name, self.path, loader=loader)


class Loader(SourceFileLoader):
    """A module from its mutant's code; nothing is cached."""

    code = ""

    def get_code(self, fullname):
        """Part of the import protocol."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # as in the tests, whichever check comes first
            return compile(self.code, self.path, "exec")
