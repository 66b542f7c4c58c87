# ruff: noqa: E501  (exact texts stand on one line)
"""`batchchat report`: of a finished output, of a run that was killed, of an output alone."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from batchchat.store.folder import folder_of
from batchchat.store.parquet import write_parquet
from batchchat.store.run_json import write_state
from batchchat.text import numbers
from tests.cli.called import call
from tests.store.given import answered, failed, invalid, run_record, write_segment

ROWS = [
    answered("a", carried={"topic": "sauce"}, latency_s=1.0, ordinal=0),
    answered(
        "b", carried={"topic": "soup"}, latency_s=3.0, cost_usd=0.25, attempts=2, retries={"rate_limit": 1}, ordinal=1
    ),
    failed("c", carried={"topic": "soup"}, ordinal=2),
    invalid("d", ordinal=3, place="in.jsonl:4"),
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of one's own; outputs are told as one would type them there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def journal(output: str, *more: object, left: int | None = 0) -> Path:
    """A run that ended in its journal with so many rows left, and was not published."""
    folder = folder_of(Path(output).absolute())
    folder.mkdir()
    run = run_record(name="chef", model="some/model", endpoint="api.deepinfra.com")
    write_segment(folder, 1, [run, *ROWS, *more])
    total = None if left is None else 4 + left
    write_state(folder, {"state": "finished", "exit_code": 3, "rows": {"total": total, "left": left}})
    return folder


def test_what_a_person_reads() -> None:
    """Figures by topic, each unknown named, and the groups in a table of right-aligned figures."""
    journal("x.parquet", run_record())
    told = call("report", "x.parquet", "--by", "topic")
    assert (told.code, told.err) == (0, "")
    assert told.out == (
        "x.parquet: 2 of 4 rows answered for $0.2501\n"
        "\n"
        "  rows      2 answered · 1 failed · 1 invalid\n"
        "  tokens    10 in (4 cached) · 14 out\n"
        "  cost      $0.2501 reported by the endpoint\n"
        "            $0.1251 an answered row\n"
        "  latency   p50 2.00 s · p95 2.90 s · p99 2.98 s · max 3.00 s\n"
        "  attempts  4\n"
        "  retries   1: 1 rate limit\n"
        "  failed    1 timeout  c: no answer in 600 s\n"
        "  invalid   1  in.jsonl:4: the line is a list. It takes an object.\n"
        "\n"
        "  by topic  rows  unanswered  tokens in  tokens out     cost    a row     p50     p95\n"
        "  soup         2           1          5           7  $0.2500  $0.2500  3.00 s  3.00 s\n"
        "  sauce        1           –          5           7  $0.0001  $0.0001  1.00 s  1.00 s\n"  # noqa: RUF001
        "  (null)       1           1          –           –        –        –       –       –\n"  # noqa: RUF001
    )


@pytest.mark.parametrize(
    ("left", "head", "rows"),
    [
        (219, "2 of 223 rows answered", "2 answered · 1 failed · 1 invalid · 219 left"),
        (None, "2 rows answered so far", "2 answered · 1 failed · 1 invalid"),
    ],
)
def test_a_part_is_not_told_as_the_whole(left: int | None, head: str, rows: str) -> None:
    """Of a run with rows left, the headline counts them, or says that more may come; JSON says how many, or null."""
    journal("x.parquet", left=left)
    told = call("report", "x.parquet").out.splitlines()
    assert told[0] == f"x.parquet: {head} for $0.2501{', 219 left' if left else ''}"
    assert f"  rows      {rows}" in told
    output = json.loads(call("report", "x.parquet", "--json").out)["outputs"][0]
    assert (output["left"], output["by"]) == (left, [])


def test_a_journal_that_was_cut_does_not_hide_the_output() -> None:
    """Where the output was made of a longer journal than there is, the output is what is told."""
    folder = journal("x.parquet")
    write_parquet(Path("x.parquet"), [(row, 1) for row in ROWS], {}, {"journal_end": 1 << 40 | 10_000_000})
    (folder / "journal-000001.jsonl").write_bytes(b"")
    assert call("report", "x.parquet").out.startswith("x.parquet: 2 of 4 rows answered")
    assert call("export", "x.parquet", "--to", "jsonl", "-o", "y.jsonl").out == "y.jsonl: 4 rows\n"


def test_a_job_is_known_by_its_output_alone() -> None:
    """Who looks at a result needs no key, and none of the variables that a run needs."""
    journal("x.parquet")
    job = "model: ${NOT_SET}\nendpoint: {base_url: '${NOT_SET}', api_key_env: NOT_SET}\noutput: {path: x.parquet}\n"
    Path("job.yaml").write_text(job)
    assert call("report", "job.yaml", NOT_SET=None).out.startswith("x.parquet: 2 of 4 rows answered")
    Path("job.yaml").write_text(job.replace("x.parquet", "none.parquet"))
    told = call("report", "job.yaml", NOT_SET=None)
    assert told.err == (
        "error: none.parquet has no run: there is neither an output nor a journal in none.run."
        " Run it with: batchchat run job.yaml\n"
    )


def test_the_same_from_journal_and_output() -> None:
    """An output alone says what its journal did, but for what retries were for."""
    journal("x.parquet")
    from_journal = json.loads(call("report", "x.parquet", "--json", "--by", "topic").out)
    assert call("export", "x.parquet", "--to", "parquet", "-o", "y.parquet").code == 0
    shutil.rmtree("x.run")
    from_output = json.loads(call("report", "y.parquet", "--json", "--by", "topic").out)
    assert from_output["outputs"][0].pop("path") == "y.parquet"
    assert from_journal["outputs"][0].pop("path") == "x.parquet"
    assert from_output == from_journal
    assert call("report", "y.parquet").out.splitlines()[2] == "  job       chef · some/model at api.deepinfra.com"


def test_several_outputs() -> None:
    """Several are told one after the other, and side by side in the end; JSON has one object of them."""
    for name in ("x.parquet", "y.parquet"):
        journal(name)
    told = call("report", "x.parquet", "y.parquet").out
    assert told.splitlines()[-3].split() == [
        "side",
        "by",
        "side",
        "rows",
        "unanswered",
        *["tokens", "in", "tokens", "out", "cost", "a", "row", "p50", "p95"],
    ]
    assert [line.split()[:3] for line in told.splitlines()[-2:]] == [["x.parquet", "4", "2"], ["y.parquet", "4", "2"]]
    outputs = json.loads(call("report", "x.parquet", "y.parquet", "--json").out)["outputs"]
    assert [output["path"] for output in outputs] == ["x.parquet", "y.parquet"]


def test_the_output_is_read_only_while_it_is_current() -> None:
    """A journal that has grown since the output was published knows more, and is what is told."""
    folder = journal("x.parquet")
    size = (folder / "journal-000001.jsonl").stat().st_size
    write_parquet(Path("x.parquet"), [(ROWS[0], 1)], {}, {"journal_end": 1 << 40 | size})
    assert call("report", "x.parquet").out.startswith("x.parquet: 1 of 4 rows answered")
    write_segment(folder, 2, [answered("z")])
    assert call("report", "x.parquet").out.startswith("x.parquet: 3 of 5 rows answered")


def test_figures_as_csv() -> None:
    """A line for each group, its value first, with the figures of `--json`; without `--by`, a line for each output."""
    journal("x.parquet")
    assert call("report", "x.parquet", "--by", "topic", "--csv", "f.csv").code == 0
    told = list(csv.DictReader(Path("f.csv").read_text().splitlines()))
    assert [(line["topic"], line["rows_total"], line["cost_usd_known"]) for line in told] == [
        ("soup", "2", "0.25"),
        ("sauce", "1", "0.000123"),
        ("", "1", ""),
    ]
    assert call("report", "x.parquet", "x.parquet", "--csv", "f.csv").code == 0
    whole = list(csv.DictReader(Path("f.csv").read_text().splitlines()))
    assert [(next(iter(line.items())), line["rows_total"]) for line in whole] == [(("path", "x.parquet"), "4")] * 2


def test_the_output_is_never_written_over() -> None:
    """A report's file is not the output it is of, nor a folder."""
    journal("x.parquet")
    write_parquet(Path("x.parquet"), [(ROWS[0], 1)], {}, {})
    told = call("report", "x.parquet", "--csv", "x.parquet")
    assert (told.code, told.err) == (2, "error: x.parquet is the run's own output. Name another file.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.parquet"], "none.parquet has no run: there is neither an output nor a journal in none.run. Give the job file or its output."),
        (["notes.txt"], "notes.txt is no output of batchchat. Give a job file, or the Parquet file or folder that a run wrote."),
        (["empty"], "empty is no output of batchchat. Give a job file, or the Parquet file or folder that a run wrote."),
        (["job.yaml"], "job.yaml: there is no such file."),
        (["x.parquet", "--by", "topik"], "x.parquet has no column `topik` to group by. Did you mean `topic`?"),
        (["x.parquet", "--by", "messages"], "`messages` is a column of lists. Group by one of single values."),
        (["x.parquet", "--by", "q"], "x.parquet has no column `q` to group by. There is `topic`, `id`, `variant`, `sample`, `status`, `response`, `finish_reason`, `messages_json` and 29 more."),
    ],
)  # fmt: skip
def test_what_is_refused(arguments: list[str], said: str) -> None:
    """Exit 2 and one sentence that names it and the way out."""
    journal("x.parquet")
    Path("notes.txt").write_text("hello")
    Path("empty").mkdir()
    told = call("report", *arguments)
    assert (told.code, told.out, told.err) == (2, "", f"error: {said}\n")


