"""Files that are written whole or not at all, and folders for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import InputError


def write_whole(file: Path, write: Callable[[Path], Any]) -> Any:
    """Call ``write`` with a temporary name and rename; nothing is left half-written.

    Returns what ``write`` does.
    """
    temporary = file.with_name(f".{file.name}.tmp{file.suffix}")
    try:
        result = write(temporary)
        temporary.replace(file)
        return result
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=file) from None
    finally:
        with suppress(OSError):  # a name that is too long, for one, cannot be removed either
            temporary.unlink(missing_ok=True)


def make_directory(name: str | Path) -> Path:
    """A folder for results; InputError, before they are computed, where none can be written."""
    if not str(name):
        raise InputError("--out has no name; give the folder for results, . for this one")
    directory = Path(name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make this directory: {error.strerror}", file=name) from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise InputError("nothing may be written into this directory", file=name)
    return directory
