"""A file in the run folder for each worker that is no child of the run: by its lock, who lives is known everywhere.

The run writes a nonce into it. The machine where the worker is to be started proves by the nonce that it has the same
folder, and locks the file; the worker inherits the open file, so that the kernel unlocks it when the last of its
processes has ended, however that comes. The run looks at the lock, and so does the next one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from pathlib import Path
from typing import NamedTuple

from batchchat.store.durable import sync_folder
from batchchat.store.file_lock import is_locked

__all__ = ["WorkerFile", "has_living_workers", "lock_worker_file", "remove_worker_files"]

_PATTERN = "worker-*.lock"
_MAX_BYTES = 1000
_RETRIES = 100
_RETRY_PAUSE_S = 0.002


class WorkerFile(NamedTuple):
    """The file of one worker, and what the run has written into it."""

    path: Path
    nonce: str

    @classmethod
    def create(cls, folder: Path, writer: int) -> WorkerFile:
        """Write the file of the worker that is the number `writer` among all of the run. Raises `OSError`."""
        path, nonce = folder / f"worker-{writer}.lock", secrets.token_hex(16)
        with path.open("w", encoding="ascii") as file:
            file.write(nonce)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(folder)
        return cls(path, nonce)

    def is_locked(self) -> bool:
        """Whether a process of the worker lives."""
        return is_locked(self.path)

    def remove(self) -> None:
        """The worker is gone."""
        self.path.unlink(missing_ok=True)


def lock_worker_file(file: WorkerFile) -> int:
    """Lock `file`, on the machine of the worker; the descriptor, which the worker's processes are to inherit.

    Raises `FileNotFoundError` where this machine has another folder under that name, `OSError` where it has no locks.
    """
    descriptor = os.open(file.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        _check_and_lock(descriptor, file)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_and_lock(descriptor: int, file: WorkerFile) -> None:
    if os.pread(descriptor, _MAX_BYTES, 0) != file.nonce.encode():
        raise FileNotFoundError(file.path)
    for _ in range(_RETRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_RETRY_PAUSE_S)  # `is_locked` has it for a moment
        else:
            return
    raise BlockingIOError(errno.EAGAIN, "another process has it locked")


def has_living_workers(folder: Path) -> bool:
    """Whether a worker of a run that is no more lives."""
    return any(is_locked(path) for path in folder.glob(_PATTERN))


def remove_worker_files(folder: Path) -> None:
    """Remove what earlier runs have left behind; the run's lock is held, and none of their workers lives."""
    for path in folder.glob(_PATTERN):
        path.unlink(missing_ok=True)
