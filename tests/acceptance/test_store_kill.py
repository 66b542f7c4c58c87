"""A run killed at every request that its object store sees, and resumed: no half result, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.job import Job, Running, rows
from tests.acceptance.test_store_output import result_of, table
from tests.object_server import ObjectServer
from tests.s3 import S3
from tests.s3_proxy import MOMENTS, Proxy, proxy_of

FEW, ALL = 15, 25


@pytest.fixture(params=["s3", "azurite"])
def server(request: pytest.FixtureRequest) -> ObjectServer:
    server: ObjectServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def proxy(server: ObjectServer) -> Iterator[Proxy]:
    with proxy_of(server.endpoint) as proxy:
        yield proxy


def puts(name: str) -> Callable[[int, str], bool]:
    """Means a request that puts an object whose key has `name`."""
    return lambda _, line: line.startswith("PUT") and name in line


class Scene:
    """A job of which a part is published already, and that publishes all when it runs."""

    def __init__(self, folder: Path, server: ObjectServer, proxy: Proxy, *, is_folder: bool) -> None:
        folder.mkdir()
        self.server, self.proxy, self.is_folder = server, proxy, is_folder
        self.bucket = server.bucket()
        self.environ = server.environ_at(proxy.endpoint)
        self.job = Job(folder)
        output = server.url(self.bucket, "out" if is_folder else "out.parquet")
        self.job.write(rows(ALL), output__path=output, output__part_rows=10)
        assert self.job.run("--limit", str(FEW), env=server.environ).code == 0

    def seen(self) -> int:
        """How many rows a reader sees."""
        found = (
            result_of(self.server, self.bucket, "out")
            if self.is_folder
            else table(self.server, self.bucket, "out.parquet")
        )
        return len(found or ())

    def killed(self, when: Callable[[int, str], bool], moment: str) -> bool:
        """Run in a process that is killed at the first request that `when` means; False where there was none."""
        running: list[Running] = []

        def kill() -> None:
            os.kill(running[0].process.pid, signal.SIGKILL)
            running[0].process.wait()
            raise ConnectionAbortedError

        self.proxy.reset(when, moment, kill)
        running.append(self.job.start("--progress", "none", env=self.environ))
        ended = running[0].end()
        assert ended.code == (-signal.SIGKILL if self.proxy.acted else 0), ended.err
        return self.proxy.acted

    def check_resumed(self) -> None:
        """Resume, and look at everything that is there then."""
        self.proxy.reset()
        ended = self.job.run(env=self.environ)
        assert ended.code == 0, ended.err
        assert self.seen() == ALL
        if isinstance(self.server, S3):
            assert self.server.uploads(self.bucket) == []
        keys = self.server.keys(self.bucket)
        if self.is_folder:
            assert len([key for key in keys if "/manifest-" in key]) == 2, keys
            assert len([key for key in keys if "/parts/" in key]) == 2 + 3, keys
            assert len(keys) == 2 + 2 + 3, keys
        else:
            assert keys == ["out.parquet"]
        assert sorted(line["id"] for line in self.job.journal() if line["kind"] == "row") == [
            f"r{n:04}" for n in range(ALL)
        ]
        in_pieces = [line for line in self.proxy.requests if "uploads" in line or "comp=block" in line]
        assert not in_pieces, "no upload in pieces was begun"


@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "parts"])
def test_killed_in_mid_upload(tmp_path: Path, server: ObjectServer, proxy: Proxy, is_folder: bool) -> None:
    """SIGKILL while half of a file has reached the store: a reader sees the result before it; the next run goes on."""
    scene = Scene(tmp_path / "job", server, proxy, is_folder=is_folder)
    assert scene.killed(lambda _, line: line.startswith("PUT") and line.endswith(".parquet"), "amid")
    assert scene.seen() == FEW
    scene.check_resumed()


def is_nth(number: int, count: int, _: object) -> bool:
    """Whether the request that comes as the `count`th is the one with this `number`."""
    return count == number


@pytest.mark.field
@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "parts"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_every_request(
    tmp_path: Path, server: ObjectServer, proxy: Proxy, is_folder: bool, moment: str
) -> None:
    """At every request, before it, amid its body and after it: a reader sees the result before or after, whole."""
    number = 0
    while True:
        scene = Scene(tmp_path / f"{number}", server, proxy, is_folder=is_folder)
        if not scene.killed(partial(is_nth, number), moment):
            break
        assert scene.seen() in {FEW, ALL}, proxy.requests
        scene.check_resumed()
        shutil.rmtree(scene.job.folder)
        number += 1
    assert number >= 7


@pytest.mark.field
def test_100_000_rows_in_and_out(tmp_path: Path, server: ObjectServer, proxy: Proxy) -> None:
    """From the store and to it, killed in mid-upload again and again: each row once, and nothing left open."""
    count = 100_000
    job, bucket = Job(tmp_path), server.bucket()
    lines = "".join(f"{json.dumps(row)}\n" for row in rows(count))
    job.write(
        input__path=server.put(bucket, "in/rows.jsonl", lines.encode()),
        output__path=server.url(bucket, "out"),
        output__part_rows=20_000,
        concurrency=200,
    )
    environ = server.environ_at(proxy.endpoint)
    # Four parts go at a time: of five, the first kill leaves at least two to be put.
    steps = [("part-", "amid"), ("part-", "before"), ("manifest-000001", "amid"), ("manifest-000001", "before")]
    for name, moment in steps:
        running: list[Running] = []

        def kill(running: list[Running] = running) -> None:
            os.kill(running[0].process.pid, signal.SIGKILL)
            running[0].process.wait()
            raise ConnectionAbortedError

        proxy.reset(puts(name), moment, kill)
        running.append(job.start("--progress", "none", env=environ))
        assert running[0].end(600).code == -signal.SIGKILL
        assert result_of(server, bucket, "out") is None, "no half result is listed as complete"
    proxy.reset()
    ended = job.start(env=environ).end(600)
    assert ended.code == 0, ended.err
    result = result_of(server, bucket, "out") or []
    assert [row["id"] for row in result] == [f"r{n:04}" for n in range(count)]
    assert job.acknowledged() == count
    if isinstance(server, S3):
        assert server.uploads(bucket) == []
    assert len([key for key in server.keys(bucket) if key.startswith("out/")]) == 5 + 1
