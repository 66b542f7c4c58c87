"""Folders, links, names and rights as people's machines have them."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from batchchat.cli import main
from batchchat.store.folder import folder_of
from tests.acceptance.job import Job, rows, until
from tests.field.endpoint import endpoint, ok


class Killed(BaseException):
    """The process ends here."""


def ids(path: Path) -> list[str]:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return [str(value) for file in files for value in pq.read_table(file).column("id").to_pylist()]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"in.jsonl", "job.yaml", "tmp"}


@pytest.mark.parametrize("output", ["parts", "out.parquet"])
def test_fresh_sets_a_folder_aside_as_it_does_a_file(job: Job, output: str) -> None:
    """It ends, under one dated name that report and export read."""
    job.write(rows(3), output__path=output)
    assert job.run().code == 0
    assert job.run("--fresh").code == 0
    path = job.folder / output
    (dated,) = (each for each in job.folder.glob(f"{path.stem}.2*") if each.suffix != ".run")
    assert ids(path) == ids(dated) == ["r0000", "r0001", "r0002"]
    assert folder_of(dated).is_dir()
    assert folder_of(path).is_dir()
    assert job.run("report", str(dated)).code == 0
    assert job.run("export", str(dated), "--to", "jsonl", "-o", "x.jsonl").code == 0


@pytest.mark.parametrize("output", ["parts", "out.parquet"])
@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_between_the_renames_of_fresh(
    job: Job, monkeypatch: pytest.MonkeyPatch, output: str, renames: int
) -> None:
    """The next run goes on from what is there, and no answer of the old run is gone from the disk."""
    with endpoint(lambda _: ok()) as server:
        job.write(rows(3), output__path=output, endpoint__base_url=server.url)
        assert job.run().code == 0
        done = 0
        rename = Path.rename

        def counted(self: Path, target: Any) -> Path:
            nonlocal done
            if not self.name.startswith("."):
                if done == renames:
                    raise Killed
                done += 1
            return rename(self, target)

        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(Path, "rename", counted)
            job.run("--fresh")
        ended = job.run()
        assert (ended.code, ended.errors) == (0, [])
        # Only where both were renamed is the old run out of the way.
        assert len(server.asked) == (6 if renames == 2 else 3)
    assert ids(job.folder / output) == ["r0000", "r0001", "r0002"]
    assert len([each for each in job.folder.glob("*.2*") if each.suffix != ".run"]) == (1 if renames else 0)


@pytest.mark.parametrize("output", ["parts", "out.parquet"])
def test_an_output_that_is_a_link_to_another_disk(job: Job, output: str) -> None:
    """It is followed at every publish, and by --fresh; the link stays a link."""
    real = job.folder / "big" / f"real{Path(output).suffix}"
    real.parent.mkdir()
    if output == "parts":
        real.mkdir()
    link = job.folder / output
    link.symlink_to(real)
    job.write(rows(2), output__path=output)
    assert job.run().code == 0
    job.write(rows(3), output__path=output)
    assert job.run().code == 0
    assert job.run("--fresh").code == 0
    assert link.is_symlink()
    assert ids(link) == ids(real) == ["r0000", "r0001", "r0002"]
    (dated,) = (each for each in job.folder.glob(f"{link.stem}.2*") if each.suffix != ".run")
    assert ids(dated) == ["r0000", "r0001", "r0002"]
    assert dated.resolve().parent == real.parent
    assert not [name for name in names(real.parent) | names(job.folder) if "building" in name]


def test_a_run_folder_that_is_a_link(job: Job) -> None:
    """The journal goes where it leads, and what --fresh sets aside stays there."""
    (job.folder / "big").mkdir()
    job.run_folder.symlink_to("big/journals")
    job.write(rows(2))
    assert job.run().code == 0
    assert (job.folder / "big/journals/journal-000001.jsonl").exists()
    assert job.run("--fresh").code == 0
    assert job.run_folder.is_symlink()
    assert len(list((job.folder / "big").iterdir())) == 2


def test_a_leftover_that_cannot_be_removed_blocks_nothing(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed publish left under its hidden name is passed over."""
    for name in (".parts.building", ".out.parquet.building"):
        (job.folder / name / "of-somebody").mkdir(parents=True)
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    for output in ("parts", "out.parquet"):
        job.write(rows(2), output__path=output)
        assert job.run().code == 0
        assert ids(job.folder / output) == ["r0000", "r0001"]


