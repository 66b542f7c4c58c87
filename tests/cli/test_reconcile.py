"""`batchchat report --reconcile` against the mock, which knows what it billed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchchat.store.parquet import write_parquet
from batchchat.store.published import Published
from tests.acceptance.servers import mock_thread
from tests.cli.called import call


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of one's own, with twelve questions."""
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"id": f"q{n}", "prompt": f"Question {n}"}) for n in range(12)]
    Path("in.jsonl").write_text("\n".join(lines))
    return tmp_path


def job(base_url: str) -> str:
    Path("job.yaml").write_text(
        "input: {path: in.jsonl, id: id, column: prompt}\nmodel: some/model\n"
        f"endpoint: {{base_url: '{base_url}', api_key_env: KEY}}\noutput: {{path: out.parquet}}\n"
    )
    return "job.yaml"


def test_the_bill_and_the_rows() -> None:
    """What the endpoint billed is what the rows say; where a row says otherwise, it is told by how much."""
    with mock_thread(api_key="k") as mock:
        name = job(f"{mock.root}/v1/openai")
        assert call("run", name, "--progress", "none", KEY="k").code == 0
        told = call("report", name, "--reconcile", KEY="k")
        assert (told.code, told.err) == (0, "")
        assert f" by {mock.root.removeprefix('http://')} for 12 rows: just what the rows say" in told.out

        published = Published(Path("out.parquet"))
        rows = list(published.rows())
        rows[3]["cost_usd"] = 1.5
        rows[3]["attempts"] = 2
        del rows[4]["cost_usd"]
        rows[5]["reply"]["response_id"] = "chatcmpl-of-another"
        del rows[6]["reply"]["response_id"]
        write_parquet(Path("out.parquet"), ((row, 1) for row in rows), published.passthrough, published.metadata)
        told = call("report", name, "--reconcile", "--json", KEY="k")
        assert told.code == 0
        found = json.loads(told.out)["outputs"][0]["reconcile"]
        assert (found["compared_rows"], found["differing_rows"], found["differing_retried_rows"]) == (9, 1, 1)
        assert (found["unknown_rows"], found["unknown_example_id"]) == (1, "q5")
        assert (found["without_response_id_rows"], found["without_cost"]["rows"]) == (1, 1)
        assert found["without_cost"]["billed_usd"] > 0
        (largest,) = found["largest"]
        assert (largest["id"], largest["cost_usd"], largest["attempts"]) == ("q3", 1.5, 2)
        assert largest["difference_usd"] == pytest.approx(found["difference_usd"])


def test_whom_to_ask_must_be_known() -> None:
    """An output has no key, and the embedded mock is gone with its run: both are told with the way out."""
    job("mock")
    told = call("report", "out.parquet", "--reconcile")
    assert (told.code, told.err) == (
        2,
        "error: out.parquet does not say whom to ask, nor with which key."
        " With --reconcile, give the job file instead.\n",
    )
    told = call("report", "job.yaml", "--reconcile")
    assert told.code == 2
    assert told.err.startswith("error: job.yaml has `endpoint.base_url: mock`, which lives as long as a run:")
