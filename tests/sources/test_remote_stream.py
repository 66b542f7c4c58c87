"""An object read in order and anywhere, over a server that breaks off, has no ranges, or has another file by now."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchchat.errors import InputError
from batchchat.object_store import opening
from batchchat.sources import remote_object, remote_stream
from tests.acceptance.job import until
from tests.sources.web import Web, web_server

pytest.importorskip("obstore", reason="obstore is not installed (extra `stores`)")

CONTENT = random.Random(1).randbytes(3_000_000)
KEPT = "Every finished row is kept: run the same command again."


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as web:
        web.content = CONTENT
        yield web


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_object, "_FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(opening, "_MAX_RETRIES", 2)


def opened(web: Web) -> remote_object.RemoteObject:
    from batchchat.sources.remote_files import find_remote

    (((remote,), _),) = find_remote([web.url("data.jsonl")], {})
    web.requests.clear()
    return remote


def read_all(stream: remote_stream.RemoteStream, size: int = 100_000) -> bytes:
    return b"".join(iter(lambda: stream.read(size), b""))


def test_all_of_it_in_order_and_each_byte_once(web: Web) -> None:
    remote = opened(web)
    with remote_stream.RemoteStream(remote) as stream:
        assert read_all(stream) == CONTENT
        assert stream.tell() == len(CONTENT)
    spans = [tuple(map(int, span.removeprefix("bytes=").split("-"))) for span in web.ranges_asked]
    assert [start for start, _ in spans] == [remote_object.HEAD_BYTES, *(end + 1 for _, end in spans[:-1])]
    assert {request["if-match"] for request in web.requests} == {'"v1"'}


def test_a_look_at_the_first_bytes_takes_no_request(web: Web) -> None:
    remote = opened(web)
    with remote_stream.RemoteStream(remote) as stream:
        assert stream.read(1000) + stream.read(10_000) == CONTENT[: remote_object.HEAD_BYTES]
    assert web.requests == []


def test_it_goes_on_from_anywhere(web: Web) -> None:
    with remote_stream.RemoteStream(opened(web)) as stream:
        stream.read(1)
        for place in (2_000_000, 10, 2_999_999, 1_000_000):
            stream.seek(place)
            assert stream.read(5) == CONTENT[place : place + 5]


def test_a_reply_that_breaks_off_is_continued_where_it_broke(web: Web) -> None:
    remote = opened(web)
    web.script = [1_500_000, 0, 10]
    assert remote.read(1000, 2_500_000) == CONTENT[1000:2_501_000]
    starts = [int(span.removeprefix("bytes=").split("-")[0]) for span in web.ranges_asked]
    assert starts[0] == 1000
    assert starts[1] > 1_000_000  # what came in whole parts is not asked for again
    assert {request["if-match"] for request in web.requests} == {'"v1"'}


def test_a_server_that_fails_now_and_then(web: Web) -> None:
    remote = opened(web)
    web.script = ["503", "500"]
    assert remote.read(0, 100_000) == CONTENT[:100_000]


def test_one_that_always_breaks_off_is_given_up(web: Web) -> None:
    remote = opened(web)
    web.script = [0] * 50
    with pytest.raises(InputError) as raised, remote_stream.RemoteStream(remote) as stream:
        read_all(stream)
    assert str(raised.value) == (
        f"{web.url('data.jsonl')} can't be read: the connection breaks off again and again. Check the URL and the"
        f" network. {KEPT}"
    )


def test_a_file_that_was_replaced(web: Web) -> None:
    remote = opened(web)
    with remote_stream.RemoteStream(remote) as stream:
        stream.read(10_000)
        web.etag = '"v2"'
        with pytest.raises(InputError) as raised:
            read_all(stream)
    assert str(raised.value) == f"{web.url('data.jsonl')} was replaced while it was being read. {KEPT}"


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
def test_one_that_was_replaced_where_no_etag_can_be_asked_for(web: Web, etag: str | None) -> None:
    web.etag = etag
    remote = opened(web)
    web.content = CONTENT[:-1]
    with pytest.raises(InputError, match="was replaced"), remote_stream.RemoteStream(remote) as stream:
        read_all(stream)
    assert "if-match" not in web.requests[0]


def test_without_ranges_it_is_read_from_the_start_again(web: Web) -> None:
    web.ranges = False
    remote = opened(web)
    web.script = [1_200_000, 2_500_000]
    with remote_stream.RemoteStream(remote) as stream:
        assert read_all(stream) == CONTENT
    assert len(web.requests) == 3
    with remote_stream.RemoteStream(remote) as stream:
        stream.seek(2_000_000)
        assert stream.read(7) == CONTENT[2_000_000:2_000_007]


def test_without_ranges_and_etag_a_broken_reply_is_an_error(web: Web) -> None:
    web.ranges, web.etag = False, None
    remote = opened(web)
    web.script = [1_200_000]
    with pytest.raises(InputError) as raised, remote_stream.RemoteStream(remote) as stream:
        read_all(stream)
    assert "can't be read any further: the server sends no parts of it" in str(raised.value)


def test_an_empty_file(web: Web) -> None:
    web.content = b""
    with remote_stream.RemoteStream(opened(web)) as stream:
        assert stream.read(10) == b""


def test_memory_holds_a_few_chunks(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that stands still is not run ahead of."""
    monkeypatch.setattr(remote_stream, "_FIRST_CHUNK_BYTES", 1000)
    monkeypatch.setattr(remote_stream, "_CHUNK_BYTES", 10_000)
    remote = opened(web)
    with remote_stream.RemoteStream(remote) as stream:
        at = 0
        while at < 60_000:
            at += len(stream.read(1000))
        stream.read(1)
        starts = [int(span.removeprefix("bytes=").split("-")[0]) for span in web.ranges_asked]
    assert max(starts) <= at + 3 * 10_000


