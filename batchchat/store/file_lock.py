"""Whether a process holds a file by flock(2), asked without holding it for longer than a moment."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

__all__ = ["NO_LOCKS", "is_locked"]

NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
"""The errors of flock(2) on a file system that has no locks."""


def is_locked(path: Path) -> bool:
    """Whether a process has the file at `path` locked; a pipe there is nobody's, nor is a file that can't be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
