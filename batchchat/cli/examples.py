"""The examples that `init --example` writes: jobs of the repository's `jobs/`, with their sample data.

The wheel has copies of both folders; a checkout is read as it stands. In the repository a job reads `../sample_data/`
and writes `../out/`. Written by `init`, all is in one folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["EXAMPLES", "PACKAGED", "ExampleJobs", "example_files"]

PACKAGED = Path(__file__).parents[1] / "examples"
"""Where the wheel has the folders `jobs` and `sample_data`."""

_CHECKOUT = Path(__file__).parents[2]
_DATA = re.compile(r"\.\./sample_data/([\w.-]+)")
_MOVES = (("../sample_data/", ""), ("sample_data/", ""), ("../out/", "out/"), ("jobs/", ""))


@dataclass(frozen=True, slots=True)
class ExampleJobs:
    """One or more jobs, in the order in which they run, and what they do in a few words."""

    jobs: tuple[str, ...]
    summary: str


EXAMPLES = {
    "label": ExampleJobs(("label.yaml",), "a label for each row of a CSV"),
    "judge": ExampleJobs(("judge-generate.yaml", "judge.yaml"), "answers, and a verdict on each"),
    "compare": ExampleJobs(("compare.yaml",), "the same questions to several models, side by side"),
    "regenerate": ExampleJobs(("regenerate.yaml",), "new answers for the conversations of a ShareGPT file"),
}


def example_files(name: str) -> dict[str, str]:
    """The files of an example and their texts: its jobs, then the sample data that they read."""
    root = PACKAGED if PACKAGED.is_dir() else _CHECKOUT
    jobs = {job: (root / "jobs" / job).read_text(encoding="utf-8") for job in EXAMPLES[name].jobs}
    files = {job: _moved(text) for job, text in jobs.items()}
    for text in jobs.values():
        for data in _DATA.findall(text):
            files[data] = (root / "sample_data" / data).read_text(encoding="utf-8")
    return files


def _moved(text: str) -> str:
    """The job with all paths as of one folder; comments beside keys stay in their column."""
    return "".join(map(_moved_line, text.splitlines(keepends=True)))


def _moved_line(line: str) -> str:
    moved = line
    for path, name in _MOVES:
        moved = moved.replace(path, name)
    setting, sign, comment = moved.partition("  # ")
    return f"{setting:<{line.index(sign)}}{sign}{comment}" if sign and setting.strip() else moved
