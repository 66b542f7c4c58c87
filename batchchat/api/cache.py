"""Where the run of a frame is kept if its caller names no output, and the file that the frame is written to."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchchat import lossless_json
from batchchat.errors import OutputError

if TYPE_CHECKING:
    from batchchat.job import JobSpec

__all__ = ["cached_output", "input_file"]

_OUTPUT = "out.parquet"
_INPUT = "frame.parquet"
_PREFIX = ".batchchat-frame-"
_MAX_NAME = 80


def cached_output(spec: JobSpec) -> Path:
    """The output of the job `spec` in the user's cache, whose folder is made: `batchchat/<name>-<hash>/out.parquet`.

    The hash is of what the rows are asked (model, endpoint, template, system message, parameters, what replies have to
    be), and of nothing else: the same question at another concurrency or budget goes on in the same folder. Headers and
    keys are no part of it. Raises `OutputError` if the folder can't be made or written.
    """
    name = re.sub(r"[^\w.-]+", "-", spec.name)[:_MAX_NAME].lstrip(".") or "frame"
    folder = _cache_home() / "batchchat" / f"{name}-{_digest(spec)}"
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(0, "no right to write there")
    except OSError as error:
        raise OutputError(
            f"the cache folder {folder} can't be made or written: {error.strerror}. Pass output='FILE.parquet' to keep"
            " the run there, or set XDG_CACHE_HOME to a folder that can be written."
        ) from None
    return folder / _OUTPUT


@contextmanager
def input_file(output: Path) -> Iterator[Path]:
    """A path for the rows of the run that writes `output`, in a folder of this call's own that is removed at the end.

    What killed processes left is removed, too: a folder in use is locked. Raises `OutputError` if it can't be made.
    """
    parent = output.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_unused(parent)
        folder, descriptor = _own_folder(parent)
    except OSError as error:
        raise OutputError(f"the frame can't be written to {parent}: {error.strerror}. Pass another `output`.") from None
    try:
        yield folder / _INPUT
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _cache_home() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return home if home.is_absolute() else Path("~/.cache").expanduser()


def _digest(spec: JobSpec) -> str:
    template, expect = spec.template, spec.expect
    question: list[Any] = [
        spec.model,
        spec.endpoint.base_url if not spec.endpoints else [entry.base_url for entry in spec.endpoints],
        None if template is None else template.value,
        spec.system,
        spec.params,
        expect.json_schema,
        expect.matches,
    ]
    return hashlib.sha256(lossless_json.canonical(question)).hexdigest()[:16]


def _own_folder(parent: Path) -> tuple[Path, int | None]:
    """A new folder in `parent`, and the descriptor that locks it; None on a file system without locks."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        descriptor = _locked(folder)
        if folder.is_dir():  # else another call took it for one that is not in use
            return folder, descriptor
        if descriptor is not None:
            os.close(descriptor)


def _remove_unused(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        descriptor = _locked(folder)
        if descriptor is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the lock on `folder` until it is closed; None where another call holds it."""
    descriptor = None
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    if descriptor is not None:
        os.close(descriptor)
    return None
