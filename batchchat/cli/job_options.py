"""Options of `run` that set keys of its jobs: the jobs as the command line makes them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from batchchat.cli.output import say
from batchchat.cli.set_option import override
from batchchat.errors import JobError, NoEndpointError
from batchchat.job import JobSpec, Override, load_job
from batchchat.job.paths import path_from_here
from batchchat.object_store.url import is_url
from batchchat.text.numbers import duration

__all__ = ["input_again", "load_jobs", "path_or_url", "short_options", "values_of"]

_LOOK_EACH_S = 1.0


class _Short(NamedTuple):
    """An option that is short for a job key."""

    key: str
    metavar: str | None
    help: str
    type: click.Choice[str] | None = None


_SHORT = {
    "--model": _Short("model", "MODEL", "Set `model`, for this run."),
    "--input": _Short("input.path", "PATH", "Set `input.path`, for this run."),
    "--concurrency": _Short("concurrency", "N", "Requests in flight at most."),
    "--max-cost": _Short("budget.max_cost", "USD", "Limit of the job's total cost, over all its resumes."),
    "--engine": _Short(
        "cluster.engine", None, "What starts the workers: this process, or Ray.", click.Choice(["local", "ray"])
    ),
}


def short_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that are short for a job key to `command`, which takes them as further keyword arguments."""
    for option, short in reversed(_SHORT.items()):
        command = click.option(option, type=short.type, metavar=short.metavar, help=short.help)(command)
    return command


def values_of(arguments: Mapping[str, str | None]) -> dict[str, str | None]:
    """The values of the options of `short_options`, by option: `--max-cost` for the argument `max_cost`."""
    return {option: arguments[option.removeprefix("--").replace("-", "_")] for option in _SHORT}


def path_or_url(_context: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """A path as `pathlib` spells it, or a URL as it was typed."""
    return value if value is None or is_url(value) else str(Path(value))


def _overrides(job: Path, sets: tuple[str, ...], short: Mapping[str, str | None]) -> list[Override]:
    """The overrides that the command line asks for: by `--set`, and by the options of `short`."""
    overrides = [override(text) for text in sets]
    for option, value in short.items():
        if value is not None:
            is_path = option == "--input" and not value.startswith("[")
            overrides.append(
                Override(option, _SHORT[option].key, path_from_here(value, job.parent) if is_path else value)
            )
    return overrides


def input_again(value: str | None) -> str | None:
    """What `--input` has in a command that is shown: a variable in place of a URL with secrets."""
    return None if value is None else Override("--input", _SHORT["--input"].key, value).value_again


_OF_ONE_JOB = {
    "--output": "Set `output.path` in each job.",
    "--input": "Set `input.path` in each job.",
    "--model": "Set `model` in each job; --set model=MODEL sets the same one in all.",
    "--max-cost": "It is the cap of one job; set `budget.max_cost` in each.",
}


def _check_options_of_one(options: Iterable[str]) -> None:
    """Raise `click.UsageError` for one of `options` that only one job can have."""
    for option, way_out in _OF_ONE_JOB.items():
        if option in options:
            raise click.UsageError(f"{option} can't be used with several jobs. {way_out}")


def load_jobs(
    paths: Sequence[Path], sets: tuple[str, ...], short: Mapping[str, str | None], output: str | None
) -> list[JobSpec]:
    """The jobs at `paths`, with `output` in place of their own, and the options that are `short` for a key.

    Raises `click.UsageError` for an option that several jobs can't have, `JobError` with all that is wrong in any job.
    """
    if len(paths) > 1:
        options = {option for option, value in short.items() if value is not None}
        _check_options_of_one(options if output is None else {*options, "--output"})
    specs: list[JobSpec] = []
    faults: list[str] = []
    for path in paths:
        try:
            specs.append(_loaded(path, _overrides(path, sets, short), output))
        except JobError as error:
            faults += error.faults
    if faults:
        raise JobError(list(dict.fromkeys(faults)))  # an option that is wrong is so for all
    return specs


def _loaded(path: Path, overrides: Sequence[Override], output: str | None) -> JobSpec:
    """The job at `path`, once its file of endpoints has one: that is waited for, as an outage is."""
    start, is_told, problems = time.monotonic(), False, set[str]()
    while True:
        try:
            return load_job(path, overrides=overrides, environ=os.environ, output=output)
        except NoEndpointError as error:
            if time.monotonic() - start >= error.max_wait_s:
                raise
            if not is_told:
                say(f"{error.file} has no endpoint yet; waiting up to {duration(error.max_wait_s)}, Ctrl-C stops")
                is_told = True
            for problem in error.problems:
                if problem not in problems:
                    say(problem)
            problems.update(error.problems)
        time.sleep(_LOOK_EACH_S)
