"""`make picture`: docs/report.png, the report's page of a run against the mock, as Chromium shows it."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from contextlib import chdir, suppress
from pathlib import Path

from batchchat.cli import main
from batchchat.mock.faults import Fault
from tests.acceptance.servers import mock_thread
from tests.reporting.html.chromium import FOUND, opened

HOUSE = Path(__file__).parents[2]
QUESTIONS = HOUSE / "sample_data" / "mt_bench_first_questions.jsonl"
PICTURE = HOUSE / "docs" / "report.png"
MOST_BYTES = 150_000
WIDTH, HEIGHT = 1_060, 960
FAULTS = (Fault("500", 0.04), Fault("429", 0.03), Fault("drop", 0.01), Fault("empty", 0.02))
JOB = """\
name: mt-bench
input: {{path: in.jsonl, id: id}}
model: microsoft/WizardLM-2-8x22B
endpoint: {{base_url: "{root}/v1/openai", api_key_env: null}}
params: {{max_tokens: 512}}
concurrency: 24
retry: {{max_attempts: 2, max_wait: 1}}
output: {{path: mt-bench.parquet}}
"""


def questions() -> str:
    """The 80 questions five times over, as if asked of five samples."""
    rows = [json.loads(line) for line in QUESTIONS.read_text().splitlines()]
    return "\n".join(json.dumps(row | {"id": f"{row['id']}-{turn}"}) for turn in range(5) for row in rows)


def report(folder: Path) -> Path:
    """A run in `folder`, and its page."""
    (folder / "in.jsonl").write_text(questions())
    with chdir(folder), mock_thread(latency_s=0.3, latency_jitter_s=1.2, seed=7, faults=FAULTS) as mock:
        Path("job.yaml").write_text(JOB.format(root=mock.root))
        with suppress(SystemExit):  # rows failed, as some are to
            main(["run", "job.yaml", "--progress", "none"], standalone_mode=False)
        main(["report", "job.yaml", "--by", "category", "--html", "report.html"], standalone_mode=False)
    return folder / "report.html"


async def taken(url: str) -> bytes:
    """The page's beginning as PNG."""
    async with opened() as page:
        await page.show(url, width=WIDTH, height=HEIGHT)
        assert not page.complaints, page.complaints
        return await page.picture(HEIGHT)


def make() -> None:
    """Draw it, and see that it is small."""
    if FOUND is None:
        sys.exit("there is no Chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        picture = asyncio.run(taken(report(Path(folder)).as_uri()))
    assert len(picture) < MOST_BYTES, f"{len(picture):,} bytes are too many for a README"
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(picture)
    print(f"{PICTURE.relative_to(HOUSE)}: {len(picture):,} bytes")


if __name__ == "__main__":
    make()
