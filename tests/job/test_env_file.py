"""The `.env` beside a job: what the environment lacks, in the forms that other programs read and write."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchchat.errors import JobError
from batchchat.job import load_job, load_output
from batchchat.job.env_file import with_env_file
from tests.job.given import TOKEN, TOP

FORMS = """\
# a comment
PLAIN=one two   # a comment
HASH=a#b
  export EXPORTED = x

SINGLE='a "b" #c' # a comment
DOUBLE="a \\"b\\" \\$c \\\\ \\n \\d"
LINES="first
second"
URL=https://hooks.slack.com/services/T0/B0/x?a=b&c=d
EMPTY=
ONLY_A_NAME
LAST=end"""


def variables(folder: Path, text: str) -> dict[str, str]:
    (folder / ".env").write_bytes(text.encode())
    return with_env_file({}, folder)


@pytest.mark.parametrize("text", [FORMS, FORMS.replace("\n", "\r\n"), f"\ufeff{FORMS}\n"])
def test_forms(tmp_path: Path, text: str) -> None:
    """Quotes, comments, `export`, values over several lines; a name alone sets nothing."""
    assert variables(tmp_path, text) == {
        "PLAIN": "one two",
        "HASH": "a#b",
        "EXPORTED": "x",
        "SINGLE": 'a "b" #c',
        "DOUBLE": 'a "b" \\$c \\ \n \\d',
        "LINES": "first\nsecond",
        "URL": "https://hooks.slack.com/services/T0/B0/x?a=b&c=d",
        "EMPTY": "",
        "LAST": "end",
    }


def test_the_environment_goes_first(tmp_path: Path) -> None:
    """An empty variable counts as missing, as it does without the file."""
    (tmp_path / ".env").write_text("A=file\nB=file\n")
    environ = {"A": "set", "B": "", "C": ""}
    assert with_env_file(environ, tmp_path) == {"A": "set", "B": "file", "C": ""}


@pytest.mark.parametrize("line", ["sk-0123456789", "A B=c", "A='b", 'A="b" c', "export", "=x"])
def test_a_line_that_is_none(tmp_path: Path, line: str) -> None:
    """It is named by its number and not shown: it may be a key."""
    if line == "export":
        assert variables(tmp_path, line) == {}
        return
    with pytest.raises(JobError) as error:
        variables(tmp_path, f"X=1\n\n{line}\n")
    sentence = f"{tmp_path}/.env:3: this is not `NAME=value` (it is not shown, in case it is a key). Fix the line."
    assert error.value.faults == [sentence]


def test_no_file(tmp_path: Path) -> None:
    """None, or a folder of that name, is nothing; one that is no text is refused."""
    assert with_env_file({"A": "b"}, tmp_path) == {"A": "b"}
    (tmp_path / ".env").mkdir()
    assert with_env_file({}, tmp_path) == {}
    (tmp_path / ".env").rmdir()
    (tmp_path / ".env").write_bytes(b"A=b\nC=\xff\n")
    with pytest.raises(JobError, match=r"\.env:2: this is not UTF-8"):
        with_env_file({}, tmp_path)


def test_a_job_reads_it(tmp_path: Path) -> None:
    """Its key and its variables come from beside it, wherever the command is typed."""
    (tmp_path / ".env").write_text(f"DEEPINFRA_TOKEN={TOKEN}\nDAY=monday\n")
    job_file = tmp_path / "job.yaml"
    job_file.write_text(TOP.replace("o.parquet", "'${DAY}.parquet'"))
    job = load_job(job_file, environ={})
    assert job.endpoint.api_key is not None
    assert job.endpoint.api_key.reveal() == TOKEN
    assert TOKEN not in repr(job)
    assert job.output.path == load_output(job_file, environ={}) == tmp_path / "monday.parquet"