def test_what_earlier_versions_left_goes(job: Job) -> None:
    """Hidden files with the number of a process in their names."""
    job.write(rows(1))
    assert job.run().code == 0
    for leftover in (job.folder / ".probe-123", job.run_folder / ".probe-9", job.run_folder / ".run.json.77"):
        leftover.touch()
    assert job.run().code == 0
    assert {path.name for path in job.run_folder.iterdir()} == {
        "checkpoint",
        "journal-000001.jsonl",
        "lock",
        "run.json",
        "run.log",
    }
    assert not (job.folder / ".probe-123").exists()


@pytest.mark.parametrize("length", [215, 239, 240, 246, 255, 256, 300])
@pytest.mark.parametrize("suffix", ["", ".parquet"])
def test_an_output_whose_name_is_too_long_is_refused_before_it_is_paid(job: Job, length: int, suffix: str) -> None:
    """Whatever is made of the name later must fit too: nothing is sent where it doesn't."""
    name = "z" * (length - len(suffix)) + suffix
    with endpoint(lambda _: ok()) as server:
        job.write(rows(2), output__path=name, endpoint__base_url=server.url)
        ended = job.run()
        if length == 215:
            assert ended.code == 0
            assert job.run("--fresh").code == 0
            return
        assert ended.code == 2
        assert "its name is too long" in ended.err
        assert server.asked == []


@pytest.mark.parametrize("where", ["out.parquet", "out.run/journal-000001.jsonl", "out.run/run.log", "out.run/lock"])
def test_a_pipe_in_the_way_is_refused(job: Job, where: str) -> None:
    """Opening one would wait for its other end for ever."""
    path = job.folder / where
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    job.write(rows(1))
    ended = job.run()
    assert ended.code == 2
    assert "is a pipe, socket or device" in ended.err


def test_a_pipe_is_no_page_and_no_list_of_ids(job: Job) -> None:
    """Neither waits for another end that may never come."""
    job.write(rows(1))
    assert job.run().code == 0
    os.mkfifo(job.folder / "pipe")
    ended = job.run("report", "out.parquet", "--html", "pipe")
    assert (ended.code, ended.err) == (2, "error: pipe is a pipe. Name a file, or /dev/stdout to write to a pipe.\n")
    ended = job.run("--resend", "@pipe")
    assert ended.code == 2
    assert "--resend @pipe: the file can't be read: it is a pipe, socket or device, and no file." in ended.err


def test_a_working_directory_that_was_removed(job: Job) -> None:
    """It is named, in place of "No such file or directory"."""
    job.write(rows(1))
    gone = job.folder / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    try:
        result = CliRunner().invoke(main, ["status", str(job.file)])
    finally:
        os.chdir(job.folder)
    assert result.exit_code == 2
    assert "the working directory was removed" in result.stderr


def test_a_socket_in_the_way_is_refused(job: Job) -> None:
    """A file of a kind that can't be replaced is named."""
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(job.folder)
        listener.bind("out.parquet")
        job.write(rows(1))
        ended = job.run()
    assert ended.code == 2
    assert "out.parquet is a pipe, socket or device" in ended.err


def test_a_link_that_leads_to_itself(job: Job) -> None:
    """As an output, an input and a run folder: refused with its name."""
    job.write(rows(1))
    for name, path in (("out.parquet", job.output), ("in.jsonl", job.input), ("out.run", job.run_folder)):
        path.unlink(missing_ok=True)
        path.symlink_to(name)
        ended = job.run()
        assert ended.code == 2, ended.err
        assert name in ended.err
        assert "defect" not in ended.err
        path.unlink()
        job.write(rows(1))


