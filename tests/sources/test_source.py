"""An input opened and read."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.conversation import Row
from batchchat.core.unanswered_rows import UnansweredRows
from batchchat.errors import InputError
from tests.sources.folder import Folder, user

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = [{"id": f"r{n}", "messages": user(f"hi {n}")} for n in range(5)]


def test_rows_go_through_all_files_in_order(folder: Folder) -> None:
    """Ordinals run over the files, line numbers start at 1 in each."""
    folder.write("b.jsonl", GOOD[:2])
    folder.write("a.parquet", GOOD[2:])
    places = [(row.ordinal, row.location, row.key.id) for row in folder.rows("b.jsonl", "a.parquet", id="id")]
    assert places == [
        (0, "b.jsonl:1", "r0"),
        (1, "b.jsonl:2", "r1"),
        (2, "a.parquet:1", "r2"),
        (3, "a.parquet:2", "r3"),
        (4, "a.parquet:3", "r4"),
    ]


def test_what_is_told_of_it(folder: Folder) -> None:
    """The description has the paths as typed, the recognition what it was recognised by."""
    folder.write("a/1.jsonl", GOOD)
    folder.write("a/2.jsonl", [{"prompt": "x"}])
    source = folder.open("a/*.jsonl")
    assert source.description == "messages from a/*.jsonl"
    assert source.recognised == "messages, from the column `messages` of the first row"
    assert source.files == (folder.path / "a/1.jsonl", folder.path / "a/2.jsonl")
    assert (source.rows_total, source.column_types, source.format) == (6, {}, "messages")
    chosen = folder.open("a/2.jsonl", format="prompt")
    assert (chosen.description, chosen.recognised) == ("prompts from a/2.jsonl", None)
    many = folder.open("a/1.jsonl", "a/2.jsonl", "./a/1.jsonl", "a/../a/1.jsonl", "a/*")
    assert many.description == "messages from a/1.jsonl, a/2.jsonl, ./a/1.jsonl and 2 more"


def test_recognition_goes_past_bad_rows(folder: Folder) -> None:
    """The first row that fits decides, and is named where it isn't the first of all."""
    folder.write("x.jsonl", b'broken\n[]\n{"id":1}\n\n{"prompt":"x"}')
    assert folder.open("x.jsonl").recognised == "prompt, from the column `prompt` of x.jsonl:5"


def test_bytes_read_reach_the_total(folder: Folder) -> None:
    """Progress goes from 0 to the sum of the files' sizes, at each reading."""
    folder.write("a.jsonl", GOOD)
    folder.write("b.parquet", GOOD)
    source = folder.open("a.jsonl", "b.parquet")
    assert source.bytes_total == sum(path.stat().st_size for path in source.files)
    assert source.bytes_read == 0
    for _ in range(2):
        seen = [source.bytes_read for _ in source.read()]
        assert seen == sorted(seen)
        assert source.bytes_read == source.bytes_total


@pytest.mark.parametrize("first", [1, 4, 5, 6, 10, 11])
def test_only_the_first_rows(folder: Folder, first: int) -> None:
    """Bad rows count, blank lines don't, and the bound holds over files."""
    folder.write("a.jsonl", b"\nbroken\n" + b"\n\n".join(json.dumps(row).encode() for row in GOOD[:4]))
    folder.write("b.jsonl", GOOD)
    assert folder.rows("*.jsonl", first=first) == folder.rows("*.jsonl")[:first]


def test_parquet_alone_declares_its_rows_and_types(folder: Folder) -> None:
    """Their number is known before reading, and the type of each carried column that holds what all files have."""
    table = pa.table({"prompt": ["a", "b"], "n": pa.array([1, 2], pa.int8()), "d": pa.array([1, 2], pa.date32())})
    folder.write("a.parquet", table)
    folder.write("b.parquet", table.drop_columns("d").set_column(1, "n", pa.array([1, 2], pa.int16())))
    source = folder.open("a.parquet", "b.parquet")
    assert source.rows_total == 4
    assert source.column_types == {"n": pa.int16(), "d": pa.date32()}
    assert folder.open("*.parquet", first=3).rows_total == 3
    assert folder.open("a.parquet", id="n").column_types == {"n": pa.int8(), "d": pa.date32()}
    assert folder.open("a.parquet", columns=("n", "prompt")).column_types == {"n": pa.int8(), "prompt": pa.string()}
    folder.write("c.jsonl", GOOD)
    mixed = folder.open("a.parquet", "c.jsonl")
    assert (mixed.rows_total, mixed.column_types) == (7, {})


