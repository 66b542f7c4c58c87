"""`--shard I/N`: one part of a job's rows, named on the command line or by the scheduler that runs the process."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from batchchat.cli.output import say
from batchchat.core.key_shard import KeyShard
from batchchat.errors import UsageError
from batchchat.text.numbers import shown_path

if TYPE_CHECKING:
    from batchchat.core.notices import ShardNoted
    from batchchat.job import JobSpec

__all__ = ["shard_from", "shard_option", "to_shard"]

_MAX_SHARDS = 10_000  # as many as there may be requests in flight
_GIVEN = re.compile(r"(\d{1,6})/(\d{1,6})")
_AUTO = re.compile(r"auto(?:/(\d{1,6}))?")
_SLURM, _KUBERNETES = "SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"
_TAKES = "It takes I/N, such as 2/4, with I from 1 to N; or auto, or auto/N, for a task of a scheduler."


def shard_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--shard` to `command`; the command's parameter is `shard`."""
    return click.option(
        "--shard",
        metavar="I/N",
        help="Only the I-th of N parts of the rows, with an output of its own and 1/N of the limits and the budget;"
        " `auto` in a task of a Slurm array or an Indexed Job of Kubernetes.",
    )(command)


def shard_from(text: str, environ: Mapping[str, str]) -> KeyShard:
    """The shard that `text` names, or that the variables of a scheduler do. Raises `UsageError`."""
    if (match := _GIVEN.fullmatch(text)) is not None:
        return _checked(int(match[1]), int(match[2]), f"--shard {text}")
    if (match := _AUTO.fullmatch(text)) is None:
        raise UsageError(f"--shard {text!r} is no shard. {_TAKES}")
    of = None if match[1] is None else int(match[1])
    slurm, kubernetes = (environ.get(name) or None for name in (_SLURM, _KUBERNETES))
    if slurm is not None and kubernetes is not None:
        raise UsageError(f"--shard {text}: both {_SLURM} and {_KUBERNETES} are set. Name the shard: --shard I/N.")
    if slurm is not None:
        return _of_slurm(environ, of)
    if kubernetes is not None:
        number = _whole(environ, _KUBERNETES) + 1
        if of is None and not environ.get("JOB_COMPLETIONS"):
            raise UsageError(
                f"--shard auto: {_KUBERNETES} says which part this is, and nothing says of how many. Write --shard"
                " auto/N, with N as `completions` of the Job."
            )
        of = _whole(environ, "JOB_COMPLETIONS") if of is None else of
        return _checked(number, of, f"{_KUBERNETES}={number - 1}")
    raise UsageError(
        f"--shard {text}: neither {_SLURM} nor {_KUBERNETES} is set, so this is no task of a Slurm array nor of an"
        " Indexed Job of Kubernetes. Name the shard: --shard I/N."
    )


def _of_slurm(environ: Mapping[str, str], of: int | None) -> KeyShard:
    """The shard of a task of a whole array, `--array=1-4` or `--array=0-3`.

    A task that is submitted again on its own has an array of one, which must not be taken for a job of one shard.
    """
    at, count, first = (_whole(environ, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "COUNT", "MIN"))
    last = _whole(environ, "SLURM_ARRAY_TASK_MAX")
    if first not in {0, 1} or last - first + 1 != count or count == 1 or (of is not None and of != count):
        raise UsageError(
            f"this task is number {at} of a Slurm array of {count}, from {first} to {last}. --shard auto takes an array"
            " of all shards, --array=1-N, and a part of one has other numbers than the whole. Name the shard: --shard"
            f" {at if first else at + 1}/N, with the N of the whole array."
        )
    return _checked(at - first + 1, count, f"{_SLURM}={at}")


def _whole(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    if not re.fullmatch(r"\d{1,9}", text):
        raise UsageError(f"--shard auto: {name} is {text!r}, no whole number. Name the shard: --shard I/N.")
    return int(text)


def _checked(number: int, of: int, label: str) -> KeyShard:
    if not 1 <= number <= of:
        raise UsageError(f"{label} is no shard of {of}. {_TAKES}")
    if of > _MAX_SHARDS:
        raise UsageError(f"{label}: {of} shards are more than {_MAX_SHARDS:,}, the most there can be.")
    return KeyShard(number, of)


def to_shard(jobs: list[JobSpec], text: str | None) -> tuple[list[JobSpec], ShardNoted | None]:
    """`jobs` as the shard `text` runs them, and what is to be said of it; None is no shard. Raises `UsageError`."""
    if text is None:
        for job in jobs:
            _tell_of_shards(job)
        return jobs, None
    shard = shard_from(text, os.environ)
    if len(jobs) > 1:
        raise UsageError(
            "--shard can't be used with several jobs: the next one reads the whole output of the one before. Run the"
            " shards of one job, merge them, and run the next."
        )
    from batchchat.job.sharded import shard_noted, sharded

    (whole,) = jobs
    job = sharded(whole, shard)
    noted = shard_noted(whole, job)
    if _begins(job):
        from batchchat.store.shard_outputs import other_runs

        noted = noted._replace(other_runs=tuple(map(shown_path, other_runs(whole.output.path, shard))))
    return [job], noted


def _begins(job: JobSpec) -> bool:
    """Whether `job` has no run yet; only then are the runs beside its output looked for, in a folder of any size."""
    from batchchat.store.folder import folder_of
    from batchchat.store.segments import segments

    try:
        return not segments(folder_of(job.output.path))
    except OSError:
        return False  # whoever makes the run folder says why that can't be


def _tell_of_shards(job: JobSpec) -> None:
    """Say so where `job` begins as one run, and shards of it were run before: all would be paid for once more."""
    if not _begins(job):
        return
    from batchchat.store.shard_outputs import shards_beside

    output = job.output.path
    if runs := shards_beside(output):
        shard, path = next(iter(runs.items()))
        pattern = shown_path(path.with_name(path.name.replace(f"-{shard.number}-of-", "-*-of-")))
        say(
            f"note   {shown_path(path)}: shards of this job have runs, whose answers are not used here and are paid for"
            f" again. Merged they are one run: batchchat merge {pattern} -o {shown_path(output)}"
        )
