"""Files that a user names."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchchat.errors import OutputError
from batchchat.results.write_target import check_target, is_stream, write_target, writing


def test_the_content_is_replaced(tmp_path: Path) -> None:
    """Through a link too, which stays a link."""
    target, link = tmp_path / "a.csv", tmp_path / "link.csv"
    target.write_bytes(b"before")
    link.symlink_to(target)
    write_target(link, b"after")
    assert (target.read_bytes(), link.is_symlink()) == (b"after", True)


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    """Completely or not at all."""
    target = tmp_path / "a.csv"
    target.write_bytes(b"before")

    def fail() -> None:
        with writing(target) as file:
            file.write(b"half")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_what_a_run_needs_is_refused(tmp_path: Path) -> None:
    """A folder, a missing folder, the output, the job, the input: each with its reason."""
    for name in ("out.parquet", "job.yaml", "in.jsonl"):
        (tmp_path / name).write_text("x")
    for target, reason in (
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "a.csv", "is no folder"),
        (tmp_path / "out.parquet", "the run's own output"),
        (tmp_path / "job.yaml", "the job file"),
        (tmp_path / "in.jsonl", "reads its input"),
    ):
        with pytest.raises(OutputError, match=reason):
            check_target(
                [tmp_path / "out.parquet"], target, jobs=[tmp_path / "job.yaml"], inputs=[str(tmp_path / "in.jsonl")]
            )
    check_target([tmp_path / "out.parquet"], tmp_path / "other.csv")


def test_devices_are_written_to() -> None:
    """They can't be replaced."""
    assert is_stream(Path("/dev/null"))
    write_target(Path("/dev/null"), b"x")
