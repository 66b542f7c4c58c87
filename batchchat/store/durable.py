"""What makes bytes durable, on each system: a file's data, and the entries of a folder.

Linux has fdatasync(2); macOS has no fdatasync, and its fsync leaves the data in the drive's cache, where F_FULLFSYNC
does not. A file system that cannot sync a folder (FUSE, SMB, some network mounts) has no entries of its own to sync.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["sync_data", "sync_file", "sync_folder"]

_F_FULLFSYNC = 51  # <sys/fcntl.h> of macOS; Python's fcntl has the name there alone
_UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.ENOTTY}


def sync_data(descriptor: int) -> None:
    """Sync the data of the file `descriptor` to disk. Raises `OSError`."""
    if sys.platform == "darwin":
        import fcntl

        with suppress(OSError):  # network volumes don't have it
            fcntl.fcntl(descriptor, _F_FULLFSYNC)
            return
    getattr(os, "fdatasync", os.fsync)(descriptor)


def sync_file(path: Path) -> None:
    """Sync the file at `path` to disk, whoever wrote it. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync_data(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Sync the directory entries of `folder` to disk, where its file system can. Raises `OSError`."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return  # a folder that can be written to and not listed
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)