_cells: st.SearchStrategy[Any] = st.none() | st.integers(0, 3) | st.sampled_from(["a", "x.jsonl:1", "x.jsonl:2", ""])
_conversations: st.SearchStrategy[Any] = st.sampled_from(
    [user("a"), user("b"), [], [{"role": "robot", "content": ""}], "x", None, [{"role": "assistant", "content": "a"}]]
)
_lines = st.one_of(
    st.binary(max_size=6),
    st.fixed_dictionaries({}, optional={"id": _cells, "messages": _conversations, "p": _cells}).map(
        lambda row: json.dumps(row).encode()
    ),
)


@given(st.lists(_lines, max_size=12), st.sampled_from([None, "id"]), st.sampled_from([None, "p"]))
def test_any_lines_are_rows_with_unique_ids(lines: list[bytes], id_column: str | None, params: str | None) -> None:
    """Each line gives one row, good or bad; ids are unique over both, and a second reading is equal."""
    content = b"{}\n" + b"\n".join(lines)
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(Path(name))
        folder.write("x.jsonl", content)
        source = folder.open("x.jsonl", format="messages", id=id_column, params=params)
        rows = list(source.read())
        assert list(source.read()) == rows
    assert len(rows) == sum(1 for line in content.split(b"\n") if line.strip())
    assert [row.ordinal for row in rows] == list(range(len(rows)))
    assert len({row.key for row in rows}) == len(rows)