def test_a_folder_that_cannot_be_synced(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """FUSE and SMB refuse fsync of a folder: there is nothing to sync then."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(22, os.strerror(22))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    job.write(rows(2), output__path="parts")
    assert job.run().code == 0
    assert job.run("--fresh").code == 0


def refused_by(call: str, errno_: int, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `os.CALL` fail for paths that contain `where`, as another user's folder or a dead mount does."""
    real = getattr(os, call)

    def failing(path: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(path, str | os.PathLike) and where in str(path):
            raise OSError(errno_, os.strerror(errno_), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, call, failing)


DEAD = [errno.EACCES, errno.ENOTCONN, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG, errno.ELOOP]


@pytest.mark.parametrize("code", DEAD)
@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "job.yaml", "--set", "input.path=dead/in.jsonl"],
        ["run", "job.yaml", "--set", "input.path=dead"],
        ["run", "job.yaml", "--output", "dead/x.parquet"],
        ["run", "job.yaml", "--output", "dead/parts"],
        ["run", "job.yaml", "--set", "prices=dead/prices.csv"],
        ["run", "dead/job.yaml"],
        ["validate", "job.yaml", "--set", "input.path=dead/in.jsonl"],
        ["estimate", "job.yaml", "--like", "dead/x.parquet"],
        ["estimate", "job.yaml", "--set", "estimate.tokenizer=dead/tokenizer.json"],
        ["status", "dead/x.parquet"],
        ["report", "dead/x.parquet"],
        ["report", "job.yaml", "--html", "dead/x.html"],
        ["report", "job.yaml", "--csv", "dead/x.csv"],
        ["export", "job.yaml", "--to", "jsonl", "-o", "dead/x.jsonl"],
        ["export", "dead/x.parquet", "--to", "jsonl", "-o", "x.jsonl"],
        ["prices", "--file", "dead/prices.csv"],
        ["init", "dead/new"],
    ],
    ids=" ".join,
)
def test_a_path_that_the_system_refuses_is_no_defect(
    job: Job, monkeypatch: pytest.MonkeyPatch, code: int, arguments: list[str]
) -> None:
    """Wherever a path is given: exit 2 (6 for a broken disk), its name, no traceback, nothing sent."""
    (job.folder / "dead").mkdir()
    with endpoint(lambda _: ok()) as server:
        job.write(rows(2), endpoint__base_url=server.url)
        assert job.run().code == 0
        sent = len(server.asked)
        for call in ("stat", "lstat", "open", "mkdir", "scandir", "listdir"):
            refused_by(call, code, "/dead", monkeypatch)
            refused_by(call, code, "dead/", monkeypatch)
        real = builtins.open

        def failing(file: Any, *rest: Any, **options: Any) -> Any:
            if "dead" in str(file):
                raise OSError(code, os.strerror(code), str(file))
            return real(file, *rest, **options)

        monkeypatch.setattr(io, "open", failing)
        ended = job.run(*arguments)
        assert len(server.asked) == sent
    assert ended.code in ({2, 6} if code == errno.EIO else {2}), ended
    assert "dead" in ended.err
    assert "defect" not in ended.err


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, and setpriv")
def test_a_folder_of_another_user(job: Job) -> None:
    """The system's own refusals, in a process without root's rights."""
    private = job.folder / "priv"
    private.mkdir()
    job.write(rows(1))
    shutil.copy(job.input, private)
    os.chown(private, 1000, 1000)
    private.chmod(0o700)
    for arguments in (
        ["validate", "job.yaml", "--set", "input.path=priv/in.jsonl"],
        ["run", "job.yaml", "--output", "priv/x.parquet"],
        ["report", "priv/x.parquet"],
    ):
        ended = subprocess.run(
            ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *job.command(*arguments)],
            cwd=job.folder,
            env=job.environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 2, ended.stderr
        assert "priv/" in ended.stderr
        assert "ermission denied" in ended.stderr


