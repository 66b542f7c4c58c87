"""The output is made of the journal's lines as they are."""

from __future__ import annotations

from pathlib import Path

from batchchat.arrow.widening import Kind
from batchchat.store import records
from batchchat.store.line_columns import LineColumns
from batchchat.store.parquet_file import PassthroughColumn, output_schema
from tests.acceptance.job import Job, conversation


def test_lines_of_today_need_no_record(tmp_path: Path) -> None:
    """A key of a record that is not declared to the reader would have every row of every run take the slow way."""
    job = Job(tmp_path)
    rows = [{"id": f"r{n}", "messages": conversation(f"Question {n}"), "topic": "é"} for n in range(30)]
    job.write([*rows, {"id": "bad"}], input__format="messages", concurrency=4)
    ended = job.run()
    assert ended.code == 3, ended.err
    (journal,) = job.folder.glob("**/journal-*.jsonl")
    lines = [line for line in journal.read_bytes().splitlines() if line.startswith(records.ROW_START)]
    assert len(lines) == 31
    passthrough: dict[str, PassthroughColumn] = {"topic": Kind.TEXT}
    batch = LineColumns(output_schema(passthrough), passthrough).batch(lines)
    assert batch is not None
    assert batch["topic"].drop_null().unique().to_pylist() == ["é"]
