"""The beginnings of a conversation, each as a hash: what a server's prefix cache may have of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from batchchat.lossless_json import canonical

__all__ = ["BLOCK_CHARS", "MAX_PREFIXES", "prefix_hashes"]

BLOCK_CHARS = 1024
"""Within a long message a beginning ends after so many characters, and after each multiple of it."""
MAX_PREFIXES = 64
"""No more beginnings of a conversation are told apart: 64 KiB of text, where one message has it all."""


def prefix_hashes(model: str, messages: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """64-bit hashes of the conversation's beginnings, the shortest first; the last is that of all of it, if they reach.

    A beginning ends where a message ends, and in a long one at each block. Two conversations share one if all that
    stands before its end is equal: the model and the messages. The same in every process.
    """
    digest = blake2b(model.encode("utf-8", "surrogatepass"), digest_size=8)
    hashes: list[int] = []
    for message in messages:
        content = message.get("content")
        text = content if isinstance(content, str) else ""
        more = {key: value for key, value in message.items() if key != "content" or not isinstance(value, str)}
        digest.update(b"\x1e" + canonical(more) + b"\x1f")
        _add_blocks(hashes, digest, text)
        if len(hashes) >= MAX_PREFIXES:
            break
    return tuple(hashes[:MAX_PREFIXES])


def _add_blocks(hashes: list[int], digest: blake2b, text: str) -> None:
    """Add the beginnings that end in a message of `text`, `digest` having what stands before it; at least its end."""
    for start in range(0, max(len(text), 1), BLOCK_CHARS):
        digest.update(text[start : start + BLOCK_CHARS].encode("utf-8", "surrogatepass"))
        hashes.append(int.from_bytes(digest.digest(), "little"))
        if len(hashes) >= MAX_PREFIXES:
            return
