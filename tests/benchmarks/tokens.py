"""`make tokens`: fits the rule of thumb for tokens, measures it on texts it was not fitted to, and writes docs/tokens.md.

The truth is two vocabularies in mistral-common's wheel: `tokenizer.model.v1` (32,000 pieces, WizardLM-2's own), and
tekken of 2024-09 (131,072 pieces) as a stand-in for those of later models. It prints the weights, for
`batchchat/tokens/heuristic.py`; docs/tokens.md tells how the weights that stand there do.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sentencepiece import SentencePieceProcessor

from batchchat.tokens import heuristic
from batchchat.tokens.for_model import tokenizer_for
from batchchat.tokens.heuristic import FEATURES, features, weighed
from batchchat.tokens.wizardlm import model_file
from tests.benchmarks.tokencorpus import corpus

__all__ = ["DOCS", "document", "errors", "vocabularies"]

DOCS = Path(__file__).parents[2] / "docs" / "tokens.md"
Count = Callable[[str], int]
_ROUNDS = 4_000
_DAMPING = 0.02
_TEKKEN = "tekken_240911.json"


def vocabularies() -> dict[str, Count]:
    """What counts exactly, by the names of the weights."""
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    path = model_file()
    assert isinstance(path, Path)
    pieces = SentencePieceProcessor(model_file=str(path))
    found = importlib.util.find_spec("mistral_common")
    assert found is not None
    assert found.submodule_search_locations
    tekken = Tekkenizer.from_file(Path(next(iter(found.submodule_search_locations))) / "data" / _TEKKEN)
    return {
        "SMALL": lambda text: len(pieces.encode(text)),
        "LARGE": lambda text: len(tekken.encode(text, bos=False, eos=False)),
    }


def fitted(texts: list[str], count: Count) -> list[float]:
    """Weights of 0 or more with the least squared relative error over `texts`."""
    truth = np.array([count(text) for text in texts], dtype=float)
    rows = np.array([features(text) for text in texts], dtype=float) / truth[:, None]
    scale = np.maximum(rows.max(axis=0), 1e-9)
    rows = rows / scale
    gram, aim = rows.T @ rows + _DAMPING * np.eye(rows.shape[1]), rows.T @ np.ones(len(texts))
    step = 1 / np.linalg.norm(gram, 2)
    weights = np.full(rows.shape[1], 0.1)
    for _ in range(_ROUNDS * 10):
        weights = np.maximum(0, weights - step * (gram @ weights - aim))
    return [round(float(weight), 3) for weight in weights / scale]


def errors(weights: tuple[float, ...], count: Count) -> tuple[dict[str, tuple[int, int, float]], float]:
    """Of each kind, on the half that nothing was fitted to: texts, tokens, the error of their sum; and that of all.

    That of all is the mean of the kinds' errors without their signs, each kind weighing the same: what an input of
    unknown make is to be reckoned with. Errors of opposite sign do not make up for each other.
    """
    table = {}
    for kind, texts in corpus().items():
        held = texts[1::2]
        truth = sum(map(count, held))
        told = sum(weighed(features(text), weights) for text in held)
        table[kind] = (len(held), truth, told / truth - 1)
    return table, sum(abs(error) for _, _, error in table.values()) / len(table)


def _speed(model: str) -> float:
    """Microseconds for a conversation of MT-Bench."""
    tokenizer = tokenizer_for(model)
    rows = [[{"role": "user", "content": text}] for text in corpus()["English"]]
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for messages in rows:
            tokenizer.count(messages)
        best = min(best, time.perf_counter() - start)
    return best / len(rows) * 1e6


def document() -> str:
    """The page of docs/, without the speeds that differ from machine to machine."""
    counts = vocabularies()
    small, _ = errors(heuristic.SMALL, counts["SMALL"])
    large, _ = errors(heuristic.LARGE, counts["LARGE"])
    lines = [
        f"| {kind} | {small[kind][0]} | {small[kind][1]:,} | {small[kind][2]:+.1%} | {large[kind][1]:,}"
        f" | {large[kind][2]:+.1%} |"
        for kind in small
    ]
    weights = [
        f"| {name} | {one:g} | {other:g} |"
        for name, one, other in zip(FEATURES, heuristic.SMALL, heuristic.LARGE, strict=True)
    ]
    return _PAGE.format(
        table="\n".join(lines),
        weights="\n".join(weights),
        small=f"{heuristic.SMALL_ERROR:.1%}",
        large=f"{heuristic.LARGE_ERROR:.1%}",
    )


# ruff: noqa: E501 (lines of a page)
_PAGE = """\
# How tokens are counted

Written by `make tokens` (tests/benchmarks/tokens.py).

| for | counted by | exact |
|---|---|---|
| WizardLM-2-8x22B | its own tokenizer (in mistral-common's wheel) in its own template, with `pip install 'batchchat[tokens]'` | yes |
| a model whose `tokenizer.json` the job names in `estimate.tokenizer` | that vocabulary; 4 tokens are assumed for the frame of a message and 3 for the reply's, since the template is not in that file | no |
| OpenAI's models | tiktoken, if its vocabulary is in its cache (it is never downloaded); the same frame | no |
| all others | a rule of thumb by script, below | no |

A count is exact for conversations of plain text that alternate between user and assistant, with a system message or
without one. Tools, images, names and control tokens (`</s>`) within a text are counted as well as can be, and never
called exact.

DeepInfra's page for WizardLM-2-8x22B shows 15 and 149 prompt tokens for its two examples; by the model's tokenizer and
template they have 39 and 153. The page's figures seem not to be this model's: the first example is shown with the same
15 tokens and the same cost on DeepInfra's page of Llama-3.3-70B-Instruct-Turbo. Without the template the texts have 2
and 137 tokens by this tokenizer, and no frame of so many tokens a message makes 15 and 149 of both.

## The rule of thumb, measured

Fitted on every other text of each kind and measured on the rest: the error of the sum of the tokens. `small` is
WizardLM-2's vocabulary of 32,000 pieces, `large` Mistral's tekken of 131,072, which stands for those of later models.

| kind | texts | tokens, small | error | tokens, large | error |
|---|---|---|---|---|---|
{table}

The mean of these errors without their signs, when the weights were fitted, is shown with an estimate: {small} and {large}.

| weight of a | small | large |
|---|---|---|
{weights}

`small` is taken for models named WizardLM, Vicuna, Mixtral, Mistral-7B, Llama-2 and their like, `large` for all others.
"""


def main() -> None:
    """Print the weights of a fresh fit and the speeds, and write the page by those that stand in the code."""
    for name, count in vocabularies().items():
        texts = [text for kind in corpus().values() for text in kind[::2]]
        weights = fitted(texts, count)
        print(f"{name} = {tuple(weights)}  # mean error {errors(tuple(weights), count)[1]:.3f}")
    for model in ("WizardLM-2-8x22B", "another"):
        print(f"{model}: {_speed(model):.1f} us a row of MT-Bench")
    DOCS.parent.mkdir(exist_ok=True)
    DOCS.write_text(document())


if __name__ == "__main__":
    main()
