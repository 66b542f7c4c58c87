"""What a row is over runs: an answer that was paid for is found again, whatever was done to ids, order and columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.acceptance.job import Ended, Job, conversation, rows
from tests.field.endpoint import Asked, Endpoint, endpoint, ok

COST = 0.000002


def answer(asked: Asked) -> bytes:
    """An answer that says what was asked, and costs something."""
    return ok(f"to {asked.text}", usage={"prompt_tokens": 3, "completion_tokens": 2, "estimated_cost": COST})


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with endpoint(answer) as running:
        yield running


def resumed(ended: Ended) -> str:
    """What was said of the rows that were there."""
    return next(line for line in ended.err.splitlines() if line.startswith("resume "))


def replies(job: Job) -> dict[str, str]:
    """Reply by id."""
    return {row["id"]: row["response"] for row in job.table()}


def paid_usd(job: Job) -> Decimal:
    """All that the output knows to be paid."""
    beside = metadata(job)["beside"]
    costs = [Decimal(repr(row["cost_usd"])) for row in job.table() if row["cost_usd"] is not None]
    return sum(costs, Decimal(beside["superseded_usd"]) + Decimal(beside["pending_usd"]))


def metadata(job: Job) -> dict[str, Any]:
    import pyarrow.parquet as pq

    value: dict[str, Any] = json.loads(pq.read_schema(job.output).metadata[b"batchchat"])
    return value


def test_a_sweep_whose_rows_are_reordered(job: Job, server: Endpoint) -> None:
    """One prompt at two temperatures, no ids: which line comes first plays no part."""
    sweep = [{"prompt": "One", "p": {"temperature": t}} for t in (0.1, 0.9)]
    job.write(sweep, input__id=None, input__params="p", endpoint__base_url=server.url)
    assert job.run().code == 0
    first = replies(job)
    job.write(sweep[::-1])
    ended = job.run()
    assert (ended.code, resumed(ended)) == (0, "resume 2 finished before are kept · nothing to send")
    assert (len(server.asked), replies(job)) == (2, first)


def test_ids_that_were_added(job: Job, server: Endpoint) -> None:
    """Without ids, then with them: every answer is taken over, its money counted once, and no-op runs stay no-ops."""
    without = [{"messages": row["messages"]} for row in rows(5)]
    job.write(without, input__id=None, endpoint__base_url=server.url)
    assert job.run().code == 0
    job.write(rows(5), input__id="id")
    ended = job.run()
    assert ended.code == 0
    assert resumed(ended) == (
        "resume 5 finished before are kept (5 of them under a new id, for the same request) · nothing to send"
    )
    assert replies(job) == {f"r{n:04}": f"to Question {n}" for n in range(5)}
    assert len(server.asked) == 5
    assert paid_usd(job) == 5 * Decimal(repr(COST))
    before = job.journal_file.read_bytes()
    ended = job.run()
    assert (ended.code, resumed(ended)) == (0, "resume 5 finished before are kept · nothing to send")
    assert (job.journal_file.read_bytes(), len(server.asked)) == (before, 5)


def test_ids_that_are_line_numbers(job: Job, server: Endpoint) -> None:
    """Rows known by their line: one is taken out at the top, then one put in. Only the new one is sent."""

    def numbered(numbers: list[int]) -> list[dict[str, Any]]:
        return [{"id": str(at), "prompt": f"Question {n}"} for at, n in enumerate(numbers)]

    job.write(numbered([0, 1, 2, 3, 4]), endpoint__base_url=server.url)
    assert job.run().code == 0
    job.write(numbered([1, 2, 3, 4]))
    assert job.run().code == 0
    assert replies(job) == {str(at): f"to Question {at + 1}" for at in range(4)}
    assert len(server.asked) == 5
    job.write(numbered([9, 1, 2, 3, 4]))
    assert job.run().code == 0
    assert replies(job) == {str(at): f"to Question {n}" for at, n in enumerate([9, 1, 2, 3, 4])}
    assert len(server.asked) == 6
    job.write(numbered([4, 3, 2, 1, 9]))  # each takes another's, and gives its own
    assert job.run().code == 0
    assert replies(job) == {str(at): f"to Question {n}" for at, n in enumerate([4, 3, 2, 1, 9])}
    assert len(server.asked) == 6
    job.write(numbered([0, 1, 2, 3, 4, 9]))
    assert job.run().code == 0
    assert replies(job) == {str(at): f"to Question {n}" for at, n in enumerate([0, 1, 2, 3, 4, 9])}
    assert len(server.asked) == 7  # the first answer to it was replaced
    assert paid_usd(job) == len(server.asked) * Decimal(repr(COST))


def test_a_kill_while_answers_are_taken_over(job: Job, server: Endpoint) -> None:
    """Wherever the journal is cut off, the next run finds every answer: none is paid for again."""
    given = [{"id": str(at), "prompt": f"Question {at}"} for at in range(4)]
    job.write(given, endpoint__base_url=server.url)
    assert job.run().code == 0
    whole, output = job.journal_file.read_bytes(), job.output.read_bytes()
    swapped = [{**row, "id": str(3 - at)} for at, row in enumerate(given)]
    job.write(swapped)
    assert job.run().code == 0
    amended = job.journal_file.read_bytes()
    assert amended.startswith(whole)
    ends = [at + 1 for at in range(len(whole), len(amended)) if amended[at : at + 1] == b"\n"]
    assert len(ends) > 4
    for end in ends:
        job.journal_file.write_bytes(amended[:end])
        job.output.write_bytes(output)
        assert job.run().code == 0
        assert replies(job) == {str(3 - at): f"to Question {at}" for at in range(4)}
        assert paid_usd(job) == 4 * Decimal(repr(COST))
    assert len(server.asked) == 4


def test_equal_requests_share_no_answer(job: Job, server: Endpoint) -> None:
    """Two equal prompts are two samples: with new ids each has one of the two answers, and a third is sent."""
    same = [{"prompt": "Same", "n": str(n)} for n in range(2)]
    job.write(same, input__id=None, endpoint__base_url=server.url)
    assert job.run().code == 0
    assert sorted(replies(job)) == [(first := min(replies(job))), f"{first}-2"]
    job.write([*same, {"prompt": "Same", "n": "2"}], input__id="n")
    ended = job.run()
    assert (ended.code, len(server.asked)) == (0, 3)
    assert resumed(ended) == (
        "resume 2 finished before are kept (2 of them under a new id, for the same request) · 1 new"
    )
    assert len({row["response_id"] for row in job.table()}) <= 3
    assert paid_usd(job) == 3 * Decimal(repr(COST))


def test_a_journal_whose_ids_left_out_the_parameters(job: Job, server: Endpoint) -> None:
    """Ids of earlier versions were of the conversation alone: their answers are found by the request."""
    sweep = [{"key": f"82148ae815149c82{end}", "prompt": "One", "p": {"top_p": p}} for end, p in (("", 1), ("-2", 0.5))]
    job.write(sweep, input__id="key", input__params="p", endpoint__base_url=server.url)
    assert job.run().code == 0
    job.write([{name: row[name] for name in ("prompt", "p")} for row in sweep], input__id=None)
    assert job.run().code == 0
    assert len(server.asked) == 2


def test_an_output_of_another_job(job: Job, server: Endpoint) -> None:
    """A copied job that still names the first one's output is refused, and names it; --yes and --fresh go on."""
    job.write(rows(3), endpoint__base_url=server.url)
    assert job.run().code == 0
    before = job.output.read_bytes()
    job.write(rows(2, start=10), name="copy")
    ended = job.run()
    assert ended.code == 2
    (error,) = ended.errors
    assert error.startswith(
        "error: out.parquet holds 3 answered rows of the job `job`, none of which is in the input of this job"
    )
    assert (job.output.read_bytes(), len(server.asked)) == (before, 3)
    assert job.run("--limit", "1").code == 2
    assert job.run("--yes").code == 0
    assert [row["id"] for row in job.table()] == ["r0010", "r0011"]
    assert paid_usd(job) == 5 * Decimal(repr(COST))
    job.write(rows(1))  # the first job again, of which one row is there
    assert job.run().code == 0
    assert len(server.asked) == 5


