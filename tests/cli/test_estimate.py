from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batchchat.cli.set_option import override
from batchchat.job import load_job
from batchchat.preflight.estimate import estimate
from batchchat.tokens.for_model import tokenizer_for
from tests.acceptance.job import Job
from tests.acceptance.servers import Mock, completion, http, mock_thread, raw_server
from tests.cli.called import Called, call
from tests.field.endpoint import Asked, Endpoint, endpoint, error, ok

JOB = """\
name: chef
input: {path: in.jsonl, id: id}
model: m
endpoint: {base_url: URL}
params: {max_tokens: 200}
price: {input: 0.5, output: 2}
concurrency: 8
output: {path: out/x.parquet}
"""
TIME = re.compile(r"\d[\dhms. ]*s\b|\d+m \d\ds")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEEPINFRA_TOKEN", raising=False)


@pytest.fixture
def mock() -> Iterator[Mock]:
    with mock_thread() as server:
        yield server


def write(count: int, url: str = "http://127.0.0.1:9/v1", job: str = JOB, more: str = "") -> None:
    Path("job.yaml").write_text(job.replace("URL", url))
    Path("in.jsonl").write_text("".join(f"{json.dumps(row(number))}\n" for number in range(count)) + more)


def row(number: int) -> dict[str, Any]:
    text = f"Question {number}: {'why ' * (number % 40)}"
    return {"id": f"r{number}", "messages": [{"role": "user", "content": text}]}


def counted(count: int) -> int:
    tokenizer = tokenizer_for("m")
    return sum(tokenizer.count(row(number)["messages"]) for number in range(count))


def estimate_json(*arguments: str) -> dict[str, Any]:
    called = call("estimate", "job.yaml", "--json", *arguments)
    assert called.code == 0, called.err
    figures: dict[str, Any] = json.loads(called.out)
    return figures


def lines(called: Called) -> list[str]:
    return called.out.splitlines()


@pytest.mark.usefixtures("wide_terminal")
def test_before_anything_is_sent() -> None:
    """Prompts are counted, the worst case is by max_tokens, the rest is assumed; the next command is shown."""
    write(100)
    called = call("estimate", "job.yaml")
    assert (called.code, called.err) == (0, "")
    tokenizer, prompt = tokenizer_for("m"), counted(100)
    assert tokenizer.error is not None
    low, expected, worst = (f"${prompt * 0.5e-6 + tokens * 2e-6:.4f}" for tokens in (2_000, 10_000, 20_000))
    assert lines(called) == [
        "chef on m at 127.0.0.1:9",
        "",
        "                           low    expected       worst",
        f"  prompt tokens                      {prompt:,}",
        "  reply tokens            2.0k         10k         20k",
        f"  cost            {low:>12}{expected:>12}{worst:>12}",
        "  time left                        unknown",
        "",
        f"  prompts    estimated within {tokenizer.error:.0%} ({tokenizer.name})",
        "  replies    assumed: 10% and 50% of the maximum",
        "  price      $0.5 in / $2 out per million (the job's `price`)",
        "  time       unknown: no latency was measured yet",
        "  rows       100 · 100 to be sent",
        *([f"  note       {tokenizer.note}"] if tokenizer.note else []),
        f"  {'' if tokenizer.note else 'note':<11}no reply was measured yet: --pilot 100 measures lengths,"
        " --like OUTPUT takes them from another run.",
        "",
        "next  batchchat estimate job.yaml --pilot 100",
    ]


def test_nothing_is_written_or_sent(mock: Mock) -> None:
    """Without a pilot no file is made, no key is needed and no request is sent."""
    write(10, mock.url, JOB.replace("{base_url: URL}", "{base_url: URL, api_key_env: NO_SUCH_KEY}"))
    before = sorted(Path().rglob("*"))
    assert call("estimate", "job.yaml").code == 0
    assert sorted(Path().rglob("*")) == before
    assert mock.stats()["requests"] == 0


