"""Running a job again: what is kept is never sent again, and what would be paid again is asked first."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from tests.acceptance.job import Ended, Job, conversation, rows, until
from tests.acceptance.servers import Asked, Mock, Raw, completion, http, mock_thread, raw_server

RECOGNISED = "input  messages from in.jsonl (recognised: messages, from the column `messages` of the first row)\n"


@pytest.fixture
def mock() -> Iterator[Mock]:
    with mock_thread() as found:
        yield found


@pytest.fixture
def server() -> Iterator[Raw]:
    with raw_server(good) as found:
        yield found


def good(asked: Asked) -> bytes:
    return http(200, completion(f"{asked.model} to {asked.said}"))


def odd_fail(asked: Asked) -> bytes:
    return good(asked) if int(asked.said.split()[1]) % 2 == 0 else http(400, {"error": "odd"})


def plan(ended: Ended) -> str | None:
    """The line that tells what is kept and what is sent."""
    return next((line for line in ended.err.splitlines() if line.startswith("resume ")), None)


def statuses(job: Job) -> list[str]:
    return [row["status"] for row in job.table()]


def test_finished_run_is_a_no_op(job: Job, server: Raw) -> None:
    """A finished run prints its summary again and sends, writes and publishes nothing, whatever else changed."""
    job.write(rows(6), endpoint__base_url=server.url)
    first = job.run()
    before = (job.journal_file.read_bytes(), job.output.read_bytes(), job.output.stat().st_mtime_ns)
    job.write(
        concurrency=3,
        retry__max_attempts=9,
        retry__max_wait=1,
        timeout__total=5,
        drain=3,
        name="another",
        price__input=1,
        price__output=1,
    )
    again = job.run()
    assert (first.code, again.code) == (0, 0)
    assert server.requests == 6
    assert (job.journal_file.read_bytes(), job.output.read_bytes(), job.output.stat().st_mtime_ns) == before
    assert plan(again) == "resume 6 finished before are kept · nothing to send"
    assert again.headline == "another: 6 of 6 rows answered for <$0.0001"
    assert job.state()["state"] == "finished"
    assert job.state()["rows"] == {
        "total": 6,
        "answered": 6,
        "failed": 0,
        "invalid": 0,
        "left": 0,
        "cut_off": 0,
        "undecided": 0,
    }


def test_trial_then_all(job: Job, server: Raw) -> None:
    """`--limit 5`, read, then all: each is sent once, and the limit bounds what is sent, not what is kept."""
    job.write(rows(30), endpoint__base_url=server.url)
    trial = job.run("--limit", "5")
    assert trial.code == 0
    assert server.requests == 5
    assert [row["id"] for row in job.table()] == [f"r{n:04}" for n in range(5)]
    assert trial.out.startswith("r0000  Question 0\n    m to Question 0\nr0001  Question 1\n")
    more = job.run("--limit", "5")
    assert plan(more) == "resume 5 finished before are kept · 25 new"
    assert server.requests == 10
    assert len(job.table()) == 10
    assert more.out.endswith("\n\nnext  batchchat run job.yaml\n      batchchat report out.parquet\n")
    whole = job.run()
    assert (whole.code, server.requests, len(job.table())) == (0, 30, 30)
    assert whole.headline == "job: 30 of 30 rows answered for <$0.0001"
    # The first trial, too, says how to go on.
    assert trial.out.endswith("\n\nnext  batchchat run job.yaml\n      batchchat report out.parquet\n")


def test_failed_stays_failed(job: Job, server: Raw) -> None:
    """A failed row stays failed until --retry-failed or a change of its request; its earlier attempts count on."""
    server.answer = odd_fail
    job.write(rows(6), endpoint__base_url=server.url)
    assert job.run().code == 3
    server.answer = good
    again = job.run()
    assert (again.code, server.requests, plan(again)) == (3, 6, "resume 6 finished before are kept · nothing to send")
    assert "\n      batchchat run job.yaml --retry-failed\n" in again.out
    retried = job.run("--retry-failed", "--limit", "1")
    assert plan(retried) == "resume 3 finished before are kept · 3 failed before are tried again"
    assert (retried.code, server.requests, statuses(job).count("answered")) == (3, 7, 4)
    assert job.run("--retry-failed").code == 0
    assert server.requests == 9
    assert [row["attempts"] for row in job.table()] == [1, 2] * 3
    assert {row["error"] for row in job.table()} == {None}


def test_changed_request_of_a_failed_row(job: Job, server: Raw) -> None:
    """A failed row whose request changed is sent without a question; nothing was paid for it."""
    server.answer = odd_fail
    given = rows(4)
    job.write(given, endpoint__base_url=server.url)
    assert job.run().code == 3
    given[1]["messages"] = conversation("Question 10")
    job.write(given)
    ended = job.run()
    assert plan(ended) == "resume 3 finished before are kept · 1 is sent again (request changed)"
    assert (ended.code, server.requests, statuses(job)) == (3, 5, ["answered", "answered", "answered", "failed"])


def test_changed_params(job: Job, server: Raw) -> None:
    """Answered rows whose params changed are not paid for again unasked; each way out does what it says."""
    job.write(rows(5), endpoint__base_url=server.url, params={"temperature": 0})
    assert job.run().code == 0
    journal = job.journal_file.read_bytes()
    job.write(params={"temperature": 1}, model="n")
    undecided = job.run()
    assert undecided.code == 3
    assert "5 rows were answered, for <$0.0001, before their model and params changed." in undecided.err
    assert plan(undecided) == "resume 5 finished before are kept (5 of them undecided) · nothing to send"
    assert (server.requests, job.journal_file.read_bytes()) == (5, journal)

    kept = job.run("--keep-changed")
    assert plan(kept) == "resume 5 finished before are kept (5 of them answered another request) · nothing to send"
    assert (kept.code, server.requests) == (0, 5)
    assert {row["model_requested"] for row in job.table()} == {"m"}
    assert job.run().code == 3  # it held for that run only

    sent = job.run("--resend", "changed")
    assert plan(sent) == "resume 5 are sent again (request changed)"
    assert (sent.code, server.requests) == (0, 10)
    assert {row["response"][:4] for row in job.table()} == {"n to"}
    assert "<$0.0001 more for answers replaced" in sent.out
    metadata = json.loads(pq.read_schema(job.output).metadata[b"batchchat"])
    assert Decimal(metadata["beside"]["superseded_usd"]) == Decimal("0.00001")
    assert job.run().code == 0
    assert server.requests == 10


def test_kept_row_shows_what_was_answered(job: Job, server: Raw) -> None:
    """A kept row shows the conversation that was answered, not the one that stands in the input now."""
    given = rows(3)
    job.write(given, endpoint__base_url=server.url)
    assert job.run().code == 0
    given[1]["messages"] = conversation("Something else")
    job.write(given)
    undecided = job.run()
    assert "1 row was answered, for <$0.0001, before its conversation changed." in undecided.err
    assert job.run("--keep-changed").code == 0
    assert [message["content"] for message in job.table()[1]["messages"]] == ["Question 1", "m to Question 1"]
    assert server.requests == 3


@pytest.mark.parametrize(("says", "sent", "expected"), [("y\n", 6, 0), ("k\n", 3, 0), ("n\n", 3, 2), ("\n", 3, 2)])
def test_asked_on_a_terminal(job: Job, server: Raw, says: str, sent: int, expected: int) -> None:
    """On a terminal the same is a question: y pays again, k keeps, and n, or no word, sends nothing at all."""
    job.write(rows(3), endpoint__base_url=server.url)
    assert job.run().code == 0
    job.write(model="n")
    terminal = job.terminal(columns=200)
    terminal.shows("or stop here (n)? [y/k/N]: ")
    assert server.requests == 3
    terminal.type(says)
    code, screen = terminal.end()
    assert code == expected, screen
    assert "3 rows were answered, for <$0.0001, before their" in screen
    assert server.requests == sent


def test_interrupted_at_the_question(job: Job, server: Raw) -> None:
    """Ctrl-C at the question ends the run at once, with nothing sent."""
    job.write(rows(3), endpoint__base_url=server.url)
    assert job.run().code == 0
    job.write(model="n")
    terminal = job.terminal(columns=200)
    terminal.shows("or stop here (n)? [y/k/N]: ")
    pressed = 0
    while terminal.process.poll() is None and "stopped:" not in terminal.screen:
        assert pressed < 10
        terminal.type("\x03")  # again, as people do: readline has a moment in which it does not see the first
        pressed += 1
        with suppress(subprocess.TimeoutExpired):
            terminal.process.wait(1)
    code, screen = terminal.end()
    assert code == 130, screen
    assert server.requests == 3


def test_rows_go_and_come_back(job: Job, server: Raw) -> None:
    """Rows gone from the input leave the output and stay paid; when they come back they are there without a request."""
    job.write(rows(6), endpoint__base_url=server.url)
    assert job.run().code == 0
    job.write(rows(4, 2))
    fewer = job.run()
    assert plan(fewer) == "resume 4 finished before are kept · 2 gone from the input · nothing to send"
    assert (fewer.code, [row["id"] for row in job.table()]) == (0, ["r0002", "r0003", "r0004", "r0005"])
    assert "  rows      4 answered · 2 gone from the input" in fewer.out
    assert "<$0.0001 more for answers replaced" in fewer.out
    job.write(rows(7))
    more = job.run()
    assert plan(more) == "resume 6 finished before are kept · 1 new"
    assert (more.code, len(job.table()), server.requests) == (0, 7, 7)
    assert "gone" not in more.out


def test_reordered_input(job: Job, server: Raw) -> None:
    """Of a reordered input nothing is sent again; the output follows the new order."""
    job.write(rows(9), endpoint__base_url=server.url)
    assert job.run().code == 0
    order = [4, 8, 0, 1, 7, 2, 6, 3, 5]
    given = rows(9)
    job.write([given[n] for n in order])
    assert job.run().code == 0
    assert [row["id"] for row in job.table()] == [f"r{n:04}" for n in order]
    assert server.requests == 9


def test_mock_and_real_never_mix(job: Job, server: Raw) -> None:
    """Answers of the mock are never kept by a run against a real endpoint, nor the other way round."""
    job.write(rows(2))
    assert job.run().code == 0
    job.write(endpoint__base_url=server.url)
    ended = job.run()
    assert (ended.code, ended.out, server.requests) == (2, "", 0)
    (error,) = ended.errors
    assert f"2 rows answered by the mock, and this job asks {server.host}." in error
    assert job.run("--fresh").code == 0
    job.write(endpoint__base_url="mock")
    ended = job.run()
    assert (ended.code, ended.out) == (2, "")
    (error,) = ended.errors
    assert "2 rows answered by a real endpoint, and this job asks the mock." in error


def test_mock_that_answered_nothing(job: Job, server: Raw) -> None:
    """A run on the mock that answered nothing does not stand in the way of a real one, now or later."""
    job.write(rows(2), timeout__total=0.05, retry__max_attempts=1)
    assert job.run().code == 3
    job.write(endpoint__base_url=server.url, timeout__total=30)
    assert job.run("--retry-failed").code == 0
    again = job.run()
    assert again.code == 0, again.err
    assert server.requests == 2


def test_fresh(job: Job, server: Raw) -> None:
    """--fresh sets the old run aside under a dated name, which `export` still reads, and sends all anew."""
    job.write(rows(3), endpoint__base_url=server.url)
    assert job.run().code == 0
    before = job.output.read_bytes()
    ended = job.run("--fresh")
    assert (ended.code, server.requests) == (0, 6)
    (dated,) = job.folder.glob("out.20*.parquet")
    (folder,) = job.folder.glob("out.20*.run")
    assert re.fullmatch(r"out\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d", dated.stem)
    assert dated.read_bytes() == before
    assert f"  set aside {folder.name}\n" in ended.out
    assert f"  set aside {dated.name}\n" in ended.out
    exported = job.run("export", dated.name, "--to", "jsonl", "-o", "old.jsonl")
    assert exported.out == "old.jsonl: 3 rows\n"
    assert [json.loads(line)["id"] for line in (job.folder / "old.jsonl").read_text().splitlines()] == [
        "r0000",
        "r0001",
        "r0002",
    ]


def test_fresh_without_an_old_run(job: Job, server: Raw) -> None:
    """--fresh where there is nothing to set aside leaves nothing behind."""
    job.write(rows(1), endpoint__base_url=server.url)
    ended = job.run("--fresh")
    assert ended.code == 0
    assert "set aside" not in ended.out
    assert not list(job.folder.glob("out.20*"))


def test_strict(job: Job, server: Raw) -> None:
    """--strict sends nothing while a row is bad and names the rows; without it they are counted and the rest goes."""
    bad = [{"id": "x", "messages": []}, "{", {"id": "r0000", "messages": conversation("again")}]
    job.write([*rows(2), *bad], endpoint__base_url=server.url)
    strict = job.run("--strict")
    assert (strict.code, strict.out, server.requests) == (2, "", 0)
    head, *bad_rows, _ = strict.err[strict.err.index("error:") :].splitlines()
    assert "3 rows of in.jsonl can't be sent" in head
    assert [line.split(": ")[0] for line in bad_rows] == ["  in.jsonl:3", "  in.jsonl:4", "  in.jsonl:5"]
    loose = job.run()
    assert (loose.code, server.requests) == (3, 2)
    assert [(row["id"], row["status"], row["error_kind"]) for row in job.table()] == [
        ("r0000", "answered", None),
        ("r0001", "answered", None),
        ("x", "invalid", "invalid_input"),
        ("in.jsonl:4", "invalid", "invalid_input"),
        ("r0000#in.jsonl:5", "invalid", "invalid_input"),
    ]
    assert "  rows      2 answered · 3 invalid\n" in loose.out
    assert "  invalid   3  in.jsonl:3: `messages` is empty\n" in loose.out
    job.write(rows(5))
    mended = job.run("--strict")
    assert (mended.code, server.requests, statuses(job)) == (0, 5, ["answered"] * 5)


def test_output_option(job: Job, server: Raw) -> None:
    """--output writes elsewhere, relative to where one stands, and is part of the command that continues."""
    job.write(rows(25), endpoint__base_url=server.url)
    ended = job.run("--output", "else where/b.parquet", "--limit", "24")
    assert ended.code == 0
    assert (job.folder / "else where" / "b.run" / "run.json").exists()
    assert not job.output.exists()
    more = job.run("--output", "else where/b.parquet", "--limit", "1", "--concurrency", "2")
    assert server.requests == 25
    assert "  output    else where/b.parquet · " in more.out


def test_journal_of_another_version(job: Job, server: Raw) -> None:
    """A journal of a format we don't know is refused, named, and left as it is."""
    import zlib

    job.write(rows(1), endpoint__base_url=server.url)
    job.run_folder.mkdir()
    body = b'{"kind":"run","format":99,"version":"7.0"'
    line = b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body))
    job.journal_file.write_bytes(line)
    ended = job.run()
    assert (ended.code, ended.out, server.requests) == (2, "", 0)
    (error,) = ended.errors
    assert f"{job.journal_file} is a journal of format 99, of batchchat 7.0;" in error
    assert job.journal_file.read_bytes() == line
    assert job.run("--fresh").code == 0


