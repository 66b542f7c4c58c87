"""The result of `validate` as text: how many rows can be sent, in which format, and which rows can't; pure."""

from __future__ import annotations

from collections.abc import Sequence

from batchchat.preflight.validate import BadRows, ValidationResult
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine, labelled, labelled_list, next_lines

__all__ = ["validation_text"]

_MODELS_SHOWN = 10
_ROWS_SHOWN = 10
_ROWS_SHOWN_OF_EACH = 3


def validation_text(result: ValidationResult) -> str:
    """The headline, a blank line, labelled lines, and the command to type next."""
    total = result.good + result.invalid
    lines = [
        f"{result.name}: {numbers.count(result.good - result.unfit)} of {numbers.count(total)} rows can be sent",
        "",
    ]
    return "\n".join([*lines, labelled_list(_labelled_lines(result)), "", next_lines([result.next_command])])


def _labelled_lines(result: ValidationResult) -> list[LabelledLine]:
    invalid = f" · {numbers.count(result.invalid)} invalid" if result.invalid else ""
    unfit = f" · {numbers.count(result.unfit)} too long" if result.unfit else ""
    lines = [
        LabelledLine("input", result.source),
        LabelledLine("format", result.form),
        LabelledLine("rows", f"{numbers.count(result.good - result.unfit)} good{invalid}{unfit}{_finished(result)}"),
    ]
    if result.ids is not None:
        lines.insert(2, LabelledLine("ids", result.ids))
    lines += labelled("model", _models(result))
    if result.price is not None:
        lines.append(LabelledLine("price", result.price))
    if result.stores is not None:
        lines.append(LabelledLine("output", result.stores))
    if result.unset_key is not None:
        lines.append(LabelledLine("key", f"{result.unset_key} is not set here; a run needs it"))
    lines += labelled("note", result.notes)
    lines += labelled("invalid", _bad_rows(result.bad))
    if result.too_long:
        lines += labelled("too long", _examples(result.first_too_long, result.too_long))
    return lines


def _finished(result: ValidationResult) -> str:
    """How many of the good rows an earlier run has finished."""
    if result.left == result.good:
        return ""
    if not result.left:
        return " · nothing left to send: each has its result"
    return f" · {numbers.count(result.left)} left to send"


def _bad_rows(bad: Sequence[BadRows]) -> list[str]:
    """The number of rows for each reason, and the first of them; fewer of each where there are many reasons."""
    shown = _ROWS_SHOWN if len(bad) == 1 else _ROWS_SHOWN_OF_EACH
    lines: list[str] = []
    for rows in bad:
        lines.append(f"{numbers.rows(rows.rows)}: {rows.reason.value}")
        lines += (f"  {sentence}" for sentence in _examples(rows.first[:shown], rows.rows))
    return lines


def _models(result: ValidationResult) -> list[str]:
    if len(result.models) == 1:
        return [result.models[0][0]]
    shown = result.models[:_MODELS_SHOWN]
    lines = [f"{model} for {numbers.rows(count)}" for model, count in shown]
    hidden = result.models[_MODELS_SHOWN:]
    if hidden:
        lines.append(f"and {len(hidden)} more for {numbers.rows(sum(count for _, count in hidden))}")
    return lines


def _examples(sentences: Sequence[str], count: int) -> list[str]:
    """The first `sentences` of `count`, one to a line, and how many more there are."""
    remaining = count - len(sentences)
    more = [f"and {numbers.count(remaining)} more"] if remaining else []
    return [*(" ".join(sentence.split()) for sentence in sentences), *more]
