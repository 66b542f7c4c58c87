"""Vocabularies that a user names, or that lie in tiktoken's cache."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path
from typing import Any

import pytest
from tiktoken import Encoding, registry
from tokenizers import Tokenizer as Made
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
    made = Made(models.WordLevel({"one": 0, "two": 1, "three": 2, "?": 3}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.enable_truncation(1)
    made.save(str(path))
    return path


def test_a_tokenizer_json_counts_what_it_is_given(tmp_path: Path) -> None:
    """Its texts whole, whatever it says of truncation; the frame is assumed and said to be; never called exact."""
    found = tokenizer_for("any/model", written(tmp_path / "tokenizer.json"))
    assert found.count(HELLO) == 3 + 2 * 4 + 3 + 1
    assert (found.name, found.exact, found.error) == ("tokenizer.json", False, None)
    assert found.note == (
        "A tokenizer.json has no chat template: 4 tokens are assumed for each message and 3 for the reply"
    )
    assert found.count([{"role": "user", "content": "\ud800"}]) == 8
    assert not found.exact_for(HELLO)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """By its path, and with what would do."""
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


def test_without_the_package_the_rule_of_thumb_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is lacking and how to get it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert tokenizer_for("m", tmp_path / "x").note == (
        "`estimate.tokenizer` needs the package tokenizers: pip install 'batchchat[tokens]'"
    )
    assert tokenizer_for("gpt-4o").note == (
        "This model's tokenizer is read by tiktoken; for a closer count: pip install 'batchchat[tokens]'"
    )


def test_tiktoken_is_asked_only_for_what_it_has(tmp_path: Path) -> None:
    """A vocabulary that is not in its cache is not fetched: a sentence says how one would."""
    found = openai_vocabulary("gpt-4o-mini", {"TIKTOKEN_CACHE_DIR": str(tmp_path)})
    assert found == Bad(
        "The vocabulary o200k_base is not in tiktoken's cache; fetch it once, for a closer count:"
        " python -c \"import tiktoken; tiktoken.get_encoding('o200k_base')\""
    )
    assert openai_vocabulary("gpt-4o", {"TIKTOKEN_CACHE_DIR": ""}) == found


@pytest.mark.parametrize("model", ["Qwen/Qwen3-32B", "gpt-4-unheard-of-and-odd", "gpt-5000"])
def test_a_model_nobody_knows(model: str, tmp_path: Path) -> None:
    """The rule of thumb counts, and the way to something better is told; names like OpenAI's are no exception."""
    found = openai_vocabulary(model, {"TIKTOKEN_CACHE_DIR": str(tmp_path)})
    assert isinstance(found, Bad)
    assert found.sentence.startswith(("No tokenizer is known for this model", "The vocabulary "))


def test_tiktoken_counts_with_what_lies_in_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary that is there is used: here one whose pieces are the 256 bytes."""
    url = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
    (tmp_path / hashlib.sha1(url.encode()).hexdigest()).write_bytes(b"")
    bytewise = Encoding(
        "o200k_base", pat_str=r"(?s:.+)", mergeable_ranks={bytes([n]): n for n in range(256)}, special_tokens={}
    )
    monkeypatch.setitem(registry.ENCODINGS, "o200k_base", bytewise)
    found = openai_vocabulary("gpt-4o", {"TIKTOKEN_CACHE_DIR": str(tmp_path)})
    assert not isinstance(found, Bad)
    assert (found.name, found.exact) == ("tiktoken o200k_base", False)
    assert found.count([{"role": "user", "content": "abc"}]) == 3 + 4 + 3
