"""What a row costs, in counts and not in seconds: they are the same on a slow machine and on a busy one.

Each bound is what is needed today, a little above it where it varies. A change that needs less lowers the bound.
A count for a row is the slope between two sizes of input, so that what a run costs once is not in it.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

import orjson
import pytest
import uvloop

from batchchat.execution.first_look import first_look
from batchchat.execution.output_writer import OutputWriter
from batchchat.execution.scripts import scripts_for
from batchchat.job import load_job
from batchchat.pricing.for_job import rates_for
from batchchat.sources import open_source
from tests.acceptance.job import Job
from tests.benchmarks.endpoint import Endpoint, running
from tests.benchmarks.rows import write_rows

SMALL, LARGE = 50, 150
TRACED = "read,write,readv,writev,pwrite64,sendto,sendmsg,recvfrom,recvmsg,epoll_wait,epoll_pwait,futex,fdatasync,fsync"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The benchmark's endpoint in a process of its own, so that what it does is not counted."""
    with running(tmp_path_factory.mktemp("counts") / "server", nginx=False) as endpoint:
        yield endpoint


def prepare(job: Job, endpoint: Endpoint, rows: int) -> None:
    """A job of `rows` realistic rows; nothing of an earlier run is left."""
    shutil.rmtree(job.run_folder, ignore_errors=True)
    job.output.unlink(missing_ok=True)
    write_rows(job.input, "realistic", rows)
    job.write(endpoint__base_url=endpoint.base_url("realistic"))


def run(job: Job) -> None:
    """Run the job to its end."""
    ended = job.run("--progress", "none")
    assert ended.code == 0, ended.err


def per_row(small: int, large: int) -> float:
    return (large - small) / (LARGE - SMALL)


class Calls:
    """Counts, while it is entered, what is called in all threads: functions of Python and of C, orjson's among them.

    `running_loop` counts asyncio.get_running_loop, which makes a system call in Python 3.11.
    """

    def __init__(self) -> None:
        self.functions = self.running_loop = 0
        self.json: Counter[str] = Counter()

    def __enter__(self) -> Self:
        threading.setprofile(self._count)
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _count(self, frame: FrameType, event: str, argument: Any) -> None:
        self.functions += event in {"call", "c_call"}
        self.running_loop += event == "c_call" and argument is asyncio.get_running_loop
        if event == "c_call" and argument in {orjson.dumps, orjson.loads}:
            self.json[argument.__name__] += 1


def test_json_and_calls_of_a_row(job: Job, endpoint: Endpoint) -> None:
    """How often a row is read and written as JSON, and how many functions are called for it.

    Written: the input of the first 1,000 rows twice, of others once, to look for repeated keys, the request, which is
    its fingerprint too, the record; now and then a hold. Read: the input as often as written, the reply, and the record
    for Parquet.
    """
    prepare(job, endpoint, 1)
    run(job)  # what is imported and compiled at first use
    counts = []
    for rows in (SMALL, LARGE):
        prepare(job, endpoint, rows)
        with Calls() as calls:
            run(job)
        counts.append(calls)
    small, large = counts
    assert per_row(small.json["dumps"], large.json["dumps"]) <= 4.1
    assert per_row(small.json["loads"], large.json["loads"]) <= 4.1
    assert per_row(small.functions, large.functions) <= 650
    assert per_row(small.running_loop, large.running_loop) <= 0.5


def test_calls_of_a_row_in_the_look_under_a_cap(job: Job) -> None:
    """Before a first run under a cap each row is read, and its bound taken from its text: no request is made of it."""
    counts = []
    for rows in (SMALL, LARGE):
        write_rows(job.input, "realistic", rows)
        job.write(
            params={"temperature": 0.7, "max_tokens": 512}, budget={"max_cost": 1}, price={"input": 1, "output": 1}
        )
        spec = load_job(job.file, environ={})
        source, scripts = open_source(spec.input), scripts_for(spec, rates_for(spec))
        with Calls() as calls:
            looked = asyncio.run(first_look(source, scripts))
        assert looked is not None
        assert looked.good == rows
        counts.append(calls)
    small, large = counts
    assert per_row(small.json["dumps"], large.json["dumps"]) <= 1
    assert per_row(small.functions, large.functions) <= 93


