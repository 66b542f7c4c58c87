from __future__ import annotations

import pytest

from tests.job.given import MOCK, faults, load


def test_sent_unchanged() -> None:
    """Any mapping of JSON values is accepted, null and the harmless values of known names too."""
    params = load(MOCK + "params: {n: 1, stream: false, max_tokens: null, stop: [a], x: {y: [1.5, {z: ~}]}}").params
    assert params == {
        "n": 1,
        "stream": False,
        "max_tokens": None,
        "stop": ["a"],
        "x": {"y": [1.5, {"z": None}]},
    }


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ('max_tokens: "512"', '`params.max_tokens` is "512", text. It takes a whole number above 0.'),
        ("max_tokens: 1.0", "`params.max_tokens` is 1.0, a decimal number. It takes a whole number above 0."),
        ("max_completion_tokens: 0", "`params.max_completion_tokens` is 0. It takes a whole number above 0."),
        ("temperature: [1]", "`params.temperature` is a list. It takes a number."),
        ("temperature: .nan", "`params.temperature` is .nan. It takes a number."),
        ("n: 4", "`params.n` is 4. batchchat keeps one reply a request; leave it out."),
        ("n: true", "`params.n` is true. batchchat keeps one reply a request; leave it out."),
        ("stream: true", "`params.stream` is true. Set `endpoint.stream: true` instead."),
        ("stream: {a: 1}", "`params.stream` is a mapping. Set `endpoint.stream: true` instead."),
        ("model: x", "`params.model` is not taken there; set `model` instead."),
        ("messages: []", "`params.messages` is not taken there; conversations come from `input.path`."),
        ("x: [1, {y: .inf}]", "`params.x[1].y` is .inf, which JSON has no number for."),
    ],
)
def test_refused(written: str, sentence: str) -> None:
    """Values that would fail every request are refused before the first."""
    assert faults(f"{MOCK}params: {{{written}}}") == [f"job.yaml:5: {sentence}"]