def test_export_names_what_it_leaves_out() -> None:
    """Rows a form can't hold are counted on stderr, with the reason; stdout has what was written."""
    journal("x.parquet")
    told = call("export", "x.parquet", "--to", "sharegpt", "-o", "s.jsonl")
    assert (told.code, told.out, told.err) == (0, "s.jsonl: 2 rows\n", "left out: 2 rows without an answer\n")
    assert len(Path("s.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("x.parquet", "x.parquet is the run's own output. Name another file."),
        ("link.parquet", "link.parquet is the run's own output. Name another file."),
        ("none/y.csv", "none/y.csv can't be written: none is no folder."),
        (".", ". is a folder. Name a file in it."),
        ("job.yaml", "job.yaml is the job file. Name another file."),
        ("in.jsonl", "in.jsonl is where the job reads its input. Name a file elsewhere."),
        ("data/new.csv", "data/new.csv is where the job reads its input. Name a file elsewhere."),
        (
            "x.run/journal-000001.jsonl",
            "x.run/journal-000001.jsonl is in x.run, where a run keeps its journal. Name a file elsewhere.",
        ),
    ],
)
def test_export_targets_that_are_refused(target: str, said: str, here: Path) -> None:
    """What a run lives on is never written over, and a target that can't be is told; nothing is changed."""
    Path("job.yaml").write_text("output: {path: x.parquet}")
    Path("in.jsonl").write_text("{}")
    Path("data").mkdir()
    folder = journal("x.parquet", run_record(inputs=[str(here / "in.jsonl"), str(here / "data")]))
    write_parquet(Path("x.parquet"), [(ROWS[0], 1)], {}, {})
    Path("link.parquet").symlink_to("x.parquet")
    before = (folder / "journal-000001.jsonl").read_bytes()
    told = call("export", "job.yaml", "--to", "csv", "-o", target)
    assert (told.code, told.err) == (2, f"error: {said}\n")
    assert (folder / "journal-000001.jsonl").read_bytes() == before
    assert Path("in.jsonl").read_text() == "{}"


