from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchchat.job.schema import schema_text
from tests.cli.called import call


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_says_what_to_type_next() -> None:
    """Here, if no folder is named: three files, and the commands for a try without a key and with one."""
    called = call("init")
    assert (called.code, called.err) == (0, "")
    assert called.out == (
        "job.yaml: a job that sets 8 keys and shows the others with their defaults\n"
        "questions.jsonl: 5 rows to try it with\n"
        "job.schema.json: what an editor completes and checks the job by\n"
        "\n"
        "Without a key, at the embedded mock endpoint:\n"
        "  batchchat run job.yaml --limit 5 --set endpoint.base_url=mock --output out/try.parquet\n"
        "With one:\n"
        "  export DEEPINFRA_TOKEN=...\n"
        "  batchchat run job.yaml --limit 5\n"
    )
    assert sorted(path.name for path in Path().iterdir()) == ["job.schema.json", "job.yaml", "questions.jsonl"]
    assert Path("job.schema.json").read_text() == schema_text() + "\n"
    assert Path("job.yaml").read_text().startswith("# yaml-language-server: $schema=job.schema.json\n")
    assert all(json.loads(line) for line in Path("questions.jsonl").read_text().splitlines())


def test_a_folder_is_made() -> None:
    """A folder that is not there is made, and what is to be typed names it so that a shell takes it."""
    called = call("init", "my jobs/chef")
    assert called.code == 0
    assert "  batchchat run 'my jobs/chef/job.yaml' --limit 5\n" in called.out
    assert "--output 'my jobs/chef/out/try.parquet'\n" in called.out
    assert Path("my jobs/chef/questions.jsonl").exists()


@pytest.mark.parametrize("name", ["job.yaml", "questions.jsonl", "job.schema.json"])
def test_nothing_is_overwritten(name: str) -> None:
    """One file that is there, a dangling link too, and nothing is written."""
    Path(name).symlink_to("nowhere")
    called = call("init")
    assert (called.code, called.out) == (2, "")
    way_out = "is there already, and init overwrites nothing. Name another DIR, or move it away."
    assert called.err == f"error: {name} {way_out}\n"
    assert [path.name for path in Path().iterdir()] == [name]


def test_a_place_that_takes_nothing() -> None:
    """A folder that can't be made is refused with its name and the reason."""
    Path("file").touch()
    called = call("init", "file/chef")
    assert called.code == 2
    assert called.err == "error: file/chef can't be written: Not a directory. Name another DIR.\n"
    assert call("init", "file").code == 2
