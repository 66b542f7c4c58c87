"""What can't be done is refused in one sentence that names the thing and the way out; nothing is sent, nothing lost."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.acceptance.job import Job, rows, until
from tests.acceptance.servers import Asked, completion, http, mock_thread, raw_server


def no_parquet(job: Job) -> None:
    (job.folder / "in.parquet").write_bytes(b"{}")
    job.write(input__path="in.parquet")


REFUSED: dict[str, tuple[Callable[[Job], object], str]] = {
    "missing input": (
        lambda job: job.input.unlink(),
        "in.jsonl is not there.",
    ),
    "empty input": (lambda job: job.write([]), "in.jsonl has no rows."),
    "no good row": (
        lambda job: job.write([{"id": 1, "messages": []}, {"id": 2, "messages": []}], input__format="messages"),
        "in.jsonl has no row that can be sent. The first: in.jsonl:1: ",
    ),
    "no good line": (
        lambda job: job.write(["{broken", "{broken"]),
        "in.jsonl:1: the line is not JSON: ",
    ),
    "no conversation": (
        lambda job: job.write([{"id": 1, "text": "x"}]),
        "in.jsonl:1 has `id`, `text`: no conversation found.",
    ),
    "Parquet that is none": (
        no_parquet,
        "in.parquet is not Parquet ",
    ),
    "an output below a file": (
        lambda job: job.write(output__path="in.jsonl/out.parquet"),
        "in.jsonl/out.parquet can't be written: Not a directory",
    ),
    "an output that is a folder": (
        lambda job: (job.folder / "out.parquet").mkdir(),
        "out.parquet is a folder.",
    ),
    "an output that is not ours": (
        lambda job: job.output.write_text("my thesis"),
        "out.parquet already exists and was not written by batchchat.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_anything_is_sent(job: Job, name: str) -> None:
    """Exit 2, one sentence, no traceback, no request, and nothing of the user's is touched."""
    spoil, phrase = REFUSED[name]
    with raw_server(lambda _: http(200, completion())) as server:
        job.write(rows(1), endpoint__base_url=server.url)
        spoil(job)
        ended = job.run()
        assert server.requests == 0
    assert (ended.code, ended.out) == (2, "")
    (error,) = ended.errors
    assert error.startswith(f"error: {phrase}")
    assert "Traceback" not in ended.err
    if name == "an output that is not ours":
        assert job.output.read_text() == "my thesis"


def test_output_is_the_input(job: Job) -> None:
    """An output that is the input is refused, by whatever name it goes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([{"id": "a", "prompt": "Hello"}])
    pq.write_table(table, job.folder / "in.parquet")
    (job.folder / "out.parquet").symlink_to("in.parquet")
    before = (job.folder / "in.parquet").read_bytes()
    for path in ("in.parquet", "out.parquet"):
        job.write(input__path="in.parquet", output__path=path)
        ended = job.run()
        assert ended.code == 2
        assert ended.err.startswith(f"error: {path} is both the input and the output.")
    assert (job.folder / "in.parquet").read_bytes() == before


def test_run_folder_is_gone(job: Job) -> None:
    """Without its run folder an output can't be continued, and is not paid for again unasked."""
    with mock_thread() as mock:
        job.write(rows(3), endpoint__base_url=mock.url)
        assert job.run().code == 0
        for path in job.run_folder.iterdir():
            path.unlink()
        job.run_folder.rmdir()
        ended = job.run()
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("error: out.parquet exists, but its run folder out.run does not")
        assert not job.run_folder.exists()
        assert mock.stats()["requests"] == 3
        assert job.run("--fresh").code == 0
        assert mock.stats()["requests"] == 6
    assert len(list(job.folder.glob("out.20*.parquet"))) == 1


