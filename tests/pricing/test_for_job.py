"""Prices and contexts in runs: from the job, the endpoint's list or a table; on loopback servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.acceptance.servers import Asked, Raw, completion, http, mock_thread, raw_server
from tests.cli.called import Called, call

WIZARD = "microsoft/WizardLM-2-8x22B"
USAGE = {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500}
TABLE = "model,input,output,source,as_of\nm,2,4,my invoice,2026-11-01\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEEPINFRA_TOKEN", raising=False)


def write(url: str, *texts: str, **keys: Any) -> None:
    rows = [{"id": f"r{n}", "messages": [{"role": "user", "content": text}]} for n, text in enumerate(texts)]
    Path("in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    job = {
        "input": {"path": "in.jsonl", "id": "id"},
        "model": "m",
        "endpoint": {"base_url": url},
        "params": {"max_tokens": 100},
        "output": {"path": "out.parquet"},
        **keys,
    }
    Path("job.yaml").write_text(json.dumps(job))


def run(*options: str) -> Called:
    return call("run", "job.yaml", "--progress", "log", *options)


def column(name: str) -> list[Any]:
    values: list[Any] = pq.read_table("out.parquet").column(name).to_pylist()
    return values


def snapshot() -> Any:
    return json.loads(pq.read_schema("out.parquet").metadata[b"batchchat"])["price"]


def answers(models: Callable[[], bytes]) -> Callable[[Asked], bytes]:
    """A server that reports tokens but no cost; `models` is its response for the list of models."""
    return lambda asked: models() if asked.path.endswith("/models") else http(200, completion(usage=USAGE))


def listed(input_usd: float, output_usd: float) -> bytes:
    pricing = {"input_tokens": input_usd, "output_tokens": output_usd}
    return http(200, {"data": [{"id": "m", "metadata": {"context_length": 9_000, "pricing": pricing}}]})


def lists_asked(server: Raw) -> int:
    return sum(asked.path.endswith("/models") for asked in server.asked)


def test_the_endpoints_list_is_used_for_answers_without_a_cost() -> None:
    """The list is requested once for all rows, and is the source of each row's cost."""
    with raw_server(answers(lambda: listed(1, 3))) as server:
        write(server.url, *map(str, range(8)))
        assert run().code == 0
        assert lists_asked(server) == 1
    assert column("cost_usd") == [0.0025] * 8
    assert set(column("cost_source")) == {"endpoint"}
    assert "$0.0200 by the endpoint's list of models" in call("report", "out.parquet").out


def test_a_users_table_comes_after_the_list() -> None:
    """Without a list of the endpoint the user's file is used, at any host; the output's metadata names the source."""
    with raw_server(answers(lambda: http(404, b""))) as server:
        write(server.url, "a", prices="mine.csv")
        Path("mine.csv").write_text(TABLE)
        assert run().code == 0
    assert (column("cost_usd"), column("cost_source")) == ([0.004], ["table"])
    assert snapshot() == {
        "input": "2",
        "output": "4",
        "cached_input": None,
        "source": "table",
        "said_by": "my invoice",
        "as_of": "2026-11-01",
    }


def test_a_reported_cost_needs_no_list() -> None:
    """The list is not requested where answers report their cost, nor for a job with a price."""
    with raw_server(lambda asked: http(200, completion())) as server:
        write(server.url, "a", "b")
        assert run().code == 0
        assert (server.requests, lists_asked(server)) == (2, 0)
        write(server.url, "c", price={"input": 1, "output": 1})
        server.answer = answers(lambda: listed(1, 1))
        assert run("--fresh").code == 0
        assert (lists_asked(server), column("cost_source")) == (0, ["job"])


def test_without_a_price_the_cost_is_unknown() -> None:
    """It is null, not 0."""
    with raw_server(answers(lambda: http(200, b"<html>"))) as server:
        write(server.url, "a")
        assert run().code == 0
    assert (column("cost_usd"), column("cost_source"), snapshot()) == ([None], [None], None)


def test_a_cap_uses_the_endpoints_list() -> None:
    """`max_cost` needs no price in the job where the endpoint has one; the price is shown, and the cap holds."""
    with mock_thread() as mock:
        write(mock.url, *["many words " * 40] * 30, model=WIZARD, budget={"max_cost": 0.002})
        ended = run()
        assert ended.code == 4
        assert float(mock.stats()["cost_usd"]) <= 0.002
    assert "priced at $0.761 in / $0.839 out per million (127.0.0.1's list of models)" in ended.err
    assert snapshot()["source"] == "endpoint"


def test_a_cap_uses_a_table() -> None:
    """The same with a user's table; the price is shown with its source and date."""
    with raw_server(answers(lambda: http(404, b""))) as server:
        write(server.url, "a", prices="mine.csv", budget={"max_cost": 1})
        Path("mine.csv").write_text(TABLE)
        ended = run()
    assert ended.code == 0
    assert "priced at $2 in / $4 out per million (my invoice, 2026-11-01)" in ended.err


