"""Whether an input is the one that was read before."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from batchchat.sources.files import find_files
from batchchat.sources.input_digest import InputDigest


def digest_of(path: Path) -> InputDigest:
    """That of the input that is the one file."""
    return InputDigest(find_files([str(path)], [str(path)]).files)


def test_equal_bytes_have_one_digest(tmp_path: Path) -> None:
    """Also a file that was written just now has one, and its times are no part of it."""
    path = tmp_path / "in.jsonl"
    path.write_text(" " * (3 << 20) + '{"prompt": "a"}\n')
    first = digest_of(path).digest()
    assert first is not None
    os.utime(path, (1, 1))
    assert digest_of(path).digest() == first
    path.write_text(" " * (3 << 20) + '{"prompt": "b"}\n')
    assert digest_of(path).digest() not in {first, None}


def test_a_file_that_changes_meanwhile_has_none(tmp_path: Path) -> None:
    """Of the same size, and with the time that it had."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"prompt": "a"}\n')
    digest, status = digest_of(path), path.stat()
    path.write_text('{"prompt": "b"}\n')
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not digest.is_current()
    assert digest.digest() is None


def test_a_file_that_is_gone_has_none(tmp_path: Path) -> None:
    """It is no error: a run reads it, or says that it can't."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"prompt": "a"}\n')
    digest = digest_of(path)
    path.unlink()
    assert digest.digest() is None


def test_it_is_given_up_at_once(tmp_path: Path) -> None:
    """Who waits for the hash of a file that takes long goes on, without one; one that is made stays."""
    path = tmp_path / "in.jsonl"
    path.touch()
    os.truncate(path, 64 << 30)  # sparse: a minute
    long = digest_of(path)
    timer = threading.Timer(0.2, long.give_up)
    timer.start()
    assert long.digest() is None
    assert not long.is_current()
    os.truncate(path, 1)
    short = digest_of(path)
    made = short.digest()
    short.give_up()
    assert made is not None
    assert short.digest() == made
