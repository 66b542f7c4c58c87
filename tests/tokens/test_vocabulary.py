"""Vocabularies that a user names, or that are in tiktoken's cache."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path
from typing import Any

import pytest
from tiktoken import Encoding, registry
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import models, pre_tokenizers

from batchchat.core.bad import Bad
from batchchat.errors import UsageError
from batchchat.tokens.for_model import tokenizer_for
from batchchat.tokens.vocabulary import openai_vocabulary

HELLO: list[dict[str, Any]] = [
    {"role": "user", "content": "one two three"},
    {"role": "assistant", "content": [{"text": "one"}]},
]


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a count asked the network")

    monkeypatch.setattr(socket.socket, "connect", refused)


def written(path: Path) -> Path:
    tokenizer = HuggingFaceTokenizer(models.WordLevel({"one": 0, "two": 1, "three": 2, "?": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(1)
    tokenizer.save(str(path))
    return path


def test_a_tokenizer_json_counts_whole_texts(tmp_path: Path) -> None:
    """Truncation in the file is ignored; the template is assumed, as the note says; it is never called exact."""
    vocabulary = tokenizer_for("any/model", written(tmp_path / "tokenizer.json"))
    assert vocabulary.count(HELLO) == 3 + 2 * 4 + 3 + 1
    assert (vocabulary.name, vocabulary.exact, vocabulary.error) == ("tokenizer.json", False, None)
    assert vocabulary.note == (
        "A tokenizer.json has no chat template: 4 tokens are assumed for each message and 3 for the reply"
    )
    assert vocabulary.count([{"role": "user", "content": "\ud800"}]) == 8
    assert not vocabulary.exact_for(HELLO)


def test_a_file_that_is_not_a_tokenizer_is_refused(tmp_path: Path) -> None:
    """The error has its path and the way out."""
    missing = tmp_path / "none.json"
    with pytest.raises(UsageError) as refused:
        tokenizer_for("m", missing)
    assert str(refused.value) == (
        f"`estimate.tokenizer` is {missing}, which can't be read: No such file or directory."
        " Name a model's tokenizer.json."
    )
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(UsageError, match=r"which is not a tokenizer\.json of Hugging Face tokenizers: "):
        tokenizer_for("m", other)


def test_without_the_package_the_rule_of_thumb_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its note says what is missing and how to install it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert tokenizer_for("m", tmp_path / "x").note == (
        "`estimate.tokenizer` needs the package tokenizers: pip install 'batchchat[tokens]'"
    )
    assert tokenizer_for("gpt-4o").note == (
        "This model's tokenizer is read by tiktoken; for a closer count: pip install 'batchchat[tokens]'"
    )


def test_tiktoken_fetches_nothing(tmp_path: Path) -> None:
    """A vocabulary that is not in its cache is an error, which says how to fetch it."""
    vocabulary = openai_vocabulary("gpt-4o-mini", {"TIKTOKEN_CACHE_DIR": str(tmp_path)})
    assert vocabulary == Bad(
        "The vocabulary o200k_base is not in tiktoken's cache; fetch it once, for a closer count:"
        " python -c \"import tiktoken; tiktoken.get_encoding('o200k_base')\""
    )
    assert openai_vocabulary("gpt-4o", {"TIKTOKEN_CACHE_DIR": ""}) == vocabulary


@pytest.mark.parametrize("model", ["Qwen/Qwen3-32B", "gpt-4-unheard-of-and-odd", "gpt-5000"])
def test_an_unknown_model(model: str, tmp_path: Path) -> None:
    """There is no vocabulary, and the error has the way out; names similar to OpenAI's are no exception."""
    vocabulary = openai_vocabulary(model, {"TIKTOKEN_CACHE_DIR": str(tmp_path)})
    assert isinstance(vocabulary, Bad)
    assert vocabulary.sentence.startswith(("No tokenizer is known for this model", "The vocabulary "))


def test_tiktoken_counts_with_a_vocabulary_in_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary in the cache is used: here one whose pieces are the 256 bytes."""
    url = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
    (tmp_path / hashlib.sha1(url.encode()).hexdigest()).write_bytes(b"")
    bytewise = Encoding(
        "o200k_base", pat_str=r"(?s:.+)", mergeable_ranks={bytes([n]): n for n in range(256)}, special_tokens={}
    )
    monkeypatch.setitem(registry.ENCODINGS, "o200k_base", bytewise)
    vocabulary = openai_vocabulary("gpt-4o", {"TIKTOKEN_CACHE_DIR": str(tmp_path)})
    assert not isinstance(vocabulary, Bad)
    assert (vocabulary.name, vocabulary.exact) == ("tiktoken o200k_base", False)
    assert vocabulary.count([{"role": "user", "content": "abc"}]) == 3 + 4 + 3