def flip(job: Job, kind: str, number: int) -> None:
    """Hurt one byte in the middle of the `number`-th line of `kind`."""
    lines = job.journal_file.read_bytes().splitlines(keepends=True)
    at = [place for place, line in enumerate(lines) if line.startswith(b'{"kind":"%b"' % kind.encode())][number]
    middle = len(lines[at]) // 2
    lines[at] = lines[at][:middle] + bytes([lines[at][middle] ^ 1]) + lines[at][middle + 1 :]
    job.journal_file.write_bytes(b"".join(lines))


def test_damaged_journal(job: Job, server: Raw) -> None:
    """A byte flipped in the journal costs the row it was in, which is told and sent again, and no other."""
    job.write(rows(8), endpoint__base_url=server.url)
    assert job.run().code == 0
    flip(job, "row", 3)
    ended = job.run()
    assert re.search(r"(?m)^journal journal-000001\.jsonl: .* are damaged and not used", ended.err)
    assert plan(ended) == "resume 7 finished before are kept · 1 new"
    assert (ended.code, server.requests, statuses(job)) == (0, 9, ["answered"] * 8)
    assert job.run().code == 0
    assert server.requests == 9


def test_damaged_beginning(job: Job, server: Raw) -> None:
    """Nor does damage to the first line make a resume forget to ask, or to keep the mock and the real apart."""
    job.write(rows(2), endpoint__base_url=server.url)
    assert job.run().code == 0
    flip(job, "run", 0)
    job.write(model="n")
    ended = job.run()
    assert (ended.code, server.requests) == (3, 2), ended.out
    job.write(model="m", endpoint__base_url="mock")
    assert job.run().code == 2