def test_an_input_that_lost_its_rows_but_one_is_no_other_job(job: Job, server: Endpoint) -> None:
    """One finished row in common, even a failed one, and the run goes on."""
    job.write(rows(3), endpoint__base_url=server.url)
    assert job.run().code == 0
    job.write([*rows(1, start=2), *rows(1, start=9)])
    assert job.run().code == 0
    assert len(server.asked) == 4


def test_one_changed_row_does_not_keep_new_ones_from_being_sent(job: Job, server: Endpoint) -> None:
    """Off a terminal all others are sent, the changed row keeps its answer, and the exit code says that it waits."""
    job.write(rows(3), endpoint__base_url=server.url)
    assert job.run().code == 0
    given = [*rows(3), *rows(20, start=100)]
    given[1]["messages"] = conversation("Something else")
    job.write(given)
    ended = job.run()
    assert ended.code == 3
    assert resumed(ended) == "resume 3 finished before are kept (1 of them undecided) · 20 new"
    assert "changed 1 row was answered, for <$0.0001, before its conversation changed. Its answer is kept" in ended.err
    assert "next  batchchat run job.yaml --resend changed\n      batchchat run job.yaml --keep-changed\n" in ended.out
    assert (len(server.asked), replies(job)["r0001"], len(job.table())) == (23, "to Question 1", 23)
    again = job.run()
    assert (again.code, len(server.asked)) == (3, 23)
    assert job.run("--keep-changed").code == 0
    assert job.run("--resend", "changed").code == 0
    assert (len(server.asked), replies(job)["r0001"]) == (24, "to Something else")
    assert paid_usd(job) == 24 * Decimal(repr(COST))


