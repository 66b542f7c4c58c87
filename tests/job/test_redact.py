from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.job.given import MOCK, TOP, load

SECRET = "sEcReT-0123456789"


@pytest.mark.parametrize(
    "body",
    [
        '  headers: {X-A: SECRET, X-B: \'SECRET\', "X-C":"SECRET"}',
        ('  headers:\n    X-A: SECRET\n    X-B: SECRET more\n      and SECRET\n    X-C: "SECRET\\\n      SECRET"'),
        ("  headers:\n    X-A: |\n      SECRET\n    X-B: >-\n      SECRET\n      SECRET\n\n    X-C: !!str SECRET"),
        "  headers:\n    # X-Old: SECRET\n    X-A: &a SECRET # SECRET\n    X-B: *a\n    X-C: b\n    # SECRET",
        "  # api_key: SECRET\n  headers: &h\n    ? X-A\n    : SECRET\n    X-B: ''\n    X-C: c",
        "  headers: {<<: {X-A: SECRET, X-B: b}, X-B: SECRET, X-C: SECRET}",
        "  headers: {<<: [{X-A: SECRET}, {X-A: SECRET, X-B: b}], X-B: c, X-C: '${NO:-SECRET}'}",
    ],
)
def test_header_values_are_blanked(body: str) -> None:
    """The kept text has no header value, in any YAML style, and the other keys are unchanged."""
    job = load(f"{TOP}endpoint:\n  base_url: mock\n{body.replace('SECRET', SECRET)}\nparams: {{a: 1}} # kept\n")
    assert SECRET not in job.text
    assert "# kept" in job.text
    again = load(job.text)
    assert set(job.endpoint.headers) == set(again.endpoint.headers) == {"X-A", "X-B", "X-C"}
    assert (again.params, again.model, again.input.as_given) == (job.params, job.model, job.input.as_given)
    assert again.text == job.text


@pytest.mark.parametrize(
    ("body", "typed"),
    [
        ("endpoint: {base_url: mock, api_key_env: SECRET}", "endpoint.api_key_env=A_NAME"),
        ("endpoint: {base_url: 'http://a:SECRET@b', api_key_env: A}", "endpoint.base_url=mock"),
        ("endpoint:\n  base_url: mock\n  headers: Bearer SECRET", "endpoint.headers={}"),
        ("endpoint:\n  api_key: SECRET", "endpoint={base_url: mock}"),
        ("endpoint: {base_url: mock}\nretry:\n  key: SECRET\n", "retry={}"),
    ],
)
def test_what_an_override_replaced(body: str, typed: str) -> None:
    """A value that was never checked because an override replaced it is not kept either."""
    job = load(f"{TOP}{body.replace('SECRET', SECRET)}\nname: n\n", typed)
    assert SECRET not in job.text
    assert job.name == "n"
    assert yaml.safe_load(job.text)["name"] == "n"


@pytest.mark.parametrize(
    "body",
    [
        "on_finish: curl -d @- https://hooks.example/SECRET",
        "on_finish: |\n  curl -d @- \\\n    https://hooks.example/SECRET\n",
        "on_finish: [curl, -d, '@-', SECRET]",
        "on_finish:\n- curl\n- SECRET\n",
    ],
)
def test_a_command_is_not_kept(body: str) -> None:
    """A URL that messages are posted to is a secret: neither the kept text nor the spec's repr shows the command."""
    job = load(f"{MOCK}{body.replace('SECRET', SECRET)}\nname: n # kept\n")
    assert SECRET not in job.text + repr(job)
    assert "name: n # kept" in job.text
    assert load(job.text).name == "n"
    typed = load(MOCK, f"on_finish={SECRET}")
    assert SECRET not in typed.text


def test_an_alias_of_a_header() -> None:
    """A header's value that is defined elsewhere under an anchor is redacted there."""
    job = load(f"{MOCK[:-2]}, headers: {{X-A: *a}}}}\n".replace("model: m", f"name: &a {SECRET}\nmodel: m"))
    assert job.endpoint.headers["X-A"].reveal() == SECRET
    assert SECRET not in job.text


lines = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30)
names = st.from_regex(r"X-[A-Za-z]{1,8}", fullmatch=True)


@given(
    st.dictionaries(names.map(str.title), lines.map(lambda text: f"{SECRET}{text}".replace("$", "")), min_size=1),
    st.dictionaries(names, lines.map(lambda text: text.replace("$", ""))),
    st.sampled_from(['"', "'", None]),
    st.booleans(),
)
def test_any_header_is_redacted(headers: dict[str, str], params: dict[str, str], style: Any, flow: bool) -> None:
    """For any headers and style, the kept text is the same job except for the headers' values."""
    tree = {"endpoint": {"base_url": "mock", "headers": headers}, "params": params}
    dumped = yaml.safe_dump(tree, default_style=style, default_flow_style=flow, width=20, sort_keys=False)
    if flow:
        flow_items = dumped.strip().removeprefix("{")
        text = f"{{input: {{path: q.jsonl}}, model: m, output: {{path: o.parquet}}, {flow_items}"
    else:
        text = f"{TOP}{dumped}"
    job = load(text)
    again = load(job.text)
    assert SECRET not in job.text
    assert list(again.endpoint.headers) == list(job.endpoint.headers)
    assert {value.reveal() for value in again.endpoint.headers.values()} == {"***"}
    assert (again.params, again.input.as_given) == (job.params, job.input.as_given)