def test_a_cap_without_any_price_is_refused() -> None:
    """Only the list is requested, and the error has the way out."""
    with raw_server(answers(lambda: http(404, b""))) as server:
        write(server.url, "a", budget={"max_cost": 1})
        ended = run()
        assert (ended.code, server.requests) == (2, 1)
    assert ended.err.splitlines()[-1] == (
        "error: job.yaml: `budget.max_cost` needs a known price, and neither the endpoint nor the price table has one"
        f" for m at {server.host}. Add `price: {{input: ..., output: ...}}`, USD per million tokens,"
        " from the endpoint's price list."
    )


def test_a_price_file_with_a_wrong_line_is_refused() -> None:
    """By `run` and `validate`, before anything is sent."""
    write("mock", "a", prices="mine.csv")
    Path("mine.csv").write_text(TABLE.replace(",4,", ",four,"))
    for command in ("run", "validate"):
        ended = call(command, "job.yaml")
        assert ended.code == 2
        assert "error: mine.csv:2: `output` is four. It takes USD per million tokens, 0 or more." in ended.err


TOO_LONG = "a lengthy question, " * 60


def test_a_row_that_can_not_fit_is_not_sent() -> None:
    """By an exact count it fails with both figures and without an attempt; with a longer context it is sent."""
    with mock_thread() as mock:
        write(mock.url, "short", TOO_LONG, "x", model=WIZARD, endpoint={"base_url": mock.url, "context_length": 300})
        ended = run()
        assert (ended.code, mock.stats()["requests"]) == (3, 2)
        assert column("status") == ["answered", "failed", "answered"]
        assert (column("error_kind")[1], column("attempts")[1], column("cost_usd")[1]) == ("context_length", 0, None)
        assert column("error")[1] == (
            "338 prompt tokens do not fit the context of 300 tokens (counted exactly: WizardLM-2's, mistral-common"
            " v1); nothing was sent"
        )
        assert run().code == 3
        assert run("--retry-failed").code == 3
        assert mock.stats()["requests"] == 2
        assert run("--retry-failed", "--set", "endpoint.context_length=600").code == 0
        assert mock.stats()["requests"] == 3
    assert column("status") == ["answered"] * 3


def test_a_row_that_may_not_fit_is_sent() -> None:
    """Where the count is an estimate, the endpoint decides."""
    with mock_thread() as mock:
        write(mock.url, TOO_LONG, model="m", endpoint={"base_url": mock.url, "context_length": 300})
        assert run().code == 0
        assert mock.stats()["requests"] == 1


@pytest.mark.usefixtures("wide_terminal")
def test_validate_names_the_rows_that_can_not_fit() -> None:
    """By file, line and id, with the figures and the tokenizer; the table has the context of WizardLM-2-8x22B."""
    write("mock", "a", TOO_LONG, model=WIZARD, endpoint={"base_url": "mock", "context_length": 400})
    assert (
        "  too long  in.jsonl:2: row r1: 338 prompt tokens and up to 100 of the reply do not fit the context of 400"
        " tokens (counted exactly: WizardLM-2's, mistral-common v1)\n"
    ) in (called := call("validate", "job.yaml")).out
    assert (called.code, called.out.split("\n")[0]) == (2, "job: 1 of 2 rows can be sent")
    assert "  rows      1 good · 1 too long\n" in called.out
    write("mock", "long " * 70_000, model=WIZARD)
    assert "70,038 prompt tokens do not fit the context of 65,536 tokens" in call("validate", "job.yaml").out
    write("mock", TOO_LONG, endpoint={"base_url": "mock", "context_length": 200})
    called = call("validate", "job.yaml")
    assert "tokens (by rule of thumb, 128k vocabulary)\n" in called.out
    assert (called.code, called.out.split("\n")[0]) == (0, "job: 1 of 1 rows can be sent")


@pytest.mark.usefixtures("wide_terminal")
def test_validate_shows_the_price_that_a_cap_uses() -> None:
    """The table's price with its source and date; or that the run must find it out."""
    write("mock", "a", model=WIZARD, budget={"max_cost": 1})
    line = "  price     $0.48 in / $0.48 out per million (deepinfra.com page of the model, 2026-11-22)\n"
    assert line in call("validate", "job.yaml").out
    write("mock", "a", budget={"max_cost": 1})
    line = "  price     unknown here: a run asks the endpoint for its list, and needs one\n"
    assert line in call("validate", "job.yaml").out


def test_a_row_with_a_model_of_unknown_price_has_no_bound() -> None:
    """Under a cap it is refused with its line and model; rows of models with a price are bounded by their own."""
    write("mock", "a", "b", model=WIZARD, budget={"max_cost": 1}, input={"path": "in.jsonl", "id": "id", "params": "p"})
    rows = [json.loads(line) for line in Path("in.jsonl").read_text().splitlines()]
    rows[1]["p"] = {"model": "deepseek-ai/DeepSeek-R1"}
    Path("in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    ended = run()
    assert ended.code == 0
    # At most 17 prompt tokens and 100 of the reply each, at $0.48, and at $0.70 and $2.40.
    assert "worst case of the 2 rows to send: $0.0003" in ended.err
    rows[1]["p"] = {"model": "m"}
    Path("in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert run("--fresh").err.splitlines()[-1] == (
        "error: in.jsonl:2: row r1 has the model m, whose price is unknown, so that what it costs has no bound and"
        " `budget.max_cost` ($1.0000) can't hold. Give it one in a table of `prices`, or leave `budget.max_cost` out."
    )
