"""What providers bill, as they say it: each row's cost is that, and a cap holds over all of it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.acceptance.job import Job, rows
from tests.acceptance.servers import completion, http
from tests.field.endpoint import endpoint, error, ok

COUNTS = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
PRICE = {"price__input": 1, "price__output": 2, "price__cached_input": 0.1}
BYOK = {"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0360795}}
LIST = {"object": "list", "data": [{"id": "m", "pricing": {"prompt": "0.000001", "completion": "0.000002"}}]}


@pytest.mark.parametrize(
    ("usage", "cost", "source", "counts"),
    [
        ({**COUNTS, **BYOK}, 0.0360795, "reported", (10, 5, 15, None)),
        ({**COUNTS, "cost_in_usd_ticks": 232856000}, 0.0232856, "reported", (10, 5, 15, None)),
        ({**COUNTS, "cost": {"total_cost": "1e-4"}}, 0.0001, "reported", (10, 5, 15, None)),
        ({name: str(count) for name, count in COUNTS.items()}, 0.00002, "job", (10, 5, 15, None)),
        ({"prompt_tokens": 10, "total_tokens": 15}, 0.00002, "job", (10, 5, 15, None)),
        ({"input_tokens": 10, "output_tokens": 5}, 0.00002, "job", (10, 5, None, None)),
        ({**COUNTS, "cached_tokens": 8}, 0.0000128, "job", (10, 5, 15, 8)),
        ({**COUNTS, "prompt_cache_hit_tokens": 8}, 0.0000128, "job", (10, 5, 15, 8)),
        ({"prompt_tokens": 20, "completion_tokens": 151, "total_tokens": 553}, 0.001086, "job", (20, 151, 553, None)),
        ({**COUNTS, "estimated_cost": 1e20}, 0.00002, "job", (10, 5, 15, None)),
        ({**COUNTS, "cost": -1}, 0.00002, "job", (10, 5, 15, None)),
        ({**COUNTS, "total_tokens": 1 << 62, "cost": 0.5}, 0.5, "reported", (10, 5, None, None)),
    ],
    ids=[
        *["BYOK", "ticks", "an object", "text", "no count of the reply", "other names", "cached", "cache hits"],
        *["reasoning apart", "an absurd cost", "a negative cost", "an absurd count"],
    ],
)
def test_a_cost_however_it_is_told(
    job: Job, usage: dict[str, Any], cost: float, source: str, counts: tuple[int | None, ...]
) -> None:
    """The reported cost where there is one that can be, else that of all billed tokens; the counts as reported."""
    with endpoint(lambda _: ok(usage=usage)) as server:
        job.write(rows(1), endpoint__base_url=server.url, **PRICE)
        ended = job.run()
    assert ended.code == 0, ended.err
    (row,) = job.table()
    assert (row["cost_usd"], row["cost_source"]) == (cost, source)
    names = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens")
    assert tuple(row[name] for name in names) == counts


def test_a_gateway_that_tells_the_cost_in_a_header(job: Job) -> None:
    """LiteLLM's header is the cost of a body without one."""
    headers = {"x_litellm_response_cost": "3.4e-05", "x_litellm_key_spend": "0.1"}
    with endpoint(lambda _: http(200, completion(usage=COUNTS), **headers)) as server:
        job.write(rows(1), endpoint__base_url=server.url, **PRICE)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert [(row["cost_usd"], row["cost_source"]) for row in job.table()] == [(0.000034, "reported")]


def test_a_cap_holds_over_reasoning_that_no_count_has(job: Job) -> None:
    """Gemini bills 533 tokens and counts 151: what is billed stays under the cap."""
    usage = {"prompt_tokens": 20, "completion_tokens": 151, "total_tokens": 553}
    with endpoint(lambda _: ok(usage=usage)) as server:
        job.write(
            rows(40),
            endpoint__base_url=server.url,
            price__input=0.3,
            price__output=2.5,
            params__max_tokens=600,
            budget__max_cost=0.02,
        )
        ended = job.run()
    assert ended.code == 4, ended.err
    billed_usd = len(server.asked) * Decimal("0.0013385")
    assert Decimal("0.01") < billed_usd <= Decimal("0.02")
    assert sum(Decimal(str(row["cost_usd"])) for row in job.table()) == billed_usd


def test_an_estimate_knows_what_no_count_has(job: Job) -> None:
    """What is left is expected to cost what the rows before it did, reasoning outside of their counts included."""
    usage = {"prompt_tokens": 20, "completion_tokens": 151, "total_tokens": 553}
    with endpoint(lambda _: ok(usage=usage)) as server:
        job.write(rows(20), endpoint__base_url=server.url, params__max_tokens=600, **PRICE)
        job.run("--limit", "10")
        estimate = json.loads(job.run("estimate", "job.yaml", "--json").out)
    assert estimate["completion_tokens"]["expected"] == pytest.approx(20 * 533, rel=0.01)
    assert estimate["cost_usd"]["expected"] == pytest.approx(20 * 0.001086, rel=0.1)


