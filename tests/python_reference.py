"""The reference of docs/python.md, read off the signatures and docstrings of the public names."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import batchchat
from batchchat.errors import BatchchatError

__all__ = ["Member", "functions", "members", "python_errors", "python_names", "types_in_signatures", "undocumented"]

_WIDTH = 100
_CONSTRUCTED = ("Job",)
"""Classes whose objects a user makes; the others are results."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Member(NamedTuple):
    """A public name of a class: an attribute or property with its `type`, or a method with its signature."""

    name: str
    type: str
    doc: str
    is_method: bool


def python_names() -> str:
    """A section for each function and class, and for the types that their signatures name."""
    public = [(name, getattr(batchchat, name)) for name in batchchat.__all__]
    classes = [value for _, value in public if inspect.isclass(value) and not issubclass(value, BatchchatError)]
    sections = [_function(value) for value in functions()]
    sections += [_class(value) for value in sorted(classes, key=lambda value: value.__name__ != "Job")]
    rows = "".join(f"- `{name}`: {doc}\n" for name, doc in types_in_signatures())
    return "\n".join([*sections, f"### Types in signatures\n{rows}"])


def python_errors() -> str:
    """The error tree: a line for each error, indented below the one that it is."""
    return "".join(_errors(BatchchatError, 0))


def functions() -> list[Any]:
    """The public functions."""
    return [value for name in batchchat.__all__ if inspect.isfunction(value := getattr(batchchat, name))]


def members(cls: type) -> Iterator[Member]:
    """The public attributes, properties and methods of `cls`, in their order."""
    body = _node(cls).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield Member(node.target.id, ast.unparse(node.annotation), _doc_of(after), is_method=False)
        if not isinstance(node, Function):
            continue
        if node.name == "__init__":
            yield from _attributes(node)
        elif not node.name.startswith("_"):
            is_property = any(ast.unparse(decorator) == "property" for decorator in node.decorator_list)
            shown = ast.unparse(node.returns) if is_property and node.returns else _signature(node)
            yield Member(node.name, shown, _text(ast.get_docstring(node)), not is_property)


def types_in_signatures() -> list[tuple[str, str]]:
    """The types of the package that signatures name and that are no public names, each with what it says of itself."""
    types: dict[str, str] = {}
    for value in [*functions(), *(getattr(batchchat, name) for name in ("Job", "Result", "Estimate", "Report"))]:
        module = sys.modules[value.__module__]
        names = {node.id for node in ast.walk(_node(value)) if isinstance(node, ast.Name)}
        for home in (module, *map(sys.modules.__getitem__, _SHARED)):
            types |= {name: doc for name, doc in _types_of(home) if name in names}
    return sorted(types.items())


def undocumented() -> list[str]:
    """The public names, attributes and methods that say nothing of themselves."""
    values = [(name, getattr(batchchat, name)) for name in batchchat.__all__ if not name.startswith("_")]
    names = [name for name, value in values if not value.__doc__]
    for name, value in values:
        if inspect.isclass(value):
            names += [f"{name}.{member.name}" for member in members(value) if not member.doc]
    return names


_SHARED = ("batchchat.api.run", "batchchat.api.run_options")
"""Modules whose types stand in the signatures of others."""