def test_a_row_has_no_task(job: Job, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are the permits; and its request is sent without one, as an aiohttp session would make."""
    count = 0
    new_event_loop = uvloop.new_event_loop

    def task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        nonlocal count
        count += 1
        return asyncio.Task(coroutine, loop=loop, **options)

    def counting_loop() -> asyncio.AbstractEventLoop:
        loop = new_event_loop()
        loop.set_task_factory(task)
        return loop

    monkeypatch.setattr(uvloop, "new_event_loop", counting_loop)
    counts = []
    for rows in (SMALL, LARGE):
        count = 0
        prepare(job, endpoint, rows)
        run(job)
        counts.append(count)
    assert per_row(*counts) <= 0.1


def test_a_finished_row_keeps_few_objects(job: Job, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all rows are finished, and nothing is published yet, memory has grown by about 5 blocks for each."""
    counts = []

    def counting(*arguments: Any) -> OutputWriter:
        counts.append(sys.getallocatedblocks())
        return OutputWriter(*arguments)

    monkeypatch.setattr("batchchat.execution.publish.OutputWriter", counting)
    for rows in (1, SMALL, LARGE):
        prepare(job, endpoint, rows)
        gc.collect()  # of the run before
        run(job)
    _, small, large = counts
    assert per_row(small, large) <= 6


@pytest.mark.field
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_system_calls_of_a_row(tmp_path: Path, endpoint: Endpoint) -> None:
    """A request and its reply are two, the rest is shared by rows that are ready together."""
    counts = []
    for rows in (SMALL, LARGE):
        folder = tmp_path / str(rows)
        folder.mkdir()
        job = Job(folder)
        prepare(job, endpoint, rows)
        counts.append(system_calls(job))
    small, large = counts
    figures = {name: round(per_row(small[name], large[name]), 2) for name in large}
    assert sum(figures.values()) <= 5, figures


def system_calls(job: Job) -> Counter[str]:
    """The calls of a run by name: files, sockets, waits and locks."""
    table = job.folder / "strace"
    options = ["-f", "-qq", "--seccomp-bpf", "-e", f"trace={TRACED}", "-c", "-U", "calls,name", "-o", str(table)]
    command = ["strace", *options, *job.command("--progress", "none")]
    subprocess.run(command, cwd=job.folder, env=job.environ(), stdout=subprocess.DEVNULL, check=True)
    lines = (line.split() for line in table.read_text().splitlines())
    counts = {line[1]: int(line[0]) for line in lines if len(line) == 2 and line[0].isdigit()}
    return Counter({name: calls for name, calls in counts.items() if name != "total"})


def modules_after(program: str, *arguments: str) -> list[str]:
    """The modules that a process has imported when it has run `program`."""
    program = "import atexit, sys\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n" + program
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return ended.stderr.split()


def of_ours(modules: list[str]) -> list[str]:
    return [name for name in modules if name.partition(".")[0] == "batchchat"]


def test_modules_of_help() -> None:
    """`batchchat --help` imports click, and next to nothing besides."""
    click = modules_after("import click")
    modules = modules_after("from batchchat.cli import main\nmain(['--help'])\n")
    assert len(of_ours(modules)) <= 10
    assert len(modules) - len(click) <= 24


def test_modules_of_the_package() -> None:
    """`import batchchat` imports its version, and what it names when that is used."""
    assert of_ours(modules_after("import batchchat")) == ["batchchat.version", "batchchat"]


NOT_BEFORE_A_REQUEST = {
    "jinja2", "jsonschema", "numpy", "pandas", "pyarrow", "regex", "tenacity", "tiktoken", "tokenizers", "tqdm",
    "multiprocessing", "batchchat.cluster.session", "batchchat.execution.publish", "batchchat.mock",
    "batchchat.reporting",
}  # fmt: skip
AT_THE_FIRST_REQUEST = """
import sys
from aiohttp import TCPConnector
from batchchat.cli import main

async def connect(*_arguments, **_options):
    print(*sys.modules, file=sys.stderr, flush=True)
    os._exit(0)

def is_started(event, _arguments):
    if event == "subprocess.Popen":
        raise AssertionError("a process is started")

import os
TCPConnector.connect = connect
sys.addaudithook(is_started)
main(["run", "job.yaml", "--progress", "none"])
"""


def test_modules_of_the_first_request(job: Job) -> None:
    """A plain job over JSON lines has sent its first request before what only other jobs, or its end, need.

    Nor does it wait for another process.
    """
    job.write([{"id": "a", "prompt": "Hello"}], endpoint__base_url="http://127.0.0.1:9/v1")
    command = [sys.executable, "-c", AT_THE_FIRST_REQUEST]
    ended = subprocess.run(command, cwd=job.folder, env=job.environ(), capture_output=True, text=True, check=True)
    modules = ended.stderr.split()
    assert "batchchat.endpoint.client" in modules, ended.stderr
    assert not NOT_BEFORE_A_REQUEST & set(modules)
    assert len(of_ours(modules)) <= 260
