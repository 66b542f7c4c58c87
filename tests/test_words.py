"""Names say what they hold: these counts may only fall."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "batchchat"

# Participles and pronouns: a variable named so says nothing of what it holds.
EMPTY_NAMES = frozenset(
    {"found", "told", "said", "seen", "known", "made", "asked", "given", "kept", "rest", "one", "other", "each", "some"}
)


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE.parent).as_posix(), ast.parse(path.read_text())


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def names_bound(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Parameters, and what is assigned, in comprehensions and loops too."""
    arguments = function.args
    names = {argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    stored = (node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    return names | {node.id for node in stored}


def test_a_variable_is_named_by_what_it_holds() -> None:
    """No function holds its value in `found`, `told`, `rest` or the like."""
    empty = {
        f"{path}:{function.lineno} {function.name}": names
        for path, tree in trees()
        for function in functions(tree)
        if (names := names_bound(function) & EMPTY_NAMES)
    }
    assert empty == {}


def test_a_class_name_stands_once() -> None:
    """One word has one meaning: no public class is defined in two modules."""
    modules = defaultdict(list)
    for path, tree in trees():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules[node.name].append(path)
    assert {name: paths for name, paths in modules.items() if len(paths) > 1} == {}


def test_an_error_is_no_text() -> None:
    """A function that may fail with a sentence returns a type for it, never `X | str`."""
    texts = [
        f"{path}:{function.lineno} {function.name}"
        for path, tree in trees()
        for function in functions(tree)
        if function.returns is not None and ast.unparse(function.returns).endswith("| str")
    ]
    assert texts == []