@pytest.mark.parametrize(("changed", "code", "sent"), [("keep", 0, 2), ("resend", 0, 4), ("ask", 3, 2)])
def test_the_job_says_what_becomes_of_changed_rows(
    job: Job, server: Endpoint, changed: str, code: int, sent: int
) -> None:
    """`resume.changed` stands in the job, for a night without anyone to ask."""
    job.write(rows(2), endpoint__base_url=server.url)
    assert job.run().code == 0
    job.write(params={"temperature": 1}, resume__changed=changed)
    assert job.run().code == code
    assert len(server.asked) == sent


@pytest.mark.parametrize(
    ("keys", "edit", "words"),
    [
        ({"model": "n"}, None, "model"),
        ({"params": {"top_p": 0.5}}, None, "params"),
        ({"system": "Be brief."}, None, "conversation"),
        ({"model": "n", "params": {"top_p": 0.5}}, None, "model and params"),
        ({"model": "n"}, "Question 8", "conversation (1) and model"),
    ],
)
def test_it_says_what_has_changed(
    job: Job, server: Endpoint, keys: dict[str, Any], edit: str | None, words: str
) -> None:
    """Conversation, model or params: each is named where it did, with its count where not all rows did."""
    given = rows(2)
    job.write(given, endpoint__base_url=server.url, params={"top_p": 1})
    assert job.run().code == 0
    if edit is not None:
        given[0]["messages"] = conversation(edit)
    job.write(given, **keys)
    ended = job.run()
    assert ended.code == 3
    assert f"before their {words} changed. Their answers are kept" in ended.err


def cut_off(asked: Asked) -> bytes:
    """Every third answer is cut off at the limit of its tokens, the first time it is asked for."""
    short = int(asked.text.split()[-1]) % 3 == 0 and "max_tokens" not in asked.body
    return ok(f"to {asked.text}", finish_reason="length" if short else "stop")


def test_cut_off_answers_are_sent_again_with_a_higher_limit(job: Job) -> None:
    """`--resend cut-off` sends those alone, though the raised limit changes the request of all rows."""
    with endpoint(cut_off) as server:
        job.write(rows(7), endpoint__base_url=server.url)
        assert job.run().code == 0
        job.write(params={"max_tokens": 900})
        ended = job.run("--resend", "cut-off", "--keep-changed")
        assert resumed(ended) == (
            "resume 4 finished before are kept (4 of them answered another request) · 3 answered before are sent again"
        )
        assert (ended.code, len(server.asked)) == (0, 10)
        assert {row["finish_reason"] for row in job.table()} == {"stop"}
        assert job.run("--resend", "cut-off", "--keep-changed").code == 0
        assert len(server.asked) == 10


def test_rows_of_a_list_of_ids_are_sent_again(job: Job, server: Endpoint) -> None:
    """`--resend @FILE`: answered or failed; ids that the input does not have are told; the old answer's cost stays."""
    job.write(rows(4), endpoint__base_url=server.url)
    assert job.run().code == 0
    (job.folder / "ids.txt").write_text("r0001\r\nr0003\n\nr0077\n")
    ended = job.run("--resend", "@ids.txt")
    assert (ended.code, len(server.asked)) == (0, 6)
    assert resumed(ended) == "resume 2 finished before are kept · 2 answered before are sent again"
    assert "resend 1 id of ids.txt is not in the input" in ended.err
    assert paid_usd(job) == 6 * Decimal(repr(COST))
    assert job.run("--resend", "@ids.txt").code == 0  # it had ended: the same once more
    assert len(server.asked) == 8


