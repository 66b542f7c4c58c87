from __future__ import annotations

from pathlib import Path

import pytest

from batchchat.job.paths import resolved, resolved_input
from tests.job.given import MOCK, faults, load

TAKES = "It takes a path that ends in .parquet, or one without a dot for a folder of part files"
URL = "which is not in this version yet. It takes a path on this machine."


def test_against_the_folder_of_the_job() -> None:
    """Relative paths are relative to the job file, `~` is the home, globs stay globs."""
    home = {"HOME": "/home/ada"}
    folder = Path("/jobs/[old]")
    assert resolved("x.parquet", folder, home) == Path("/jobs/[old]/x.parquet")
    assert resolved("~/x.parquet", folder, home) == Path("/home/ada/x.parquet")
    assert resolved_input("../a.jsonl", folder, home) == "/jobs/[old]/../a.jsonl"
    assert resolved_input("*.jsonl", folder, home) == "/jobs/[[]old]/*.jsonl"
    assert resolved_input("/data/[ab].jsonl", folder, home) == "/data/[ab].jsonl"
    assert resolved_input("~/a.jsonl", folder, home) == "/home/ada/a.jsonl"


def test_relative_job_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paths of a job are absolute, however it was named."""
    monkeypatch.chdir(tmp_path)
    assert resolved_input("a", Path("jobs"), {}) == str(tmp_path / "jobs/a")


def test_variables_in_paths() -> None:
    """`as_given` is the path after variables are expanded."""
    assert load(MOCK, "input.path=${D}/x.jsonl", environ={"D": "/data"}).input.as_given == ("/data/x.jsonl",)


def of_store(scheme: str) -> str:
    """What an output in an object store takes."""
    return f"It takes {scheme}://BUCKET/NAME.parquet for a file, {scheme}://BUCKET/NAME for part files."


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("[]", "`input.path` is an empty list. It takes a path, a glob, a URL, or a list of them."),
        ("{a: b}", "`input.path` is a mapping. It takes a path, a glob, a URL, or a list of them."),
        ("7", "`input.path` is 7, a whole number. It takes a path, a glob, a URL, or a list of them."),
        ('""', '`input.path` is "". It takes a path that is not blank.'),
        ("[a, 7]", "`input.path[1]` is 7, a whole number. It takes a path."),
        ('"a\\nb"', "`input.path` is a\\nb. It takes a path on one line."),
        (
            "[a, gs://b@secret/c]",
            "`input.path[1]` is a URL (gs://...) without the name of a bucket. It takes gs://bucket/key; credentials"
            " come from the environment.",
        ),
        (
            "ftp://h/x?sig=abc",
            "`input.path` is a URL (ftp://...) of a kind that is not read. It takes s3, gs, az and https.",
        ),
        ("http://h/x", "`input.path` is an http:// URL, which is read from this machine only. Use https://."),
        ("https://h/x/", "`input.path` is a folder of a web server, which lists nothing. Name the files in it."),
    ],
)
def test_bad_input(path: str, sentence: str) -> None:
    """An input path that is not accepted is reported with the way out; of a URL only the scheme is shown."""
    assert faults(MOCK.replace("{path: q.jsonl}", f"\n  path: {path}")) == [f"job.yaml:2: {sentence}"]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("out/x.csv", f"`output.path` is out/x.csv. {TAKES}."),
        ("out/v1.2", f"`output.path` is out/v1.2. {TAKES}."),
        ("..", f"`output.path` is ... {TAKES}."),
        ("/", f"`output.path` is /. {TAKES}."),
        ("out/.parquet", f"`output.path` is out/.parquet. {TAKES}; .parquet lacks a name before the dot."),
        ("out/x.parquet/", f"`output.path` is out/x.parquet/. {TAKES}; a file's path has no slash at its end."),
        ("[a]", f"`output.path` is a list. {TAKES}."),
        (
            "https://h/x.parquet?sig=abc",
            f"`output.path` is a URL (https://...), {URL.rstrip('.')}, or an s3://, gs:// or az:// URL.",
        ),
        (
            "s3://key:secret@bucket/x",
            "`output.path` is a URL (s3://...) without the name of a bucket. It takes s3://bucket/key;"
            " credentials come from the environment.",
        ),
        ("gs://bucket", f"`output.path` is a URL (gs://...) that names a bucket and nothing in it. {of_store('gs')}"),
        (
            "az://bucket/a/*.parquet",
            "`output.path` is a URL (az://...) whose key has an empty part, `.`, `..`, or a character that a glob would"
            f" read as another. {of_store('az')}",
        ),
        ("s3://bucket/a.csv", f"`output.path` is s3://bucket/a.csv. {TAKES}."),
    ],
)
def test_bad_output(path: str, sentence: str) -> None:
    """An output path that is not accepted is reported with the way out."""
    assert faults(MOCK.replace("{path: o.parquet}", f"\n  path: {path}")) == [f"job.yaml:4: {sentence}"]


def test_a_journal_is_shipped_below_a_prefix() -> None:
    """What is refused names the form of this key, not that of an output."""
    (fault,) = faults(MOCK + "store: {ship_journal: 's3://bucket/x?sig=abc'}\n")
    assert fault == (
        "job.yaml:5: `store.ship_journal` is a URL (s3://...) with a query; credentials come from the environment."
        " It takes s3://BUCKET/PREFIX."
    )


@pytest.mark.parametrize(
    ("url", "path", "name"),
    [
        ("s3://bucket/a/out.parquet", "out.run/published.parquet", "s3://bucket/a/out.parquet"),
        ("gs://bucket/out/", "out.run/published", "gs://bucket/out"),
    ],
)
def test_output_in_a_store(url: str, path: str, name: str) -> None:
    """Its run folder is beside the job, also where `--output` names it; it is published there first."""
    for job in (load(MOCK.replace("{path: o.parquet}", f"{{path: '{url}'}}")), load(MOCK, output=url)):
        assert job.input.folder is not None
        assert job.output.path == job.input.folder / path
        assert job.output.url is not None
        assert job.output.url.shown == name
        assert job.output.as_given == url
