"""Words that read as prose, cheaply: four tables of 32 phrases each, one of each to a sentence.

A sentence takes about a microsecond; there are a million of them. Some hold what JSON, CSV and Parquet can
trip over: quotes, accents, a dash, an emoji.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["write_prose"]

_OPENINGS = (
    "In short,", "First of all,", "As a rule,", "Put simply,", "To begin with,", "In practice,",
    "More often than not,", "Strictly speaking,", "On a closer look,", "For most people,", "Over time,",
    "Even so,", "By contrast,", "At its best,", "Once that is done,", "With a little patience,",
    "As you may know,", "In the end,", "Curiously,", "Historically,", "On the other hand,",
    "When in doubt,", "After a while,", "Step by step,", "Without question,", "Here too,",
    "If time allows,", "In many kitchens,", "Under good light,", "Seen from afar,", "Day after day,",
    "Above all,",
)  # fmt: skip
_SUBJECTS = (
    "the method", "a good example", "the second approach", "this question", "the whole idea",
    "an experienced cook", "the answer", "a careful reader", "the old recipe", "the crème brûlée",
    "the river", "a small team", "the market", "the “quiet” version", "the data", "a short pause",
    "the weather", "the first draft", "an honest mistake", "the machine", "a friend of mine",
    "the mountain path", "the budget", "a simple tool", "the evening train", "the plan", "every student",
    "the garden", "the long version", "a curious child", "the harbour", "this technique",
)  # fmt: skip
_VERBS = (
    "depends on", "leads back to", "asks for", "rests upon", "brings out", "makes room for", "begins with",
    "says little about", "works well with", "changes", "explains", "hides", "follows", "improves",
    "resembles", "outlasts", "rewards", "balances", "sharpens", "softens", "carries", "answers to", "holds",
    "needs", "invites", "repeats", "shapes", "survives", "reveals", "is built around", "stands for",
    "prefers",
)  # fmt: skip
_OBJECTS = (
    "a slow and steady heat.", "the details one tends to forget.", "good timing.",
    "two or three plain rules.", "the people who use it.", "what was there before.",
    "a pinch of salt and some courage.", "the shape of the valley.", "more than one explanation.",
    "a clear beginning and an end.", "the smallest part of the bill.", "whatever the season offers.",
    "a second opinion.", "the naïve guess — and then some.", "an open window.", "numbers that add up.",
    "the first thing you said.", "a habit of checking twice.", "light, water and time.",
    'the difference between "fast" and "hasty".', "an unhurried conversation.", "what the map leaves out.",
    "the same three ingredients.", "a price worth paying.", "the work of many hands.",
    "a little luck 🍀 as well.", "the question behind it.", "one idea at a time.", "a well-kept notebook.",
    "the taste of the sea.", "everything that came after.", "a rest of ten minutes.",
)  # fmt: skip


def write_prose(chars: int, bits: Callable[[int], int]) -> str:
    """Whole sentences of together at least `chars` characters. `bits(n)` gives n random bits."""
    sentences: list[str] = []
    length = 0
    while length < chars:
        pick = bits(23)
        subject, verb, thing = _SUBJECTS[pick & 31], _VERBS[pick >> 5 & 31], _OBJECTS[pick >> 10 & 31]
        if sentences and pick >> 20 == 0:
            sentence = f"\n\n{subject[0].upper()}{subject[1:]} {verb} {thing}"
        else:
            space = " " if sentences else ""
            sentence = f"{space}{_OPENINGS[pick >> 15 & 31]} {subject} {verb} {thing}"
        sentences.append(sentence)
        length += len(sentence)
    return "".join(sentences)
