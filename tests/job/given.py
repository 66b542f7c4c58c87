"""Jobs in a folder of their own, for tests: the folder's name is taken out of what they say."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from batchchat.errors import JobError
from batchchat.job import JobSpec, Override, load_job

TOP = "input: {path: q.jsonl}\nmodel: m\noutput: {path: o.parquet}\n"
MOCK = f"{TOP}endpoint: {{base_url: mock}}\n"
TOKEN = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF"
KEYED = {"DEEPINFRA_TOKEN": TOKEN}


def load(
    text: str | bytes, *sets: str, environ: Mapping[str, str] | None = None, output: Path | str | None = None
) -> JobSpec:
    """The job of `text` in a file `job.yaml`, with a `--set` for each of `sets`."""
    overrides = [Override("--set", *option.split("=", 1)) for option in sets]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "job.yaml")
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        try:
            return load_job(path, overrides=overrides, environ=environ or {}, output=output)
        except JobError as exc:
            raise JobError([fault.replace(f"{folder}/", "") for fault in exc.faults]) from None


def faults(text: str | bytes, *sets: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """The sentences about everything that is wrong with the job; none if it loads."""
    try:
        load(text, *sets, environ=environ)
    except JobError as exc:
        return exc.faults
    return []