def test_resume_counts_on(job: Job, server: Raw) -> None:
    """A run stopped by its endpoint goes on where it was: answered rows are kept, the rest is sent, all is summed."""
    server.answer = lambda asked: good(asked) if asked.said < "Question 3" else http(401, {"detail": "Unauthorized"})
    job.write(rows(9), endpoint__base_url=server.url, concurrency=1)
    ended = job.run()
    assert (ended.code, statuses(job)) == (5, ["answered"] * 3)
    assert ended.headline == "job stopped by the endpoint: 3 of 9 rows answered for <$0.0001, 6 left"
    server.answer, before = good, server.requests
    again = job.run()
    assert plan(again) == "resume 3 finished before are kept · 6 new"
    assert (again.code, server.requests - before) == (0, 6)
    assert again.headline == "job: 9 of 9 rows answered for <$0.0001"


def test_killed_run_and_changed_params(job: Job, server: Raw) -> None:
    """After a kill, too, changed rows that were answered are undecided, and the others are sent."""
    server.answer = lambda asked: good(asked) if asked.said < "Question 5" else None
    job.write(rows(8), endpoint__base_url=server.url)
    running = job.start()
    until(lambda: job.acknowledged() == 5)
    running.process.kill()
    running.end()
    server.release(good)
    job.write(model="n")
    ended = job.run()
    assert (ended.code, plan(ended)) == (3, "resume 5 finished before are kept (5 of them undecided) · 3 new")
    assert job.run("--keep-changed").code == 0
    assert [row["model_requested"] for row in job.table()] == ["m"] * 5 + ["n"] * 3


