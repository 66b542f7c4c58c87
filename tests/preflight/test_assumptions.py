"""What an estimate assumes of the job's own model and of those it is compared with."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchchat.job import JobSpec, load_job
from batchchat.preflight.assumptions import Assumptions, price_missing, prompt_source
from batchchat.tokens.for_model import tokenizer_for
from batchchat.tokens.heuristic import Heuristic

WIZARD = "microsoft/WizardLM-2-8x22B"
JOB = f"""\
input: {{path: in.jsonl, id: id}}
model: {WIZARD}
endpoint: {{context_length: 1000}}
price: {{input: 1, output: 2}}
output: {{path: x.parquet}}
"""


@pytest.fixture
def job(tmp_path: Path) -> JobSpec:
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    return load_job(path, overrides=[], environ={}, reads_key=False)


def test_the_jobs_price_and_context_are_those_of_its_model(job: JobSpec) -> None:
    """A model that it is compared with has those of the price table, or none."""
    assumptions = Assumptions(job)
    own, table = assumptions.charge(WIZARD), assumptions.charge("deepseek-ai/DeepSeek-R1")
    assert own is not None
    assert (own.input_usd, own.output_usd, own.source, own.as_of) == (1e-6, 2e-6, "job", None)
    assert table is not None
    assert (table.source, table.as_of is None) == ("table", False)
    assert assumptions.context_length(WIZARD) == 1_000
    assert assumptions.context_length("deepseek-ai/DeepSeek-R1") != 1_000
    assert (assumptions.charge("unknown"), assumptions.context_length("unknown")) == (None, None)


def test_the_note_on_a_missing_price(job: JobSpec) -> None:
    """The job's own model gets the key to set, another one the table."""
    assert price_missing(job, WIZARD) == (
        f"no price of {WIZARD} at api.deepinfra.com is in the price table, so its cost is unknown. Add"
        " `price: {input: ..., output: ...}` to the job, USD per million tokens; if the endpoint reports costs,"
        " --pilot measures it."
    )
    assert price_missing(job, "m").endswith("so its cost is unknown. Name a price table of your own in `prices`.")


def test_how_prompts_were_counted() -> None:
    """Exactly, or with the measured error, or with an unknown one."""
    assert prompt_source(tokenizer_for(WIZARD)) == "counted exactly (WizardLM-2's, mistral-common v1)"
    estimated = Heuristic("m", "note")
    assert prompt_source(estimated) == "estimated within 5% (rule of thumb, 128k vocabulary)"
    estimated.error = None
    assert prompt_source(estimated) == "estimated with an unknown error (rule of thumb, 128k vocabulary)"