def test_the_json_form() -> None:
    """One object with the documented keys, numbers as numbers and unknown as null; repeating it gives the same."""
    write(100, more="{\n")
    figures = estimate_json()
    assert set(figures) == {
        *(
            "job",
            "model",
            "rows",
            "rows_left",
            "answered_rows",
            "failed_rows",
            "invalid_rows",
            "too_long_rows",
            "shared_rows",
        ),
        *("context_length", "tokenizer", "prompt_tokens", "completion_tokens", "cost_usd", "price", "duration_s"),
        *("left_cost_usd", "pilot", "sources", "notes"),
    }
    counts = {"total": 101, "answered": 0, "failed": 0, "invalid": 1, "left": 100, "cut_off": 0, "undecided": 0}
    assert figures["rows"] == counts
    assert (figures["rows_left"], figures["invalid_rows"], figures["too_long_rows"]) == (100, 1, 0)
    assert figures["left_cost_usd"] == figures["cost_usd"]
    assert set(figures["tokenizer"]) == {"name", "exact", "error"}
    assert figures["completion_tokens"] == {"low": 2_000, "expected": 10_000, "worst": 20_000}
    assert figures["price"] == {"input": 0.5, "output": 2.0, "source": "job", "as_of": None}
    assert (figures["duration_s"], figures["pilot"]) == (None, None)
    assert figures == estimate_json()


def test_a_pilot_is_kept_and_not_paid_again(mock: Mock) -> None:
    """30 rows are paid, 60 pay for 30 more, and the run for the rest; the true cost is in both intervals."""
    write(150, mock.url)
    first = estimate_json("--pilot", "30", "--yes")
    assert mock.stats()["billed_rows"] == 30
    assert (first["rows_left"], first["answered_rows"], first["pilot"]["rows"]) == (120, 30, 30)
    second = estimate_json("--pilot", "60", "--yes")
    assert mock.stats()["billed_rows"] == 60
    assert second["pilot"]["cost_usd"] == pytest.approx(float(mock.stats()["cost_usd"]))
    assert estimate_json("--pilot", "60")["rows_left"] == 90  # all its rows are answered, so no confirmation is needed
    assert call("run", "job.yaml").code == 0
    stats = mock.stats()
    assert (stats["billed_rows"], stats["billed_twice"], stats["requests"]) == (150, 0, 150)
    truth = float(stats["cost_usd"])
    for figures in (first, second):
        low, high = figures["pilot"]["cost_interval_usd"]
        assert low <= truth <= high
        assert figures["price"]["source"] == "reported"
        assert figures["price"]["output"] == pytest.approx(0.839, rel=1e-6)
    assert estimate_json()["cost_usd"] == {name: pytest.approx(truth) for name in ("low", "expected", "worst")}


@pytest.mark.usefixtures("wide_terminal")
def test_a_pilots_text(mock: Mock) -> None:
    """Each figure with its interval, the sources of lengths, price and time, and the rows that are free."""
    write(60, mock.url)
    called = call("estimate", "job.yaml", "--pilot", "20", "--seed", "3", "--yes")
    assert called.code == 0
    text = lines(called)
    assert text[0] == f"chef on m at {mock.host}"
    assert [line[:16].strip() for line in text[2:11]] == [
        "",
        "prompt tokens",
        "reply tokens",
        "90% interval",
        "cost",
        "90% interval",
        "left to pay",
        "time left",
        "90% interval",
    ]
    assert re.fullmatch(r"    90% interval +\$0\.\d{4} – \$0\.\d{4}", text[7])  # noqa: RUF001
    assert re.fullmatch(r"  prompts    estimated within \d+% \(.+\), times [\d.]+ as reported in the pilot", text[12])
    assert text[13:18] == [
        "  replies    lengths from a pilot of 20 rows, seed 3",
        "  price      as reported by the endpoint in the pilot",
        "  time       8 in flight, at the latency in the pilot",
        "  rows       60 · 40 to be sent",
        "  free       20 rows are answered already",
    ]
    assert text[-1] == "next  batchchat run job.yaml"
    assert max(len(line) for line in text[:11]) <= 60


