"""run.json."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchchat.store.run_json import NAME, read_state, write_state


def test_the_state_is_replaced_whole(tmp_path: Path) -> None:
    """The last state is what is read, and nothing else is left in the folder."""
    write_state(tmp_path, {"state": "running", "name": "a\ud800"})
    write_state(tmp_path, {"state": "finished"})
    assert read_state(tmp_path) == {"state": "finished"}
    assert (tmp_path / NAME).read_bytes() == b'{"state":"finished"}\n'
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("content", [b"", b'{"state": ', b"[1]", b"\xff"])
def test_what_is_no_state_is_none(tmp_path: Path, content: bytes) -> None:
    """A file that is half, or something else, is no state; so is none."""
    assert read_state(tmp_path) is None
    (tmp_path / NAME).write_bytes(content)
    assert read_state(tmp_path) is None


def test_a_refused_write_leaves_nothing(tmp_path: Path) -> None:
    """Where the state can't be put in its place, the caller hears of it and no half file stays."""
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "x").touch()
    with pytest.raises(OSError, match="directory"):
        write_state(tmp_path, {"state": "running"})
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