def next_command(ended: Ended) -> list[str]:
    """The first command that it names, without the program's name."""
    found = re.search(r"(?m)^next  batchchat (.+)$", ended.out)
    assert found, ended.out
    return shlex.split(found[1])


def test_a_limit_on_rows_that_are_sent_again_counts_each_row_once(job: Job, server: Raw) -> None:
    """The total is that of the input, and the command it names sends the next of them, until all are."""
    job.write(rows(12), endpoint__base_url=server.url)
    server.answer = odd_fail
    assert job.run().code == 3
    server.answer = good
    ended = job.run("--retry-failed", "--limit", "4")
    assert ended.code == 3
    assert "10 of 12 rows answered" in ended.out
    assert "10 answered · 2 failed · 2 left to be sent again\n" in ended.out
    assert job.state()["rows"] == {
        "total": 12,
        "answered": 10,
        "failed": 2,
        "invalid": 0,
        "left": 0,
        "cut_off": 0,
        "undecided": 0,
    }
    command = next_command(ended)
    assert command == ["run", "job.yaml", "--limit", "4", "--retry-failed"]
    ended = job.run(*command)
    assert (ended.code, server.requests) == (0, 18)
    assert next_command(ended)[0] == "report"


def test_a_limit_on_changed_rows_names_a_command_that_is_not_refused(job: Job, server: Raw) -> None:
    """What was said of changed rows was for that run only: the next one needs the word again."""
    job.write(rows(6), endpoint__base_url=server.url)
    job.run()
    job.write(rows(8), params__max_tokens=7)
    ended = job.run("--keep-changed", "--limit", "1")
    assert "7 of 8 rows answered" in ended.out
    assert next_command(ended) == ["run", "job.yaml", "--keep-changed"]
    ended = job.run("--resend", "changed", "--limit", "3")
    assert "7 of 8 rows answered" in ended.out
    command = next_command(ended)
    assert command == ["run", "job.yaml", "--limit", "3", "--resend", "changed"]
    for _ in range(2):
        ended = job.run(*command)
        assert ended.code == 0
    assert next_command(ended)[0] == "report"
    assert server.requests == 6 + 1 + 3 + 3 + 1
