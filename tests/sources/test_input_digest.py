"""Whether an input is the one that was read before."""

from __future__ import annotations

import os
from pathlib import Path

from batchchat.sources.files import find_files
from batchchat.sources.input_digest import InputDigest


def digest_of(path: Path) -> InputDigest:
    """That of the input that is the one file."""
    return InputDigest(find_files([str(path)], [str(path)]).files)


def test_equal_bytes_have_one_digest(tmp_path: Path) -> None:
    """Also a file that was written just now has one, and its times are no part of it."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"prompt": "a"}\n')
    first = digest_of(path).digest()
    assert first is not None
    os.utime(path, (1, 1))
    assert digest_of(path).digest() == first
    path.write_text('{"prompt": "b"}\n')
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
