"""C projects, compiled for this computer and run against the simulated chip (docs/exec.md)."""

from .project import Result, run_project

__all__ = ["Result", "run_project"]
