"""One run out of the runs of several shards: one journal, one state, one output, with every figure.

The new run folder is built beside its place and swapped in whole; then the output is written from its journal, as any
run's is. The shards' own runs are read and stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from batchchat.core.conversation import Key
from batchchat.core.run_figures import RunFigures
from batchchat.errors import OutputError
from batchchat.execution import publish
from batchchat.execution.ending import figures_of
from batchchat.execution.exit_reason import RunLoopResult
from batchchat.job import OutputSpec
from batchchat.job.paths import absolute_inputs, relative_inputs
from batchchat.results.merged_state import merged_state
from batchchat.results.shard_runs import ShardRun, checked_shards, shard_runs
from batchchat.store import records
from batchchat.store.atomic import replacing_folder
from batchchat.store.checkpoint import replay
from batchchat.store.folder import check_writable, folder_of, make_folder
from batchchat.store.journal_copy import copy_journal
from batchchat.store.ledger import Ledger
from batchchat.store.lock import Lock
from batchchat.store.parquet import is_ours
from batchchat.store.parsed_columns import fields_of_text
from batchchat.store.published import Published
from batchchat.store.run_json import write_state
from batchchat.store.segments import end_of, segment_of, segment_path, segments

__all__ = ["Merged", "merge_shards"]

_KEY_COLUMNS = {"id", "variant", "sample"}
_MAX_MERGE_RECORD = 16 << 20


@dataclass(frozen=True, slots=True)
class Merged:
    """What was merged: so many `shards` of `of`, with the figures of all; `damages` of their journals are sentences."""

    shards: int
    of: int
    figures: RunFigures
    damages: Sequence[str]


def merge_shards(outputs: Sequence[Path], target: Path, *, partial: bool = False) -> Merged:
    """Make one run with the output `target` of the shards that wrote `outputs`; `partial`: of those there are.

    Raises `OutputError` for what are not the shards of one job, or a target that has something else; `MachineError`
    where the disk refuses. The target is then as it was.
    """
    runs = shard_runs(outputs)
    checked_shards(runs, partial=partial)
    as_given, folder = str(target), folder_of(target)
    _check_target(target, as_given, runs)
    make_folder(target, as_given)
    lock = Lock.take(folder, as_given)
    try:
        check_writable(target, as_given)
        return _merge(runs, OutputSpec(target.absolute(), as_given), folder)
    except BaseException:
        if not segments(folder):
            _remove_empty(folder)
        raise
    finally:
        lock.release()


def _merge(runs: Sequence[ShardRun], output: OutputSpec, folder: Path) -> Merged:
    with replacing_folder(folder) as building:
        number, ranges = 1, list[range]()
        for run in runs:
            end = copy_journal(run.folder, building, number, is_amended=run.survey.is_amended)
            ranges.append(range(number, end))
            number = end
        record = _run_record(runs, output)
        segment_path(building, number).write_bytes(records.encode(record))
        _check_unchanged(runs)
        ledger = Ledger(building)
        damages = [str(damage) for damage in replay(ledger, building).tail.damages]
        ledger.end_session()
        _leave_out_gone(ledger, runs, ranges)
        left = _left(runs, ledger)
        figures = figures_of(RunLoopResult(left=left, undecided=sum(run.info.undecided for run in runs)), ledger)
        write_state(building, merged_state(runs, output.path, figures))
    try:
        ledger.read_from(folder)
        _publish(runs, output, ledger, record, left=left)
    finally:
        ledger.close()
    return Merged(len(runs), runs[0].shard.of, figures, damages)


def _publish(
    runs: Sequence[ShardRun], output: OutputSpec, ledger: Ledger, record: dict[str, Any], *, left: int | None
) -> None:
    parsed = fields_of_text(record["parsed_columns"])
    own = next((run.metadata for run in runs if run.metadata), {})
    caps = [Decimal(cap) for run in runs if (cap := run.metadata.get("max_cost_usd")) is not None]
    metadata = {
        **{name: record[name] for name in ("name", "job", "model", "endpoint", "mock", "inputs")},
        "max_cost_usd": str(sum(caps, Decimal(0))) if len(caps) == len(runs) else None,
        "price": own.get("price"),
        "content": publish.content_of(ledger, output, parsed),
        "ended": {"state": "finished" if left == 0 else "stopped", "stopped_by": None},
    }
    publish.publish(output, folder_of(output.path), ledger, metadata, left, parsed=parsed)


def _check_target(target: Path, as_given: str, runs: Sequence[ShardRun]) -> None:
    """Refuse a target that has anything else than what an earlier merge wrote, and nobody has continued."""
    folder = folder_of(target)
    if any(run.folder.resolve() == folder.resolve() for run in runs):
        raise OutputError(f"{as_given} is one of the shards. Name another file with -o.")
    if target.suffix not in {"", ".parquet"}:
        raise OutputError(f"{as_given} is no name for an output. It ends in .parquet, or has no suffix for a folder.")
    way_out = "Name another output with -o, or move that away with its run folder."
    if numbers := segments(folder):
        path = segment_path(folder, numbers[-1])
        lines = path.read_bytes().splitlines() if path.stat().st_size <= _MAX_MERGE_RECORD else []
        last = records.decode(lines[0]) if len(lines) == 1 else None
        if last is None or "merged" not in last:
            what = "has a run that is no merge of shards, or was continued since"
            raise OutputError(f"{as_given} {what}: merging over it would lose answers. {way_out}")
    elif target.exists() and not (target.is_dir() and is_ours(target) and not any(target.iterdir())):
        raise OutputError(f"{as_given} exists, and is no output of a merge of shards. {way_out}")


def _check_unchanged(runs: Sequence[ShardRun]) -> None:
    for run in runs:
        if end_of(run.folder) != run.end:
            raise OutputError(f"{run.label} was continued in the meantime. Merge the shards when they have ended.")


def _left(runs: Sequence[ShardRun], ledger: Ledger) -> int | None:
    """How many rows have no record in `ledger`; None where that is not known of a shard, or one is missing.

    The run.json of a shard that was killed counts rows as left that its journal has.
    """
    infos = [run.info for run in runs if run.info.left is not None]
    if len(infos) < runs[0].shard.of:
        return None
    totals = [info.total for info in infos if info.total is not None]
    if len(totals) == len(infos):
        return max(0, sum(totals) - ledger.totals.finished)
    return sum(info.left or 0 for info in infos)


def _run_record(runs: Sequence[ShardRun], output: OutputSpec) -> dict[str, Any]:
    """The record that ends the merged journal: it begins no session, so that all times are those of the shards."""
    first = runs[0]
    last_run = {name: value for name, value in first.survey.last_run.items() if name not in _OF_A_SESSION}
    inputs = absolute_inputs(last_run["inputs"], first.output.parent)
    return {
        **last_run,
        "inputs": relative_inputs(inputs, output.path.parent),
        "job": last_run["job"].removesuffix(f"# --shard {first.shard}\n"),
        "resend": [],
        "merged": {"of": first.shard.of, "shards": [run.shard.number for run in runs]},
    }


_OF_A_SESSION = {"at", "pid", "reading", "shard", "workers", "crc", "lenient"}


def _leave_out_gone(ledger: Ledger, runs: Sequence[ShardRun], ranges: Sequence[range]) -> None:
    """Take rows out that are gone from the input: a shard's output has none of them, and its journal all."""
    index = ledger.index
    for run, numbers in zip(runs, ranges, strict=True):
        if not (run.metadata.get("beside") or {}).get("gone_rows"):
            continue
        published = Published(run.output)
        try:
            entries = {
                index.find(Key(row["id"], row["variant"], row["sample"])) for row in published.rows(_KEY_COLUMNS)
            }
        finally:
            published.close()
        for entry in index.finished():
            if segment_of(index.journal_offset(entry)) in numbers and entry not in entries:
                index.remove_from_input(entry)
    ledger.drop_rows_not_in_input()


def _remove_empty(folder: Path) -> None:
    """Remove a run folder that was made for the lock alone."""
    with suppress(OSError):
        (folder / "lock").unlink(missing_ok=True)
        folder.rmdir()
