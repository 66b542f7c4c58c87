"""How many tokens a conversation has, and who says so.

Three kinds count: the model's own tokenizer and template (`wizardlm`), a vocabulary whose framing of messages is
assumed (`vocabulary`), and a rule of thumb by script (`heuristic`) with the error it was measured to have. The best
there is is taken, without waiting for a network; `name`, `exact`, `error` and `note` say which, and why no better.
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
    """The best tokenizer there is for `model`; `path` is a `tokenizer.json` of the user's.

    Raises `UsageError` where `path` can't be read as one.
    """
    if path is not None:
        tokenizer = tokenizer_json(path)
    elif is_wizardlm(model):
        tokenizer = load_wizardlm()
    else:
        tokenizer = openai_vocabulary(model)
    return Heuristic(model, tokenizer.sentence) if isinstance(tokenizer, Bad) else tokenizer