def test_two_on_one_output(job: Job) -> None:
    """A second process on the same output is refused at once, naming the first, which goes on unharmed."""
    with raw_server(lambda asked: None if asked.said == "Question 0" else http(200, completion())) as server:
        job.write(rows(20), endpoint__base_url=server.url)
        first = job.start()
        until(lambda: job.acknowledged() == 19)
        for option in ("--fresh", "--retry-failed"):
            second = job.run(option)
            assert (second.code, second.out) == (2, "")
            assert second.err.startswith(f"error: out.parquet is in use by pid {first.process.pid} on ")
            assert second.err.endswith("\nSee it with: batchchat status out.parquet\n")
        assert job.state()["pid"] == first.process.pid
        server.release(lambda _: http(200, completion()))
        assert first.end().code == 0
        assert server.requests == 20
    assert len(job.table()) == 20


SAYS: dict[str, tuple[Callable[[Asked], bytes], str]] = {
    "401": (
        lambda _: http(401, {"detail": "Unauthorized"}),
        "HOST refused a request without a key (HTTP 401): Unauthorized.",
    ),
    "403": (
        lambda _: http(403, {"detail": "Not for you"}),
        "HOST refuses a request for `m` (HTTP 403): ",
    ),
    "404": (
        lambda _: http(404, {"detail": {"error": "The model `m` does not exist"}}),
        "HOST does not know `m` or the address (HTTP 404): The model",
    ),
    "html": (
        lambda _: http(200, b"<html><h1>Welcome</h1>", content_type="text/html"),
        "HOST is no chat completions endpoint (HTTP 200): a web page",
    ),
    "redirect": (
        lambda _: http(301, b"", location="https://elsewhere/v1"),
        "HOST is no chat completions endpoint (HTTP 301): ",
    ),
}


@pytest.mark.parametrize("name", SAYS)
def test_endpoint_refuses(job: Job, name: str) -> None:
    """An endpoint that refuses for good stops the run at once: exit 5, its words, and how to go on."""
    answer, phrase = SAYS[name]
    with raw_server(answer) as server:
        job.write(rows(40), endpoint__base_url=server.url, concurrency=2)
        ended = job.run()
        assert server.requests <= 4
        assert ended.code == 5
        (stopped,) = ended.errors
        assert stopped.startswith(f"stopped: {phrase.replace('HOST', server.host)}")
        assert ended.out.endswith("\n\nnext  batchchat run job.yaml\n")
        assert "Traceback" not in ended.err
    assert job.table() == []


def test_no_tls(job: Job) -> None:
    """https:// to a server that speaks none is told at once."""
    with raw_server(lambda _: http(200, completion())) as server:
        job.write(rows(3), endpoint__base_url=server.url.replace("http:", "https:"))
        ended = job.run()
        assert ended.code == 5
        (stopped,) = ended.errors
        assert stopped.startswith(f"stopped: no connection to {server.host}: no TLS")
        assert server.requests == 0


def test_all_fail_alike(job: Job) -> None:
    """When the first rows all fail alike the run stops, says so, and goes on with the command it tells."""
    with raw_server(lambda _: http(422, {"detail": [{"loc": ["body", "x"], "msg": "not allowed"}]})) as server:
        job.write(rows(40), endpoint__base_url=server.url, retry__stop_after_failures=10, concurrency=2)
        ended = job.run()
        assert ended.code == 5
        (stopped,) = ended.errors
        assert "the first 10 rows failed with the same error, bad_request: " in stopped
        assert ended.out.endswith("\n\nnext  batchchat run job.yaml --retry-failed\n")
        assert server.requests <= 12
        server.answer = lambda _: http(200, completion())
        assert job.run("--retry-failed").code == 0


def test_rows_begin_to_fail_alike(job: Job) -> None:
    """An endpoint that refuses all from some row on does not go through the night's rows; the others are sent later."""
    refusal = http(403, {"error": "Not for you"})
    with raw_server(lambda asked: http(200, completion()) if asked.said < "Question 2" else refusal) as server:
        job.write(rows(40), endpoint__base_url=server.url, retry__stop_after_failures=10, concurrency=1)
        ended = job.run()
        assert ended.code == 5
        (stopped,) = ended.errors
        assert "10 consecutive rows failed with the same error, forbidden: " in stopped
        assert server.requests <= 32
        server.answer = lambda _: http(200, completion())
        assert job.run("--retry-failed").code == 0
    assert {row["status"] for row in job.table()} == {"answered"}


