"""A secret is read only by `reveal`, and redacted everywhere else."""

from __future__ import annotations

import json
import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.secret import Redactor, Secret

KEY = "sk-test/0123+4567<89>"
letters = st.characters(codec="ascii", min_codepoint=33, max_codepoint=126)
# With a beginning of its own, so that it does not run into the escape before it.
keys = st.text(letters, min_size=5, max_size=40).map("sk-{}".format).filter(lambda key: "*" not in key)


def test_a_secret_does_not_show() -> None:
    """Not in repr, str, a format, a collection, nor an error about it; `reveal` gives it, and equality holds."""
    secret = Secret(KEY)
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>5}", str([secret]), "%s" % secret):  # noqa: UP031
        assert KEY not in shown
        assert "***" in shown
    assert secret.reveal() == KEY
    assert secret == Secret(KEY) == pickle.loads(pickle.dumps(secret))
    with pytest.raises(AttributeError) as refused:
        secret.value  # type: ignore[attr-defined]  # noqa: B018
    assert KEY not in str(refused.value)


def test_a_redactor_does_not_show() -> None:
    """Its repr has the number of secrets only."""
    assert repr(Redactor([Secret("a-plain-key")])) == "Redactor(1 secrets)"


@given(key=keys, before=st.text(max_size=9), after=st.text(max_size=9))
def test_a_key_is_redacted_in_any_json(key: str, before: str, after: str) -> None:
    """Written by any JSON writer, with slashes escaped or every character escaped, the key is replaced."""
    redactor = Redactor([Secret(key)])
    text = f"{before}{key}{after}"
    assert key not in redactor.redact(text)
    for written in (
        json.dumps({"a": text}),
        json.dumps({"a": text}, ensure_ascii=False),
        json.dumps({"a": text}).replace("/", "\\/"),
        json.dumps({"a": text}).replace("+", "\\u002B").replace("<", "\\u003c").replace(">", "\\u003E"),
    ):
        redacted = redactor.redact_bytes(written.encode(errors="surrogatepass"))
        assert key not in json.loads(redacted)["a"]
    escaped = '{"a": "' + "".join(f"\\u{ord(character):04x}" for character in key) + '"}'
    if not set(key) & {'"', "\\"}:
        assert json.loads(redactor.redact_bytes(escaped.encode()))["a"] == "***"


def test_what_holds_no_key_is_left_to_the_byte() -> None:
    """Escapes of other characters are left as they were."""
    data = rb'{"a": "caf\u00e9 \u002b \\u0041 \ud800"}'
    assert Redactor([Secret(KEY)]).redact_bytes(data) is data
    assert Redactor().redact_bytes(data) is data
    assert Redactor().redact("text") == "text"


def test_a_key_is_redacted_in_a_url() -> None:
    """A redirect may carry it quoted."""
    assert Redactor([Secret(KEY)]).redact(f"https://x/?key={quote(KEY, safe='')}&y") == "https://x/?key=***&y"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Basic", "Token", "Api-Key"])
def test_a_key_behind_a_scheme_is_one(scheme: str) -> None:
    """Servers repeat the key alone; the value of another header is a secret only as a whole."""
    assert Redactor([Secret(f"{scheme} {KEY}")]).redact(f"bad key {KEY}, {scheme} {KEY}") == "bad key ***, ***"
    assert Redactor([Secret("My nightly questions")]).redact("nightly questions") == "nightly questions"


def test_short_values_are_no_secrets() -> None:
    """What self-hosted servers are given as a key is not cut out of replies."""
    assert Redactor([Secret("EMPTY"), Secret("none"), Secret("Bearer x")]).redact("EMPTY none x") == "EMPTY none x"


def test_a_key_that_contains_another_is_redacted_whole() -> None:
    """Nothing of the longer one is left, in whatever order they are passed."""
    for order in ([KEY, KEY + "-more"], [KEY + "-more", KEY]):
        assert Redactor(map(Secret, order)).redact(f"{KEY}-more, {KEY}") == "***, ***"


def test_a_value_that_is_no_utf8_breaks_nothing() -> None:
    """A header from an environment of other encoding can't be sent; in a text it is redacted all the same."""
    for value in ("equipe-\udce9t\udce9", "lone-\ud800-lone"):
        redactor = Redactor([Secret(value)])
        assert redactor.redact(f"an {value}") == "an ***"
        assert redactor.redact_bytes(b"x") == b"x"