def _types_of(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The aliases and named tuples that are public in a `module`."""
    tree = _tree(module)
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and (doc := _doc_of(after)):
            name = node.targets[0].id
            if not name.startswith("_"):
                yield name, f"`{ast.unparse(node.value)}`. {doc}"
        elif isinstance(node, ast.ClassDef) and [ast.unparse(base) for base in node.bases] == ["NamedTuple"]:
            fields = ", ".join(f"`{member.name}: {member.type}`" for member in members(getattr(module, node.name)))
            yield node.name, f"a tuple of {fields}. {_text(ast.get_docstring(node))}"


def _function(function: Any) -> str:
    node = _node(function)
    assert isinstance(node, Function)
    return f"### {node.name}\n```python\n{_signature(node)}\n```\n\n{_text(ast.get_docstring(node))}\n"


def _class(cls: type) -> str:
    constructor = next(node for node in _node(cls).body if isinstance(node, ast.FunctionDef))
    assert constructor.name == "__init__"
    shown = ""
    if cls.__name__ in _CONSTRUCTED:
        shown = f"```python\n{_signature(constructor, cls.__name__)}\n```\n\n"
    own = list(members(cls))
    rows = "".join(
        f"| `{member.name}` | `{member.type.replace('|', chr(92) + '|')}` | {' '.join(member.doc.split())} |\n"
        for member in own
        if not member.is_method
    )
    table = f"\n| attribute | type | what it is |\n| --- | --- | --- |\n{rows}" if rows else ""
    methods = "".join(
        f"\n#### {cls.__name__}.{member.name}\n```python\n{member.type}\n```\n\n{member.doc}\n"
        for member in own
        if member.is_method
    )
    return f"### {cls.__name__}\n{shown}{_text(cls.__doc__)}\n{table}{methods}"


def _errors(error: type[BatchchatError], depth: int) -> Iterator[str]:
    doc = " ".join(_text(error.__doc__).split())
    yield f"{'  ' * depth}- `{error.__name__}` (exit code {error.exit_code}): {doc}\n"
    for member in members(error):
        if error is not BatchchatError and member.name != "exit_code":
            yield f"{'  ' * depth}  `{member.name}`, `{member.type}`: {member.doc}\n"
    for child in error.__subclasses__():
        yield from _errors(child, depth + 1)


def _attributes(constructor: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Member]:
    """What a constructor sets that has a docstring after it; its type is its annotation, or that of the parameter."""
    arguments = constructor.args
    parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    types = {argument.arg: ast.unparse(argument.annotation) for argument in parameters if argument.annotation}
    for node, after in zip(constructor.body, [*constructor.body[1:], None], strict=True):
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        if not isinstance(target, ast.Attribute) or target.attr.startswith("_"):
            continue
        annotation = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
        value = "" if node.value is None else ast.unparse(node.value)
        shown, doc = annotation or types.get(value, ""), _doc_of(after)
        assert shown or not doc, f"self.{target.attr} is documented: give it an annotation"
        yield Member(target.attr, shown, doc, is_method=False)


def _signature(function: Function, name: str | None = None) -> str:
    """A function as it is called, without `self`; a line for each parameter where it is long."""
    arguments = function.args
    for parameters in (arguments.posonlyargs, arguments.args):
        if parameters and parameters[0].arg == "self":
            del parameters[0]
    returns = f" -> {ast.unparse(function.returns)}" if function.returns and name is None else ""
    start = f"{'async ' if isinstance(function, ast.AsyncFunctionDef) else ''}{name or function.name}"
    parts = [*_parts(arguments)]
    line = f"{start}({', '.join(parts)}){returns}"
    return line if len(line) <= _WIDTH else f"{start}(\n{''.join(f'    {part},{chr(10)}' for part in parts)}){returns}"


def _parts(arguments: ast.arguments) -> Iterator[str]:
    """Each parameter with its default, and the marks `/` and `*`."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + [*arguments.defaults]
    for position, (argument, default) in enumerate(zip(positional, defaults, strict=True), start=1):
        yield _parameter(argument, default)
        if position == len(arguments.posonlyargs):
            yield "/"
    if arguments.vararg:
        yield f"*{ast.unparse(arguments.vararg)}"
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default)
    if arguments.kwarg:
        yield f"**{ast.unparse(arguments.kwarg)}"


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    if default is None:
        return ast.unparse(argument)
    text = isinstance(default, ast.Constant) and isinstance(default.value, str)
    return f"{ast.unparse(argument)} = {json.dumps(ast.literal_eval(default)) if text else ast.unparse(default)}"


def _node(value: Any) -> Any:
    """The definition of a function or class."""
    tree = _tree(sys.modules[value.__module__])
    return next(node for node in tree.body if getattr(node, "name", None) == value.__name__)


def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def _doc_of(node: ast.stmt | None) -> str:
    """The text of a string that stands alone, as after an attribute."""
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return " ".join(ast.literal_eval(node.value).split()) if is_text and isinstance(node, ast.Expr) else ""


def _text(docstring: str | None) -> str:
    return inspect.cleandoc(docstring or "")
