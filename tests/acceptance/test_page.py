"""The two conversations of DeepInfra's page on WizardLM-2-8x22B, through a job."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.acceptance.job import Job
from tests.acceptance.servers import mock_thread

SAMPLE = Path(__file__).parents[2] / "sample_data" / "two_conversations.jsonl"


def test_the_two_conversations(job: Job) -> None:
    """They come out with the page's replies, usage and cost, to the last digit."""
    shutil.copy(SAMPLE, job.input)
    with mock_thread(api_key="the-right-key") as mock:
        job.write(
            endpoint__base_url=mock.url, endpoint__api_key_env="DEEPINFRA_TOKEN", model="microsoft/WizardLM-2-8x22B"
        )
        ended = job.run(env={"DEEPINFRA_TOKEN": "the-right-key"})
    assert ended.code == 0
    hello, chef = job.table()
    figures = ("prompt_tokens", "completion_tokens", "total_tokens", "cost_usd", "cost_source")
    assert [hello[name] for name in figures] == [15, 16, 31, 0.0000268, "reported"]
    assert [chef[name] for name in figures] == [149, 338, 487, 0.00035493, "reported"]
    assert (repr(hello["cost_usd"]), repr(chef["cost_usd"])) == ("2.68e-05", "0.00035493")
    assert hello["response"].startswith(" Hello! It's nice to meet you.")
    assert chef["response"].startswith("Sous le Sable, my friend!")
    assert [len(row["messages"]) for row in (hello, chef)] == [2, 5]
    assert {row["model"] for row in (hello, chef)} == {"microsoft/WizardLM-2-8x22B"}
    assert ended.headline == "job: 2 of 2 rows answered for $0.0004"
    assert "  tokens    164 in · 354 out\n  cost      $0.0004 reported by the endpoint\n" in ended.out