def test_what_comes_next_is_asked_for_without_waiting(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the event loop handles answers while a store is slow."""
    monkeypatch.setattr(remote_stream, "_ENOUGH_BYTES", 1000)
    remote = opened(web)
    sends = threading.Event()

    def wait() -> None:
        sends.wait(20)

    web.before = wait
    with remote_stream.RemoteStream(remote) as stream:
        assert not stream.is_waiting  # the first bytes are there
        stream.read(remote_object.HEAD_BYTES)
        assert [stream.is_waiting, stream.is_waiting] == [True, True]
        sends.set()
        until(lambda: not stream.is_waiting)
        assert read_all(stream) == CONTENT[remote_object.HEAD_BYTES :]
        assert not stream.is_waiting


def parquet(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, row_group_size=2_000, compression="none")
    return sink.getvalue().to_pybytes()


def test_parquet_is_read_in_parts(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_stream, "_CHUNK_BYTES", 100_000)
    noise = [random.Random(n).randbytes(500) for n in range(4_000)]
    web.content = parquet(a=[f"a{n}" for n in range(4_000)], b=noise, c=list(range(4_000)))
    remote = opened(web)
    with pq.ParquetFile(pa.PythonFile(remote_stream.SeekableObject(remote), mode="r"), pre_buffer=False) as file:
        assert file.read(["a", "c"]).column("c").to_pylist() == list(range(4_000))
    spans = [tuple(map(int, span.removeprefix("bytes=").split("-"))) for span in web.ranges_asked]
    assert sum(end + 1 - start for start, end in spans) < len(web.content) / 3  # `b` is most of it


def test_an_error_goes_through_arrow_as_it_is(web: Web) -> None:
    web.content = parquet(a=list(range(10_000)))
    remote = opened(web)
    web.etag = '"v2"'
    with pytest.raises(InputError, match="was replaced"):
        pq.ParquetFile(pa.PythonFile(remote_stream.SeekableObject(remote), mode="r"))
