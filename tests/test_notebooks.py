"""The notebooks of docs/ run as they are, and show what they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reference import REPOSITORY

PATHS = sorted((REPOSITORY / "docs/notebooks").glob("*.ipynb"))


def test_there_are_three() -> None:
    """Label a frame; generate, judge and export; read a bill."""
    assert [path.stem for path in PATHS] == ["generate-judge-export", "label-a-frame", "read-a-bill"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")  # of the client and its kernel
def test_a_notebook(path: Path, tmp_path: Path) -> None:
    """Each cell runs, and shows the text that is committed; `python -m tests.notebooks` writes it again."""
    for name in ("nbclient", "ipykernel", "pydantic", "duckdb", "datasets", "mistral_common", "sentencepiece"):
        pytest.importorskip(name)
    from tests.notebooks import executed, nbformat, shown

    written = nbformat.read(path, as_version=4)
    assert shown(executed(path, tmp_path)) == shown(written)
    assert not any(trace in text for text in shown(written) for trace in ("\r", str(Path.home()), "/tmp", "widget"))
