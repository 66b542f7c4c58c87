"""What a look at a job found: how much can be sent, as what, and which rows can't. Pure text."""

from __future__ import annotations

from collections.abc import Sequence

from batchchat.preflight.validate import ValidationResult
from batchchat.text import numbers

__all__ = ["validation"]

_MODELS_SHOWN = 10


def validation(found: ValidationResult) -> str:
    """The headline, a blank line, what was found by topic, and what to type next."""
    total = found.good + found.invalid
    lines = [f"{found.name}: {numbers.count(found.good - found.unfit)} of {numbers.count(total)} rows can be sent", ""]
    lines += [f"  {topic:<10}{text}" for topic, text in _topics(found)]
    return "\n".join([*lines, "", f"next  {found.next_command}"])


def _topics(found: ValidationResult) -> list[tuple[str, str]]:
    invalid = f" · {numbers.count(found.invalid)} invalid" if found.invalid else ""
    unfit = f" · {numbers.count(found.unfit)} too long" if found.unfit else ""
    topics = [
        ("input", found.source),
        ("format", found.form),
        ("rows", f"{numbers.count(found.good - found.unfit)} good{invalid}{unfit}"),
    ]
    topics += _headed("model", _models(found))
    if found.price is not None:
        topics.append(("price", found.price))
    if found.unset_key is not None:
        topics.append(("key", f"{found.unset_key} is not set here; a run needs it"))
    if found.invalid:
        rest = found.invalid - len(found.first_bad)
        more = [f"and {numbers.count(rest)} more"] if rest else []
        topics += _headed("invalid", [" ".join(line.split()) for line in found.first_bad] + more)
    if found.too_long:
        rest = found.too_long - len(found.first_too_long)
        more = [f"and {numbers.count(rest)} more"] if rest else []
        topics += _headed("too long", [" ".join(line.split()) for line in found.first_too_long] + more)
    return topics


def _models(found: ValidationResult) -> list[str]:
    if len(found.models) == 1:
        return [found.models[0][0]]
    shown = found.models[:_MODELS_SHOWN]
    lines = [f"{model} for {_rows(count)}" for model, count in shown]
    rest = found.models[_MODELS_SHOWN:]
    return [*lines, f"and {len(rest)} more for {_rows(sum(count for _, count in rest))}"] if rest else lines


def _headed(topic: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    return [(topic if not number else "", line) for number, line in enumerate(lines)]


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{numbers.count(number)} rows"
