"""What a terminal acts upon is shown, not sent to it."""

from __future__ import annotations

import json
import sys

import pytest

from batchchat.text.escape import escaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain · ünï — 漢字 👩‍💻 שלום", None),
        ("two\n\tlines", None),
        ("dos\r\nlines", "dos\nlines"),
        ("over\rwritten", "over\\rwritten"),
        ("\x1b]52;c;cHduZWQ=\x07", "\\x1b]52;c;cHduZWQ=\\a"),
        ("\x9b31m \x7f \x00", "\\u009b31m \\u007f \\x00"),
        ("\u202egnp.exe\u2069 \u2028", "\\u202egnp.exe\\u2069 \\u2028"),
    ],
)
def test_what_is_escaped(text: str, shown: str | None) -> None:
    assert escaped(text) == (text if shown is None else shown)
    assert escaped(escaped(text)) == escaped(text)


def test_no_control_is_left() -> None:
    """Of all characters only tab and line feed are."""
    everything = "".join(chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)
    left = {character for character in escaped(everything) if ord(character) < 32 or 0x7F <= ord(character) < 0xA0}
    assert left == {"\t", "\n"}


def test_a_json_document_stays_the_same() -> None:
    value = {"a\x9b": '\u202e\x1b \x7f \\ " \u2028'}
    assert json.loads(escaped(json.dumps(value, ensure_ascii=False))) == value
