"""The rule of thumb is as good as it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.tokens import heuristic
from batchchat.tokens.heuristic import FEATURES, Heuristic, features
from tests.benchmarks.tokens import DOCS, errors, vocabularies


@pytest.mark.parametrize(
    ("weights", "told", "name"),
    [
        (heuristic.SMALL, heuristic.SMALL_ERROR, "SMALL"),
        (heuristic.LARGE, heuristic.LARGE_ERROR, "LARGE"),
    ],
)
def test_its_error_is_the_one_that_was_measured(weights: tuple[float, ...], told: float, name: str) -> None:
    """Measured anew on texts it was not fitted to: within a point of what is told beside figures; no kind is far off.

    Where it is not: make tokens.
    """
    table, mean = errors(weights, vocabularies()[name])
    assert mean == pytest.approx(told, abs=0.01)
    assert all(abs(error) < 0.3 for _, _, error in table.values())


def test_the_page_tells_the_weights_there_are() -> None:
    """docs/tokens.md has the weights and the errors of the code. Where it has not: make tokens."""
    text = DOCS.read_text()
    for name, small, large in zip(FEATURES, heuristic.SMALL, heuristic.LARGE, strict=True):
        assert f"| {name} | {small:g} | {large:g} |\n" in text
    assert f"estimate: {heuristic.SMALL_ERROR:.1%} and {heuristic.LARGE_ERROR:.1%}." in text


@given(st.text())
def test_each_character_is_counted_once(text: str) -> None:
    """Whatever the text: nothing is negative, nothing is counted twice."""
    counts = dict(zip(FEATURES, features(text), strict=True))
    assert min(counts.values()) >= 0
    assert sum(counts.values()) - counts["word"] <= len(text)


def test_scripts_are_told_apart() -> None:
    """Each kind of character in its own place."""
    counts = dict(zip(FEATURES, features("Où 12 + 中文 かな 한 😀 Да Ω ש\n"), strict=True))
    assert counts == {
        "word": 1,
        "letter": 1,
        "digit": 2,
        "sign": 1,
        "line": 1,
        "blank": 8,
        "accented": 1,
        "Han": 2,
        "kana": 2,
        "Hangul": 1,
        "emoji": 1,
        "Cyrillic": 2,
        "Greek": 1,
        "other": 1,
    }


@pytest.mark.parametrize(("model", "vocabulary"), [("mistralai/Mixtral-8x7B", "32k"), ("Qwen/Qwen3-32B", "128k")])
def test_the_vocabulary_goes_by_the_name(model: str, vocabulary: str) -> None:
    """Models of the Llama 2 age have a small one; all others are taken to have a large one."""
    found = Heuristic(model, "why")
    assert found.name == f"rule of thumb, {vocabulary} vocabulary"
    assert (found.exact, found.note) == (False, "why")
    assert not found.exact_for([])


def test_frames_and_tools_are_counted() -> None:
    """An empty conversation has its frame; parts are read for their text; tools are text too."""
    found = Heuristic("m", "why")
    plain = found.count([{"role": "user", "content": "one two three"}])
    assert found.count([{"role": "user", "content": ""}]) == 7
    assert found.count([{"role": "user", "content": [{"type": "text", "text": "one two three"}]}]) == plain
    assert found.count([{"role": "user", "content": "one two three"}], [{"name": "search"}]) > plain
    assert found.count([{"role": "user", "content": [{"type": "image_url"}, 7]}]) == 7
