"""Vocabularies without their chat template: texts are counted exactly, the tokens of the template are assumed.

A user's `tokenizer.json` is read by Hugging Face `tokenizers`. Four tokens are assumed around each message and three to
open the reply, as in ChatML; a model's template may have fewer or more. OpenAI's vocabularies are read by tiktoken,
with the same assumption, from OpenAI's cookbook. tiktoken's wheel contains no vocabulary and would fetch one, so it is
used only where the vocabulary is in its cache: nothing here waits for a network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from batchchat.core.bad import Bad
from batchchat.core.conversation import Message
from batchchat.errors import UsageError, refuse_pipe
from batchchat.lossless_json import dumps
from batchchat.tokens.tokenizer import INSTALL, Tokenizer, texts_of

__all__ = ["openai_vocabulary", "tokenizer_json"]

_TIKTOKEN = "https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
_MESSAGE_TOKENS, _REPLY_TOKENS = 4, 3
_UNKNOWN = "No tokenizer is known for this model; name its tokenizer.json in `estimate.tokenizer`."


class _Vocabulary:
    """Counts texts by `count_text`, and adds the assumed tokens of the template."""

    exact = False
    error: float | None = None

    def __init__(self, name: str, note: str, count_text: Callable[[str], int]) -> None:
        self.name = name
        self.note: str | None = note
        self._count_text = count_text

    def count(self, messages: list[Message], tools: Any = None) -> int:
        total = _REPLY_TOKENS + (self._count_text(dumps(tools).decode()) if tools else 0)
        for message in messages:
            total += _MESSAGE_TOKENS + sum(map(self._count_text, texts_of(message)))
        return total

    def exact_for(self, messages: list[Message], tools: Any = None) -> bool:  # noqa: ARG002
        return False


def tokenizer_json(path: Path) -> Tokenizer | Bad:
    """The tokenizer in the file at `path`; `Bad` where the package that reads it is not installed.

    Raises `UsageError` for a file that can't be read or is not a tokenizer.json.
    """
    if importlib.util.find_spec("tokenizers") is None:
        return Bad(f"`estimate.tokenizer` needs the package tokenizers: {INSTALL}")
    from tokenizers import Tokenizer as HuggingFaceTokenizer

    try:
        refuse_pipe(path)
        tokenizer = HuggingFaceTokenizer.from_buffer(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"`estimate.tokenizer` is {path}, which can't be read: {error.strerror}. Name a model's tokenizer.json."
        ) from error
    except Exception as error:  # tokenizers raises bare Exceptions
        raise UsageError(
            f"`estimate.tokenizer` is {path}, which is not a tokenizer.json of Hugging Face tokenizers: {error}."
        ) from error
    # Truncation that the file sets would cut the count of a long text.
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count_text(text: str) -> int:
        return len(tokenizer.encode(_sendable(text), add_special_tokens=False).ids)

    note = "A tokenizer.json has no chat template: 4 tokens are assumed for each message and 3 for the reply"
    return _Vocabulary(path.name, note, count_text)


def openai_vocabulary(model: str, environ: Mapping[str, str] = os.environ) -> Tokenizer | Bad:
    """The vocabulary that tiktoken has for one of OpenAI's models; `Bad` where it has none in its cache."""
    bare = model.removeprefix("openai/")
    if not bare.startswith(("gpt-3.5", "gpt-4", "gpt-5", "o1", "o3", "o4", "chatgpt-")):
        return Bad(_UNKNOWN)
    if importlib.util.find_spec("tiktoken") is None:
        return Bad(f"This model's tokenizer is read by tiktoken; for a closer count: {INSTALL}")
    from tiktoken import encoding_name_for_model, get_encoding

    try:
        name = encoding_name_for_model(bare)
    except KeyError:
        return Bad(_UNKNOWN)
    cache = environ.get("TIKTOKEN_CACHE_DIR", environ.get("DATA_GYM_CACHE_DIR"))
    folder = Path(tempfile.gettempdir()) / "data-gym-cache" if cache is None else Path(cache)
    key = hashlib.sha1(_TIKTOKEN.format(name=name).encode()).hexdigest()  # noqa: S324 (tiktoken's name for the file)
    if cache == "" or not (folder / key).is_file():
        fetch = f"python -c \"import tiktoken; tiktoken.get_encoding('{name}')\""
        return Bad(f"The vocabulary {name} is not in tiktoken's cache; fetch it once, for a closer count: {fetch}")
    encoding = get_encoding(name)
    note = "4 tokens are assumed for each message and 3 for the reply, as in OpenAI's cookbook"
    return _Vocabulary(f"tiktoken {name}", note, lambda text: len(encoding.encode_ordinary(_sendable(text))))


def _sendable(text: str) -> str:
    """`text` with lone surrogates replaced by U+FFFD, as a server reads them."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if not text.isascii() else text
