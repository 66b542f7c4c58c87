"""The shards of a job that have a run, by their names."""

from __future__ import annotations

import json
from pathlib import Path

from batchchat.core.key_shard import KeyShard
from batchchat.store.shard_outputs import other_runs, shards_beside


def make_run(output: Path, state: dict[str, object] | None = None) -> None:
    folder = output.with_suffix(".run")
    folder.mkdir()
    (folder / "journal-000001.jsonl").touch()
    (folder / "run.json").write_text(json.dumps(state or {}))


def test_shards_beside(tmp_path: Path) -> None:
    """In their order; what only looks like one is none."""
    output = tmp_path / "x.parquet"
    for name in ("x-10-of-12", "x-2-of-12", "x-1-of-3", "xy-1-of-3", "x-0-of-3", "x-1-of-3.2026-01-01"):
        make_run(tmp_path / f"{name}.parquet")
    (tmp_path / "x-2-of-3.run").mkdir()  # without a journal
    assert shards_beside(output) == {
        KeyShard(1, 3): tmp_path / "x-1-of-3.parquet",
        KeyShard(2, 12): tmp_path / "x-2-of-12.parquet",
        KeyShard(10, 12): tmp_path / "x-10-of-12.parquet",
    }
    assert shards_beside(tmp_path / "gone" / "x.parquet") == {}


def test_other_runs(tmp_path: Path) -> None:
    """Those of another number of shards and that of the whole job, unless it was merged of these shards."""
    output = tmp_path / "x.parquet"
    make_run(tmp_path / "x-1-of-4.parquet")
    make_run(tmp_path / "x-1-of-3.parquet")
    assert other_runs(output, KeyShard(2, 4)) == [tmp_path / "x-1-of-3.parquet"]
    make_run(output, {"merged": {"of": 4}})
    assert other_runs(output, KeyShard(2, 4)) == [tmp_path / "x-1-of-3.parquet"]
    assert other_runs(output, KeyShard(2, 5))[0] == output
