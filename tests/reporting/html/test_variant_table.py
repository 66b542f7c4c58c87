"""The table of a matrix: what goes down, what goes across, and its figures."""

from __future__ import annotations

from itertools import product
from typing import Any

from batchchat.reporting.html.variant_table import variant_table
from batchchat.results.group_stats import GroupStats
from batchchat.results.variants import VariantFigures
from tests.store.given import answered, failed

USAGE = {"prompt_tokens": 5, "completion_tokens": 40}


def stats(answers: int = 3, unfit: int = 1, **fields: Any) -> GroupStats:
    """Figures of `answers`, and of replies that do not fit."""
    of = GroupStats()
    for n in range(answers):
        of.add(answered(str(n), **({"cost_usd": 0.5, "usage": USAGE, "latency_s": 2.0} | fields)))
    for n in range(unfit):
        of.add(failed(f"f{n}", error_kind="schema"))
    return of


def table(axes: dict[str, list[Any]], *, has_schema: bool = True, **fields: Any) -> dict[str, Any]:
    """The table of every combination of the values of `axes`, all with the same figures."""
    variants = [(values, stats(**fields)) for values in product(*axes.values())]
    return variant_table(VariantFigures(tuple(axes), variants, has_schema))


def test_models_go_down_and_prompts_across() -> None:
    """Whatever their order in the job; further axes are part of a column's label, numbers in order and with a name."""
    shown = table({"temperature": [0.7, 0.0], "system": ["short", None], "model": ["x/a", "y/b", "y/c"]})
    assert shown["title"] == "Which model with which prompt and temperature?"
    assert shown["head"] == ["model"]
    assert shown["columns"] == [
        "short · temperature 0",
        "short · temperature 0.7",
        "none · temperature 0",
        "none · temperature 0.7",
    ]
    assert [line["labels"] for line in shown["lines"]] == [["a"], ["b"], ["c"]]
    assert shown["lines"][0]["cells"] == [{"rows": 4, "values": [0.75, 0.75, 0.5, 40.0, 2.0]}] * 4
    assert [measure["label"] for measure in shown["measures"]] == [
        *("answered", "fits the schema", "cost a row", "mean reply tokens", "latency p50")
    ]


def test_one_axis_is_a_line_for_each_value() -> None:
    """Without a schema nothing is said of one; small costs are given for 1,000 rows, unknown ones are null."""
    shown = table({"model": ["x/a", "y/a"]}, has_schema=False, cost_usd=1e-5)
    assert (shown["title"], shown["head"], shown["columns"]) == ("Which model?", ["model"], None)
    assert [line["labels"] for line in shown["lines"]] == [["x/a"], ["y/a"]], "the ends of the names are the same"
    assert [measure["label"] for measure in shown["measures"]][1] == "cost per 1,000 rows"
    assert shown["lines"][0]["cells"][0]["values"] == [0.75, 0.01, 40.0, 2.0]
    unknown = table({"max_tokens": [5, 10]}, cost_usd=None, cost_source=None, usage=None, latency_s=None)
    assert unknown["title"] == "Which max tokens?"
    assert unknown["lines"][0]["cells"][0]["values"] == [0.75, 0.75, None, None, None]


def test_what_would_be_too_wide_is_listed() -> None:
    """A line for each variant, with all its values; what is beyond 60 lines is counted."""
    shown = table({"model": [f"m{n}" for n in range(10)], "temperature": [n / 10 for n in range(10)]})
    assert shown["columns"] is None
    assert shown["head"] == ["model", "temperature"]
    assert [line["labels"] for line in shown["lines"][:2]] == [["m0", "0"], ["m0", "0.1"]]
    assert (len(shown["lines"]), shown["left_out"]) == (60, 40)
    assert shown["by"] == "variant_model,variant_temperature"


def test_a_variant_that_is_not_there_has_no_cell() -> None:
    """As in a run that stopped before it came to any of its rows."""
    variants = [(("a", "p"), stats()), (("b", "q"), stats())]
    shown = variant_table(VariantFigures(("model", "system"), variants, has_schema=True))
    assert [[cell is None for cell in line["cells"]] for line in shown["lines"]] == [[False, True], [True, False]]


def test_shared_answers_have_no_tokens_of_their_own() -> None:
    """The mean is of the answers that have some."""
    of = stats(1, 0)
    of.add(answered("s", usage=None, cost_usd=0.0, cost_source="shared", latency_s=None))
    shown = variant_table(VariantFigures(("model",), [(("a",), of)], has_schema=False))
    assert shown["lines"][0]["cells"][0]["values"] == [1.0, 0.25, 40.0, 2.0]