def test_a_disk_that_breaks_while_it_runs_is_exit_6(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the system in any place that has no words of its own, after requests were sent."""

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), "/mnt/out")

    monkeypatch.setattr("batchchat.execution.publish.publish", broken)
    job.write(rows(2), on_finish="cat > told")
    ended = job.run()
    assert ended.code == 6
    assert "/mnt/out: Transport endpoint is not connected" in ended.err
    assert "defect" not in ended.err + (job.folder / "told").read_text()


def test_an_output_in_the_input_by_a_link(job: Job) -> None:
    """A link from elsewhere into the input's folder: the second run would read what the first wrote."""
    folder = job.folder / "data"
    folder.mkdir()
    job.output.symlink_to("data/real.parquet")
    job.write(rows(1), input__path="data")
    job.input.rename(folder / "in.jsonl")
    ended = job.run()
    assert (ended.code, "data" in ended.err) == (2, True)


def test_a_run_that_was_moved_or_copied_speaks_of_where_it_is(job: Job, tmp_path: Path) -> None:
    """The job and the output that were asked about, and a command that can be pasted; no file has a path of old."""
    with endpoint(lambda asked: [ok()] if asked.number <= 5 else [60.0]) as server:
        folder = tmp_path / "old"
        folder.mkdir()
        old = Job(folder)
        old.write(rows(20), endpoint__base_url=server.url, concurrency=2)
        running = old.start("--progress", "none")
        until(lambda: old.run_folder.exists() and old.acknowledged() >= 5, "some rows")
        until((old.run_folder / "run.json").exists, "run.json")
        running.signal(9)
        running.end()
    for path in (path for path in old.run_folder.iterdir() if path.is_file()):
        assert str(tmp_path).encode() not in path.read_bytes(), path
    new = tmp_path / "new"
    folder.rename(new)
    moved = job
    moved.folder, moved.run_folder, moved.output = new, new / "out.run", new / "out.parquet"
    (new / "tmp").mkdir(exist_ok=True)
    state = json.loads(moved.run("status", "job.yaml", "--json").out)
    assert (state["job"], state["output"]) == ("job.yaml", "out.parquet")
    assert state["next_command"] == "batchchat run job.yaml"
    moved.folder = tmp_path
    state = json.loads(moved.run("status", "new/job.yaml", "--json").out)
    assert (state["job"], state["output"]) == ("new/job.yaml", "new/out.parquet")
    assert state["next_command"] == "batchchat run new/job.yaml"
    shown = moved.run("status", "new/out.parquet").out
    assert "old" not in shown
    with endpoint(lambda _: ok()) as server:
        text = (new / "job.yaml").read_text()
        old.file, old.folder = new / "job.yaml", new
        old.keys["endpoint.base_url"] = server.url
        old.write()
        moved.folder = new
        assert moved.run().code == 0
        assert len(server.asked) <= 15
        assert text
    metadata = pq.read_schema(new / "out.parquet").metadata[b"batchchat"]
    assert str(tmp_path).encode() not in metadata
    refused = moved.run("export", "job.yaml", "--to", "jsonl", "-o", "in.jsonl")
    assert (refused.code, "where the job reads its input" in refused.err) == (2, True)


def test_a_state_with_absolute_paths_of_an_older_version(job: Job, tmp_path: Path) -> None:
    """The paths of the place it was written at are those of the place it is at now."""
    job.write(rows(1))
    assert job.run().code == 0
    state = job.state() | {
        "job": "/gone/jobs/job.yaml",
        "output": "/gone/out/out.parquet",
        "working_directory": "/gone",
        "next_command": "batchchat run jobs/job.yaml --output out/out.parquet --limit 5",
        "state": "stopped",
        "exit_code": 130,
    }
    place = tmp_path / "here" / "out"
    place.mkdir(parents=True)
    job.output.rename(place / "out.parquet")
    job.run_folder.rename(place / "out.run")
    (place / "out.run" / "run.json").write_text(json.dumps(state))
    shown = json.loads(job.run("status", "here/out/out.parquet", "--json").out)
    assert shown["job"] == "here/jobs/job.yaml"
    assert shown["output"] == "here/out/out.parquet"
    assert shown["next_command"] == "batchchat run here/jobs/job.yaml --output here/out/out.parquet --limit 5"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "job.yaml", "--set", "prices=pipe"],
        ["run", "pipe"],
        ["estimate", "job.yaml", "--set", "estimate.tokenizer=pipe"],
        ["estimate", "job.yaml", "--like", "pipe.parquet"],
        ["report", "pipe.parquet"],
    ],
    ids=" ".join,
)
def test_a_pipe_where_a_file_is_read(job: Job, arguments: list[str]) -> None:
    """It is refused: without a writer, opening it would wait for ever, whatever signal comes."""
    for name in ("pipe", "pipe.parquet"):
        os.mkfifo(job.folder / name)
    job.write(rows(1))
    ended = job.start(*arguments).end(60)
    assert (ended.code, "pipe" in ended.err) == (2, True)