def test_without_a_terminal_a_pilot_needs_yes(mock: Mock) -> None:
    """The pilot is refused with its maximum cost, and nothing is sent or written."""
    write(60, mock.url)
    called = call("estimate", "job.yaml", "--pilot", "20")
    assert (called.code, called.out) == (2, "")
    error = re.fullmatch(
        rf"error: chef: sending a pilot of 20 rows to {mock.host}; maximum cost \$(0\.\d+) at \$0\.5 in / \$2 out"
        r" per million \(the job's `price`\)\. The run keeps the answers\. There is no terminal to ask on;"
        r" --yes sends them\.\n",
        called.err,
    )
    assert error is not None, called.err
    assert 20 * 200 * 2e-6 < float(error[1]) < 20 * 200 * 2e-6 * 1.1
    assert mock.stats()["requests"] == 0
    assert not Path("out").exists()


def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    """A real process asks before it sends; n sends nothing and is exit 2, y sends the pilot."""
    with mock_thread() as server:
        folder = tmp_path / "job"
        folder.mkdir()
        job = Job(folder)
        job.write([row(number) for number in range(30)], endpoint__base_url=server.url)
        for answer, code, requests in (("n", 2, 0), ("y", 0, 10)):
            terminal = job.terminal("estimate", "job.yaml", "--pilot", "10", columns=120)
            terminal.shows("Send them? [y/N]")
            terminal.type(f"{answer}\n")
            ended, screen = terminal.end()
            assert (ended, server.stats()["requests"]) == (code, requests), screen
        assert "stopped at the question" not in screen
        assert "90% interval" in screen


def test_a_pilot_of_all_rows_and_of_one(mock: Mock) -> None:
    """One row has figures and a note on the missing interval; with all rows the interval is a point."""
    write(12, mock.url)
    single = estimate_json("--pilot", "1", "--yes")
    assert single["pilot"]["cost_interval_usd"] is None
    assert "one row of a pilot gives no interval; use --pilot 20 or more." in single["notes"]
    whole = estimate_json("--pilot", "500", "--yes")
    low, high = whole["pilot"]["cost_interval_usd"]
    assert low == high == pytest.approx(float(mock.stats()["cost_usd"]))
    assert whole["duration_s"] == {"low": 0.0, "expected": 0.0, "worst": 0.0}
    assert (whole["rows_left"], mock.stats()["billed_rows"]) == (0, 12)


def test_a_pilot_that_is_refused_stops_as_a_run_does() -> None:
    """An endpoint that refuses the key ends it with the exit code and message of a run, and without an estimate."""
    with mock_thread(api_key="right") as server:
        write(30, server.url, JOB.replace("{base_url: URL}", "{base_url: URL, api_key_env: KEY_FOR_IT}"))
        called = call("estimate", "job.yaml", "--pilot", "10", "--yes", KEY_FOR_IT="wrong-key-1234567890")
    assert (called.code, called.out) == (5, "")
    assert "stopped:" in called.err
    assert "refused the key in KEY_FOR_IT" in called.err
    assert "wrong-key" not in called.err


def test_failed_rows_of_a_pilot_are_noted() -> None:
    """Failed rows count as replies of no tokens, and a note says so."""
    with mock_thread(context_length=40) as server:  # prompts beyond are refused
        write(60, server.url)
        figures = estimate_json("--pilot", "40", "--yes")
    failed = figures["pilot"]["failed_rows"]
    assert 0 < failed < 40
    assert f"{failed} of the pilot's 40 rows failed; they count as replies of no tokens." in figures["notes"]


