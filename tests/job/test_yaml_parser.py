from __future__ import annotations

from typing import Any

import pytest

from tests.job.given import MOCK, faults, load


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("17:30", "17:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("true", True),
        ("FALSE", False),
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("+3", 3),
        ("-3", -3),
        ("~", None),
        ("Null", None),
        ("", None),
        ('"1"', "1"),
        ("'true'", "true"),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
        ("0b1", "0b1"),
        ("=", "="),
        ("[1, a]", [1, "a"]),
        (r'"\ud83d\ude00"', "\U0001f600"),
        ("nan", "nan"),
    ],
)
def test_core_schema(written: str, value: Any) -> None:
    """Plain values have the types of YAML 1.2's core schema, quoted ones are text."""
    got = load(f"{MOCK}params:\n  x: {written}\n").params["x"]
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (
            "!!set {a}",
            "has a tag (`!...`). A job takes plain text, numbers, lists and mappings; leave it out.",
        ),
        (
            "!!binary aGk=",
            "has a tag (`!...`). A job takes plain text, numbers, lists and mappings; leave it out.",
        ),
        (
            "!!int abc",
            "has a tag (`!...`). A job takes plain text, numbers, lists and mappings; leave it out.",
        ),
        (
            "!secret abc",
            "has a tag (`!...`). A job takes plain text, numbers, lists and mappings; leave it out.",
        ),
        ("9" * 30, "is a whole number beyond 64 bits, which JSON readers do not take."),
        ("9" * 5000, "is a whole number beyond 64 bits, which JSON readers do not take."),
        (r'"\ud83d"', "holds half a character, which is not Unicode text."),
        (".inf", "is .inf, which JSON has no number for."),
        ("-.INF", "is -.INF, which JSON has no number for."),
        ("1e999", "is 1e999, which JSON has no number for."),
    ],
)
def test_no_json(written: str, sentence: str) -> None:
    """A value that JSON doesn't have is refused."""
    assert faults(f"{MOCK}params:\n  x: {written}\n") == [f"job.yaml:6: `params.x` {sentence}"]


def test_repeated_key() -> None:
    """A repeated key is refused, at any depth, with the line of the first."""
    assert faults(f"{MOCK}retry:\n  max_wait: 1\n  max_wait: 2\nmodel: x\n") == [
        "job.yaml:7: `retry.max_wait` is repeated; line 6 already sets it.",
        "job.yaml:8: `model` is repeated; line 2 already sets it.",
    ]


def test_keys_that_are_no_text() -> None:
    """A key that is a mapping (braces of a template) or empty is reported as such."""
    assert faults(MOCK + "params: {a: {{x}}, '': 1}\n") == [
        "job.yaml:5: a key under `params.a` is a list or a mapping. Quote text that contains braces.",
        "job.yaml:5: a key under `params` has no readable name.",
    ]


def test_keys_are_text() -> None:
    """Numbers and words that look like values are text as keys, as in JSON."""
    assert load(MOCK + "params: {logit_bias: {50256: -100, true: 1, 1.0: 2}}").params == {
        "logit_bias": {"50256": -100, "true": 1, "1.0": 2}
    }


def test_merge_keys() -> None:
    """Merge keys add the entries that the mapping does not set; the first of several wins."""
    text = """\
params:
  a: &a {x: 1, y: 1}
  b: &b {x: 2, z: 2}
  c: {<<: [*a, *b], y: 3}
  d: {"<<": 1}
  e: *a
"""
    params = load(MOCK + text).params
    assert params["c"] == {"x": 1, "y": 3, "z": 2}
    assert params["d"] == {"<<": 1}
    assert params["e"] == {"x": 1, "y": 1}
    assert faults(MOCK + "params: {<<: 3}\n") == ["job.yaml:5: `<<` takes an alias of a mapping, or a list of such."]


def test_bounds() -> None:
    """Aliases of aliases, an alias of itself and endless brackets are reported in one sentence."""
    laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    laughs += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    sentences = faults(MOCK + "params:\n" + "".join(f"  {line}\n" for line in laughs))
    assert len(sentences) == 1
    assert sentences[0].endswith(": this holds more than 10,000 values with its aliases unfolded.")
    deep = "this goes deeper than 50 levels, or holds an alias of itself. Write it flatter."
    assert faults(MOCK + "params: &p {x: *p}\n") == [f"job.yaml:5: {deep}"]
    assert faults(MOCK + f"params: {'[' * 5000}{']' * 5000}\n") == [f"job.yaml:1: {deep}"]


def test_byte_order_mark_and_line_ends() -> None:
    """A byte order mark and DOS line ends change nothing."""
    assert load(("\ufeff" + MOCK).replace("\n", "\r\n")).model == "m"
