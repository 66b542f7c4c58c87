"""What `input.path` names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from batchchat.errors import InputError
from batchchat.job.paths import resolved_input
from batchchat.sources.files import InputFile, find_files, unreadable
from tests.sources.folder import user

if TYPE_CHECKING:
    from tests.sources.folder import Folder

GOOD = [{"messages": user("hi")}]


def found(folder: Folder, *typed: str) -> list[tuple[str, str]]:
    files = find_files([str(folder.path / name) for name in typed], typed)
    return [(file.typed, file.label) for file in files]


def test_matches_are_sorted_and_called_as_typed(folder: Folder) -> None:
    """A pattern's files come in order, called by its folder as typed and by base name where that is unique."""
    for name in ("b/2.jsonl", "b/1.jsonl", "b/c/3.jsonl"):
        folder.write(name, GOOD)
    assert found(folder, "b/*.jsonl") == [("b/1.jsonl", "1.jsonl"), ("b/2.jsonl", "2.jsonl")]
    assert found(folder, "**/3.jsonl") == [("b/c/3.jsonl", "3.jsonl")]
    assert [name for name, _ in found(folder, "b/**/*.jsonl")] == ["b/1.jsonl", "b/2.jsonl", "b/c/3.jsonl"]


def test_base_names_that_repeat_are_not_used(folder: Folder) -> None:
    """Two files of one name are told apart by their folders, in labels too."""
    for name in ("a/x.jsonl", "b/x.jsonl", "b/y.jsonl"):
        folder.write(name, GOOD)
    assert found(folder, "*/*.jsonl") == [
        ("a/x.jsonl", "a/x.jsonl"),
        ("b/x.jsonl", "b/x.jsonl"),
        ("b/y.jsonl", "y.jsonl"),
    ]


def test_a_file_named_twice_is_read_once(folder: Folder) -> None:
    """A list, a pattern, another spelling and a link to one file give one file."""
    folder.write("a.jsonl", GOOD)
    (folder.path / "link.jsonl").symlink_to("a.jsonl")
    assert found(folder, "a.jsonl", "*.jsonl", "./a.jsonl") == [("a.jsonl", "a.jsonl")]


def test_a_name_with_wildcards_is_a_name_where_it_exists(folder: Folder) -> None:
    """A file called `a[1].jsonl` can be named."""
    folder.write("a[1].jsonl", GOOD)
    assert found(folder, "a[1].jsonl") == [("a[1].jsonl", "a[1].jsonl")]


def test_brackets_in_the_jobs_own_folder_are_no_pattern(folder: Folder) -> None:
    """What the job escapes of its own folder is a plain name again."""
    folder.write("run [1]/a.jsonl", GOOD)
    home = folder.path / "run [1]"
    for typed in ("*.jsonl", "../run */*.jsonl", "a.jsonl"):
        (file,) = find_files([resolved_input(typed, home, {})], [typed])
        assert file.path.read_bytes()
        assert file.typed == typed.replace("run *", "run [1]").replace("*", "a")


def test_suffixes_are_read_in_any_case(folder: Folder) -> None:
    """What was exported as .JSONL is read."""
    folder.write("A.JSONL", GOOD)
    assert found(folder, "A.JSONL") == [("A.JSONL", "A.JSONL")]


READS = "It reads .jsonl, .jsonl.gz and .parquet."


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.csv", b"a", f"a.csv: .csv is not read by this version yet. {READS}"),
        ("a.json", b"[]", f"a.json: .json is not read by this version yet. {READS}"),
        ("a.jsonl.zst", b"", f"a.jsonl.zst: .jsonl.zst is not read by this version yet. {READS}"),
        ("a.txt", b"", f"a.txt: its suffix says no format that is read. {READS}"),
        ("a.jsonl", b"\x1f\x8b\x08", "a.jsonl is gzip, not JSON lines. Name it .jsonl.gz."),
        ("a.jsonl", b"PAR1", "a.jsonl is Parquet, not JSON lines. Name it .parquet."),
        ("a.jsonl", b"\xff\xfe{\x00", "a.jsonl is UTF-16, not JSON lines. Save it as UTF-8."),
        (
            "a.jsonl.gz",
            b"{}",
            "a.jsonl.gz is not gzip: it doesn't begin with 1f 8b. Name it .jsonl if it is plain text.",
        ),
        ("a.parquet", b"{}", "a.parquet is not Parquet: it doesn't begin with PAR1. Name it for what it is."),
        ("a.parquet", b"", "a.parquet is not Parquet: it doesn't begin with PAR1. Name it for what it is."),
        ("d.jsonl/a.csv", b"", "d.jsonl: a folder is not read by this version yet. Name d.jsonl/*.jsonl."),
    ],
)
def test_what_is_not_read_is_refused(folder: Folder, name: str, content: bytes, error: str) -> None:
    """One sentence names the file as typed, and the way out."""
    folder.write(name, content)
    with pytest.raises(InputError) as caught:
        found(folder, name.split("/", maxsplit=1)[0])
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ("no.jsonl", "no.jsonl is not there. Relative paths are relative to the job file."),
        ("no/*.jsonl", "no/*.jsonl: no file matches. Check the pattern, or name the files."),
        ("s3://bucket/key?sig=1", f"`input.path` is a URL (s3://), which is not read by this version yet. {READS}"),
    ],
)
def test_what_is_not_there_is_refused(folder: Folder, typed: str, error: str) -> None:
    """A missing file, a pattern without a match, and a URL, of which only the scheme is repeated."""
    with pytest.raises(InputError) as caught:
        found(folder, typed)
    assert str(caught.value) == error


def test_a_pipe_is_refused(folder: Folder) -> None:
    """A pipe would hang, and can't be read twice."""
    os.mkfifo(folder.path / "a.jsonl")
    with pytest.raises(InputError, match=r"^a\.jsonl is not a file: it can't be read twice, as a resume has to\.$"):
        found(folder, "a.jsonl")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "x"), "a can't be read: permission denied. Give this user the right to read it."),
        (NotADirectoryError(20, "x"), "a is not there. Relative paths are relative to the job file."),
        (OSError(5, "Input/output error"), "a can't be read: Input/output error."),
    ],
)
def test_what_the_system_refuses_is_said(error: OSError, sentence: str) -> None:
    """Each refusal of the system is a sentence; none is a traceback."""
    assert str(unreadable("a", error)) == sentence


def test_files_know_their_size(folder: Folder) -> None:
    """The size in bytes is had before reading."""
    folder.write("a.jsonl", b"{}\n{}\n")
    (file,) = find_files([str(folder.path / "a.jsonl")], ["a.jsonl"])
    assert isinstance(file, InputFile)
    assert file.size == 6