@pytest.mark.parametrize(
    ("usage", "expected", "note"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5}, 150, "Add `price: {input: ..., output: ...}` to the job"),
        (None, None, "no answer of the pilot reports its tokens, so reply lengths are not measured."),
    ],
)
def test_a_server_that_reports_no_cost(usage: Any, expected: int | None, note: str) -> None:
    """A cost that is neither reported nor listed stays unknown after a pilot; so do lengths without a usage."""
    with raw_server(lambda _asked: http(200, completion(usage=usage))) as server:
        write(30, f"http://{server.host}/v1", JOB.replace("price: {input: 0.5, output: 2}\n", ""))
        figures = estimate_json("--pilot", "10", "--yes")
    assert (figures["cost_usd"], figures["price"], figures["pilot"]["cost_usd"]) == (None, None, None)
    assert figures["pilot"]["rows"] == 10
    assert figures["pilot"]["cost_interval_usd"] is None
    if expected is not None:
        assert figures["completion_tokens"]["expected"] == expected
        assert figures["pilot"]["completion_tokens_interval"] == [expected, expected]
    assert any(note in line for line in figures["notes"])


def test_earlier_answers_are_evidence(mock: Mock) -> None:
    """The rows that the job has answered give lengths and price of those left, but no interval."""
    write(80, mock.url)
    assert call("run", "job.yaml", "--limit", "30").code == 0
    figures = estimate_json()
    assert (figures["rows_left"], figures["answered_rows"], figures["pilot"]) == (50, 30, None)
    assert figures["sources"] == {
        "prompt_tokens": figures["sources"]["prompt_tokens"],
        "completion_tokens": "lengths from the 30 rows that this job has answered",
        "cost_usd": "as reported by the endpoint in the answers so far",
        "duration_s": "at the latency in the answers so far",
    }
    assert figures["duration_s"]["expected"] > 0
    assert mock.stats()["requests"] == 30


def test_like_another_run(mock: Mock) -> None:
    """Lengths and latency come from an earlier output or its job; the price, too, from the same endpoint and model."""
    write(50, mock.url)
    assert call("run", "job.yaml").code == 0
    other = ("--set", "output.path=y.parquet")
    for like in ("out/x.parquet", "job.yaml"):
        figures = estimate_json("--like", like, *other)
        assert (figures["rows_left"], figures["price"]["source"]) == (50, "reported")
        assert re.fullmatch(r"lengths from 50 rows in \S*x\.parquet", figures["sources"]["completion_tokens"])
        assert figures["cost_usd"]["expected"] == pytest.approx(float(mock.stats()["cost_usd"]), rel=0.25)
    elsewhere = estimate_json("--like", "out/x.parquet", *other, "--set", "model=n")
    assert elsewhere["price"]["source"] == "job"
    assert elsewhere["sources"]["completion_tokens"] == "lengths from 50 rows of m in out/x.parquet"
    missing = call("estimate", "job.yaml", "--like", "none.parquet")
    assert missing.code == 2
    assert "none.parquet has no run" in missing.err
    both = call("estimate", "job.yaml", "--like", "out/x.parquet", "--pilot", "3")
    assert both.code == 2
    assert "--pilot and --like contradict each other" in both.err


def test_models_side_by_side() -> None:
    """Each has its own counts, price and cost; an unknown price is shown as unknown, not as 0."""
    write(100)
    figures = estimate_json("--compare", "m, gpt-4o,other/model")
    assert [entry["model"] for entry in figures["models"]] == ["m", "gpt-4o", "other/model"]
    assert figures["models"][2]["cost_usd"] is None
    assert figures["models"][1]["prompt_tokens"] > 0
    assert set(figures["models"][1]) == set(figures) - {"models"}
    text = call("estimate", "job.yaml", "--compare", "other/model").out
    assert re.search(
        r"^  model +prompt tokens  reply tokens +low +expected +worst +price, in / out$", text, re.MULTILINE
    )
    assert re.search(r"^  m  .*\$0\.5 / \$2$", text, re.MULTILINE)
    assert re.search(r"^  other/model .* –  +–  +–  +unknown$", text, re.MULTILINE)  # noqa: RUF001


