"""The reference of the public names: nothing is left out, and each name says what it is."""

from __future__ import annotations

import inspect
import re

import batchchat
from tests.python_reference import functions, members, python_errors, python_names, undocumented


def test_each_public_name_has_a_section() -> None:
    """Functions and classes with their methods have a heading, errors a line, attributes a row."""
    page = python_names() + python_errors()
    for name in batchchat.__all__:
        value = getattr(batchchat, name)
        if name == "__version__":
            continue
        assert re.search(rf"^(### {name}$| *- `{name}` )", page, re.MULTILINE), name
        if inspect.isclass(value):
            for member in members(value):
                heading = f"#### {name}.{member.name}\n" if member.is_method else f"`{member.name}`"
                assert heading in page or member.name == "exit_code", f"{name}.{member.name}"


def test_each_public_name_says_what_it_is() -> None:
    """Functions, classes, methods, properties and attributes have docstrings."""
    assert undocumented() == []


def test_each_parameter_of_a_function_is_explained() -> None:
    """The docstring of a function names its parameters, or says whose they are."""
    for function in functions():
        doc = function.__doc__ or ""
        is_referred = "those of `run`" in doc
        for name in inspect.signature(function).parameters:
            own = {*inspect.signature(batchchat.run).parameters} if is_referred else set()
            assert f"`{name}`" in doc or name in own, f"{function.__name__}({name})"


def test_signatures_have_no_private_name() -> None:
    """A type of the package that a signature names is public, or explained at the end."""
    assert re.findall(r"\b_[A-Z]\w*", python_names()) == []
