"""The best installed tokenizer is the one that counts."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import models

from batchchat.tokens.for_model import tokenizer_for

WIZARD = "microsoft/WizardLM-2-8x22B"


def test_the_users_tokenizer_wins(tmp_path: Path) -> None:
    """A tokenizer.json of the user's is used even for a model whose own tokenizer is installed."""
    path = tmp_path / "mine.json"
    HuggingFaceTokenizer(models.WordLevel({"?": 0}, unk_token="?")).save(str(path))
    assert tokenizer_for(WIZARD, path).name == "mine.json"
    assert tokenizer_for(WIZARD).exact


def test_without_a_tokenizer_the_rule_of_thumb_counts() -> None:
    """A model without a known tokenizer is counted by it, and its note says how to name one."""
    tokenizer = tokenizer_for("Qwen/Qwen3-32B")
    assert tokenizer.name == "rule of thumb, 128k vocabulary"
    assert tokenizer.note == "No tokenizer is known for this model; name its tokenizer.json in `estimate.tokenizer`."
