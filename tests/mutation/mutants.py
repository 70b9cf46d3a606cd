"""The mutants of a module: cosmic-ray's operators, applied at each place of the source."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

from ..conftest import ROOT

ARGUMENTS = ("core/VariableReplacer", "core/VariableInserter")  # operators that need arguments


@dataclass(frozen=True)
class Mutant:
    """One change of one line: ``line`` and ``mutated`` are its text, ``function`` its place."""

    module: str
    function: str
    line: str
    mutated: str
    code: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What explanations know it by."""
        return self.module, self.function, self.line, self.mutated


def mutants_of(module: str) -> tuple[list[Mutant], Counter[str]]:
    """Every mutant that changes what is executed; and how many others there are, by reason."""
    source = file_of(module).read_text(encoding="utf-8")
    found, left_out = {}, Counter[str]()
    original = executed(source)
    for code in mutated_codes(source):
        try:
            tree = executed(code)
        except SyntaxError:
            left_out["not Python"] += 1
            continue
        if tree == original:
            left_out["annotation"] += 1
        elif code in found:
            left_out["the same twice"] += 1
        else:
            found[code] = describe(module, source, code)
    return list(found.values()), left_out


def mutated_codes(source: str) -> Iterator[str]:
    """The source with each operator applied at each place."""
    nodes = list(ast_nodes(get_ast(source)))
    for name in operator_names():
        if name not in ARGUMENTS:
            operator = get_operator(name)()
            count = sum(len(list(operator.mutation_positions(node))) for node in nodes)
            for occurrence in range(count):
                yield mutate_code(source, operator, occurrence)


def executed(code: str) -> str:
    """The syntax tree without annotations, which this project's modules never evaluate."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.dump(tree)


def describe(module: str, source: str, code: str) -> Mutant:
    """A mutant by the first line that differs; a line that is gone reads "(removed)"."""
    old, new = source.splitlines(), code.splitlines()
    number = next(n for n, line in enumerate(old) if n >= len(new) or line != new[n])
    mutated = " ".join(new[number].split()) if len(new) == len(old) else "(removed)"
    return Mutant(module, function_at(source, number + 1), old[number].strip(), mutated, code)


def function_at(source: str, line: int) -> str:
    """Dotted name of the innermost function or class around a line."""
    names, body = [], ast.parse(source).body
    while body:
        inner, body = body, []
        for node in inner:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
                if first <= line <= (node.end_lineno or first):
                    names.append(node.name)
                    body = node.body
    return ".".join(names)


def file_of(module: str) -> Path:
    """The module's source."""
    return ROOT / "max78k_sim" / f"{module}.py"
