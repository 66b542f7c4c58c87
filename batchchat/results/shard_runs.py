"""The runs that `merge` makes one of: what each says of itself, and whether they are the shards of one job."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchchat.core.key_shard import KeyShard
from batchchat.errors import OutputError
from batchchat.results.run_info import RunInfo, info_of_output, info_of_run
from batchchat.results.status import RunStatus, status_of
from batchchat.store.folder import folder_of
from batchchat.store.journal_copy import JournalSurvey, survey_journal
from batchchat.store.parquet import metadata_of
from batchchat.store.segments import end_of
from batchchat.text import numbers
from batchchat.text.numbers import shown_path

__all__ = ["ShardRun", "checked_shards", "shard_runs"]

_PARTIAL = "or merge what there is with --partial."


@dataclass(frozen=True, slots=True)
class ShardRun:
    """The run of one shard: its output and run folder, what its journal, its run.json and its output say of it.

    `end` is the journal offset where the journal ended when it was looked at. `metadata` is that of the published
    output, empty where there is none that has all of the journal.
    """

    output: Path
    folder: Path
    shard: KeyShard
    survey: JournalSurvey
    end: int
    status: RunStatus
    info: RunInfo
    metadata: dict[str, Any]

    @property
    def label(self) -> str:
        """`shard 2 (out/x-2-of-4.parquet)`."""
        return f"shard {self.shard.number} ({shown_path(self.output)})"

    @property
    def is_finished(self) -> bool:
        """Whether each row of the shard has its record, and none is to be decided on or sent again."""
        info = self.info
        return info.state == "finished" and info.left == 0 and not info.undecided and not info.outdated


def shard_runs(outputs: Iterable[Path]) -> list[ShardRun]:
    """The runs of `outputs`, in the order of their shards; an output named twice, or by its run folder, counts once.

    Raises `OutputError` where one is no shard, and `MachineError` where its journal can't be read.
    """
    runs: dict[Path, ShardRun] = {}
    for named in outputs:
        output = named.with_name(named.name.removesuffix(".run")) if named.suffix == ".run" else named
        if (real := folder_of(output).resolve()) not in runs:
            runs[real] = _run_of(output, named)
    return sorted(runs.values(), key=lambda run: run.shard)


def _run_of(output: Path, named: Path) -> ShardRun:
    folder = folder_of(output)
    if (end := end_of(folder)) is None:
        if "*" in named.name and named.suffix != ".run":
            folders = shown_path(folder)
            sentence = f"no output matches {shown_path(named)}: a shard that was stopped has none yet."
            raise OutputError(f"{sentence} Name the run folders: {folders}")
        raise OutputError(
            f"{shown_path(named)} has no journal: there is none in {folder.name} beside it, and the journals are what"
            " is merged. Name the outputs of shards, with their run folders."
        )
    survey = survey_journal(folder)
    member = survey.last_run.get("shard")
    if not isinstance(member, dict):
        raise OutputError(
            f"{shown_path(named)} is no shard: its run was not started with --shard. `merge` makes one run of the"
            " shards of one job."
        )
    if not output.suffix and (file := output.with_name(f"{output.name}.parquet")).is_file():
        output = file
    status = status_of(output, str(named))
    metadata = metadata_of(output) if output.exists() else None
    if metadata is None or metadata.get("journal_end") != end:
        metadata = {}
    shard = KeyShard(member["number"], member["of"])
    info = info_of_run(output, ())
    if info.state is None and metadata:  # run.json is gone
        info = info_of_output(metadata)
    return ShardRun(output, folder, shard, survey, end, status, info, metadata)


def checked_shards(runs: Sequence[ShardRun], *, partial: bool) -> None:
    """Refuse `runs` that are not all the shards of one job, finished; with `partial` some may be missing or unfinished.

    Raises `OutputError` with one sentence that names the outputs, and the way out.
    """
    first = runs[0]
    for run in runs:
        _check_same_job(first, run)
    for number, count in Counter(run.shard.number for run in runs).items():
        if count > 1:
            paths = " and ".join(shown_path(run.output) for run in runs if run.shard.number == number)
            raise OutputError(f"shard {number} of {first.shard.of} is there twice: {paths}. Name one of them.")
    for run in runs:
        if not run.status.is_over:
            owner = f", pid {run.status.state['pid']} on {run.status.state['host']}" if run.status.state["pid"] else ""
            raise OutputError(f"{run.label} is running{owner}. Merge the shards when they have ended.")
    if partial:
        return
    present = {run.shard.number for run in runs}
    if absent := [number for number in range(1, first.shard.of + 1) if number not in present]:
        raise OutputError(_missing(first, absent))
    for run in runs:
        if not run.is_finished:
            raise OutputError(_unfinished(run))


def _check_same_job(first: ShardRun, run: ShardRun) -> None:
    if run.shard.of != first.shard.of:
        raise OutputError(
            f"{shown_path(run.output)} is one of {run.shard.of} shards, and {shown_path(first.output)} one of"
            f" {first.shard.of}. Name the outputs of one division."
        )
    first_member, member = first.survey.last_run["shard"], run.survey.last_run["shard"]
    if first_member["asks"] != member["asks"]:
        raise OutputError(
            f"{run.label} was last run by another job than {first.label}: with another model, other parameters or other"
            f" rows. Run both with the same job file first.{_how_to_run(run)}"
        )
    if first_member["input"] != member["input"]:
        raise OutputError(
            f"{run.label} was last run on another input ({_input_words(member['input'])}) than {first.label}"
            f" ({_input_words(first_member['input'])}). Run both on the same input first.{_how_to_run(run)}"
        )


def _input_words(size: Sequence[int]) -> str:
    files, size_bytes = size
    return f"{numbers.quantity(files, 'file')}, {numbers.count(size_bytes)} bytes"


def _missing(first: ShardRun, absent: Sequence[int]) -> str:
    """Which shards were not named; one that has a run beside the others, and no output yet, is no surprise."""
    of = first.shard.of
    listed = ", ".join(map(str, absent[:10])) + (f" and {len(absent) - 10} more" if len(absent) > 10 else "")  # noqa: PLR2004
    noun = "shard" if len(absent) == 1 else "shards"
    verb = "is" if len(absent) == 1 else "are"
    own_name = f"-{first.shard.number}-of-{of}"
    started = []
    if own_name in first.output.name:
        for number in absent:
            name = first.output.name.replace(own_name, f"-{number}-of-{of}")
            if end_of(folder_of(first.output.with_name(name))) is not None:
                started.append(shown_path(first.output.with_name(name)))
    begun = f" Begun, and not named: {', '.join(started[:10])}." if started else ""
    return f"{noun} {listed} of {of} {verb} missing.{begun} Name the rest, {_PARTIAL}"


def _unfinished(run: ShardRun) -> str:
    info = run.info
    parts = [
        f"{numbers.count(count)} {words}"
        for count, words in ((info.left, "left"), (info.outdated, "to be sent again"), (info.undecided, "undecided"))
        if count
    ]
    why = f": {', '.join(parts)}" if parts else f" ({info.state or 'its state is not known'})"
    return f"{run.label} is not finished{why}. Run it to its end, {_PARTIAL}{_how_to_run(run)}"


def _how_to_run(run: ShardRun) -> str:
    """The command that runs the shard again, on a line of its own; empty where its job is not known."""
    state = run.status.state
    command = state.get("next_command")
    if command is None and state.get("job"):
        command = f"batchchat run {shlex.quote(str(state['job']))} --shard {run.shard}"
    return "" if command is None else f"\n  {command}"