def test_a_stopped_resend_goes_on(job: Job, server: Endpoint) -> None:
    """The same command after a stop does not pay once more for the rows that it sent already."""
    job.write(rows(6), endpoint__base_url=server.url)
    assert job.run().code == 0
    (job.folder / "ids.txt").write_text("".join(f"r{n:04}\n" for n in range(5)))
    for sent in (8, 10, 11):
        assert job.run("--resend", "@ids.txt", "--limit", "2").code == 0
        assert len(server.asked) == sent
    assert server.attempts["Question 5"] == 1
    assert {server.attempts[f"Question {n}"] for n in range(5)} == {2}


def odd_fail(asked: Asked) -> bytes:
    from tests.field.endpoint import error

    number = int(asked.text.split()[-1])
    if asked.attempt > 1 or number % 2 == 0:
        return ok()
    return error(400, "no") if number % 4 == 1 else error(413, "too large")


def test_one_kind_of_failure_is_sent_again(job: Job) -> None:
    """`--resend too_large` leaves rows that failed otherwise; `--resend failed` is `--retry-failed`."""
    with endpoint(odd_fail) as server:
        job.write(rows(8), endpoint__base_url=server.url)
        assert job.run().code == 3
        kinds = [row["error_kind"] for row in job.table()]
        assert kinds[1::2] == ["bad_request", "too_large"] * 2
        assert job.run("--resend", "too_large").code == 3
        assert [row["error_kind"] for row in job.table()][1::2] == ["bad_request", None] * 2
        assert len(server.asked) == 10
        assert job.run("--resend", "failed").code == 0
        assert len(server.asked) == 12


def test_what_is_no_reason_to_send_again(job: Job, server: Endpoint) -> None:
    """An unknown word is refused with the list of those that are known, and a file that is not there by its name."""
    job.write(rows(1), endpoint__base_url=server.url)
    ended = job.run("--resend", "cutoff")
    assert ended.code == 2
    assert "nothing is called so. Did you mean `cut-off`? It takes failed, cut-off, changed, " in ended.err
    assert job.run("--resend", "@nowhere.txt").code == 2
    assert "contradict" in job.run("--resend", "changed", "--keep-changed").err
    assert not server.asked


def test_model_and_input_by_name(job: Job, server: Endpoint) -> None:
    """`--model` and `--input` are short for their keys; a path is one of the working folder, as --output's is."""
    (job.folder / "jobs").mkdir()
    job.write(rows(2), endpoint__base_url=server.url, output__path="../out.parquet", input__path="nothing.jsonl")
    job.file.rename(job.folder / "jobs" / "sweep.yaml")
    ended = job.run("run", "jobs/sweep.yaml", "--model", "n", "--input", "in.jsonl")
    assert (ended.code, {row["model_requested"] for row in job.table()}) == (0, {"n"}), ended.err


def test_carried_columns_follow_the_input(job: Job, server: Endpoint) -> None:
    """A column that is added, mended or taken out after the answers came is so in the output, and nothing is sent."""
    job.write([{**row, "topic": "old"} for row in rows(4)], endpoint__base_url=server.url)
    assert job.run().code == 0
    job.write([{**row, "topic": f"t{n}" if n else "old", "score": n / 2} for n, row in enumerate(rows(4))])
    ended = job.run()
    assert (ended.code, len(server.asked)) == (0, 4)
    assert "input  4 rows have new values in carried columns; the output takes them" in ended.err
    assert [(row["topic"], row["score"]) for row in job.table()] == [("old", 0), ("t1", 0.5), ("t2", 1), ("t3", 1.5)]
    before = job.journal_file.read_bytes()
    assert "carried" not in job.run().err
    assert job.journal_file.read_bytes() == before
    job.write([{**row, "score": n} for n, row in enumerate(rows(4))])
    assert job.run().code == 0
    assert [row["score"] for row in job.table()] == [0, 1, 2, 3]
    assert "topic" not in job.table()[0]
    assert paid_usd(job) == 4 * Decimal(repr(COST))


def test_carried_columns_of_failed_and_invalid_rows_follow_too(job: Job) -> None:
    """Whatever a row's status: its columns are those of the input."""
    with endpoint(odd_fail) as server:
        given: list[dict[str, Any]] = [*rows(2), {"id": "bad", "messages": []}]
        job.write(given, endpoint__base_url=server.url)
        assert job.run().code == 3
        job.write([{**row, "tag": "x"} for row in given])
        assert job.run().code == 3
        assert [(row["status"], row["tag"]) for row in job.table()] == [
            ("answered", "x"),
            ("failed", "x"),
            ("invalid", "x"),
        ]
        assert len(server.asked) == 2
