"""`Job`: a job of a file, of a mapping or of keyword arguments, and changes to it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from batchchat.api.run_options import RunCallOptions
from batchchat.errors import UsageError
from batchchat.job import JobSource, JobSpec, Override, load_job, source_of_keys
from batchchat.job.keys import children
from batchchat.job.paths import path_from_here
from batchchat.job.python_values import flow_text
from batchchat.text.nearest import nearest_names

__all__ = ["Job", "job_from"]

_SHORT = {"input": "path", "output": "path", "endpoint": "base_url"}
"""Sections of which one value stands for a key."""
_OF_RUN = tuple(field.name for field in fields(RunCallOptions))
_FOR_FRAMES = " batchchat.chat_frame(frame, ...) asks about the rows of a DataFrame."


@dataclass(frozen=True, slots=True)
class _Definition:
    """What a job is read of, each time it is needed, and the changes to it; paths in it are relative to `folder`."""

    source: Path | JobSource
    folder: Path
    overrides: tuple[Override, ...] = ()
    typed_in: Path = field(default_factory=Path.cwd)
    """The working directory to which the path of a job file is relative."""

    def where(self) -> Path | JobSource:
        """What the job is read of, wherever the program has moved meanwhile."""
        if isinstance(self.source, Path) and Path.cwd() != self.typed_in:
            return self.typed_in / self.source
        return self.source


class Job:
    """A job for `run`, `estimate` and `report`: that of a file, or of keys and values as a job file has them.

        Job("jobs/first.yaml")
        Job("jobs/first.yaml", concurrency=64)
        Job({"input": {"path": "rows.jsonl"}, "model": "m", "output": {"path": "out.parquet"}})
        Job(input="rows.jsonl", model="m", output="out.parquet", params={"temperature": 0})

    `source` is the path of a job file, a mapping with the keys of one, or a job; `keys` set further ones. `input`,
    `output` and `endpoint` may be a path or a URL instead of a mapping, and `max_cost` (USD) stands for
    `budget.max_cost`. Paths in a job file are relative to it, and so are those that `keys` set inside of a mapping or
    by a name with dots; all others are relative to the working directory at the time. A Pydantic model may stand for a
    JSON schema. Of values given in Python `${NAME}` is text, and no variable.

    A job does not change: `override` gives another one. Raises `JobError` with everything that is wrong; whether the
    endpoint's key is there is looked at only by what sends requests.
    """

    def __init__(self, source: Job | str | os.PathLike[str] | Mapping[str, Any] | None = None, /, **keys: Any) -> None:
        self._definition: _Definition = (
            _changed(source._definition, keys) if isinstance(source, Job) else _definition(source, keys)  # noqa: SLF001
        )
        spec = self.spec(reads_key=False)
        self.name: str = spec.name
        """What messages call the job."""
        self.path: Path | None = spec.path
        """The job file; None where the keys were given in Python."""
        self.output: Path = spec.output.path
        """The Parquet file or folder that the job writes."""

    def override(self, changes: Mapping[str, Any] | None = None, /, **keys: Any) -> Job:
        """The same job with other values: `job.override({"retry.max_wait": 5}, concurrency=64)`.

        A value takes the place of the one before it whole, mappings too. Raises `JobError`.
        """
        return Job(self, **{**(changes or {}), **keys})

    def spec(self, *, reads_key: bool = True) -> JobSpec:
        """The job as the program has it, read anew, with its endpoint's key if it `reads_key`. Raises `JobError`."""
        definition = self._definition
        return load_job(definition.where(), overrides=definition.overrides, environ=os.environ, reads_key=reads_key)

    @property
    def changes(self) -> list[str]:
        """The changes to the job file as arguments of `--set`, without secrets."""
        return [override.again for override in self._definition.overrides]

    def __repr__(self) -> str:
        source = self.name if self.path is None else str(self.path)
        return f"<Job {source!r} -> {str(self.output)!r}>"


def job_from(job: Job | str | os.PathLike[str] | Mapping[str, Any], keys: Mapping[str, Any]) -> Job:
    """`job`, a path or keys, as a `Job` with the values of `keys`."""
    if not isinstance(job, Job):
        return Job(job, **keys)
    return job.override(keys) if keys else job


def _definition(source: Any, keys: Mapping[str, Any]) -> _Definition:
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        return _changed(_Definition(path, path.parent), keys)
    if source is not None and not isinstance(source, Mapping):
        what = f"Job() takes the path of a job file, or a mapping with its keys, and this is {_kind(source)}."
        raise UsageError(f"{what}{_FOR_FRAMES if hasattr(source, '__dataframe__') else ''}")
    folder = Path.cwd()
    whole = source_of_keys(_expanded({**(source or {}), **keys}), folder)
    return _Definition(whole, folder)


def _changed(definition: _Definition, keys: Mapping[str, Any]) -> _Definition:
    return replace(definition, overrides=(*definition.overrides, *_overrides(keys, definition.folder)))


def _overrides(keys: Mapping[str, Any], folder: Path) -> Iterator[Override]:
    """`keys` as changes of a job in `folder`; paths that stand for a section are from the working directory."""
    for name, value in keys.items():
        key, given_value = _key_and_value(name, value)
        if key in {"input.path", "output.path"} and name != key:
            given_value = _from_here(given_value, folder)
        yield Override("", key, flow_text(key, given_value))


def _key_and_value(name: object, value: Any) -> tuple[str, Any]:
    if not isinstance(name, str):
        raise UsageError(f"a key of a job is text, and {name!r} is {_kind(name)}.")
    _check_is_key(name)
    if name == "input" and hasattr(value, "__dataframe__"):
        raise UsageError(f"`input` takes paths, and this is {_kind(value)}.{_FOR_FRAMES}")
    if name == "max_cost":
        return "budget.max_cost", value
    if name in _SHORT and value is not None and not isinstance(value, Mapping):
        return f"{name}.{_SHORT[name]}", value
    return name, value


def _check_is_key(name: str) -> None:
    """Raise `UsageError` for the name of an argument of `run`, or one that was probably meant to be that."""
    if "." in name or name in children("") or name == "max_cost":
        return
    nearest = nearest_names(name, [*children(""), *_OF_RUN])
    if nearest and nearest[0] in _OF_RUN:
        raise UsageError(f"`{name}` is no key of a job. Did you mean `{nearest[0]}`, an argument of run()?")


def _kind(value: object) -> str:
    """The type of `value` in a message."""
    return f"of the type {type(value).__name__}"


def _from_here(value: Any, folder: Path) -> Any:
    if isinstance(value, list | tuple):
        return [_from_here(item, folder) for item in value]
    return path_from_here(os.fspath(value), folder) if isinstance(value, str | os.PathLike) else value


def _expanded(keys: Mapping[str, Any]) -> dict[str, Any]:
    """`keys` as a job file has them: what stands for a key of a section, or has dots in its name, is in its place."""
    whole: dict[str, Any] = {}
    for name, value in keys.items():
        key, item = _key_and_value(name, value)
        section, dot, leaf = key.partition(".")
        if not dot:
            whole[key] = item
        else:
            inside = whole.get(section)
            whole[section] = {**(inside if isinstance(inside, Mapping) else {}), leaf: item}
    return whole
