"""One run at a time per output: flock(2) on a file in the run folder.

The kernel releases it whatever happens to the process. The file's content (pid, host, since when) only serves the
message to a second process: in a container the next run may have the same pid.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchchat import lossless_json
from batchchat.errors import OutputError
from batchchat.store.file_lock import NO_LOCKS
from batchchat.store.run_json import read_state
from batchchat.store.segment_file import segment_in_use
from batchchat.store.worker_file import has_living_workers

__all__ = ["Lock", "holder"]

NAME = "lock"
_RETRY_PAUSE_S = 0.005
_NAMELESS_S = 2.0
"""How long a holder is waited for that nothing tells of: it is about to write who it is, or was left by a run that was
killed and is about to end."""


class Lock:
    """Held from `take` until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, folder: Path, output: str, see: str | None = None) -> Lock:
        """Lock `folder`, or raise `OutputError` naming who holds it.

        `output` is the path as the user wrote it, `see` a command that shows the other run's status.
        """
        until = time.monotonic() + _NAMELESS_S
        try:
            while (descriptor := _try(folder / NAME, output, see, may_wait=time.monotonic() < until)) is None:
                time.sleep(_RETRY_PAUSE_S)
            if _is_written(folder):
                os.close(descriptor)
                raise OutputError(_in_use(_by_state(folder), output, see))
        except OSError as error:
            raise OutputError(
                f"{output} can't be locked: {error.strerror} ({folder / NAME})."
                " Name another `output.path`, or fix that."
            ) from error
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        with suppress(OSError):  # a full disk must not end a run that has the lock: the journal reports it
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, lossless_json.dumps(owner) + b"\n", 0)
        return cls(descriptor)

    @property
    def descriptor(self) -> int:
        """The open file that is locked. A process that inherits it holds the lock as well, until it ends."""
        assert self._descriptor is not None, "the lock is held"
        return self._descriptor

    def release(self) -> None:
        """Unlock. A second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _try(path: Path, output: str, see: str | None, *, may_wait: bool) -> int | None:
    """The locked descriptor, or None where a retry may succeed. Raises `OutputError` if a run holds the lock.

    A holder that nothing tells of is another try, as long as there `may_wait` for it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _try_flock(descriptor, fcntl.LOCK_EX):
            if _try_flock(descriptor, fcntl.LOCK_SH):
                return None  # `holder` had it for a moment
            owner = _read(descriptor, path.parent)
            if not owner and may_wait:
                return None
            raise OutputError(_in_use(owner, output, see))
        if not _same_file(descriptor, path):
            return None  # the folder was set aside between opening and locking
        locked, descriptor = descriptor, -1
        return locked
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _try_flock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holder(folder: Path) -> dict[str, Any] | None:
    """The holder of the lock of `folder` (pid, host, since), or None if it is free.

    With `left` it was killed, and its workers hold the lock until what they have in flight has ended.
    A run whose lock file was removed holds its segment of the journal still. Where the file system has no locks, nobody
    can hold one.
    """
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return _by_state(folder) if _is_written(folder) else None
    try:
        if not _try_flock(descriptor, fcntl.LOCK_SH):
            return _read(descriptor, folder)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return None
    finally:
        os.close(descriptor)
    return _by_state(folder) if _is_written(folder) else None


def _is_written(folder: Path) -> bool:
    """Whether a process writes the journal, or may begin to: workers of a killed run may be on any machine."""
    return segment_in_use(folder) or has_living_workers(folder)


def _by_state(folder: Path) -> dict[str, Any]:
    """The pid and host in run.json, of a run that holds the journal and whose lock file is gone, or was killed."""
    state = read_state(folder) or {}
    if not {"pid", "host"} <= state.keys():
        return {}
    owner = {"pid": state["pid"], "host": state["host"]}
    return {**owner, "left": True} if _is_gone(owner) else owner


def _read(descriptor: int, folder: Path) -> dict[str, Any]:
    try:
        owner = lossless_json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        owner = None  # its owner is about to write it
    if not isinstance(owner, dict):
        return {}
    if not _is_gone(owner):
        return owner
    # Its workers write the journal still; who has just taken the lock writes who it is before it opens a segment.
    return {**owner, "left": True} if _is_written(folder) else {}


def _is_gone(owner: dict[str, Any]) -> bool:
    """Whether `owner` was killed."""
    if owner.get("host") != socket.gethostname() or not isinstance(owner.get("pid"), int):
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's process, or a number that no process can have
        return False
    return False


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _in_use(owner: dict[str, Any], output: str, see: str | None) -> str:
    if "left" in owner:
        return f"{output} is in use by workers of a run that was killed: they keep what is in flight, and end."
    who = f"pid {owner['pid']} on {owner['host']}" if "pid" in owner else "another process"
    since = time.strftime(" since %H:%M", time.localtime(owner["since"])) if "since" in owner else ""
    way_out = "" if see is None else f"\nSee it with: {see}"
    return f"{output} is in use by {who}{since}.{way_out}"
