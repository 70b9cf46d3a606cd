"""YAML files that hold one mapping: recipes, policies and scenarios, read as hostile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from max78k_sim.errors import InputError, printable
from max78k_sim.yaml_reader import CarefulLoader

SIZE_LIMIT = 1 << 16  # bytes of a file
FAULTS = (  # what PyYAML raises for a tag that the text does not fit, such as !!int ""
    ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
)  # fmt: skip


def read_mapping(file: str | Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The values of a file's mapping, and the line of each key; both empty for an empty file.

    No aliases (they can blow a small file up), no deep nesting, no key twice, at any depth.
    InputError with file and line.
    """
    text = text_of(file)
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    try:
        loader = CarefulLoader(text, str(file))
        root = loader.get_single_node()
        if root is None:
            return values, lines
        if not isinstance(root, yaml.MappingNode):
            message = "holds no mapping of keys to values: it is no YAML mapping"
            raise InputError(message, file=file)
        refuse_repeated_keys(root, file)
        for key, value in root.value:
            line = key.start_mark.line + 1
            name = str(constructed(loader, key, file))
            values[name], lines[name] = constructed(loader, value, file), line
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = printable(getattr(error, "problem", None) or " ".join(str(error).split()))
        line = None if mark is None else mark.line + 1
        raise InputError(f"is no YAML: {problem}", file=file, line=line) from None
    return values, lines


def text_of(file: str | Path) -> str:
    """A file's text; InputError where it cannot be read, is too long, or is no text."""
    try:
        content = Path(file).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot be read: {reason}", file=printable(file)) from None
    if len(content) > SIZE_LIMIT:
        raise InputError(f"has {len(content)} bytes; {SIZE_LIMIT} are possible", file=file)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError("is no YAML: it is not UTF-8", file=file, line=line) from None


def refuse_repeated_keys(node: yaml.Node, file: str | Path) -> None:
    """InputError for a key that a mapping has twice: YAML would take the last."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            refuse_repeated_keys(item, file)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise InputError("a key is a list or a mapping; write a name", file=file, line=line)
        if key.value in seen:
            message = f"{printable(key.value)} is given twice, first in line {seen[key.value]}"
            raise InputError(message, file=file, line=line)
        seen[key.value] = line
        refuse_repeated_keys(value, file)


def constructed(loader: CarefulLoader, node: yaml.Node, file: str | Path) -> Any:
    """A node as Python's values: numbers, text, lists, mappings."""
    try:
        return loader.construct_object(node, deep=True)
    except FAULTS:
        raise InputError(
            "is no YAML: a value does not fit its tag or is too long; give plain numbers and text",
            file=file,
            line=node.start_mark.line + 1,
        ) from None
