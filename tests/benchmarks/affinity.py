"""`python -m tests.benchmarks.affinity`: what `affinity: prefix` finds in the prefix caches of real llama.cpp servers.

The same rows, documents with some questions each in a random order, are sent twice to servers that begin with empty
caches: with `affinity: none`, and with `affinity: prefix`. A slot keeps one conversation. `cached_tokens` are
those that the servers report. It needs `pip install xllamacpp gguf`, and some minutes.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchchat import run
from tests.benchmarks.llama_server import is_installed, serving, write_model

__all__ = ["Found", "Servers", "rows", "sent_to"]

_WORDS = 200
_SLOT_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class Servers:
    """So many servers, each with so many slots."""

    count: int
    slots: int


@dataclass(frozen=True, slots=True)
class Found:
    """What the servers reported of a run: tokens of prompts, how many of them were cached, and how long it took."""

    prompt_tokens: int
    cached_tokens: int
    seconds: float

    @property
    def share(self) -> float:
        """Cached tokens of all."""
        return self.cached_tokens / self.prompt_tokens


def rows(documents: int, questions: int, seed: int = 7) -> list[dict[str, Any]]:
    """Conversations with a document of about 1,200 bytes and a question, in a random order."""
    chance = random.Random(seed)
    words = ["".join(chance.choices("abcdefghij", k=5)) for _ in range(500)]
    texts = [" ".join(chance.choices(words, k=_WORDS)) for _ in range(documents)]
    conversations = [
        {
            "id": f"{number}-{question}",
            "messages": [
                {"role": "system", "content": "Answer from the document."},
                {"role": "user", "content": f"{text}\n\nQuestion {question}?"},
            ],
        }
        for number, text in enumerate(texts)
        for question in range(questions)
    ]
    chance.shuffle(conversations)
    return conversations


def sent_to(servers: Servers, conversations: list[dict[str, Any]], affinity: str, folder: Path) -> Found:
    """Send `conversations` to `servers` that are started for it."""
    model, source = folder / "model.gguf", folder / "in.jsonl"
    if not model.exists():
        write_model(model)
    source.write_text("".join(f"{json.dumps(row)}\n" for row in conversations))
    with ExitStack() as stack:
        urls = [
            stack.enter_context(serving(model, slots=servers.slots, tokens=_SLOT_TOKENS)) for _ in range(servers.count)
        ]
        entries = [
            {"base_url": url, "name": f"server {number}", "concurrency": servers.slots}
            for number, url in enumerate(urls, 1)
        ]
        job = {
            "input": {"path": str(source), "id": "id"},
            "model": "random",
            "params": {"max_tokens": 4, "temperature": 0},
            "concurrency": servers.count * servers.slots,
            "affinity": affinity,
            "output": {"path": str(folder / f"{affinity}.parquet")},
            **({"endpoint": {"base_url": urls[0]}} if servers.count == 1 else {"endpoints": entries}),
        }
        start = time.monotonic()
        result = run(job, fresh=True, progress="none")
        seconds = time.monotonic() - start
    if result.exit_code:
        sys.exit(f"the run ended with {result.exit_code}: {result.summary['reason']}")
    tokens = result.summary["tokens"]
    return Found(tokens["prompt_tokens"], tokens["cached_tokens"] or 0, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=16)
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--servers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    if not is_installed():
        sys.exit("there is no llama.cpp server here: pip install xllamacpp gguf")
    conversations = rows(options.documents, options.questions)
    print(f"{options.documents} documents with {options.questions} questions each, in a random order")
    best = 1 - options.documents / len(conversations)
    print(f"a cache that has each document once, for good, would have about {best:.1%} of them")
    with tempfile.TemporaryDirectory() as folder:
        for count in options.servers:
            servers = Servers(count, options.slots)
            for affinity in ("none", "prefix"):
                found = sent_to(servers, conversations, affinity, Path(folder))
                print(
                    f"{count} x {options.slots} slots, affinity: {affinity:<6}  {found.prompt_tokens:,} prompt tokens,"
                    f" {found.cached_tokens:,} cached ({found.share:.1%}), {found.seconds:.1f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
