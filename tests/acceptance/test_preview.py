"""`batchchat preview`: what would be sent, and nothing else."""

from __future__ import annotations

import json

from tests.acceptance.job import Job
from tests.acceptance.servers import mock_thread

ROWS = [{"id": f"r{n}", "review": f"Good\x1b[2J {n}"} for n in range(9)]


def test_the_requests_are_those_that_are_sent(job: Job) -> None:
    """Each line of --json is the body that a run sends, byte for byte."""
    job.write(ROWS, template="Label:\n{{ review }}", params={"temperature": 0.5}, system="Row {{ id }}.")
    ended = job.run("preview", "job.yaml", "-n", "2", "--json")
    assert ended.code == 0
    bodies = [json.loads(line) for line in ended.out.splitlines()]
    job.run()
    sent = [{"model": "m", "messages": row["messages"][:-1], "temperature": 0.5} for row in job.table()]
    assert bodies == sent[:2]
    assert bodies[0]["messages"][1]["content"] == "Label:\nGood\x1b[2J 0"


def test_the_text(job: Job) -> None:
    """A heading for each message; what can't be sent, and what is left out, is said."""
    job.write(
        [{"id": "bad"}, ROWS[0], {"id": "out", "review": "no"}, ROWS[1]],
        template=[
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "{{ review }}"},
                    {"type": "image_url", "image_url": {"url": "https://x/{{ id }}"}},
                ],
            },
        ],
        input__where="id != 'out'",
        params={"max_tokens": 9},
    )
    ended = job.run("preview", "job.yaml", "-n", "2")
    assert ended.code == 0
    assert ended.out == (
        "job: the first 2 requests to the embedded mock, rows from in.jsonl; nothing is sent\n"
        "\n"
        "── 1 of 2 · row r0 · in.jsonl:2 · m\n"
        "  system\n"
        "    Be brief.\n"
        "  user\n"
        "    Good\\x1b[2J 0\n"
        '    {"type":"image_url","image_url":{"url":"https://x/r0"}}\n'
        "  params\n"
        "    max_tokens: 9\n"
        "\n"
        "── 2 of 2 · row r1 · in.jsonl:4 · m\n"
        "  system\n"
        "    Be brief.\n"
        "  user\n"
        "    Good\\x1b[2J 1\n"
        '    {"type":"image_url","image_url":{"url":"https://x/r1"}}\n'
        "  params\n"
        "    max_tokens: 9\n"
        "\n"
        "1 row before these left out by `input.where`.\n"
        "1 row before these can't be sent:\n"
        "  in.jsonl:1: `template`, line 1: there is no column `review`. There is `id`.\n"
    ).replace("`template`, line 1", "`template[1].content[0].text`, line 1")
    assert not job.run_folder.exists()


def test_turns_that_follow(job: Job) -> None:
    """What is sent after a reply is shown with the first request."""
    job.write([{"id": "a", "turns": ["One?", "Two?"]}], input__format="turns")
    out = job.run("preview", "job.yaml").out
    assert "the first request to" in out
    assert "  user\n    One?\n  user, after the reply\n    Two?\n" in out


def test_no_good_row(job: Job) -> None:
    """That is refused, as a run refuses it."""
    job.write(ROWS, template="{{ reviw }}")
    ended = job.run("preview", "job.yaml")
    assert (ended.code, ended.out) == (2, "")
    assert "in.jsonl has no row that can be sent. The first: in.jsonl:1:" in ended.errors[0]


def test_nothing_is_sent(job: Job) -> None:
    """It needs neither key nor network."""
    with mock_thread() as mock:
        job.write(ROWS, template="{{ review }}", endpoint__base_url=mock.url, endpoint__api_key_env="SOME_KEY")
        assert job.run("preview", "job.yaml").code == 0
        assert mock.stats()["requests"] == 0
