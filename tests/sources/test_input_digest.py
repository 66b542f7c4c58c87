"""A hash of an input is that of all its bytes, or none."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from batchchat.sources import input_digest
from batchchat.sources.files import find_files
from batchchat.sources.input_digest import InputDigest


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """An input that was written just now may change again without a sign of it; those of tests do not."""
    monkeypatch.setattr(input_digest, "_TICK_NS", -1)


def digest(path: Path) -> InputDigest:
    return InputDigest(find_files((str(path),), (path.name,)).files)


def test_it_is_of_all_bytes(tmp_path: Path) -> None:
    """Beyond the first block too; and of the same bytes it is the same."""
    path = tmp_path / "in.jsonl"
    made = []
    for end in (b"a", b"b", b"a"):
        path.write_bytes(b" " * (3 << 20) + end)
        made.append(digest(path).digest())
    assert made[0] is not None
    assert made[0] == made[2] != made[1]


def test_it_is_given_up_at_once(tmp_path: Path) -> None:
    """Who waits for the hash of a file that takes long goes on, without one; one that is made stays."""
    path = tmp_path / "in.jsonl"
    path.touch()
    os.truncate(path, 64 << 30)  # sparse: a minute
    long = digest(path)
    timer = threading.Timer(0.2, long.give_up)
    timer.start()
    began = time.monotonic()
    assert long.digest() is None
    assert time.monotonic() - began < 10
    assert not long.is_current()
    os.truncate(path, 1)
    short = digest(path)
    made = short.digest()
    short.give_up()
    assert made is not None
    assert short.digest() == made
