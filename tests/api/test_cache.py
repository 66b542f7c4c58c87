"""The folder of a frame's run in the cache, and the frame's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchchat import Job
from batchchat.api.cache import cached_output, input_file


def folder(**keys: Any) -> Path:
    """The folder of a job with `keys`."""
    whole = {"input": "rows.jsonl", "output": "out.parquet", "model": "m", "name": "frame", "endpoint": "mock", **keys}
    return cached_output(Job(whole).spec()).parent


def test_one_folder_for_a_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes the question changes the folder; what bounds the run does not."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    questions: list[dict[str, Any]] = [
        {},
        {"model": "n"},
        {"system": "s"},
        {"template": "{{ a }}"},
        {"template": [{"role": "user", "content": "{{ a }}"}]},
        {"params": {"temperature": 0}},
        {"expect": {"json_schema": schema}},
        {"expect": {"matches": "a+"}},
        {"endpoint": "http://127.0.0.1:1/v1"},
        {"name": "../other name"},
    ]
    assert len({folder(**keys) for keys in questions}) == len(questions)
    assert {path.parent for path in (tmp_path / "batchchat").iterdir()} == {tmp_path / "batchchat"}
    assert folder(concurrency=3, max_cost=2, samples=4, retry={"max_wait": 3}, on_finish="true") == folder()


def test_the_home_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative `XDG_CACHE_HOME` counts as none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "here"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert folder().parent == tmp_path / ".cache" / "batchchat"


def test_each_call_has_a_file_of_its_own(tmp_path: Path) -> None:
    """A call that goes on keeps its file, and what a killed process left is removed by the next."""
    left = tmp_path / ".batchchat-frame-left"
    left.mkdir()
    (left / "frame.parquet").write_text("x")
    with input_file(tmp_path / "out.parquet") as first:
        assert not left.exists()
        first.write_text("first")
        with input_file(tmp_path / "out.parquet") as second:
            second.write_text("second")
        assert first.read_text() == "first"
    assert list(tmp_path.iterdir()) == []
