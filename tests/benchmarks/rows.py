"""The kinds of input rows and replies that the benchmark has; the same seed gives the same bytes.

`short`      one message, 0.7 KB; a reply of 2 KB in plain ASCII
`realistic`  2-6 messages, 0.9-1.9 KB; replies of 0.6 KB with accented letters, escaped as many servers do
`long`       100 messages, 200 KB; the replies of `realistic`
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

KINDS = ("short", "realistic", "long")
SEED = 13
VARIETY = 64
"""How many different replies a kind has: the same text again and again would compress to nothing."""

PROSE = (
    "Describe in a few plain sentences how the following idea came about, what speaks for it and what against it, "
    "and whom you would ask before you made up your mind about it; then name two books that a reader should know. "
)
WORDS = (  # noqa: SIM905 (the list is a wall of quotes)
    "the of and a to in is that for it as was with be by on not he his but at are this have from or had an they which "
    "you were her all she there would their we him been has when who will more no if out so said what up its about "
    "into than them can only other new some could time these two may then do first any my now such like our over man"
).split()
ACCENTED = "café naïve déjà façade über señor garçon fiancée crème brûlée jalapeño Zürich Málaga coöperate".split()  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Reply:
    """A chat completion's JSON around the 12 hex digits of its id, which the server counts up."""

    head: bytes
    tail: bytes


def write_rows(path: Path, kind: str, count: int) -> None:
    """Write `count` input rows of `kind` as JSON lines."""
    conversations = {"short": _short, "realistic": _realistic, "long": _long}[kind](random.Random(SEED))
    with path.open("wb") as file:
        for number in range(count):
            file.write(orjson.dumps({"id": f"row-{number:07d}", "messages": next(conversations)}) + b"\n")


def _short(_: random.Random) -> Iterator[list[dict[str, str]]]:
    number = 0
    while True:
        yield [{"role": "user", "content": f"{number}: {PROSE * 4}"[:630]}]
        number += 1


def _realistic(chance: random.Random) -> Iterator[list[dict[str, str]]]:
    while True:
        yield _conversation(chance, chance.randint(2, 6), chance.randint(900, 1900))


def _long(chance: random.Random) -> Iterator[list[dict[str, str]]]:
    while True:
        yield _conversation(chance, 100, 200_000)


def _conversation(chance: random.Random, messages: int, size: int) -> list[dict[str, str]]:
    """A conversation that a user ends, of about `size` bytes as JSON; an odd number of turns has no system message."""
    turns = ["system"] if messages % 2 == 0 else []
    turns += ["user" if n % 2 == 0 else "assistant" for n in range(messages - len(turns))]
    text_size = size // messages - 35  # what the JSON around a text takes
    return [{"role": role, "content": _text(chance, text_size)} for role in turns]


def _text(chance: random.Random, size: int, accented: float = 0.01) -> str:
    """About `size` bytes of words, of which the share `accented` have letters beyond ASCII."""
    picked: list[str] = []
    length = 0
    while length < size:
        word = chance.choice(ACCENTED if chance.random() < accented else WORDS)
        picked.append(word)
        length += len(word) + 1
    return " ".join(picked)[:size]


def replies(kind: str) -> list[Reply]:
    """The replies to rows of `kind`, each about as long as the next."""
    chance = random.Random(f"{SEED} {kind}")
    if kind == "short":
        texts = ["the quick brown fox jumps over the lazy dog and says so in plain words; " * 40] * VARIETY
        sizes = (170, 400)
        texts = [text[: 2000 - len(_completion("", *sizes))] for text in texts]
    else:
        sizes = (380, 140)
        texts = [_text(chance, 600 - chance.randint(0, 60), accented=0.08) for _ in range(VARIETY)]
    return [Reply(*_completion(text, *sizes).split(b"%", 1)) for text in texts]


def _completion(text: str, prompt_tokens: int, completion_tokens: int) -> bytes:
    """A chat completion with `%` where its id's digits go; what is not ASCII is escaped."""
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "estimated_cost": 0.00035493,
    }
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({**_envelope("chat.completion"), "choices": [choice], "usage": usage}).encode()


def _envelope(name: str) -> dict[str, Any]:
    return {"id": "chatcmpl-%", "object": name, "created": 1715688169, "model": "benchmark"}


def stream() -> bytes:
    """The first reply to `short` as server-sent events, in 400 chunks."""
    reply = replies("short")[0]
    completion = json.loads(reply.head + b"0" * 12 + reply.tail)
    text = completion["choices"][0]["message"]["content"]
    envelope = {**_envelope("chat.completion.chunk"), "id": "chatcmpl-benchmark"}
    size = len(text) // 400 + 1
    deltas = [{"content": text[at : at + size]} for at in range(0, len(text), size)]
    chunks = [{**envelope, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunks.append({**envelope, "choices": [end], "usage": completion["usage"]})
    return b"".join(b"data: %b\n\n" % orjson.dumps(chunk) for chunk in chunks) + b"data: [DONE]\n\n"
