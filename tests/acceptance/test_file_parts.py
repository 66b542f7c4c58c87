"""Local files as parts of a message: sent as what is in them, kept as their paths."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from batchchat.core.bad import Bad
from batchchat.sources.local_files import MAX_FILE_BYTES, LocalFiles
from tests.acceptance.job import Job
from tests.acceptance.servers import mock_thread

PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def asking(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}]


def sent(folder: Path, *parts: dict[str, Any], outside: bool = False) -> Any:
    """The parts as they are sent, or why they can't be."""
    body = LocalFiles(folder, outside=outside).expand(json.dumps({"messages": asking(*parts)}).encode())
    return json.loads(body)["messages"][0]["content"][1:] if isinstance(body, bytes) else body


def test_what_is_sent(tmp_path: Path) -> None:
    """Images and documents are data URLs with their media type, sounds are base64; other URLs stay."""
    (tmp_path / "a b.jpg").write_bytes(b"jpeg")
    (tmp_path / "noname").write_bytes(PNG)
    (tmp_path / "x.wav").write_bytes(b"RIFFwave")
    (tmp_path / "x.pdf").write_bytes(b"%PDF-1")
    parts = sent(
        tmp_path,
        image("file:a b.jpg"),
        image("file:noname"),
        {"type": "image_url", "image_url": f"file://{tmp_path}/a b.jpg"},
        {"type": "input_audio", "input_audio": {"data": "file:x.wav", "format": "wav"}},
        {"type": "file", "file": {"file_data": "file:x.pdf", "filename": "x.pdf"}},
        image("https://x/file:a"),
        {"type": "text", "text": "file:a b.jpg"},
    )
    assert parts[0] == image("data:image/jpeg;base64,anBlZw==")
    head, _, data = parts[1]["image_url"]["url"].partition(",")
    assert (head, b64decode(data)) == ("data:image/png;base64", PNG)
    assert parts[2] == {"type": "image_url", "image_url": "data:image/jpeg;base64,anBlZw=="}
    assert parts[3]["input_audio"] == {"data": "UklGRndhdmU=", "format": "wav"}
    assert parts[4]["file"] == {"file_data": "data:application/pdf;base64,JVBERi0x", "filename": "x.pdf"}
    assert parts[5:] == [image("https://x/file:a"), {"type": "text", "text": "file:a b.jpg"}]


OUTSIDE = "it is outside of the job file's folder. `input.allow_outside_files: true` allows that"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.jpg", "there is no such file"),
        ("folder.jpg", "it is no file"),
        ("empty.jpg", "it is empty"),
        ("large.jpg", "it is larger than 20 MiB"),
        ("unknown", "its kind is not known, neither by its name nor by its first bytes"),
        ("../secret.jpg", OUTSIDE),
        ("link.jpg", OUTSIDE),
        ("/etc/passwd", OUTSIDE),
        ("circle.jpg", "it can't be read"),
        ("a\0b.jpg", "it can't be read: not a path"),
    ],
)
def test_files_that_can_not_be_sent(tmp_path: Path, name: str, reason: str) -> None:
    """Each is told when its row is read, and again where it has changed until it is sent."""
    folder = tmp_path / "job"
    folder.mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (folder / "folder.jpg").mkdir()
    (folder / "empty.jpg").touch()
    (folder / "unknown").write_bytes(b"abc")
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    with (folder / "large.jpg").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    problem = LocalFiles(folder).problem_in(asking(image(f"file:{name}")))
    assert problem is not None
    assert problem.sentence.startswith(f"`messages[0].content[1].image_url.url` is file:{name}: {reason}")
    assert isinstance(sent(folder, image(f"file:{name}")), Bad)


def test_files_outside_where_they_are_allowed(tmp_path: Path) -> None:
    """The job says so."""
    (tmp_path / "job").mkdir()
    (tmp_path / "a.jpg").write_bytes(b"jpeg")
    assert sent(tmp_path / "job", image("file:../a.jpg"), outside=True)[0] == image("data:image/jpeg;base64,anBlZw==")


def test_a_pipe_in_the_place_of_a_file_that_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes nobody wait: it has no bytes, and a row that names it fails."""
    (tmp_path / "a.jpg").write_bytes(b"jpeg")
    checked = (tmp_path / "a.jpg").stat()
    (tmp_path / "a.jpg").unlink()
    os.mkfifo(tmp_path / "a.jpg")
    monkeypatch.setattr(Path, "stat", lambda _self, **_options: checked)
    assert isinstance(sent(tmp_path, image("file:a.jpg"), outside=True), Bad)


def test_a_run(job: Job) -> None:
    """The endpoint gets what is in the file; the journal and the output have the path."""
    photos = job.folder / "photos"
    photos.mkdir()
    for name in ("a", "b"):
        (photos / f"{name}.png").write_bytes(PNG)
    rows = [{"id": name} for name in ("a", "b", "none")]
    with mock_thread() as mock:
        job.write(
            rows,
            template=[{"role": "user", "content": [image("file:photos/{{ id }}.png")]}],
            endpoint__base_url=mock.url,
        )
        assert job.run().code == 3
    table = {row["id"]: row for row in job.table()}
    assert [table[name]["status"] for name in ("a", "b", "none")] == ["answered", "answered", "invalid"]
    assert table["none"]["error"] == (
        "`messages[0].content[0].image_url.url` is file:photos/none.png: there is no such file."
    )
    assert "file:photos/a.png" in table["a"]["messages_json"]
    assert b"base64" not in job.journal_file.read_bytes()
    preview = job.run("preview", "job.yaml", "-n", "1", "--json")
    assert json.loads(preview.out)["messages"][0]["content"] == [image("file:photos/a.png")]
