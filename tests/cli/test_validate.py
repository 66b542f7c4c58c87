from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from batchchat.cli.set_option import override
from batchchat.job import load_job
from batchchat.preflight.validate import NextCommands, validate
from tests.cli.called import call

JOB = """\
name: chef
input: {path: in.jsonl, id: id}
model: m
output: {path: out/x.parquet}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEEPINFRA_TOKEN", raising=False)


def write(rows: list[Any], job: str = JOB) -> None:
    Path("job.yaml").write_text(job)
    Path("in.jsonl").write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"r{number}", "messages": [{"role": "user", "content": "Hi"}], **more}


def test_a_good_job() -> None:
    """It is exit 0: the counts, how the format was detected, the model, and the command to try next."""
    write([row(n) for n in range(1200)])
    called = call("validate", "job.yaml")
    assert (called.code, called.err) == (0, "")
    assert called.out == (
        "chef: 1,200 of 1,200 rows can be sent\n"
        "\n"
        "  input     messages from in.jsonl\n"
        "  format    messages, from the column `messages` of the first row\n"
        "  rows      1,200 good\n"
        "  model     m\n"
        "  key       DEEPINFRA_TOKEN is not set here; a run needs it\n"
        "\n"
        "next  batchchat run job.yaml --limit 5\n"
    )


def test_bad_rows() -> None:
    """One bad row is exit 2; they are counted by reason, the first of each shown with file and line."""
    write([row(0), "{", {"id": "x", "messages": []}, *[row(0) for _ in range(10)]])
    called = call("validate", "job.yaml", DEEPINFRA_TOKEN="k")
    assert (called.code, called.err) == (2, "")
    head, body = called.out.split("\n", 1)
    assert head == "chef: 1 of 13 rows can be sent"
    line_numbers = re.findall(r"in\.jsonl:(\d+): ", body)
    assert line_numbers == ["4", "5", "6", "2", "3"]
    assert "  rows      1 good · 12 invalid\n" in body
    assert '  invalid   10 rows: duplicate id\n              in.jsonl:4: duplicate id "r0"' in body
    assert "              and 7 more\n            1 row: can't be read\n              in.jsonl:2: " in body
    assert "            1 row: no conversation\n              in.jsonl:3: `messages` is empty\n\nnext" in body
    assert body.endswith("\n\nnext  batchchat run job.yaml --limit 5\n")
    assert "DEEPINFRA_TOKEN" not in body


def test_no_good_row() -> None:
    """Where no row can be sent, the next command is to validate again."""
    write(["{", "["], JOB.replace("id: id", "id: id, format: messages"))
    called = call("validate", "job.yaml", "--set", "name=x y")
    assert called.code == 2
    assert called.out.startswith("x y: 0 of 2 rows can be sent\n")
    assert "  format    messages, as the job says\n" in called.out
    assert called.out.endswith("\nnext  batchchat validate job.yaml --set 'name=x y'\n")


def test_rows_with_their_own_model() -> None:
    """Models are listed with their rows, the most frequent first; those after the tenth are summed up."""
    rows = [row(n, own={"model": f"m{n}"}) for n in range(12)]
    write([*rows, row(12), row(13)], JOB.replace("id: id", "id: id, params: own"))
    called = call("validate", "job.yaml")
    assert called.code == 0
    assert "  model     m for 2 rows\n            m0 for 1 row\n" in called.out
    assert "            m8 for 1 row\n            and 3 more for 3 rows\n" in called.out


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (
            ("input.path=none.jsonl",),
            "error: none.jsonl is not there. Relative paths are relative to the job's folder.\n",
        ),
        (("output.path=in.parquet", "input.path=in.parquet"), None),
        (
            ("concurrency=0",),
            "error: --set concurrency=0: `concurrency` is 0. It takes a whole number from 1 to 10,000, or auto.\n",
        ),
        (("input.format=xml",), None),
        (("input.path=*.parquet", "output.path=new.parquet"), None),
    ],
)
def test_what_a_run_would_refuse(sets: tuple[str, ...], message: str | None) -> None:
    """A bad job, a missing input, an output that is the input: exit 2 with the error of a run."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    write([row(0)])
    pq.write_table(pa.Table.from_pylist([row(0)]), "in.parquet")
    options = [word for text in sets for word in ("--set", text)]
    called = call("validate", "job.yaml", *options)
    ran = call("run", "job.yaml", *options, "--set", "endpoint.base_url=mock")
    assert (called.code, called.out) == (ran.code, ran.out) == (2, "")
    assert called.err == ran.err
    assert message is None or called.err == message


def test_a_pasted_key_is_refused_unseen() -> None:
    """A key in place of the name of its variable is refused as in a run, and not repeated."""
    key = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF"
    write([row(0)])
    called = call("validate", "job.yaml", "--set", f"endpoint.api_key_env={key}")
    assert called.code == 2
    assert "`endpoint.api_key_env` does not look like the name of a variable" in called.err
    assert key not in called.out + called.err


def test_a_header_is_not_repeated() -> None:
    """The value of a header is not in the next command."""
    write([row(0)])
    called = call("validate", "job.yaml", "--set", "endpoint.headers.X-Key=abcdefgh12345678")
    assert called.code == 0
    assert "abcdefgh12345678" not in called.out


def test_nothing_is_written() -> None:
    """No run folder, file or folder of the output is made."""
    write([row(0)])
    before = sorted(Path().rglob("*"))
    assert call("validate", "job.yaml").code == 0
    assert sorted(Path().rglob("*")) == before


def test_memory_is_flat() -> None:
    """More rows need memory only for the table of their ids: far less than a row's 300 bytes."""

    def peak(count: int) -> int:
        write([row(n, text="x" * 200) for n in range(count)])
        job = load_job(Path("job.yaml"), overrides=[override("endpoint.base_url=mock")], environ={})
        tracemalloc.start()
        try:
            assert validate(job, {}, NextCommands("", "", "")).good == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    small, large = peak(4_000), peak(14_000)
    assert large - small < 10_000 * 60
