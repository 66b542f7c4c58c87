from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.job.diagnostics import SourceLocation
from batchchat.job.tree import (
    InvalidNode,
    MappingNode,
    Node,
    Scalar,
    SequenceNode,
    is_null,
    kind_of,
    printable,
    wrong_type,
    wrong_value,
)

HERE = SourceLocation("job.yaml:1")


def scalar(value: Any, written: str = "", *, from_variable: bool = False) -> Scalar:
    written = written or str(value)
    return Scalar(HERE, value, str(value), written, from_variable)


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        (scalar(None, "~"), "empty"),
        (scalar(True), "a boolean"),
        (scalar(1), "a whole number"),
        (scalar(1.5), "a decimal number"),
        (scalar("x"), "text"),
        (SequenceNode(HERE, ()), "a list"),
        (MappingNode(HERE, {}), "a mapping"),
        (InvalidNode(HERE, "can't be read."), "unreadable"),
    ],
)
def test_kinds(node: Node, kind: str) -> None:
    """Each node's type has a name that a user knows; only an empty value is null."""
    assert kind_of(node) == kind
    assert is_null(node) == (kind == "empty")


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (scalar("512"), '`k` is "512", text. It takes a number.'),
        (scalar(True, "true"), "`k` is true, a boolean. It takes a number."),
        (scalar("hidden", "${N}", from_variable=True), "`k` is ${N}, which reads as text. It takes a number."),
        (scalar(None, "~"), "`k` is empty. It takes a number."),
        (InvalidNode(HERE, "has no value."), "`k` has no value."),
    ],
)
def test_wrong_type(node: Node, sentence: str) -> None:
    """The message shows the value as written, never a variable's; what could not be read says why."""
    (diagnostic,) = wrong_type("k", node, "a number").diagnostics
    assert (diagnostic.location, diagnostic.sentence) == (HERE, sentence)


def test_a_hidden_value_is_not_shown() -> None:
    """A value that may be a secret is described by its type alone."""
    (diagnostic,) = wrong_type("k", scalar(1234567), "text", hidden=True).diagnostics
    assert diagnostic.sentence == "`k` is a whole number (the value is not shown). It takes text."


def test_wrong_value() -> None:
    """A value of the right type is shown as written, a variable by its name, an empty text as such."""
    values = [scalar(0), scalar(0, "${N}", from_variable=True), Scalar(HERE, "", "", "")]
    sentences = [wrong_value("k", value, "more").diagnostics[0].sentence for value in values]
    assert sentences == [
        "`k` is 0. It takes more.",
        "`k` is ${N}, whose value does not fit. It takes more.",
        '`k` is "". It takes more.',
    ]


@given(st.text(), st.integers(10, 100))
def test_printable(text: str, max_length: int) -> None:
    """Any text becomes one printable line within the bound."""
    line = printable(text, max_length)
    assert line.isprintable()
    assert len(line) <= max_length
