"""`matrix` in a job file: its axes, and what is refused with line, value and the way out."""

from __future__ import annotations

import pytest

from batchchat.job.matrix import Axis
from tests.job.given import MOCK, faults, load

TAKES = "It takes a mapping of lists, such as {model: [a, b], params.temperature: [0, 1]}."


def test_lists_and_named_values() -> None:
    """A list's values are their own names; a mapping names them; null is no system message."""
    job = load(MOCK + "matrix: {model: [a, b], params.temperature: [0, 0.5], system: {none: null, short: Be short.}}\n")
    assert job.matrix == (
        Axis("model", (("a", "a"), ("b", "b")), labelled=False),
        Axis("params.temperature", (("0", 0), ("0.5", 0.5)), labelled=False),
        Axis("system", (("none", None), ("short", "Be short.")), labelled=True),
    )
    assert job.models == ("a", "b")
    assert load(MOCK).models == (load(MOCK).model,)


def test_an_override_sets_one_axis() -> None:
    """`--set matrix.params.temperature=[0, 1]` is the axis of that name."""
    job = load(MOCK, "matrix.params.temperature=[0, 1]")
    assert job.matrix == (Axis("params.temperature", (("0", 0), ("1", 1)), labelled=False),)


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (
            "[a]",
            "`matrix` is a list. It takes a mapping of lists, such as {model: [a, b], params.temperature: [0, 1]}.",
        ),
        ("{}", f"`matrix` is empty. {TAKES}"),
        (
            "{temperature: [0]}",
            "`matrix.temperature` is not a key of a matrix. It takes model, system, and params.<name>. Did you mean"
            " `params.temperature`?",
        ),
        (
            "{models: [a, b]}",
            "`matrix.models` is not a key of a matrix. It takes model, system, and params.<name>. Did you mean"
            " `model`?",
        ),
        ("{params.: [0]}", "`matrix.params.` is not a key of a matrix. It takes model, system, and params.<name>."),
        ("{model: []}", "`matrix.model` is a list. It takes a list of values, or a mapping of names to values."),
        ("{model: a}", "`matrix.model` is text. It takes a list of values, or a mapping of names to values."),
        ("{model: [a, 3]}", "`matrix.model[1]` is 3, a whole number. It takes the name of a model."),
        ("{model: [a, null]}", "`matrix.model[1]` is empty. It takes the name of a model."),
        ("{model: [a, b, a]}", "`matrix.model` has `a` twice."),
        ("{params.max_tokens: [0]}", "`matrix.params.max_tokens[0]` is 0. It takes a whole number above 0."),
        ("{params.n: [1, 2]}", "`matrix.params.n[1]` is 2. batchchat keeps one reply a request; leave it out."),
        ("{params.model: [a]}", "`matrix.params.model[0]` is not taken there; set `model` instead."),
        (
            "{system: [" + "x" * 81 + "]}",
            "`matrix.system` has a value of 81 characters. Name the values: matrix.system: {short: ..., long: ...}",
        ),
        (
            "{endpoint: [a, b]}",
            "`matrix.endpoint` is not in this version yet. Run the job once for each endpoint, each with its own "
            "output: --set endpoint.base_url=URL --output out/NAME.parquet",
        ),
    ],
)
def test_what_is_refused(matrix: str, sentence: str) -> None:
    """Each sentence names the key, the value, and what it takes."""
    assert faults(f"{MOCK}matrix: {matrix}\n") == [f"job.yaml:5: {sentence}"]


def test_too_many_combinations() -> None:
    """Their number is bounded, since each has a name and columns of its own."""
    seeds, tops = list(range(101)), list(range(100))
    text = f"{MOCK}matrix: {{params.seed: {seeds}, params.top_k: {tops}}}\n"
    assert faults(text) == ["job.yaml:5: `matrix` has 10,100 combinations. It takes at most 10,000."]
