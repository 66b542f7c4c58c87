"""`affinity: prefix`: rows with one beginning go to one endpoint, next to one another; the output is the same."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

from tests.acceptance.job import Job, until
from tests.field.endpoint import Asked, endpoint, error, ok

CONTEXTS, QUESTIONS = 6, 8


def shared_contexts() -> list[dict[str, Any]]:
    """Rows of six contexts in turn, each context with eight questions."""
    return [
        {
            "id": f"{context}-{question}",
            "messages": [
                {"role": "system", "content": f"Document {context}: " + "word " * 400},
                {"role": "user", "content": f"Question {question}?"},
            ],
        }
        for question in range(QUESTIONS)
        for context in range(CONTEXTS)
    ]


def context_of(asked: Asked) -> str:
    text: str = asked.body["messages"][0]["content"]
    return text.split(":", maxsplit=1)[0]


def repeat(asked: Asked) -> bytes:
    return ok(f"{context_of(asked)} {asked.text}")


def test_one_endpoint_is_asked_rows_of_one_context_in_succession(job: Job) -> None:
    """In the order of the input the context would change with each row; the output has that order all the same."""
    with endpoint(repeat) as server:
        job.write(shared_contexts(), endpoint__base_url=server.url, concurrency=1, affinity="prefix")
        ended = job.run()
    assert ended.code == 0, ended.err
    contexts = [context_of(asked) for asked in server.asked]
    assert len(contexts) == CONTEXTS * QUESTIONS
    assert sum(before != after for before, after in pairwise(contexts)) <= CONTEXTS
    table = job.table()
    assert [row["id"] for row in table] == [row["id"] for row in shared_contexts()]
    assert all(row["response"].startswith(f"Document {row['id'][0]} ") for row in table)


def test_each_of_several_endpoints_has_contexts_of_its_own(job: Job) -> None:
    with (
        endpoint(lambda asked: [0.01, repeat(asked)]) as first,
        endpoint(lambda asked: [0.01, repeat(asked)]) as second,
    ):
        urls = [first.url, second.url]
        entries = [{"base_url": url, "concurrency": 1, "name": str(number)} for number, url in enumerate(urls)]
        job.write(shared_contexts(), endpoint__base_url=None, endpoints=entries, concurrency=2, affinity="prefix")
        ended = job.run()
    assert ended.code == 0, ended.err
    servers = defaultdict(set)
    for server in (first, second):
        assert len(server.asked) > CONTEXTS  # no fixed split, and none is idle
        for asked in server.asked:
            servers[context_of(asked)].add(server.url)
    # In the end the one that has nothing of its own left helps the other.
    assert sum(len(urls) for urls in servers.values()) <= CONTEXTS + 2


def test_rows_that_fail_are_sent_again_and_each_ends_once(job: Job) -> None:
    def refuse_some(asked: Asked) -> bytes:
        return error(503, "busy") if asked.number % 5 == 0 else repeat(asked)

    with endpoint(refuse_some) as server:
        job.write(shared_contexts(), endpoint__base_url=server.url, retry__max_wait=0, affinity="prefix", concurrency=4)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert sorted(row["id"] for row in job.table()) == sorted(row["id"] for row in shared_contexts())
    assert len(server.asked) == sum(row["attempts"] for row in job.table())


def test_a_limit_is_kept_and_the_next_run_sends_the_others(job: Job) -> None:
    with endpoint(repeat) as server:
        job.write(shared_contexts(), endpoint__base_url=server.url, concurrency=2, affinity="prefix")
        assert job.run("--limit", "10").code == 0
        assert len(server.asked) == 10
        ended = job.run()
    assert ended.code == 0, ended.err
    assert len({(context_of(asked), asked.text) for asked in server.asked}) == len(server.asked) == CONTEXTS * QUESTIONS


def test_rows_that_wait_when_a_run_is_stopped_are_left_for_the_next(job: Job) -> None:
    with endpoint(lambda asked: [0.05, repeat(asked)]) as server:
        job.write(shared_contexts(), endpoint__base_url=server.url, concurrency=2, affinity="prefix")
        running = job.start()
        until(lambda: len(server.asked) >= 5)
        running.signal(2)
        assert running.end().code == 130
        asked_before = len(server.asked)
        assert asked_before < CONTEXTS * QUESTIONS
        assert job.state()["rows"]["left"] == CONTEXTS * QUESTIONS - asked_before
        ended = job.run()
    assert ended.code == 0, ended.err
    assert len(server.asked) == CONTEXTS * QUESTIONS


def test_a_word_that_is_none_is_refused(job: Job) -> None:
    job.write(shared_contexts(), affinity="session")
    ended = job.run()
    assert ended.code == 2
    assert "`affinity`" in ended.err
    assert "none" in ended.err
    assert "prefix" in ended.err