LISTING = {
    "data": [
        {"id": "m", "max_model_len": 4096, "pricing": {"prompt": "0.000001", "completion": "0.000002"}},
        {"id": "cheap", "context_length": 8192, "pricing": {"prompt": "0.0000001", "completion": "0.0000004"}},
        {"id": "dear", "meta": {"n_ctx": 9000}, "metadata": {"pricing": {"input_tokens": 10, "output_tokens": 30}}},
    ]
}
USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "estimated_cost": 0.01}


@contextmanager
def listing_endpoint(status: int = 200) -> Iterator[Endpoint]:
    """An endpoint that lists three models, and answers with 100 and 50 tokens for a cent."""
    with endpoint(lambda _: ok(usage=USAGE), lambda _: http(status, LISTING)) as server:
        yield server


WITHOUT_PRICE = JOB.replace("price: {input: 0.5, output: 2}\n", "")


def test_models_are_compared_at_their_own_prices() -> None:
    """After a pilot, too: another model has the lengths of its replies, and nothing of what they cost."""
    with listing_endpoint() as server:
        write(60, server.url, WITHOUT_PRICE)
        figures = estimate_json("--pilot", "20", "--yes", "--compare", "cheap,dear,absent")
    own, cheap, dear, absent = figures["models"]
    assert own["cost_usd"]["expected"] == pytest.approx(60 * 0.01, rel=0.05)
    for model, input_usd, output_usd in ((cheap, 0.1e-6, 0.4e-6), (dear, 10e-6, 30e-6)):
        expected = model["prompt_tokens"] * input_usd + 60 * 50 * output_usd
        assert model["cost_usd"]["expected"] == pytest.approx(expected)
        assert model["price"]["source"] == "endpoint"
        assert model["rows"]["left"] == 60
    assert absent["cost_usd"] is None


def test_the_answers_of_another_model_have_no_price() -> None:
    """--like takes the lengths of its replies; the job's own model has its own price."""
    with listing_endpoint() as server:
        write(40, server.url, WITHOUT_PRICE)
        assert call("run", "job.yaml").code == 0
        figures = estimate_json("--like", "out/x.parquet", "--set", "output.path=y.parquet", "--set", "model=dear")
    expected = figures["prompt_tokens"] * 10e-6 + 40 * 50 * 30e-6
    assert figures["cost_usd"]["expected"] == pytest.approx(expected)


def test_a_price_that_was_mended_after_a_pilot() -> None:
    """Where the endpoint reports no cost, the rows left are priced by the job's price of now."""
    usage = {"prompt_tokens": 100, "completion_tokens": 50}
    with endpoint(lambda _: ok(usage=usage)) as server:
        write(40, server.url)
        estimate_json("--pilot", "20", "--yes")
        before, after = estimate_json(), estimate_json("--set", "price.output=20")
    assert before["left_cost_usd"]["expected"] == pytest.approx(20 * (100 * 0.5e-6 + 50 * 2e-6), rel=0.05)
    assert after["left_cost_usd"]["expected"] == pytest.approx(20 * (100 * 0.5e-6 + 50 * 20e-6), rel=0.05)


def test_the_endpoints_list_of_models() -> None:
    """Has price and context where the job has none; no row is sent for it."""
    with listing_endpoint() as server:
        write(10, server.url, WITHOUT_PRICE)
        figures = estimate_json()
        assert estimate_json("--set", "model=cheap")["context_length"] == 8192
        assert (server.asked, server.gets) == ([], ["/v1/models"] * 2)
    assert figures["price"] == {"input": 1.0, "output": 2.0, "source": "endpoint", "as_of": None}
    assert figures["context_length"] == 4096
    assert figures["cost_usd"]["worst"] == pytest.approx(figures["prompt_tokens"] * 1e-6 + 10 * 200 * 2e-6)


