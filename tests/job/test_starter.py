from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from batchchat.job import JobSpec
from batchchat.job.keys import KEYS, JobKey
from batchchat.job.starter import SET, sample_rows, starter_job
from tests.job.given import KEYED, load


def line_of(key: JobKey) -> int:
    """The index of the starter's line for `key`, commented or not."""
    section, _, leaf = key.name.rpartition(".")
    within = ""
    for number, line in enumerate(starter_job().splitlines()):
        if top := re.match(r"(\w+):$", line):
            within = top.group(1)
        indent = "  " if section else ""
        if re.match(rf"{indent}(# )?{leaf}: ", line) and (within == section or not section):
            return number
    raise AssertionError(key.name)


def same_place(job: JobSpec) -> JobSpec:
    """`job` without its path and its text."""
    return replace(
        job,
        path=Path("job.yaml"),
        text="",
        input=replace(job.input, paths=()),
        output=replace(job.output, path=Path(job.output.as_given)),
    )


def test_it_loads() -> None:
    """The starter loads unchanged, and sets the eight keys a user needs."""
    job = load(starter_job(), environ=KEYED)
    assert (job.input.as_given, job.input.id, job.output.as_given) == (
        ("questions.jsonl",),
        "id",
        "out/answers.parquet",
    )
    assert (job.endpoint.api_key_env, job.concurrency) == ("DEEPINFRA_TOKEN", 200)
    assert job.params == {"temperature": 0.7, "max_tokens": 512}
    assert len(SET) == 8
    assert {key.name for key in KEYS if key.required} <= SET.keys() <= {key.name for key in KEYS}


@pytest.mark.parametrize("key", [key for key in KEYS if key.name not in SET], ids=lambda key: key.name)
def test_any_key_can_be_uncommented(key: JobKey) -> None:
    """Removing the `# ` before any one key gives a job with the same values: the default shown is the real one."""
    lines = starter_job().splitlines()
    number = line_of(key)
    indent = "  " if "." in key.name else ""
    assert lines[number].startswith(f"{indent}# ")
    assert key.help in lines[number]
    lines[number] = lines[number].replace("# ", "", 1)
    plain, uncommented = load(starter_job(), environ=KEYED), load("\n".join(lines), environ=KEYED)
    assert same_place(uncommented) == same_place(plain)


def test_all_keys_can_be_uncommented() -> None:
    """The starter has every key once, and loads with all of them uncommented."""
    lines = starter_job().splitlines()
    numbers = [line_of(key) for key in KEYS]
    assert len(set(numbers)) == len(KEYS)
    for number in numbers:
        if lines[number].lstrip().startswith("# "):
            lines[number] = lines[number].replace("# ", "", 1)
    assert load("\n".join(lines), environ=KEYED).model == "microsoft/WizardLM-2-8x22B"


def test_the_sample_is_input() -> None:
    """Each row has an id of its own and a question."""
    rows = [json.loads(line) for line in sample_rows().splitlines()]
    assert len({row["id"] for row in rows}) == len(rows) == 5
    assert all(row["messages"][0]["role"] == "user" for row in rows)
