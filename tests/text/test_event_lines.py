"""The line of each event."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

import pytest

from batchchat.core import events, notices
from batchchat.core.notices import JournalShipped, ShardNoted, ShippingFailed, Uploaded, Uploading
from batchchat.core.run_figures import RunFigures
from batchchat.text.event_lines import LINES, LINES_WITH_TIMES, WITHOUT_LINE, event_line

STARTED = events.Started(
    name="chef", model="m", host="api.deepinfra.com", concurrency=1200, source="messages from a.jsonl",
    recognised=None, output="out/chef.parquet",
)  # fmt: skip

TEXTS = [
    (STARTED, "chef · m at api.deepinfra.com · up to 1,200 in flight\ninput  messages from a.jsonl"),
    (
        STARTED._replace(recognised="messages, from the column `messages` of the first row"),
        "chef · m at api.deepinfra.com · up to 1,200 in flight\n"
        "input  messages from a.jsonl (recognised: messages, from the column `messages` of the first row)",
    ),
    (
        ShardNoted(
            2,
            4,
            (50, 200),
            (12.5, 50.0),
            (1e6, 4e6),
            (Decimal("2.5"), Decimal(10)),
            "out/x-2-of-4.parquet",
            shares_apart=True,
            other_runs=("out/x.parquet", "out/x-1-of-3.parquet"),
        ),
        "shard  2 of 4 · 50 of 200 in flight · $2.5000 of the budget of $10.0000 · 12.5 of 50 requests a minute"
        " · 1,000,000 of 4,000,000 tokens a minute · output out/x-2-of-4.parquet\n"
        "note   equal requests are sent once in each shard (`dedupe`): a shard does not see the others\n"
        "note   out/x.parquet, out/x-1-of-3.parquet: runs of this job with another number of shards. Their answers are"
        " not used here, and are paid for again.",
    ),
    (ShardNoted(1, 4, None, None, None, None, "o"), "shard  1 of 4 · 1/4 of what the endpoint allows · output o"),
    (
        events.InputNoted(("rows have `tools`, not sent.", "`params.top_q` is sent as it stands.")),
        "note   rows have `tools`, not sent.\nnote   `params.top_q` is sent as it stands.",
    ),
    (
        events.Planned(
            total=12477, kept=8112, kept_changed=0, resend_changed=41, retry_failed=0, new=4324, invalid=0, gone=0
        ),
        "resume 8,112 finished before are kept · 41 are sent again (request changed) · 4,324 new",
    ),
    (
        events.Planned(total=9, kept=3, kept_changed=2, resend_changed=0, retry_failed=1, new=0, invalid=5, gone=4),
        "resume 3 finished before are kept (2 of them answered another request) · 1 failed before is tried again"
        " · 5 invalid · 4 gone from the input",
    ),
    (
        events.Planned(
            total=9,
            kept=4,
            kept_changed=0,
            resend_changed=0,
            retry_failed=0,
            new=0,
            invalid=0,
            gone=0,
            resend_answered=5,
            undecided=1,
            taken_over=2,
            refreshed=1,
        ),
        "resume 4 finished before are kept (2 of them under a new id, for the same request, 1 of them undecided)"
        " · 5 answered before are sent again\n"
        "input  1 row has new values in carried columns; the output takes them",
    ),
    (
        events.ChangedRowsLeft(3, Decimal("0.5"), 1, {"conversation": 1, "model": 3, "params": 0}),
        "changed 3 rows were answered, for $0.5000 and an unknown sum for 1 of them, before their conversation (1) and"
        " model changed. Their answers are kept and nothing is sent for them: --resend changed pays again,"
        " --keep-changed keeps what there is",
    ),
    (
        events.EndpointRetired("it refused the key.", "endpoint refuses: unauthorized", 2),
        "not used any more: it refused the key. 2 other endpoints left",
    ),
    (events.IdsNotInInput("ids.txt", 2), "resend 2 ids of ids.txt are not in the input"),
    (
        events.Replayed(("journal-000001.jsonl: hurt",), 128),
        "journal journal-000001.jsonl: hurt\n"
        "journal an earlier run was killed: up to 128 requests of it were in flight or not yet recorded, and may have"
        " been billed",
    ),
    (
        STARTED._replace(concurrency=None),
        "chef · m at api.deepinfra.com · as many in flight as the endpoint allows\ninput  messages from a.jsonl",
    ),
    (
        events.LimitsRead(200, 1_000_000, 200),
        "limits the endpoint allows 200 in flight and 1,000,000 tokens a minute",
    ),
    (events.LimitsRead(None, 500, 200), "limits the endpoint allows 500 tokens a minute: using up to 200 in flight"),
    (
        notices.LimitsShared("team", 200, []),
        "limits shared as team, with no other job so far: 200 in flight together",
    ),
    (
        notices.WorkersWait(3, 8, {"CPU": 1.0, "memory": 2e9}),
        "3 of 8 workers have not started yet: each needs a node of Ray with {CPU: 1, memory: 2e+09} free",
    ),
    (
        notices.LimitsShared("team", 1200, ["a.yaml", "b.yaml"]),
        "limits shared as team, with a.yaml, b.yaml: 1,200 in flight together",
    ),
    (
        notices.LeasesHeld("team", "/s/lock", 10.0),
        "limits shared as team: another process has held /s/lock for 10s, and nothing is sent until it goes on."
        " If it is suspended, continue or end it",
    ),
    (
        events.LimitsRead(50_000, None, 10_000),
        "limits the endpoint allows 50,000 in flight: using up to 10,000 in flight",
    ),
    (
        events.LimitsRead(None, None, 200, "HTTP 404"),
        "limits unknown (HTTP 404): using up to 200 in flight",
    ),
    (events.CeilingLowered(200, 140, 31, 5.0), "rate limited: 200 -> 140 in flight (31 refusals in 5.0s)"),
    (events.CeilingLowered(2, 1, 1, 0.5), "rate limited: 2 -> 1 in flight (1 refusal in 0.5s)"),
    (events.CeilingRaised(10, 1000), "grown back: 10 -> 1,000 in flight"),
    (events.OtherModelServed("a", "b"), "the endpoint serves b for a; the price may differ"),
    (
        events.OtherTierServed("flex", "default"),
        "the endpoint serves tier default where flex was asked for; the price differs",
    ),
    (
        events.StreamNoticed("unasked", "r7"),
        "the endpoint streams, which no request asked for; replies are joined, from row r7 on",
    ),
    (
        events.StreamNoticed("ignored", "r7"),
        "the endpoint does not stream: row r7 was answered whole. `endpoint.stream` has no effect",
    ),
    (
        events.StreamNoticed("no usage", "r7"),
        "the endpoint refuses `stream_options`: from row r7 on it is asked without, and may not report tokens and cost",
    ),
    (
        events.GatewayTimeoutFound(504, 60.2, 5),
        "5 requests ended with HTTP 504 after about 1m 00s each: a gateway in front of the endpoint cuts longer"
        " replies off, which may be billed all the same. Set `endpoint.stream: true`, or lower `params.max_tokens`",
    ),
    (
        events.GatewayTimeoutFound(504, 60.2, 5, streams=True),
        "5 requests ended with HTTP 504 after about 1m 00s each: a gateway in front of the endpoint cuts longer"
        " replies off, which may be billed all the same. Lower `params.max_tokens`",
    ),
    (
        events.ResponseFormatRefused("m", "json_schema", "json_object", "no such type"),
        "m is refused response_format json_schema (no such type): asking by json_object with the schema in the prompt"
        " from here on",
    ),
    (
        events.ResponseFormatRefused("m", "json_object", "none", "no such type"),
        "m is refused response_format json_object (no such type): asking by the prompt alone from here on",
    ),
    (
        events.PromptTruncated("r7", 210_000, 4096),
        "row r7 was answered after 4,096 prompt tokens, too few for its 210 kB of text: the endpoint seems to cut long"
        " prompts without saying so. Raise its context (Ollama: num_ctx)",
    ),
    (
        events.ContextLimitFound(4096, 5),
        "5 rows of different length each used exactly 4,096 tokens in all: the endpoint's context ends there, and it"
        " cuts prompts or replies without saying so. Raise it (Ollama: num_ctx)",
    ),
    (
        events.Environment("0.1", "Python 3.11 · Linux", 7, "box", "a.yaml", "o.parquet", "64 in flight at most"),
        "batchchat 0.1 · Python 3.11 · Linux · pid 7 on box\njob    a.yaml -> o.parquet\nrules  64 in flight at most",
    ),
    (events.FirstFailure("bad_request", "r1", "no"), "first bad_request: row r1: no"),
    (
        events.RowOverdue("r9", 41.0, 10.0, again=True),
        "row r9 is the last and has run 41s, where 99 of 100 answers took at most 10.0 s: it is sent again, and may be"
        " billed twice",
    ),
    (
        events.RowOverdue("r9", 161.0, 10.0, again=False),
        "row r9 is the last and has run 2m 41s, where 99 of 100 answers took at most 10.0 s: it is given up",
    ),
    (
        events.Draining("SIGTERM", 64, 30.0),
        "SIGTERM: no new requests; waiting up to 30s for 64 in flight. Send it again to stop now",
    ),
    (
        events.Draining("`budget.stop_at`", 64, 600.0, by_signal=False),
        "`budget.stop_at`: no new requests; waiting up to 10m 00s for 64 in flight",
    ),
    (
        events.Draining("Another process has begun it. Every row is kept.", 0, 30.0, by_signal=False),
        "Another process has begun it. Every row is kept. No new requests; none in flight",
    ),
    (
        events.Budgeted(Decimal(20), Decimal(0), Decimal(0), 0, 4324, Decimal("61.2"), learning=(8, 20)),
        "budget $20.0000 · worst case of the 4,324 rows to send: $61.2000"
        " · at most 8 at a time until 20 answers show the real price",
    ),
    (
        events.Budgeted(Decimal(20), Decimal("4.12"), Decimal("0.01"), 3, 1, Decimal(1), "$1 in"),
        "budget $20.0000 · $4.1200 paid and up to $0.0100 possibly billed in earlier runs"
        " · not counted: 3 earlier answers of unknown cost · worst case of the row to send: $1.0000 · priced at $1 in",
    ),
    (
        events.Budgeted(Decimal(20), Decimal(0), Decimal(0), 1, 0, Decimal(0)),
        "budget $20.0000 · not counted: 1 earlier answer of unknown cost",
    ),
    (
        events.PriceRatioRaised(Decimal("1.528"), Decimal(0)),
        "the endpoint charges up to 1.53x the listed price; reservations now use that",
    ),
    (
        events.PriceRatioRaised(Decimal(3), Decimal("0.002")),
        "the endpoint charges up to 3.00x the listed price; reservations now use that. $0.0020 over the reserved"
        " maximum so far",
    ),
    (
        events.PriceRatioRaised(Decimal(1), Decimal("0.002")),
        "an answer cost more than was reserved for it. $0.0020 over the reserved maximum so far",
    ),
    (
        events.CostOutlier(Decimal("666.67")),
        "one answer cost 667x what was expected; reservations change only if another one does",
    ),
    (
        events.EndpointsChanged("nodes.txt", ("n3:8000",), ("n1:8000", "n2:8000"), ("nodes.txt:4: no URL",), 1),
        "nodes.txt: n3:8000 joined; n1:8000, n2:8000 left, what is in flight there is kept; 1 endpoint\n"
        "nodes.txt:4: no URL",
    ),
    (events.EndpointsChanged("nodes.txt", (), (), ("nodes.txt has no endpoint.",), 2), "nodes.txt has no endpoint."),
    (JournalShipped("s3://b/j/out.run", 5, 0), "journal copied to s3://b/j/out.run each 5 s"),
    (
        JournalShipped("s3://b/j/out.run", 5, 12_000),
        "journal copied to s3://b/j/out.run each 5 s\njournal 12 kB fetched that this machine did not have",
    ),
    (
        ShippingFailed("s3://b/j/out.run", "s3://b/j can't be written: no response from b."),
        "journal not copied: s3://b/j can't be written: no response from b. The run goes on; every row is in the"
        " journal on this machine",
    ),
    (Uploading("s3://b/out", 3, 31_000_000), "upload 3 files, 31 MB -> s3://b/out"),
    (Uploaded("s3://b/out/parts/1/*", 4.2, 0, is_new=True), "upload done in 4.2s · s3://b/out/parts/1/*"),
    (
        Uploaded("s3://b/o.parquet", 0.1, 1, is_new=False),
        "upload not needed: it is there · s3://b/o.parquet\nnote   1 earlier object can't be deleted with these"
        " credentials",
    ),
]


def test_each_type_of_event_is_in_one_table() -> None:
    """A new event gets a line, or is named among those that deliberately have none."""
    types = [*LINES, *LINES_WITH_TIMES, *WITHOUT_LINE]
    assert len(types) == len(set(types))
    assert set(types) == set(get_args(events.Event))


def test_what_happens_at_one_of_several_endpoints_has_its_name() -> None:
    """The line is the one that it has anywhere; what has none there has none here."""
    lowered = events.OfEndpoint("gpu1", events.CeilingLowered(2, 1, 1, 0.5))
    assert event_line(lowered) == "gpu1: rate limited: 2 -> 1 in flight (1 refusal in 0.5s)"
    assert event_line(events.OfEndpoint("gpu1", events.Publishing(1))) is None


def test_each_line_is_tried() -> None:
    """No line is without an example here."""
    assert {type(event) for event, _ in TEXTS} | {events.OnFinishFailed} == set(LINES)


@pytest.mark.parametrize(
    "event",
    [events.Publishing(7), events.Finished(0, "", "", RunFigures())],
)
def test_what_ends_the_progress_line_has_no_line(event: events.Event) -> None:
    """The summary says it."""
    assert event_line(event) is None


@pytest.mark.parametrize(("event", "expected"), TEXTS)
def test_each_event_has_its_line(event: events.Event, expected: str) -> None:
    """A person reads exactly this."""
    assert event_line(event) == expected


def test_an_outage_has_its_times() -> None:
    """Since when, what was seen, when it is asked again, how much is left; then how long it was and what it took."""
    down = events.EndpointDown(18_134.0, "HTTP 503", 15.4, 4011)
    back = events.EndpointUp(18_134.0, 18_857.0, 723.0, 9)
    assert event_line(down, utc=True) == (
        "endpoint down since 05:02:14Z (HTTP 503): waiting, next probe in 15s, 4,011 rows left"
    )
    assert event_line(down._replace(left=1), utc=True) == (
        "endpoint down since 05:02:14Z (HTTP 503): waiting, next probe in 15s, 1 row left"
    )
    assert event_line(down._replace(left=None), utc=True) == (
        "endpoint down since 05:02:14Z (HTTP 503): waiting, next probe in 15s"
    )
    assert event_line(back, utc=True) == (
        "endpoint is back after 12m 03s (05:02:14Z to 05:14:17Z, 9 requests sent meanwhile)"
    )
    assert str(event_line(back._replace(probes=1))).endswith(", 1 request sent meanwhile)")
