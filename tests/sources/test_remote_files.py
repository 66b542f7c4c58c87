"""The objects that a URL names, in a real S3 server."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from batchchat.core.conversation import Row
from batchchat.errors import InputError
from batchchat.job.spec import InputSpec
from batchchat.sources import Source, open_source
from batchchat.sources.file_types import READS
from tests.s3 import S3


def source(*paths: str, **keys: Any) -> Source:
    return open_source(InputSpec(paths=paths, as_given=paths, **keys))


def lines(*ids: str) -> bytes:
    return b"".join(json.dumps({"id": id_, "prompt": f"Hello {id_}"}).encode() + b"\n" for id_ in ids)


def ids(opened: Source) -> list[str]:
    return [row.key.id for row in opened.read() if isinstance(row, Row)]


@pytest.fixture
def bucket(s3: S3) -> str:
    """Objects as people have them, with those that are no input."""
    name = s3.bucket()
    table = pa.table({"id": ["p1", "p2"], "prompt": ["Hello p1", "Hello p2"]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    for key, body in {
        "in/a.jsonl": lines("a1", "a2"),
        "in/b.jsonl.gz": gzip.compress(lines("b1")),
        "in/lang=de/c.csv.zst": zstandard.compress(b"id,prompt\nc1,Hello c1\n"),
        "in/lang=de/d.json": b'[{"id": "d1", "prompt": "Hello d1"}]',
        "in/lang=fr/": b"",
        "in/lang=fr/e.parquet": sink.getvalue().to_pybytes(),
        "in/_tmp/x.jsonl": b"no",
        "in/.hidden.jsonl": b"no",
        "in/old.run/journal-000001.jsonl": b"no",
        "in/README.txt": b"no",
        "in2/z.jsonl": b"no",
    }.items():
        s3.put(name, key, body)
    return name


def test_a_folder(bucket: str) -> None:
    opened = source(f"s3://{bucket}/in/")
    assert ids(opened) == ["a1", "a2", "b1", "c1", "d1", "p1", "p2"]
    assert opened.description == f"prompts from s3://{bucket}/in/ (5 objects; 1 of another kind is not read)"
    languages = [row.passthrough.get("lang") for row in opened.read() if isinstance(row, Row)]
    assert languages == [None, None, None, "de", "de", "fr", "fr"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in/*.jsonl*", ["a1", "a2", "b1"]),
        ("in/**/*.parquet", ["p1", "p2"]),
        ("in/lang=*/[cd].*", ["c1", "d1"]),
        ("**/?.json", ["d1"]),
    ],
)
def test_a_pattern(bucket: str, pattern: str, expected: list[str]) -> None:
    assert ids(source(f"s3://{bucket}/{pattern}")) == expected


def test_objects_and_files_mixed(bucket: str, tmp_path: Path) -> None:
    """In the order of the list, each once, with their places in full."""
    (tmp_path / "local.jsonl").write_bytes(lines("l1") + b"{\n")
    opened = source(f"s3://{bucket}/in/b.jsonl.gz", str(tmp_path / "local.jsonl"), f"s3://{bucket}/in/*.jsonl*")
    rows = list(opened.read())
    assert [row.location for row in rows] == [
        f"s3://{bucket}/in/b.jsonl.gz:1",
        "local.jsonl:1",
        "local.jsonl:2",
        f"s3://{bucket}/in/a.jsonl:1",
        f"s3://{bucket}/in/a.jsonl:2",
    ]


def test_a_key_with_brackets_is_an_object(s3: S3) -> None:
    url = s3.put(s3.bucket(), "in/[a].jsonl", lines("x"))
    assert ids(source(url)) == ["x"]


def test_the_digest_is_of_the_etags(s3: S3) -> None:
    bucket = s3.bucket()
    url = s3.put(bucket, "a.jsonl", lines("x"))
    digest = source(url).digest().digest()
    assert digest is not None
    assert source(url).digest().digest() == digest
    s3.put(bucket, "a.jsonl", lines("y"))
    assert source(url).digest().digest() != digest


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("in/no.jsonl", "<url> is not there. Check the URL."),
        ("in", "<url> is a folder, whose URL ends in a slash: <url>/"),
        ("in/*.csv", "<url>: no object matches. Check the pattern, or name the objects."),
        ("none/", f"<url> has no objects. {READS}"),
        ("in/README.txt", f"<url>: its suffix says no format that is read. {READS}"),
    ],
)
def test_what_is_not_there_is_refused(bucket: str, key: str, sentence: str) -> None:
    url = f"s3://{bucket}/{key}"
    with pytest.raises(InputError) as raised:
        source(url)
    assert str(raised.value) == sentence.replace("<url>", url)


def test_content_that_contradicts_its_name_is_refused(s3: S3) -> None:
    url = s3.put(s3.bucket(), "a.jsonl", gzip.compress(lines("x")))
    with pytest.raises(InputError, match=r"a\.jsonl is gzip, not JSON lines"):
        source(url)


def test_an_output_of_several_runs_is_read_by_its_newest_manifest(s3: S3) -> None:
    """Parts of an older run, and of one that goes on, are no rows; nor is a manifest."""
    bucket = s3.bucket()
    for number, id_ in (1, "old"), (2, "new"), (3, "half"):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"id": [id_], "prompt": ["Hello"]}), sink)
        part = f"parts/{number:06}-3f9c01d2a7b{number}/part-00000.parquet"
        s3.put(bucket, f"d/out/{part}", sink.getvalue().to_pybytes())
        if number == 1:
            with pytest.raises(InputError, match=f"s3://{bucket}/d/out/ has parts of a run and no manifest"):
                source(f"s3://{bucket}/d/out/")
        if id_ != "half":
            s3.put(bucket, f"d/out/manifest-{number:06}.json", json.dumps({"parts": [{"path": part}]}).encode())
    assert ids(source(f"s3://{bucket}/d/out/")) == ["new"]
    s3.put(bucket, "d/more.jsonl", lines("x"))
    assert ids(source(f"s3://{bucket}/d/")) == ["x", "new"]
    s3.put(bucket, "d/out/manifest-000004.json", json.dumps({"parts": [{"path": "parts/gone.parquet"}]}).encode())
    with pytest.raises(InputError, match=r"parts/gone\.parquet is not there, and .*manifest-000004\.json names it"):
        source(f"s3://{bucket}/d/out/")