@pytest.mark.parametrize("max_cost", [None, 1])
def test_a_list_of_models_that_fails_once(job: Job, max_cost: float | None) -> None:
    """One 503 in place of the list: it is asked for again, so that the costs are known and a budget is not refused."""
    lists = iter([error(503, "overloaded")])
    with endpoint(lambda _: ok(usage=COUNTS), lambda _: next(lists, http(200, LIST))) as server:
        job.write(rows(3), endpoint__base_url=server.url, params__max_tokens=100, budget__max_cost=max_cost)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert {(row["cost_usd"], row["cost_source"]) for row in job.table()} == {(0.00002, "endpoint")}
    assert len(server.gets) == 2


def own_model(number: int, model: str) -> dict[str, Any]:
    """A row with a model of its own."""
    return {**rows(1, number)[0], "own": {"model": model}}


def test_a_model_of_a_row_has_its_own_price(job: Job) -> None:
    """The job's price is of its own model; another has the price of the endpoint's list, or none."""
    with endpoint(lambda _: ok(usage=COUNTS, model=None), lambda _: http(200, LIST)) as server:
        job.write(
            [own_model(0, "m"), own_model(1, "big"), *rows(1, 2)],
            endpoint__base_url=server.url,
            model="big",
            input__params="own",
            price__input=100,
            price__output=100,
        )
        ended = job.run()
    assert ended.code == 0, ended.err
    costs = {row["id"]: (row["cost_usd"], row["cost_source"]) for row in job.table()}
    assert costs == {"r0000": (0.00002, "endpoint"), "r0001": (0.0015, "job"), "r0002": (0.0015, "job")}


def test_a_model_without_a_price_under_a_cap(job: Job) -> None:
    """What it costs has no bound: the row is named before anything is sent."""
    with endpoint(lambda _: ok(usage=COUNTS), lambda _: http(200, LIST)) as server:
        job.write(
            [*rows(2), own_model(2, "unpriced")],
            endpoint__base_url=server.url,
            input__params="own",
            params__max_tokens=100,
            budget__max_cost=1,
            **PRICE,
        )
        ended = job.run()
    assert ended.code == 2, ended.err
    assert "in.jsonl:3" in ended.err
    assert "unpriced" in ended.err
    assert not server.asked


def test_counts_whose_sum_no_column_holds(job: Job) -> None:
    """Absurd counts are unknown, so that a sum over rows can't wrap; totals and the page agree."""
    usage = {"prompt_tokens": (1 << 63) - 1, "completion_tokens": 10**9, "total_tokens": (1 << 63) - 1}
    with endpoint(lambda _: ok(usage=usage)) as server:
        job.write(rows(12), endpoint__base_url=server.url)
        ended = job.run()
        report = job.run("report", "job.yaml", "--json")
    assert ended.code == 0, ended.err
    (output,) = json.loads(report.out)["outputs"]
    assert (output["prompt_tokens"], output["completion_tokens"]) == (None, 12 * 10**9)


CACHED = {**COUNTS, "prompt_tokens_details": {"cached_tokens": 8}}


def test_what_cached_tokens_saved_is_told_at_their_known_price(job: Job) -> None:
    """In the summary, the report and the page, before and after a resume, to the last digit; never promised."""
    with endpoint(lambda _: ok(usage=CACHED)) as server:
        job.write(rows(4), endpoint__base_url=server.url, **PRICE)
        ended = job.run("--limit", "3")
        assert ended.code == 0, ended.err
        told = f"less by {3 * 8} cached tokens, at their known price"
        assert told in ended.out
        assert told in job.run("report", "job.yaml").out
        ended = job.run("--json")
    # 8 of 10 tokens at 0.1 in place of 1 USD per million, four times
    assert json.loads(ended.out)["cost_usd"]["saved_by_cache"] == 0.0000288
    report = json.loads(job.run("report", "job.yaml", "--json").out)["outputs"][0]
    assert (report["cost_usd"]["saved_by_cache"], report["cached_tokens"]) == (0.0000288, 32)
    page = job.folder / "page.html"
    assert job.run("report", "job.yaml", "--html", str(page)).code == 0
    assert "less by 32 cached tokens" in page.read_text()


@pytest.mark.parametrize(
    ("keys", "usage"),
    [({"price__cached_input": None}, CACHED), ({}, COUNTS), ({"price": None}, CACHED)],
    ids=["cached tokens have no price", "nothing was cached", "no price is known"],
)
def test_where_it_is_not_known_no_saving_is_told(job: Job, keys: dict[str, Any], usage: dict[str, Any]) -> None:
    with endpoint(lambda _: ok(usage=usage)) as server:
        job.keys |= {} if "price" in keys else {name.replace("__", "."): usd for name, usd in PRICE.items()}
        job.write(rows(2), endpoint__base_url=server.url, **keys)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert "less by" not in ended.out
    assert json.loads(job.run("report", "job.yaml", "--json").out)["outputs"][0]["cost_usd"]["saved_by_cache"] is None


def test_no_saving_is_told_of_rows_with_models_of_their_own(job: Job) -> None:
    """The job's price is not theirs."""
    messages = [{"role": "user", "content": "Hi"}]
    bodies = [{"custom_id": model, "body": {"model": model, "messages": messages}} for model in "mn"]
    with endpoint(lambda _: ok(usage=CACHED)) as server:
        job.write(bodies, endpoint__base_url=server.url, input__id=None, **PRICE)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert "less by" not in ended.out