_parts: st.SearchStrategy[Any] = st.text(st.characters(codec="utf-8"), max_size=5) | st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": st.text(st.characters(codec="utf-8"), max_size=3)}),
    min_size=1,
    max_size=2,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "id": st.sampled_from(["a", "b", "c", "d"]),
                "messages": st.lists(
                    st.fixed_dictionaries(
                        {
                            "role": st.sampled_from(["system", "user", "assistant"]),
                            "content": st.text("ab", max_size=2),
                        },
                        optional={"name": st.text("n", min_size=1, max_size=2)},
                    ),
                    min_size=1,
                    max_size=3,
                ),
                "n": st.none() | st.integers(-5, 5),
            }
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([None, "id"]),
)
def test_jsonl_and_parquet_of_the_same_rows_are_the_same(rows: list[Any], id_column: str | None) -> None:
    """Ids, conversations, errors and carried values don't depend on the kind of file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(Path(name))
        folder.write("x.jsonl", rows)
        folder.write("x.parquet", rows)
        one, other = (folder.rows(file, format="messages", id=id_column) for file in ("x.jsonl", "x.parquet"))
    for a, b in zip(one, other, strict=True):
        assert a.key.id == b.key.id.replace("x.parquet", "x.jsonl")
        assert (type(a), a.ordinal, a.passthrough) == (type(b), b.ordinal, b.passthrough)
        assert not isinstance(a, Row) or a.messages == getattr(b, "messages", None)


def _write_empty(folder: Folder) -> None:
    folder.write("x.jsonl", b"\n \n")


def _write_broken(folder: Folder) -> None:
    folder.write("x.jsonl", b'[\n"\n')


def _write_one_broken(folder: Folder) -> None:
    folder.write("x.jsonl", b"[]")


def _write_other(folder: Folder) -> None:
    folder.write("x.jsonl", [{"question": "?", "n": 1}])


OTHER = (
    "x.jsonl:1 has `question`, `n`: no conversation found. It takes `messages` or `conversations` (lists), "
    "`prompt` (text), `turns` (a list of texts), or `custom_id` with `body`; a column of another name goes under "
    "`input.column`."
)


@pytest.mark.parametrize(
    ("write", "given", "error"),
    [
        (_write_empty, {}, "x.jsonl has no rows. Name a file that has at least one."),
        (_write_empty, {"format": "prompt"}, "x.jsonl has no rows. Name a file that has at least one."),
        (
            _write_broken,
            {},
            "x.jsonl:1: the line is not JSON: expecting value at column 2 (none of the first 2 rows is good).",
        ),
        (_write_one_broken, {}, "x.jsonl:1: the line is [], a list. It takes an object (the only row)."),
        (_write_other, {}, OTHER),
        (
            _write_other,
            {"column": "questions"},
            "x.jsonl:1 has `question`, `n`, but no `questions` (`input.column`). Did you mean `question`?",
        ),
        (_write_other, {"column": "n"}, "x.jsonl:1: `n` is 1, a number. It takes messages or text."),
    ],
)
def test_what_cannot_be_read(
    folder: Folder, write: Callable[[Folder], None], given: dict[str, Any], error: str
) -> None:
    """An input without rows, without a good one, or without a conversation is refused in one sentence."""
    write(folder)
    with pytest.raises(InputError) as caught:
        folder.open("x.jsonl", **given)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"id": "idd"}, "x.parquet has no column `idd` (`input.id`): it has `id`, `messages`, `f`. Did you mean `id`?"),
        ({"params": "p"}, "x.parquet has no column `p` (`input.params`): it has `id`, `messages`, `f`."),
        ({"columns": ("g",)}, "x.parquet has no column `g` (`input.columns`): it has `id`, `messages`, `f`."),
        ({"format": "prompt"}, "x.parquet has no column `prompt` (`input.format`): it has `id`, `messages`, `f`."),
        (
            {"format": "prompt", "column": "q"},
            "x.parquet has no column `q` (`input.column`): it has `id`, `messages`, `f`.",
        ),
        ({"id": "f"}, "`f` (`input.id`) is a column of double. It takes text or whole numbers."),
    ],
)
def test_what_a_schema_rules_out(folder: Folder, given: dict[str, Any], error: str) -> None:
    """A column that no Parquet file has is refused before the first row, and so are ids of no such type."""
    folder.write("x.parquet", [{"id": 1, "messages": user("hi"), "f": 0.5}])
    with pytest.raises(InputError) as caught:
        folder.open("x.parquet", **given)
    assert str(caught.value) == error


def test_an_empty_parquet_is_refused(folder: Folder) -> None:
    """A schema alone is no input."""
    folder.write("x.parquet", pa.table({"prompt": pa.array([], pa.string())}))
    with pytest.raises(InputError, match=r"^x\.parquet has no rows\."):
        folder.open("x.parquet")


def test_an_empty_file_among_others_is_no_fault(folder: Folder) -> None:
    """Only an input without any row is refused."""
    folder.write("a.jsonl", b"")
    folder.write("b.jsonl.gz", b"")
    folder.write("c.jsonl", GOOD)
    assert len(folder.rows("*.jsonl*")) == 5


def test_memory_does_not_grow_with_the_input(folder: Folder) -> None:
    """Ten times the rows take about the same memory, but for the table of ids."""
    for name, count in (("small.jsonl", 2_000), ("large.jsonl", 20_000)):
        folder.write(name, [{"id": n, "messages": user(f"{n} " * 20)} for n in range(count)])

    def peak(name: str) -> int:
        source = folder.open(name, id="id")
        tracemalloc.start()
        for _ in source.read():
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    small, large = peak("small.jsonl"), peak("large.jsonl")
    assert large - small < 2_500_000


@pytest.mark.parametrize("id_", ["id", None])
@pytest.mark.parametrize("name", ["in.jsonl", "in.parquet", "in.json"])
def test_rows_that_are_passed_over_change_no_other(folder: Folder, name: str, id_: str | None) -> None:
    """Each is just as a reading of all has it: ids that repeat and bad rows, too."""
    rows = [*GOOD, GOOD[1], {"id": "", "messages": user("no id")}, {"id": "r9", "messages": []}, *GOOD[3:]]
    folder.write(name, json.dumps(rows).encode() if name.endswith(".json") else rows)
    source = folder.open(name, id=id_)
    for number in range(3):
        answered = [row.ordinal for row in source.read() if row.ordinal % 3 != number]
        unanswered = list(source.read(UnansweredRows(answered, 1)))
        assert unanswered == [row for row in source.read() if row.ordinal % 3 == number]


def test_rows_that_are_passed_over_of_a_sample_and_of_a_filter(folder: Folder) -> None:
    """By the ordinals of the rows that are left."""
    folder.write("in.jsonl", [{"id": f"r{n}", "n": n, "messages": user(f"hi {n}")} for n in range(40)])
    for keys in ({"random": 9}, {"where": "n % 3"}, {"first": 7}):
        source = folder.open("in.jsonl", id="id", **keys)
        every = list(source.read())
        unanswered = source.read(UnansweredRows([row.ordinal for row in every[::2]], 1))
        assert [row.key for row in unanswered] == [row.key for row in every[1::2]]
