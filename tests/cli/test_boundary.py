from __future__ import annotations

from pathlib import Path

import pytest

from batchchat.text.numbers import shown_path


def test_paths_are_shown_as_one_would_type_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the working directory a path is relative, elsewhere whole; `..` is kept where it leaves a link."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere" / "jobs").mkdir(parents=True)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "link").symlink_to("elsewhere/jobs")
    assert shown_path(tmp_path / "jobs" / ".." / "out" / "x.parquet") == "out/x.parquet"
    assert shown_path(tmp_path / "link" / ".." / "out" / "x.parquet") == "link/../out/x.parquet"
    assert shown_path(tmp_path.parent / "x.parquet") == str(tmp_path.parent / "x.parquet")
