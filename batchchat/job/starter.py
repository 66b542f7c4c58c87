"""The first job of a new user: the keys that a job needs are set, every other one is a comment with its default.

Help and defaults are those of the declared keys. Removing the `# ` before any key gives a job that loads; so the names
of sections are not commented out, and an empty section counts as absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from batchchat.job.keys import JobKey, children
from batchchat.job.schema import words_of

__all__ = ["INPUT", "JOB", "KEY_VARIABLE", "OUTPUT", "SCHEMA", "SET", "sample_rows", "starter_job"]

JOB = "job.yaml"
INPUT = "questions.jsonl"
SCHEMA = "job.schema.json"
OUTPUT = "out/answers.parquet"
KEY_VARIABLE = "DEEPINFRA_TOKEN"

SET = {
    "input.path": INPUT,
    "input.id": "id",
    "model": "microsoft/WizardLM-2-8x22B",
    "endpoint.base_url": "https://api.deepinfra.com/v1/openai",
    "endpoint.api_key_env": KEY_VARIABLE,
    "params": "{temperature: 0.7, max_tokens: 512}",
    "concurrency": "200",
    "output.path": OUTPUT,
}
"""The keys that the starter sets, and their values as written."""

_QUESTIONS = (
    ("lamb", "Can you name at least two different techniques to cook lamb?"),
    ("salt", "Why is salt added to the water in which pasta is boiled?"),
    ("sauce", "How is a sauce that has split brought together again?"),
    ("bread", "What does a sourdough starter need from one day to the next?"),
    ("knife", "Which three knives does a home cook need, and what for?"),
)
_HEAD = f"""\
# yaml-language-server: $schema={SCHEMA}
# A batchchat job. Paths are relative to this file. A key after a `#` shows its default: remove the `# `
# to set it. ${{NAME}} and ${{NAME:-default}} read the environment.

"""
_WORDS_AT = 36


def starter_job() -> str:
    """The text of the job file."""
    return "".join([_HEAD, *(f"{line}\n" for line in _lines())])


def sample_rows() -> str:
    """A few rows of input for the starter job, as JSON lines."""
    return "".join(
        json.dumps({"id": id_, "messages": [{"role": "user", "content": question}]}) + "\n"
        for id_, question in _QUESTIONS
    )


def _lines() -> Iterator[str]:
    for leaf, key in children("").items():
        if key is not None:
            yield _line("", leaf, key)
            continue
        yield f"{leaf}:"
        for inner, below in children(leaf).items():
            assert below is not None
            yield _line("  ", inner, below)


def _line(indent: str, leaf: str, key: JobKey) -> str:
    written = SET.get(key.name)
    setting = f"{indent}{leaf}: {written}" if written is not None else f"{indent}# {leaf}: {_default(key)}"
    return f"{setting:<{_WORDS_AT}}  # {words_of(key)}"


def _default(key: JobKey) -> str:
    value = key.default
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
