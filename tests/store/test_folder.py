"""The run folder and what may not be overwritten."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchchat.errors import OutputError
from batchchat.store.folder import check_output, folder_of, make_folder, set_aside
from batchchat.store.parquet import write_parquet
from batchchat.store.segments import journal_offset
from tests.store.given import answered, write_segment


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "x.parquet"


def ours(output: Path) -> None:
    write_parquet(output, [(answered(), 500)], {}, {})


def refusal(output: Path, inputs: list[Path], *, fresh: bool = False, typed: str = "out/x.parquet") -> str:
    with pytest.raises(OutputError) as caught:
        check_output(output, typed, inputs, fresh=fresh)
    return str(caught.value)


def test_the_run_folder_stands_beside_the_output() -> None:
    """Its name is the output's stem."""
    assert folder_of(Path("/a/b.c.parquet")) == Path("/a/b.c.run")


def test_a_new_output_is_fine(output: Path) -> None:
    """Nothing there, nothing to refuse, and nothing is made by looking."""
    check_output(output, "x.parquet", [], fresh=False)
    assert list(output.parent.iterdir()) == []


def test_a_folder_is_no_output(output: Path) -> None:
    """A folder of the output's name is told with a name that would do."""
    output.mkdir()
    assert refusal(output, [], typed="out/") == "out/ is a folder. Name a file in it, for example out/output.parquet."


def test_the_input_is_never_overwritten(output: Path, tmp_path: Path) -> None:
    """Not by its own name, nor by a link to it, nor with --fresh."""
    pq.write_table(pa.table({"prompt": ["a"]}), output)
    link = tmp_path / "link.parquet"
    link.symlink_to(output)
    for inputs in ([output], [link]):
        assert refusal(output, inputs, fresh=True) == (
            "out/x.parquet is both the input and the output. Give `output.path` another name."
        )


@pytest.mark.parametrize("fresh", [False, True])
def test_what_is_not_ours_is_left_alone(output: Path, fresh: bool) -> None:
    """Another's Parquet, or any file, is refused with the way out."""
    wanted = (
        "out/x.parquet already exists and was not written by batchchat. Move it away, or name another `output.path`."
    )
    output.write_text("hello")
    assert refusal(output, [], fresh=fresh) == wanted
    pq.write_table(pa.table({"a": [1]}), output)
    assert refusal(output, [], fresh=fresh) == wanted
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({b"batchchat": b"{"}), output)
    assert refusal(output, [], fresh=fresh) == wanted


def test_a_folder_with_files_of_others_is_left_alone(tmp_path: Path) -> None:
    """An output of parts never takes the place of a folder that holds anything else."""
    output = tmp_path / "out"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    assert refusal(output, [], typed="out") == (
        "out holds files that were not written by batchchat. Move them away, or name another `output.path`."
    )


def test_an_output_without_its_journal_is_not_paid_for_again(output: Path) -> None:
    """Ours, but not to be continued: refused, unless fresh; with its journal it is fine."""
    ours(output)
    assert refusal(output, []) == (
        "out/x.parquet exists, but its run folder x.run does not, so it can't be continued"
        " and its rows would be paid for again. Name another `output.path`, or set it aside with --fresh."
    )
    check_output(output, "x.parquet", [], fresh=True)
    folder = make_folder(output, "x.parquet")
    assert refusal(output, []).startswith("out/x.parquet exists, but")
    write_segment(folder, 1, [])
    check_output(output, "x.parquet", [], fresh=False)


def test_the_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    """It is made once, and left empty."""
    output = tmp_path / "a" / "b" / "x.parquet"
    folder = make_folder(output, "x.parquet")
    assert make_folder(output, "x.parquet") == folder
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """The refusal names what stands in the way."""
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError) as caught:
        make_folder(tmp_path / "a" / "x.parquet", "a/x.parquet")
    assert str(caught.value) == (
        f"a/x.parquet can't be written: Not a directory ({tmp_path / 'a' / 'x.run'})."
        " Name another `output.path`, or fix that."
    )


def test_what_is_set_aside_keeps_all_it_held(output: Path) -> None:
    """Output and folder go to one dated name, twice in a second to two; nothing is deleted."""
    names = []
    for _ in range(2):
        ours(output)
        write_segment(make_folder(output, "x.parquet"), 1, [answered()])
        moved = set_aside(output)
        dated = next(path for path in moved if path.suffix == ".parquet")
        assert moved == [folder_of(dated), dated]
        assert re.fullmatch(r"x\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(-\d+)?\.parquet", dated.name)
        assert (folder_of(dated) / "journal-000001.jsonl").stat().st_size
        assert not output.exists()
        assert not folder_of(output).exists()
        names.append(dated)
    assert names[0] != names[1]
    assert all(path.exists() for path in names)
    assert set_aside(output) == []


@pytest.mark.parametrize(
    ("journal", "lacks"),
    [
        (None, "its run folder x.run does not"),
        ("", "x.run has no journal"),
        ("cut", "the journal in x.run is shorter than it was when the output was written"),
    ],
)
def test_an_output_that_knows_more_than_its_journal_is_kept(output: Path, journal: str | None, lacks: str) -> None:
    """What can't be continued is not paid for again unasked: not without a run folder, a journal, or all of it."""
    write_parquet(output, [(answered(), 500)], {}, {"journal_end": journal_offset(1, 1_000_000)})
    if journal is not None:
        folder_of(output).mkdir()
    if journal:
        write_segment(folder_of(output), 1, [])
    assert refusal(output, []) == (
        f"out/x.parquet exists, but {lacks}, so it can't be continued and its rows would be paid for again."
        " Name another `output.path`, or set it aside with --fresh."
    )
    check_output(output, "out/x.parquet", [], fresh=True)