def test_an_export_goes_through_links_and_pipes(here: Path) -> None:
    """A link's target is replaced, the link stays; a pipe is written to; `-` is stdout, with nothing else on it."""
    journal("x.parquet")
    (here / "far").mkdir()
    Path("far/y.csv").write_text("old")
    Path("link.csv").symlink_to("far/y.csv")
    assert call("export", "x.parquet", "--to", "csv", "-o", "link.csv").code == 0
    assert Path("link.csv").is_symlink()
    text = Path("far/y.csv").read_text()
    assert text.startswith("id,variant,sample,status,")
    os.mkfifo("pipe")
    with subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        assert call("export", "x.parquet", "--to", "csv", "-o", "pipe").code == 0
        assert reader.communicate()[0] == text
    command = [sys.executable, "-m", "batchchat", "export", "x.parquet", "--to", "csv", "-o", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (text, "")
    head = subprocess.run(f"{shlex.join(command)} | head -1", shell=True, capture_output=True, text=True, check=True)
    assert (head.stdout.startswith("id,variant,sample,"), head.stderr) == (True, "")
    assert call("export", "x.parquet", "--to", "parquet", "-o", "pipe").err == (
        "error: pipe is no regular file, and Parquet can't be written to a stream.\n"
    )


def test_a_page_of_an_unfinished_run() -> None:
    """`--html` writes a page of what a journal holds so far, beside what it says on stdout."""
    journal("x.parquet")
    told = call("report", "x.parquet", "--by", "topic", "--html", "r.html", "--json")
    assert (told.code, told.err) == (0, f"r.html: {numbers.size(Path('r.html').stat().st_size)}\n")
    assert json.loads(told.out)["outputs"][0]["rows"]["total"] == 4
    page = Path("r.html").read_text()
    assert re.search(r"2 of 4 rows answered in [\d.]+s for \$0\.2501", page)
    assert "these are the rows in the run's journal" in page


def test_a_page_holds_eight_outputs() -> None:
    """More would be no comparison, and too large."""
    journal("x.parquet")
    told = call("report", *["x.parquet"] * 9, "--html", "r.html")
    assert (told.code, told.err) == (2, "error: A page holds at most 8 outputs, and here are 9. Give fewer.\n")


def test_a_page_of_a_job_that_never_ran() -> None:
    """The way out is the same with `--html` as without."""
    Path("in.jsonl").write_text('{"prompt": "Hi"}')
    Path("job.yaml").write_text(
        "input: {path: in.jsonl, column: prompt}\nmodel: m\nendpoint: {base_url: mock}\noutput: {path: x.parquet}\n"
    )
    plain = call("report", "job.yaml")
    assert (plain.code, plain.err.splitlines()[-1].endswith("Run it with: batchchat run job.yaml")) == (2, True)
    assert call("report", "job.yaml", "--html", "r.html") == plain


def test_a_report_does_not_load_pandas(tmp_path: Path) -> None:
    """It would take as long as the figures of a million rows."""
    write_parquet(tmp_path / "x.parquet", [(row, 1) for row in ROWS], {"topic": pa.string()}, {})
    command = [sys.executable, "-X", "importtime", "-m", "batchchat", "report", "x.parquet", "--by", "topic"]
    done = subprocess.run([*command, "--since", "2020-01-01"], check=True, capture_output=True, text=True)
    assert "pyarrow" in done.stderr
    assert " pandas\n" not in done.stderr
