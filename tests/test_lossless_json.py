"""JSON text in and out."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.lossless_json import canonical, dumps, loads, loads_lenient, scrub

_texts = st.text(st.characters(codec=None))
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)


@given(_values)
def test_every_value_survives(value: Any) -> None:
    """What is written is read back equal: surrogates, and integers of any size."""
    assert loads(dumps(value)) == value
    assert loads(canonical(value)) == value


@given(_values)
def test_types_survive(value: Any) -> None:
    """An integer stays an integer and a float a float."""
    assert repr(loads(dumps(value))) == repr(value)


@given(st.dictionaries(_texts, st.integers(), max_size=5))
def test_canonical_is_independent_of_key_order(value: dict[str, int]) -> None:
    """Equal objects give equal bytes."""
    assert canonical(value) == canonical(dict(reversed(value.items())))


@pytest.mark.parametrize("text", ["18446744073709551616", "-9223372036854775809", "1" * 400])
def test_integers_over_64_bits_are_read_exactly(text: str) -> None:
    """No digit is lost where orjson would give a float."""
    assert loads(text.encode()) == int(text)


@given(st.integers(0, 20), st.sampled_from([18446744073709551616, -9223372036854775809, 10**19 * 7, -(10**18) * 97]))
def test_a_large_integer_is_found_wherever_it_stands(before: int, number: int) -> None:
    """The look at every ninth byte misses none."""
    assert loads(b" " * before + b"[%d]" % number) == [number]


@pytest.mark.parametrize("text", ["18446744073709551616", "-9223372036854775809"])
def test_of_a_response_they_may_be_rounded(text: str) -> None:
    """Nothing so large is read of a response, and looking for it would cost twice the parse: a float will do."""
    assert loads_lenient(text.encode()) == float(text)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_what_json_has_no_word_for_is_read(text: str) -> None:
    """Python's own writers put these into JSON, so they are read, and written as they were, wherever they stand."""
    value = loads(text.encode())
    assert str(value) == str(float(text))
    assert not math.isfinite(value)
    assert dumps(value) == text.encode()
    nested = f'{{"a":[{text}],"b":"\\ud800"}}'.encode()
    assert dumps(loads(nested)) == dumps(loads_lenient(nested)) == nested


def test_a_number_beyond_any_float_is_an_infinity() -> None:
    """`1e400` is read as Python reads it, and is no null afterwards."""
    assert [dumps(loads(text)) for text in (b"1e400", b"[-1e999]", b"[1.5,1e400]")] == [
        b"Infinity",
        b"[-Infinity]",
        b"[1.5,Infinity]",
    ]


@pytest.mark.parametrize("data", [b"[" * 5000, b"[" * 5000 + b"]" * 5000, b"", b"{", b"1" * 5000])
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    """However deep or long it is, only ValueError comes out."""
    with pytest.raises(ValueError):  # noqa: PT011 -- any of its kinds
        loads(data)
    with pytest.raises(ValueError):  # noqa: PT011
        loads_lenient(data)


@given(st.binary())
def test_any_bytes_are_a_value_or_a_value_error(data: bytes) -> None:
    """No other exception leaves either reader, and both agree where the bytes are UTF-8."""
    try:
        value = loads(data)
    except ValueError:
        return
    assert repr(loads_lenient(data)) == repr(value)


def test_lenient_keeps_bad_bytes() -> None:
    """A byte that is not UTF-8 comes through and is written as an escape."""
    assert dumps(loads_lenient(b'{"a":"\xff"}')) == b'{"a":"\\udcff"}'
    with pytest.raises(UnicodeDecodeError):
        loads(b'{"a":"\xff"}')


@given(_texts)
def test_scrubbed_text_is_utf8(text: str) -> None:
    """What is scrubbed can be written as UTF-8, and text that could is left alone."""
    scrubbed = scrub(text)
    assert scrubbed.encode().decode() == scrubbed
    if json.dumps(text, ensure_ascii=False).isascii():
        assert scrubbed == text