def test_without_the_list_there_is_an_estimate_all_the_same() -> None:
    """An endpoint that refuses to list, or is not there, leaves an estimate of what is known here, and says so."""
    with listing_endpoint(503) as server:
        write(10, server.url, WITHOUT_PRICE)
        figures = estimate_json()
        assert any("the endpoint's list of models can't be read (HTTP 503)" in note for note in figures["notes"])
        assert len(server.gets) == 1  # nobody waits for an estimate as a run does
        assert estimate_json("--set", "price.input=1", "--set", "price.output=1")["cost_usd"] is not None
    write(10, job=WITHOUT_PRICE)
    figures = estimate_json()
    assert figures["cost_usd"] is None
    assert any("the endpoint's list of models can't be read (no response)" in note for note in figures["notes"])


def test_what_is_left_to_pay_beside_the_whole() -> None:
    """The whole has what is paid already; the counts of rows add up."""
    with listing_endpoint() as server:
        write(50, server.url, more="{\n")
        assert call("run", "job.yaml", "--limit", "20").code == 0
        figures = estimate_json()
        text = call("estimate", "job.yaml").out
    left, whole = figures["left_cost_usd"]["expected"], figures["cost_usd"]["expected"]
    assert whole == pytest.approx(0.5, rel=0.2)
    assert left == pytest.approx(whole - 0.2)
    rows = figures["rows"]
    assert rows == {**rows, "total": 51, "answered": 20, "invalid": 1, "left": 30}
    assert rows["total"] == rows["answered"] + rows["failed"] + rows["invalid"] + rows["left"]
    assert re.search(r"^  left to pay +\$0\.\d+ +\$0\.\d+ +\$0\.\d+$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("failing", "command"), [(False, "report job.yaml"), (True, "run job.yaml --retry-failed")], ids=["done", "failed"]
)
def test_a_job_with_nothing_left(*, failing: bool, command: str) -> None:
    """The estimate says so, and suggests no pilot."""

    def answer(asked: Asked) -> bytes:
        return error(400, "No") if failing and "Question 3:" in asked.text else ok(usage=USAGE, finish_reason="length")

    with endpoint(answer) as server:
        write(10, server.url)
        assert call("run", "job.yaml").code == (3 if failing else 0)
        called, figures = call("estimate", "job.yaml"), estimate_json()
    assert "  rows       10 · nothing left to send\n" in called.out
    assert lines(called)[-1] == f"next  batchchat {command}"
    assert "pilot" not in called.out
    assert figures["left_cost_usd"] == {"low": 0.0, "expected": 0.0, "worst": 0.0}
    assert (figures["rows"]["left"], figures["rows"]["cut_off"]) == (0, 9 if failing else 10)


def test_without_price_and_bound() -> None:
    """Cost and lengths are unknown, the notes name the keys to set, and prompts are still counted."""
    write(20, job=JOB.replace("price: {input: 0.5, output: 2}\n", "").replace("params: {max_tokens: 200}\n", ""))
    figures = estimate_json()
    assert (figures["cost_usd"], figures["price"]) == (None, None)
    assert figures["completion_tokens"] == {"low": None, "expected": None, "worst": None}
    assert figures["prompt_tokens"] == counted(20)
    assert any("Add `price: {input: ..., output: ...}` to the job" in note for note in figures["notes"])
    assert any("Set `params.max_tokens`." in note for note in figures["notes"])
    assert "$0" not in call("estimate", "job.yaml").out


def test_changed_rows_are_noted(mock: Mock) -> None:
    """Rows that changed since they were answered count as answered, with a note that the run will ask."""
    write(20, mock.url)
    assert call("run", "job.yaml").code == 0
    figures = estimate_json("--set", "params.max_tokens=100")
    assert figures["rows_left"] == 0
    assert figures["notes"][-1] == (
        "20 rows changed since they were answered; counted as answered here. run asks whether to pay for them again."
    )


def test_a_header_is_not_repeated() -> None:
    """The value of a header is not in the next command."""
    write(5)
    called = call("estimate", "job.yaml", "--set", "endpoint.headers.X-Key=abcdefgh12345678", "--set", "name=a b")
    assert called.code == 0
    assert "abcdefgh12345678" not in called.out + called.err
    assert "--set 'name=a b' --pilot 100" in called.out