def test_outage(job: Job) -> None:
    """An endpoint that goes away for longer than `max_outage` stops the run; the rows stay to be sent."""
    with raw_server(lambda asked: http(200, completion()) if asked.said < "Question 2" else http(503, b"")) as server:
        job.write(rows(9), endpoint__base_url=server.url, retry__max_wait=0.1, retry__max_outage=1, concurrency=4)
        ended = job.run()
        assert ended.code == 5
        (stopped,) = ended.errors
        assert stopped.startswith(f"stopped: no answer from {server.host} since ")
        assert [row["status"] for row in job.table()] == ["answered", "answered"]
        server.answer = lambda _: http(200, completion())
        assert job.run().code == 0


def test_journal_cannot_be_written(job: Job) -> None:
    """A full disk stops the run with exit 6, every acknowledged row kept, and it goes on when there is room."""
    import resource

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    with mock_thread() as mock:
        job.write(rows(300), endpoint__base_url=mock.url)
        ended = job.start(preexec_fn=small).end()
        assert ended.code == 6
        (stopped,) = ended.errors
        assert f"the journal in {job.run_folder} can't be written: File too large." in stopped
        assert "next  batchchat run job.yaml\n" in ended.out
        kept = job.acknowledged()
        assert 0 < kept < 300
        assert job.run().code == 0
        assert mock.stats()["requests"] <= 300 + 2 * 16
    assert len(job.table()) == 300


def test_log_cannot_be_written(job: Job) -> None:
    """A run.log that can't be written does not end the run."""
    job.run_folder.mkdir()
    (job.run_folder / "run.log").symlink_to("/dev/full")
    with mock_thread() as mock:
        job.write(rows(30), endpoint__base_url=mock.url)
        assert job.run().code == 0


def test_refusal_leaves_the_state(job: Job) -> None:
    """A run that is refused leaves the rows of run.json as they were; it tells that it was refused, and why."""
    with mock_thread() as mock:
        job.write(rows(30), endpoint__base_url=mock.url)
        assert job.run().code == 0
        before = job.state()
        job.write(budget__stop_at="2020-01-01 00:00")
        assert job.run().code == 2
    assert (job.state()["state"], job.state()["exit_code"]) == ("stopped", 2)
    assert "stop_at" in job.state()["reason"]
    assert job.state()["rows"] == before["rows"]


def test_what_is_in_flight_when_the_endpoint_refuses_has_its_time(job: Job) -> None:
    """Exit 5 waits as long as an attempt may take, whatever `drain` says: the answer that comes then is kept."""
    with raw_server(lambda asked: http(401, {}) if asked.said == "Question 1" else None) as server:
        job.write(rows(2), endpoint__base_url=server.url, drain=0)
        running = job.start()
        running.says("endpoint refuses: no new requests; waiting up to 10m")
        server.release(lambda _: http(200, completion()))
        ended = running.end()
    assert ended.code == 5, ended.err
    assert [(row["id"], row["status"]) for row in job.table()] == [("r0000", "answered")]


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("input__path", "s3://bucket/in.jsonl"),
        ("output__path", "s3://bucket/out.parquet"),
        ("store__ship_journal", "s3://bucket/journals"),
    ],
)
def test_stores_are_an_extra(job: Job, key: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a job that names one is refused, with what to install."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    job.write(rows(1), **{key: url})
    ended = job.run()
    assert ended.code == 2, ended.err
    assert "s3:// needs the extra `stores`. Install it: pip install 'batchchat[stores]'" in ended.errors[0]
    assert job.acknowledged() == 0
