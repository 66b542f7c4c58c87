"""What `input.path` names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batchchat.errors import InputError
from batchchat.job.paths import resolved_input
from batchchat.sources.files import InputFile, find_files, read_error
from tests.sources.folder import user

if TYPE_CHECKING:
    from tests.sources.folder import Folder

GOOD = [{"messages": user("hi")}]


def found(folder: Folder, *typed: str) -> list[tuple[str, str]]:
    files = find_files([str(folder.path / name) for name in typed], typed).files
    return [(file.as_given, file.label) for file in files]


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
        (file,) = find_files([resolved_input(typed, home, {})], [typed]).files
        assert isinstance(file.path, Path)
        assert file.path.read_bytes()
        assert file.as_given == typed.replace("run *", "run [1]").replace("*", "a")


def test_suffixes_are_read_in_any_case(folder: Folder) -> None:
    """What was exported as .JSONL is read."""
    folder.write("A.JSONL", GOOD)
    assert found(folder, "A.JSONL") == [("A.JSONL", "A.JSONL")]


READS = "It reads .jsonl, .ndjson, .json and .csv, each also as .gz or .zst, and .parquet."


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.parquet.gz", b"", f"a.parquet.gz: its suffix says no format that is read. {READS}"),
        ("a.gz", b"", f"a.gz: its suffix says no format that is read. {READS}"),
        ("a.txt", b"", f"a.txt: its suffix says no format that is read. {READS}"),
        ("a.jsonl", b"\x1f\x8b\x08", "a.jsonl is gzip, not JSON lines. Rename it to .jsonl.gz."),
        ("a.jsonl", b"PAR1", "a.jsonl is Parquet, not JSON lines. Rename it to .parquet."),
        ("a.jsonl", b"\xff\xfe{\x00", "a.jsonl is UTF-16, not JSON lines. Save it as UTF-8."),
        (
            "a.jsonl.gz",
            b"{}",
            "a.jsonl.gz is not gzip (it doesn't begin with 1f 8b). Rename it to .jsonl if it is plain text.",
        ),
        ("a.parquet", b"{}", "a.parquet is not Parquet (no PAR1 header). Rename it to match its format."),
        ("a.parquet", b"", "a.parquet is not Parquet (no PAR1 header). Rename it to match its format."),
        ("a.csv", b"\x1f\x8b\x08", "a.csv is gzip, not CSV. Rename it to .csv.gz."),
        ("a.json", b"\x28\xb5\x2f\xfd", "a.json is zstd, not JSON. Rename it to .json.zst."),
        ("a.csv", b"PK\x03\x04", "a.csv is a zip archive, not CSV. Unpack it first."),
        (
            "a.csv.zst",
            b"a,b\n",
            "a.csv.zst is not zstd (it doesn't begin with 28 b5 2f fd). Rename it to .csv if it is plain text.",
        ),
        ("d/a.txt", b"", f"d has no file to read (1 of another kind is not read). {READS}"),
        ("d/_a.csv", b"", f"d is an empty folder. {READS}"),
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
        ("no.jsonl", "no.jsonl is not there. Relative paths are relative to the job's folder."),
        ("no/*.jsonl", "no/*.jsonl: no file matches. Check the pattern, or name the files."),
    ],
)
def test_what_is_not_there_is_refused(folder: Folder, typed: str, error: str) -> None:
    """A missing file, and a pattern without a match."""
    with pytest.raises(InputError) as caught:
        found(folder, typed)
    assert str(caught.value) == error


def test_a_folder_is_read_through_and_through(folder: Folder) -> None:
    """Its files come sorted, called by the folder as typed; hidden ones and journals are no input, others are told."""
    for name in ("b.csv", "a/2.jsonl.zst", "a/1.json", "z.parquet"):
        folder.write(f"d/{name}", [{"a": 1}] if name.endswith(".parquet") else b"")
    for name in (".hidden.csv", "_part.csv", "_tmp/a.csv", ".git/a.csv", "out.run/journal-000001.jsonl"):
        folder.write(f"d/{name}", b"")
    folder.write("d/notes.txt", b"")
    names = ["d/a/1.json", "d/a/2.jsonl.zst", "d/b.csv", "d/z.parquet"]
    for typed, rest in (("d", "1 of another kind is not read"), ("d/", "2 of other kinds are not read")):
        found_ = find_files([str(folder.path / typed)], [typed])
        assert [file.as_given for file in found_.files] == names
        assert [file.label for file in found_.files] == ["1.json", "2.jsonl.zst", "b.csv", "z.parquet"]
        assert found_.entries == (f"{typed} (4 files; {rest})",)
        folder.write("d/a/readme.md", b"")
    (only,) = find_files([str(folder.path / "d/a")], ["d/a"]).entries
    assert only == "d/a (2 files; 1 of another kind is not read)"


def test_links_in_a_folder_are_followed_once(folder: Folder) -> None:
    """A link to a folder is read as one, and a circle of links ends."""
    folder.write("d/a.jsonl", GOOD)
    folder.write("e/b.jsonl", GOOD)
    (folder.path / "d/circle").symlink_to(folder.path / "d")
    (folder.path / "d/e").symlink_to(folder.path / "e")
    assert found(folder, "d") == [("d/a.jsonl", "a.jsonl"), ("d/e/b.jsonl", "b.jsonl")]


def test_a_pattern_passes_over_journals(folder: Folder) -> None:
    """`**` does not find an earlier run's journal, unless it is asked for."""
    folder.write("a.jsonl", GOOD)
    folder.write("out.run/journal-000001.jsonl", GOOD)
    assert found(folder, "**/*.jsonl") == [("a.jsonl", "a.jsonl")]
    assert found(folder, "out.run/*.jsonl") == [("out.run/journal-000001.jsonl", "journal-000001.jsonl")]


def test_a_pipe_is_refused(folder: Folder) -> None:
    """A pipe would hang, and can't be read twice."""
    os.mkfifo(folder.path / "a.jsonl")
    with pytest.raises(InputError, match=r"^a\.jsonl is not a file: it can't be read twice, as a resume has to\.$"):
        found(folder, "a.jsonl")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "x"), "a can't be read: permission denied. Give this user the right to read it."),
        (
            NotADirectoryError(20, "x"),
            "a is not there. Relative paths are relative to the job's folder. If another job writes it, run it first.",
        ),
        (OSError(5, "Input/output error"), "a can't be read: Input/output error."),
    ],
)
def test_what_the_system_refuses_is_said(error: OSError, sentence: str) -> None:
    """Each refusal of the system is a sentence; none is a traceback."""
    assert str(read_error("a", error)) == sentence


def test_files_know_their_size(folder: Folder) -> None:
    """The size in bytes is had before reading."""
    folder.write("a.jsonl", b"{}\n{}\n")
    (file,) = find_files([str(folder.path / "a.jsonl")], ["a.jsonl"]).files
    assert isinstance(file, InputFile)
    assert file.size == 6
