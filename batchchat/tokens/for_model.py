"""Which tokenizer counts the prompts of a model.

There are three kinds: the model's own tokenizer and template (`wizardlm`), a vocabulary with an assumed template
(`vocabulary`), and a rule of thumb by script with a measured error (`heuristic`). The best one that is installed is
used; nothing is fetched. `name`, `exact`, `error` and `note` of a tokenizer say which one it is
and why there is no better.
"""

from __future__ import annotations

from pathlib import Path

from batchchat.core.bad import Bad
from batchchat.tokens.heuristic import Heuristic
from batchchat.tokens.tokenizer import Tokenizer
from batchchat.tokens.vocabulary import openai_vocabulary, tokenizer_json
from batchchat.tokens.wizardlm import is_wizardlm, load_wizardlm

__all__ = ["Tokenizer", "tokenizer_for"]


def tokenizer_for(model: str, path: Path | None = None) -> Tokenizer:
    """The best installed tokenizer for `model`; `path` is the user's own `tokenizer.json`, and wins.

    Raises `UsageError` where `path` can't be read as a tokenizer.
    """
    if path is not None:
        tokenizer = tokenizer_json(path)
    elif is_wizardlm(model):
        tokenizer = load_wizardlm()
    else:
        tokenizer = openai_vocabulary(model)
    return Heuristic(model, tokenizer.sentence) if isinstance(tokenizer, Bad) else tokenizer
