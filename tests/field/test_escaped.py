"""Text of others on the terminal: none of it moves the cursor, colours a line, or writes the reader's clipboard."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.job import Job, conversation
from tests.field.endpoint import Asked, endpoint, error, ok

NASTY = "red \x1b[31mALERT\x1b[0m \x1b]52;c;cHduZWQ=\x07 \x9b2J \u202etxt\u2069 \rover"
_BAD = set("\x1b\x07\x9b\u202e\u2069\r\x7f\x00")


def clean(*texts: str) -> None:
    for text in texts:
        assert not _BAD & set(text), [line for line in text.splitlines() if _BAD & set(line)]


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": f"{NASTY}{n}", NASTY: NASTY, "messages": conversation(f"Question {n}")} for n in range(count)]


@pytest.mark.parametrize("progress", ["log", "bar"])
def test_an_error_a_reply_a_model_and_an_id_that_hold_control_sequences(job: Job, progress: str) -> None:
    """On stdout and stderr of the run, in its log, and in every command that shows its results."""

    def answer(asked: Asked) -> bytes:
        if asked.text.endswith("1"):
            return error(400, NASTY)
        return ok(NASTY, model=NASTY)

    with endpoint(answer) as server:
        job.write(rows(3), endpoint__base_url=server.url, name="n")
        ended = job.run("--progress", progress)
    assert ended.code == 3
    assert "\\x1b[31mALERT" in ended.out + ended.err
    # tqdm's bar goes back to the line's begin
    clean(ended.out, ended.err.replace("\r", "") if progress == "bar" else ended.err)
    clean((job.run_folder / "run.log").read_text())
    for command in (
        ["report", "job.yaml"],
        ["report", "job.yaml", "--by", NASTY],
        ["report", "job.yaml", "--by", "model"],
        ["status", "job.yaml"],
        ["validate", "job.yaml"],
        ["estimate", "job.yaml", "--like", "job.yaml"],
    ):
        shown = job.run(*command)
        assert shown.code == 0, shown.err
        clean(shown.out, shown.err)
    # As data all is as it was.
    (row, *_) = job.table()
    assert (row["response"], row[NASTY]) == (NASTY, NASTY)
    as_json = json.loads(job.run("report", "job.yaml", "--by", NASTY, "--json").out)
    assert as_json["outputs"][0]["by"][0][NASTY] == NASTY


def test_names_of_files(job: Job) -> None:
    """A job, and files in an input folder, whose names hold control sequences."""
    name = "a\x1b[31mb\u202e"
    folder = job.folder / "in"
    folder.mkdir()
    job.write([*rows(1), "{"], input__path="in")
    job.input.rename(folder / f"{name}.jsonl")
    job.file.rename(job.folder / f"{name}.yaml")
    for arguments in (
        ["run", f"{name}.yaml"],
        ["run", f"{name}.yaml", "--strict"],
        ["status", f"{name}.yaml"],
        ["validate", f"{name}.yaml"],
        ["report", f"{name}-gone.parquet"],
    ):
        ended = job.run(*arguments)
        assert "a\\x1b[31mb\\u202e" in ended.out + ended.err
        clean(ended.out, ended.err)


def test_our_own_colours_are_kept_on_a_terminal(job: Job) -> None:
    """And nothing of theirs is coloured by a sequence of their own."""
    with endpoint(lambda _: ok(NASTY)) as server:
        job.write(rows(1), endpoint__base_url=server.url)
        code, screen = job.terminal().end()
    assert code == 0
    assert "\x1b[32m" in screen
    assert "\x1b[31m" not in screen
    assert "\\x1b[31mALERT" in screen
