"""Keys where nobody expects them: in the URL's query, in a comment, as a header's name. Nothing repeats one."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from tests.acceptance.job import Job, rows
from tests.field.endpoint import Asked, endpoint, error, ok

KEY = "sk-proj-Zx81Lm20Qw55TTpy"


def everything(job: Job) -> bytes:
    """All files that runs have left, and what the Parquet's metadata holds."""
    files = [path for path in job.folder.rglob("*") if path.is_file() and path not in {job.file, job.input}]
    return b"\n".join(path.read_bytes() for path in files)


@pytest.mark.parametrize(
    "query", ["key={}", "api-version=2024-10-21&api-key={}", "code={}%2Fabc", "subscription-key={}"]
)
def test_a_key_in_the_query_of_the_url(job: Job, query: str) -> None:
    """It is sent, and stands in no file, no error, no report and no command that is proposed."""
    written = query.format(KEY)

    def answer(asked: Asked) -> bytes:
        assert KEY in asked.path
        return (
            error(400, f"bad request to {asked.path} with {unquote(written.rpartition('=')[2])}")
            if asked.text.endswith("1")
            else ok()
        )

    with endpoint(answer) as server:
        url = f"{server.url}?{written}"
        job.write(rows(3), endpoint__base_url=url)
        texts = [job.run(), job.run("--set", f"endpoint.base_url={url}", "--retry-failed", "--concurrency", "3")]
        texts += [job.run(command, "job.yaml") for command in ("report", "status", "validate", "estimate")]
    assert [ended.code for ended in texts] == [3, 3, 0, 0, 0, 0]
    assert not [ended for ended in texts if KEY in ended.out + ended.err]
    assert KEY.encode() not in everything(job)
    if "2024" in query:
        assert b"api-version=2024-10-21" in job.journal_file.read_bytes()


def test_a_key_in_a_comment(job: Job) -> None:
    """Wherever the comment stands; what is not a key stays."""
    job.write(rows(1))
    text = "\n".join(
        [
            f"# export DEEPINFRA_TOKEN={KEY} before you run this, see https://example.org/a1b2c3d4e5f6a7b8c9d0e1f2",
            "input: {path: in.jsonl}",
            f"model: m  # was {KEY}",
            "endpoint: {base_url: mock}",
            "output: {path: out.parquet}  # 2026-11-29, temperature=0.7",
            f"# hf_{'a' * 30}",
        ]
    )
    job.file.write_text(text)
    assert job.run().code == 0
    left = everything(job)
    assert KEY.encode() not in left
    assert b"hf_aaaa" not in left
    assert b"https://example.org/a1b2c3d4e5f6a7b8c9d0e1f2" in left
    assert b"2026-11-29, temperature=0.7" in left


def test_a_key_as_a_name(job: Job) -> None:
    """Of a header, with a value and without, and under `endpoint`."""
    for value, code in (("", 2), ("yes", 0), (["a"], 2), ("a\x07", 2)):
        job.write(rows(1), endpoint__headers={KEY: value})
        ended = job.run()
        assert KEY not in ended.out + ended.err
        assert KEY.encode() not in everything(job)
        assert ended.code == code
    job.write(endpoint__headers={KEY: "a", KEY.upper(): "b"})
    assert KEY not in job.run().err
    job.write(endpoint__headers=None)
    text = job.file.read_text().replace('"endpoint": {', f'"endpoint": {{ "{KEY}": 1, ')
    job.file.write_text(text)
    ended = job.run()
    assert ended.code == 2
    assert KEY not in ended.err
