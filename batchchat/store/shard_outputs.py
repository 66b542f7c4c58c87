"""The outputs of a job's shards, found by their names: `x-2-of-4.parquet` beside `x.parquet`."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from batchchat.core.key_shard import KeyShard
from batchchat.store.folder import folder_of
from batchchat.store.run_json import read_state
from batchchat.store.segments import segments

__all__ = ["other_runs", "shards_beside"]


def shards_beside(output: Path) -> dict[KeyShard, Path]:
    """The outputs of those shards of the job with this `output` that have a run, in their order."""
    name = re.compile(rf"{re.escape(output.stem)}-([1-9]\d{{0,5}})-of-([1-9]\d{{0,5}})\.run")
    runs: dict[KeyShard, Path] = {}
    with suppress(OSError):  # whoever writes there says what is wrong with the folder
        for path in output.parent.iterdir():
            if match := name.fullmatch(path.name):
                shard = KeyShard(int(match[1]), int(match[2]))
                if segments(folder_of(shard.output(output))):
                    runs[shard] = shard.output(output)
    return dict(sorted(runs.items(), key=lambda item: (item[0].of, item[0].number)))


def other_runs(output: Path, shard: KeyShard) -> list[Path]:
    """Outputs of the job with this `output` that were made otherwise than with as many shards as `shard` is one of.

    One that was merged of such shards is not among them.
    """
    by_count = {run.of: path for run, path in shards_beside(output).items() if run.of != shard.of}
    is_whole = bool(segments(folder_of(output))) and merged_of(folder_of(output)) != shard.of
    return [*([output] if is_whole else []), *by_count.values()]


def merged_of(folder: Path) -> int | None:
    """Of how many shards the run in `folder` was merged, as its run.json says; None where it was not."""
    merged = (read_state(folder) or {}).get("merged")
    of = merged.get("of") if isinstance(merged, dict) else None
    return of if isinstance(of, int) else None
