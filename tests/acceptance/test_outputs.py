"""Every form of output, by real runs: a folder of parts, the order of ends, the raw responses."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq

from tests.acceptance.job import Job, rows
from tests.acceptance.readers import load_dataset, read_by_all
from tests.acceptance.servers import completion, http, mock_thread, raw_server


def parts(job: Job) -> list[str]:
    return sorted(path.name for path in (job.folder / "out").iterdir())


def test_a_folder_of_parts(job: Job) -> None:
    """A path without a suffix is a folder; another size of part sends no row again; all readers open it."""
    with mock_thread() as mock:
        job.write(rows(25), endpoint__base_url=mock.url, output__path="out", output__part_rows=10)
        assert job.run().code == 0
        assert parts(job) == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
        job.write(output__part_rows=20)
        ended = job.run()
        assert (ended.code, ended.headline) == (0, "job: 25 of 25 rows answered for $" + ended.headline.split("$")[1])
        assert parts(job) == ["part-00000.parquet", "part-00001.parquet"]
        assert mock.stats()["requests"] == 25
    folder = job.folder / "out"
    assert pq.read_table(folder).column("id").to_pylist() == [f"r{n:04}" for n in range(25)]
    read_by_all(folder, job.folder / "tmp")


def test_exports_are_read_by_all(job: Job) -> None:
    """pandas, Polars, DuckDB and `datasets` find the same rows in every export, empty text and line ends whole."""
    odd = [{**row, "note": note} for row, note in zip(rows(3), ('a "b",\r\nc', "", "=1+1"), strict=True)]
    bad: dict[str, Any] = {"id": "bad", "messages": [], "note": None}
    with raw_server(lambda asked: http(200, completion(f"To\n{asked.said}"))) as server:
        job.write([*odd, bad], endpoint__base_url=server.url)
        assert job.run().code == 3
    for form in ("parquet", "jsonl", "csv"):
        ended = job.run("export", "job.yaml", "--to", form, "-o", f"x.{form}")
        assert (ended.code, ended.out) == (0, f"x.{form}: 4 rows\n")
    read_by_all(job.folder / "x.parquet", job.folder / "tmp")
    ids = [*(row["id"] for row in odd), "bad"]
    replies = [f"To\nQuestion {n}" for n in range(3)]
    lines, cells = str(job.folder / "x.jsonl"), str(job.folder / "x.csv")
    frames: list[Any] = [
        pd.read_json(lines, lines=True),
        pl.read_ndjson(lines).to_pandas(),
        duckdb.sql(f"select * from '{lines}'"),
        load_dataset("json", lines, job.folder / "tmp"),
        pd.read_csv(cells),
        pl.read_csv(cells).to_pandas(),
        duckdb.sql(f"select * from '{cells}'"),
        load_dataset("csv", cells, job.folder / "tmp"),
    ]
    for found in frames:
        frame = found if isinstance(found, pd.DataFrame) else found.to_df() if hasattr(found, "to_df") else None
        frame = found.to_pandas() if frame is None else frame
        assert frame["id"].tolist() == ids
        assert frame["response"].tolist()[:3] == replies
        assert pd.isna(frame["response"].tolist()[3])
        assert frame["cost_usd"].tolist()[0] == 0.000002
        assert frame["note"].tolist()[0] == 'a "b",\r\nc'


def test_a_part_that_was_taken_away_is_written_again(job: Job) -> None:
    """A finished run whose output lacks a part is no no-op: the journal has every row."""
    job.write(rows(4), output__path="out", output__part_rows=2)
    assert job.run().code == 0
    (job.folder / "out/part-00001.parquet").unlink()
    assert job.run().code == 0
    assert parts(job) == ["part-00000.parquet", "part-00001.parquet"]


def test_a_folder_with_other_files_is_refused(job: Job) -> None:
    """What is not ours is never replaced; an empty folder is taken."""
    (job.folder / "out").mkdir()
    job.write(rows(2), output__path="out")
    assert job.run().code == 0
    (job.folder / "out/notes.txt").write_text("mine")
    ended = job.run()
    assert ended.code == 2
    (error,) = ended.errors
    assert "out holds files that were not written by batchchat" in error


def test_order_of_completion(job: Job) -> None:
    """`order: completion` has the rows as they ended, `input` as they stand in the input; neither sends again."""

    def answer(asked: Any) -> bytes | None:
        late = asked.said == "Question 0" and job.acknowledged() < 5
        return None if late else http(200, completion())

    with raw_server(answer) as server:
        job.write(rows(6), endpoint__base_url=server.url, output__order="completion", concurrency=2)
        running = job.start()
        running.says("in.jsonl")
        while job.acknowledged() < 5:
            pass
        server.release(lambda _: http(200, completion()))
        assert running.end().code == 0
        ends = [row["id"] for row in job.table()]
        assert sorted(ends) == [f"r{n:04}" for n in range(6)]
        assert ends[-1] == "r0000"
        finished = [row["finished_at"] for row in job.table()]
        assert finished[-1] == max(finished)
        job.write(output__order="input")
        assert job.run().code == 0
        assert [row["id"] for row in job.table()] == sorted(ends)
        assert server.requests == 6


def test_raw(job: Job) -> None:
    """`raw: true` keeps the response as it came, of failures too, to the letter; without it nothing is kept."""
    odd = b'{"choices": [ {"message":{"content":"a \\ud800 \\u00e9"}} ], "extra": {"x": 1e400}}'

    def answer(asked: Any) -> bytes:
        return http(200, odd) if asked.said == "Question 0" else http(422, {"detail": "no"})

    with raw_server(answer) as server:
        job.write(rows(2), endpoint__base_url=server.url, output__raw=True)
        assert job.run().code == 3
        assert [row["raw"] for row in job.table()] == [odd.decode(), json.dumps({"detail": "no"})]
        job.write(output__raw=None, output__path="plain.parquet")
        assert job.run().code == 3
    assert [row["raw"] for row in job.table(job.folder / "plain.parquet")] == [None, None]
