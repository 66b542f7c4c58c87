"""A rule of thumb for tokens: a weight for each word, letter, digit, CJK character, emoji and so on.

There are two sets of weights, fitted to two real vocabularies on one half of a corpus and measured on the other half
(`docs/tokens.md`): `SMALL` for vocabularies of 32,000 pieces (Llama 2, Mistral, Mixtral, WizardLM, Vicuna), `LARGE` for
those of 100,000 and more, which later models have. Measured: 6 us a row of MT-Bench.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from batchchat.core.conversation import Message
from batchchat.lossless_json import dumps
from batchchat.tokens.tokenizer import texts_of

__all__ = ["FEATURES", "LARGE", "SMALL", "Heuristic", "features", "weighted_sum"]

FEATURES = (
    "word",
    "letter",
    "digit",
    "sign",
    "line",
    "blank",
    "accented",
    "Han",
    "kana",
    "Hangul",
    "emoji",
    "Cyrillic",
    "Greek",
    "other",
)
"""The features that are counted in a text, in the order of the weights."""

SMALL: tuple[float, ...] = (
    0.783,
    0.094,
    1.189,
    0.565,
    1.752,
    0.184,
    2.337,
    1.088,
    1.18,
    1.459,
    2.428,
    0.449,
    1.162,
    1.121,
)
SMALL_ERROR = 0.051
LARGE: tuple[float, ...] = (
    0.949,
    0.044,
    1.328,
    0.389,
    1.253,
    0.128,
    1.09,
    0.882,
    0.662,
    0.61,
    3.395,
    0.35,
    0.428,
    0.419,
)
LARGE_ERROR = 0.046

_MESSAGE_TOKENS, _REPLY_TOKENS = 4, 3
_SMALL_MODELS = re.compile(
    r"wizardlm|vicuna|mixtral|mistral-7b|llama-?2|zephyr|openchat|yi-34b|tinyllama", re.IGNORECASE
)

_LETTERS = bytes(b for b in range(128) if chr(b).isalpha())
_DIGITS = b"0123456789"
_BLANKS = b" \t"
_LINES = b"\r\n"
_TO_WORDS = bytes(b if b in _LETTERS else 32 for b in range(256))
_ASCII = re.compile(r"[\x00-\x7f]+")
# (first code point, last code point, index of the feature); the first match counts, and no match is `other`.
_SCRIPTS = (
    (0x00C0, 0x024F, 6),
    (0x0400, 0x052F, 11),
    (0x0370, 0x03FF, 12),
    (0x1F00, 0x1FFF, 12),
    (0x1E00, 0x1EFF, 6),
    (0x1100, 0x11FF, 9),
    (0xAC00, 0xD7AF, 9),
    (0x3040, 0x30FF, 8),
    (0x3000, 0x303F, 7),
    (0x3400, 0x9FFF, 7),
    (0xFF00, 0xFF60, 7),
    (0x20000, 0x3FFFF, 7),
    (0x2600, 0x27BF, 10),
    (0xFE0F, 0xFE0F, 10),
    (0x200D, 0x200D, 10),
    (0x1F000, 0x1FAFF, 10),
)
_OTHER = 13


def features(text: str) -> list[int]:
    """The count of each of `FEATURES` in `text`."""
    counts = [0] * len(FEATURES)
    if text.isascii():
        data = text.encode()
    else:
        data = text.encode("ascii", "ignore")
        for character, number in Counter(_ASCII.sub("", text)).items():
            counts[_script(ord(character))] += number
    letters = len(data) - len(data.translate(None, _LETTERS))
    digits = len(data) - len(data.translate(None, _DIGITS))
    blanks = len(data) - len(data.translate(None, _BLANKS))
    lines = len(data) - len(data.translate(None, _LINES))
    words = len(data.translate(_TO_WORDS).split())
    counts[0] = words
    counts[1] = letters
    counts[2] = digits
    counts[3] = len(data) - letters - digits - blanks - lines
    counts[4] = lines
    counts[5] = max(0, blanks - words)
    return counts


def weighted_sum(counts: Sequence[int], weights: Sequence[float]) -> float:
    """The tokens that `counts` of `FEATURES` amount to under `weights`."""
    return sum(count * weight for count, weight in zip(counts, weights, strict=True))


def _script(code: int) -> int:
    return next((feature for first, last, feature in _SCRIPTS if first <= code <= last), _OTHER)


class Heuristic:
    """The rule of thumb for `model`; `note` says why there is no better tokenizer."""

    exact = False

    def __init__(self, model: str, note: str) -> None:
        small = _SMALL_MODELS.search(model) is not None
        self.name = f"rule of thumb, {'32k' if small else '128k'} vocabulary"
        self.note: str | None = note
        self._weights = SMALL if small else LARGE
        self.error: float | None = SMALL_ERROR if small else LARGE_ERROR

    def count(self, messages: list[Message], tools: Any = None) -> int:
        total = _REPLY_TOKENS + _MESSAGE_TOKENS * len(messages)
        text = "\n".join(text for message in messages for text in texts_of(message))
        if tools:
            text += dumps(tools).decode()
        return total + round(weighted_sum(features(text), self._weights))

    def exact_for(self, messages: list[Message], tools: Any = None) -> bool:  # noqa: ARG002
        return False
