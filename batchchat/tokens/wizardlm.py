"""WizardLM-2's prompts, counted exactly as the model reads them.

Its tokenizer is, byte for byte, the `tokenizer.model.v1` in mistral-common's wheel; the file is read without importing
that package (0.03 s; the import takes a second). Its template is Vicuna's, as its model card gives it:

    <s>{system or the default} USER: {question} ASSISTANT: {reply}</s>USER: {question} ASSISTANT:

The text before the first question is counted once and cached, since most rows of a job share it. Cutting there changes
no count: no piece of the vocabulary has a blank after another character, so a text may be split before a blank.
Measured: 50 us for a row of MT-Bench.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchchat.core.bad import Bad
from batchchat.core.conversation import Message
from batchchat.lossless_json import dumps
from batchchat.tokens.tokenizer import INSTALL, Tokenizer, is_plain, texts_of

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

__all__ = ["DEFAULT_SYSTEM", "SHA256", "is_wizardlm", "load_wizardlm", "model_file"]

DEFAULT_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant."
    " The assistant gives helpful, detailed, and polite answers to the user's questions."
)
SHA256 = "dadfd56d766715c61d2ef780a525ab43b8e6da4de6865bda3d95fdef5e134055"
_FILE = "tokenizer.model.v1"
# Texts that the model's tokenizer reads as one control token, and sentencepiece as ordinary text.
_CONTROL = ("<s>", "</s>", "<unk>")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SYSTEM_ROLES = {"system", "developer"}


def is_wizardlm(model: str) -> bool:
    """True if `model` is WizardLM-2 8x22B, under any owner and in any case."""
    return model.lower().rpartition("/")[2] == "wizardlm-2-8x22b"


def model_file(sha256: str = SHA256) -> Path | Bad:
    """The path of the tokenizer's file, whose hash is `sha256`; `Bad` where it is not installed or has other bytes."""
    package = importlib.util.find_spec("mistral_common")
    path = Path(next(iter(package.submodule_search_locations or ("",)))) / "data" / _FILE if package else None
    if path is None or importlib.util.find_spec("sentencepiece") is None:
        return Bad(f"This model's tokenizer is not installed; for an exact count: {INSTALL}")
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return Bad(f"This mistral-common has no {_FILE}; for an exact count: {INSTALL}")
    if digest != sha256:
        return Bad(f"The {_FILE} of this mistral-common is not WizardLM-2's; for an exact count: {INSTALL}")
    return path


def load_wizardlm() -> Tokenizer | Bad:
    """WizardLM-2's own tokenizer, which counts exactly; `Bad` where it is not installed."""
    path = model_file()
    if isinstance(path, Bad):
        return path
    from sentencepiece import SentencePieceProcessor

    return _WizardLM(SentencePieceProcessor(model_file=str(path)))


class _WizardLM:
    name = "WizardLM-2's, mistral-common v1"
    exact = True
    error: float | None = 0.0
    note: str | None = None

    def __init__(self, pieces: SentencePieceProcessor) -> None:
        self._pieces = pieces
        self._opening, self._opening_tokens = "", 0

    def count(self, messages: list[Message], tools: Any = None) -> int:
        system = DEFAULT_SYSTEM
        if messages and messages[0]["role"] in _SYSTEM_ROLES:
            system, messages = "".join(texts_of(messages[0])), messages[1:]
        first, *following = _segments(system, messages)
        opening = f"{system} USER:" if system else "USER:"
        if first.startswith(f"{opening} "):
            # The tokenizer puts a blank before a text, which replaces the one at the cut.
            total = self._opening_count(opening) + self._tokens(first[len(opening) + 1 :])
        else:
            total = self._tokens(first)
        total += 1 + sum(1 + self._tokens(segment) for segment in following)
        return total + (self._tokens(dumps(tools).decode()) if tools else 0)

    def exact_for(self, messages: list[Message], tools: Any = None) -> bool:
        if not is_plain(messages, tools):
            return False
        turns = messages[1:] if messages[0]["role"] in _SYSTEM_ROLES else messages
        alternate = all(turn["role"] == ("assistant" if number % 2 else "user") for number, turn in enumerate(turns))
        return alternate and len(turns) % 2 == 1 and not any(_has_control(turn["content"]) for turn in messages)

    def _opening_count(self, opening: str) -> int:
        if opening != self._opening:
            self._opening, self._opening_tokens = opening, self._tokens(opening)
        return self._opening_tokens

    def _tokens(self, text: str) -> int:
        try:
            return len(self._pieces.encode(text))
        except (UnicodeEncodeError, RuntimeError):  # lone surrogates, which a server reads as the replacement character
            return len(self._pieces.encode(_SURROGATE.sub("\ufffd", text)))


def _segments(system: str, messages: list[Message]) -> list[str]:
    """The prompt, split at each end-of-sentence token; the begin-of-sentence token precedes the first segment."""
    closed, text = [], system
    for message in messages:
        is_reply = message["role"] == "assistant"
        turn = f"{'ASSISTANT' if is_reply else 'USER'}: {''.join(texts_of(message))}"
        text = f"{text} {turn}" if text else turn
        if is_reply:
            closed.append(text)
            text = ""
    return [*closed, f"{text} ASSISTANT:" if text else "ASSISTANT:"]


def _has_control(text: str) -> bool:
    return "<" in text and any(control in text for control in _CONTROL)