def test_an_input_without_a_good_row() -> None:
    """It is refused with the error of a run."""
    write(0, more="{\n[\n", job=JOB.replace("id: id", "id: id, format: messages"))
    called, ran = call("estimate", "job.yaml"), call("run", "job.yaml")
    assert (called.code, called.err) == (ran.code, ran.err.splitlines(keepends=True)[-1])


def test_rows_that_wont_fit() -> None:
    """A row without room for its reply is named and not sent; without max_tokens a reply may fill the context."""
    write(40)
    tokenizer = tokenizer_for("m")
    counts = [tokenizer.count(row(number)["messages"]) for number in range(40)]
    context = 200 + sorted(counts)[30]
    long = [number for number, count in enumerate(counts) if count + 200 > context]
    figures = estimate_json("--set", f"endpoint.context_length={context}")
    assert (figures["too_long_rows"], figures["rows_left"]) == (len(long), 40 - len(long))
    assert figures["context_length"] == context
    assert figures["completion_tokens"]["worst"] == 200 * (40 - len(long))
    text = call("estimate", "job.yaml", "--set", f"endpoint.context_length={context}").out
    named = ", ".join(f"r{number}" for number in long[:3])
    assert f"  won't fit  {len(long)} rows over {context} tokens: {named} and {len(long) - 3} more\n" in text
    write(40, job=JOB.replace("params: {max_tokens: 200}\n", ""))
    figures = estimate_json("--set", f"endpoint.context_length={context}")
    assert figures["too_long_rows"] == 0
    assert figures["completion_tokens"] == {
        "low": None,
        "expected": None,
        "worst": sum(context - count for count in counts),
    }
    assert figures["sources"]["completion_tokens"] == "reply lengths unknown; the worst fills the context"


def test_prices_of_the_table() -> None:
    """Without a price in the job the table's is used, with its source and date; each compared model has its own."""
    Path("own.csv").write_text(
        "model,host,input,output,source,as_of\nm,,1.5,2.5,invoice,2026-11-01\nn,,3,4,invoice,2026-11-02\n"
    )
    write(10, job=JOB.replace("price: {input: 0.5, output: 2}", "prices: own.csv"))
    figures = estimate_json("--compare", "n")
    assert [entry["price"] for entry in figures["models"]] == [
        {"input": 1.5, "output": 2.5, "source": "table", "as_of": "2026-11-01"},
        {"input": 3.0, "output": 4.0, "source": "table", "as_of": "2026-11-02"},
    ]
    assert figures["sources"]["cost_usd"] == "$1.5 in / $2.5 out per million (invoice, 2026-11-01)"


def test_memory_is_flat() -> None:
    """More rows need memory only for the table of their ids: far less than a row's 300 bytes."""

    def peak(count: int) -> int:
        write(count)
        job = load_job(Path("job.yaml"), overrides=[override("endpoint.base_url=mock")], environ={})
        tracemalloc.start()
        try:
            assert estimate(job)[0].load.left == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    small, large = peak(2_000), peak(8_000)
    assert large - small < 6_000 * 60


def test_models_of_a_matrix_and_re_asks() -> None:
    """The sum is called all, not by the models' names at length; what the figures leave out is a note."""
    write(2, more="", job=JOB.replace("price: {input: 0.5, output: 2}\n", "") + "matrix: {model: [a, b]}\n")
    called = call("estimate", "job.yaml", "--set", "expect.matches=.", "--set", "expect.re_ask=2")
    assert (called.code, called.err) == (0, "")
    text = " ".join(called.out.split())
    assert " all " in next(line for line in called.out.splitlines() if line.startswith("  all"))
    assert (
        "a reply that does not fit `expect` is asked for again up to 2 times, which is paid: counted in the worst case."
        in text
    )
    assert "a: No tokenizer is known for this model; name its tokenizer.json in `estimate.tokenizer`." in text
