from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.job.variables import expand, looks_like_name
from tests.job.given import MOCK, TOKEN, faults, load

MALFORMED = "holds a `${` that is neither ${NAME} nor ${NAME:-default}. For the two characters themselves write $${."


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("${A}", "one"),
        ("x${A}y${A}", "xoneyone"),
        ("${A:-two}", "one"),
        ("${E:-two}", "two"),
        ("${N:-two}", "two"),
        ("${N:-}", ""),
        ("${N:-a b:-c}", "a b:-c"),
        ("$${A}", "${A}"),
        ("$A $ {A} $$", "$A $ {A} $$"),
        ("${N:-${A}}", "one"),
        ("${A:-${N}}", "one"),
        ("${N:-$${}", "${"),
        ("${N:-{}}", "{}"),
        ("$$${A}", "$${A}"),
    ],
)
def test_bash_meaning(written: str, text: str) -> None:
    """`${NAME}` and `${NAME:-default}` mean what they mean in bash; `$${` is a literal `${`."""
    assert expand(written, {"A": "one", "E": ""}).text == text


@pytest.mark.parametrize(
    "written", ["${", "${}", "${A", "${A-b}", "${1A}", "${A:b}", "${A:-", "${ A}", "${N:-" * 20 + "}" * 20]
)
def test_malformed(written: str) -> None:
    """Anything else after `${` is refused."""
    assert expand(written, {"A": "one"}).problem == MALFORMED


def test_faults() -> None:
    """An unset or empty variable is named with the key that uses it; a pasted key is not."""
    assert faults(
        f"{MOCK}system: ${{NOPE}}\nname: ${{E}}x\nparams: {{a: ['${{{TOKEN}}}', '${{']}}", environ={"E": ""}
    ) == [
        ("job.yaml:5: `system` takes its value from NOPE, which is not set. Set it, or write ${NAME:-default}."),
        "job.yaml:6: `name` takes its value from E, which is empty. Set it, or write ${NAME:-} for nothing.",
        (
            "job.yaml:7: `params.a[0]` takes its value from a variable (its name is not shown, in "
            "case it is a key), "
            "which is not set. Set it, or write ${NAME:-default}."
        ),
        f"job.yaml:7: `params.a[1]` {MALFORMED}",
    ]


def test_types() -> None:
    """A plain value has the type of its expanded text; a quoted one stays text."""
    job = load(
        MOCK + 'concurrency: ${N:-64}\nparams:\n  a: "${N:-64}"\n  b: ${T}\n  c: ${N:-}\n',
        environ={"T": "true"},
    )
    assert (job.concurrency, job.params) == (64, {"a": "64", "b": True, "c": None})


def test_values_are_not_repeated() -> None:
    """A message shows what is written, never a variable's value."""
    assert faults(MOCK + "concurrency: ${N}\ndrain: ${M}\nname: [ok]", environ={"N": "topsecret", "M": "-7"}) == [
        "job.yaml:5: `concurrency` is ${N}, which reads as text. It takes a whole number from 1 to 10,000, or auto.",
        "job.yaml:6: `drain` is ${M}, whose value does not fit. It takes a number, 0 or more.",
        "job.yaml:7: `name` is a list. It takes text.",
    ]


@given(st.text(), st.text(min_size=1), st.text())
def test_expansion(before: str, value: str, after: str) -> None:
    """A variable between any texts is expanded once, and its value is not expanded again."""
    before, after = before.replace("$", ""), after.replace("$", "")
    assert expand(f"{before}${{NAME}}{after}", {"NAME": value}).text == before + value + after


@given(st.text("${}:-A ", max_size=30))
def test_any_text_expands_or_is_refused(text: str) -> None:
    """No text breaks the reader; what is refused, or holds no `${`, stays as it is."""
    expansion = expand(text, {"A": "x"})
    assert expansion.text == text or (expansion.problem is None and "${" in text)


@given(
    st.from_regex(re.compile(r"[A-Za-z0-9]{32}"), fullmatch=True) | st.from_regex(r"[A-Z0-9]{20,40}", fullmatch=True)
)
def test_keys_are_no_names(key: str) -> None:
    """No DeepInfra key and no capital key looks like a variable's name."""
    assert not looks_like_name(key)


@pytest.mark.parametrize(
    "name", ["DEEPINFRA_TOKEN", "OPENAI_API_KEY", "K8S_TOKEN", "KEY2", "TOKEN", "MY_AUTHENTICATION_KEY1"]
)
def test_names_are_names(name: str) -> None:
    """Common names of variables look like names."""
    assert looks_like_name(name)


@pytest.mark.parametrize(
    "name", ["", "token", "sk-abc", "1KEY", "AKIAIOSFODNN7EXAMPLE", "sk_LIVE", f"KEY_{'A1' * 8}", "A_" * 40]
)
def test_other_texts_are_not(name: str) -> None:
    """A text that could be a key does not look like a name."""
    assert not looks_like_name(name)
