"""Whether a file is held, as another process sees it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from batchchat.store.file_lock import is_locked


def test_a_file_is_locked_as_long_as_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert not is_locked(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    assert not is_locked(path)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert is_locked(path)
    os.close(descriptor)
    assert not is_locked(path)


def test_a_pipe_is_nobodys(tmp_path: Path) -> None:
    """And is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    assert not is_locked(tmp_path / "pipe")
