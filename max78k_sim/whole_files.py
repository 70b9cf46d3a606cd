"""Files that are written whole or not at all."""

from __future__ import annotations

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
