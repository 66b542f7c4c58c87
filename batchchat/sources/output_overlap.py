"""Finds an output path that the job's own input would read: a second run would take the first one's output as input.

The output need not exist yet. Patterns are matched segment by segment, as `glob` does; `**` is any number of folders.
"""

from __future__ import annotations

import glob
import os
import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from batchchat.object_store.url import ObjectUrl, is_url, parse_url
from batchchat.sources.file_types import file_kind
from batchchat.sources.files import unescape_pattern
from batchchat.sources.ignored import is_ignored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batchchat.job.spec import InputSpec

__all__ = ["entries_reading", "overlapping_entry"]

_ESCAPED = re.compile(r"\[[*?[]\]")
# A file in an output folder.
_PART = "part-00000.parquet"
# Objects of an output folder in a store.
_STORED_PARTS = ("parts/000001-0/part-00000.parquet", "manifest-000001.json")


def overlapping_entry(spec: InputSpec, output: Path, url: ObjectUrl | None = None) -> str | None:
    """The entry of `input.path`, as given in the job, that would read `output`, a file or folder; else None.

    `url` is where the output goes in a store, if it does.
    """
    return next(chain(_overlapping(spec, output), _overlapping_urls(spec, url)), None)


def entries_reading(spec: InputSpec, output: Path, url: ObjectUrl | None = None) -> list[str]:
    """The entries of `input.path`, as given, that name `output` itself or would read it, whether or not it is there."""
    real, entries = os.path.realpath(output), [*_overlapping(spec, output), *_overlapping_urls(spec, url)]
    for path, entry in zip(spec.paths, spec.as_given, strict=True):
        if entry not in entries and not is_url(path) and os.path.realpath(unescape_pattern(path)) == real:
            entries.append(entry)
    return entries


def _overlapping(spec: InputSpec, output: Path) -> Iterator[str]:
    # The paths of both may contain links or `..`, and the output may be a link.
    names = [_parts(output), _parts(Path(os.path.realpath(output)))]
    for path, entry in zip(spec.paths, spec.as_given, strict=True):
        if is_url(path):
            continue
        literal = unescape_pattern(path)
        if os.path.isdir(literal):  # noqa: PTH112 (`Path.is_dir` may raise)
            if any(_is_below(parts, _real(literal)) for parts in names):
                yield entry
        elif not os.path.lexists(literal) and any(_is_matched(parts, path) for parts in names):
            yield entry


def _overlapping_urls(spec: InputSpec, output: ObjectUrl | None) -> Iterator[str]:
    """The entries that would read an object of `output`: the file, or a part or the manifest of a folder."""
    if output is None:
        return
    key = output.key.rstrip("/")
    names = [key] if file_kind(key) is not None else [f"{key}/{part}" for part in _STORED_PARTS]
    keys = [tuple(name.split("/")) for name in names]
    for path, entry in zip(spec.paths, spec.as_given, strict=True):
        if not is_url(path):
            continue
        url = parse_url(path)
        if (url.scheme, url.bucket) == (output.scheme, output.bucket) and any(_is_read(parts, url) for parts in keys):
            yield entry


def _is_read(parts: tuple[str, ...], url: ObjectUrl) -> bool:
    """Whether an input of `url` reads the object whose key has these `parts`."""
    own = tuple(url.key.split("/"))
    if own[-1] == "":
        return _is_below(parts, own[:-1])
    from batchchat.sources.glob_match import matches_glob

    return parts == own or (glob.has_magic(url.key) and matches_glob(parts, own))


def _parts(output: Path) -> tuple[str, ...]:
    file = output if file_kind(output.name) is not None else output / _PART
    return (*_real(str(file.parent)), file.name)


def _real(folder: str) -> tuple[str, ...]:
    return Path(os.path.realpath(folder)).parts


def _is_below(parts: tuple[str, ...], folder: tuple[str, ...]) -> bool:
    if parts[: len(folder)] != folder:
        return False
    *folders, name = parts[len(folder) :]
    return not is_ignored(name, is_folder=False) and not any(
        is_ignored(folder_name, is_folder=True) for folder_name in folders
    )


def _is_matched(parts: tuple[str, ...], path: str) -> bool:
    from batchchat.sources.glob_match import matches_glob

    segments = path.split("/")
    wild = next((at for at, part in enumerate(segments) if glob.has_magic(_ESCAPED.sub("", part))), len(segments))
    folder = _real(unescape_pattern("/".join(segments[:wild])) or "/")
    return parts[: len(folder)] == folder and matches_glob(parts[len(folder) :], tuple(segments[wild:]))
