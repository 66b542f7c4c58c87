"""CSV as records."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from batchchat.core.bad import Bad
from batchchat.errors import InputError
from batchchat.sources.csv_rows import header_of, read_csv
from batchchat.sources.files import Record
from tests.sources.folder import records_told, the_file

if TYPE_CHECKING:
    from tests.sources.folder import Folder

NEVER = "the quote that opens here is never closed"
QUOTE = 'a quoted cell contains a quote. Write it twice: "".'
CARRIAGE_RETURN = "an unquoted cell contains a carriage return. Quote the cell, or end lines with LF."


def records(path: Path, content: bytes, **sizes: int) -> list[Record]:
    file = the_file(path, content)
    return records_told(lambda on_progress: read_csv(file, on_progress, **sizes), len(content))


def rows(folder: Folder, content: bytes) -> list[Record]:
    return records(folder.path / "x.csv", content)


_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6) | st.sampled_from(
    ['"', '""', "a,b", "a\nb", "a\r\nb", "\r", " ", ""]
)


@given(
    st.integers(1, 3).flatmap(lambda width: st.lists(st.lists(_text, min_size=width, max_size=width), max_size=5)),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_what_was_written_is_read(table: list[list[str]], ends: str, mark: bool, all_quoted: bool) -> None:
    """Any text in any cell comes back as it was, at the line its row begins on."""
    width = len(table[0]) if table else 2
    all_quoted = all_quoted or any("\r" in cell for row in table for cell in row)  # the writer leaves them bare
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=ends, quoting=csv.QUOTE_ALL if all_quoted else csv.QUOTE_MINIMAL)
    header = [f"c{at}" for at in range(width)]
    expected, line = [], 1
    for row in [header, *table]:
        if not all_quoted and width == 1 and not row[0].strip():
            continue
        begin = out.tell()
        writer.writerow(row)
        if row is not header:
            expected.append((line, dict(zip(header, row, strict=True))))
        line += out.getvalue()[begin:].count("\n")
    content = (b"\xef\xbb\xbf" if mark else b"") + out.getvalue().encode()
    with tempfile.TemporaryDirectory() as name:
        assert records(Path(name, "x.csv"), content) == expected
        assert records(Path(name, "x.csv.zst"), zstandard.compress(content)) == expected


@given(st.lists(st.sampled_from([b'"', b'""', b",", b"\n", b"\r\n", b"a", b"\xff", b"\0", b" "])).map(b"".join))
@example(b'"\n"')
@example(b'"a\n\xff\n"b\n"')
def test_any_bytes_are_rows(content: bytes) -> None:
    """Nothing is raised, each record has a line of its own, and each line that isn't blank belongs to a record."""
    with tempfile.TemporaryDirectory() as name:
        found = records(Path(name, "x.csv"), b"a,b\n" + content)
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    lines = content.split(b"\n")
    assert all(2 <= number <= len(lines) + 1 for number in numbers)
    covered = set()
    for number, row in found:
        height = 1 if isinstance(row, Bad) else 1 + sum(cell.count("\n") for cell in row.values())
        covered |= set(range(number, number + height))
    unread = [line for at, line in enumerate(lines, 2) if line.strip(b" \r") and at not in covered]
    # A bad row of more than one line tells its first alone, where the others belong to its cells.
    assert all(b'"' in content for _ in unread)


def test_cells_of_many_lines(folder: Folder) -> None:
    """Newlines in quotes are text; the row's place is the line it begins on; blank lines are nothing."""
    content = b'\r\nid,prompt\r\n1,"a\r\nb"\r\n\r\n2,"say ""hi"", then"\r\n   \r\n3,c'
    assert rows(folder, content) == [
        (3, {"id": "1", "prompt": "a\r\nb"}),
        (6, {"id": "2", "prompt": 'say "hi", then'}),
        (8, {"id": "3", "prompt": "c"}),
    ]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (b"1", "the row has 1 cell, and the header 2"),
        (b"1,2,3", "the row has 3 cells, and the header 2. Quote a cell that holds a comma."),
        (b'1,"a"b', QUOTE),
        (b'1,"a', NEVER),
        (b"1,\xff", "the row is not UTF-8: byte 3 is 0xff"),
        (b'1,"a\n\xe4"', "the row is not UTF-8: byte 1 is 0xe4 of line 3"),
        (b"1,a\0", "the row holds a NUL byte: byte 4"),
        (
            b"1,a\rb",
            CARRIAGE_RETURN,
        ),
        (b'"1"\rb,"c"d', CARRIAGE_RETURN),
        (b'1,"a\rb"c\rd', QUOTE),
        (b"\r1,2", CARRIAGE_RETURN),
        (b'1,"' + b"x" * 200_000 + b'"y', QUOTE),
        (b"1," + b"x" * 200_000 + b"\ry", CARRIAGE_RETURN),
    ],
)
def test_a_bad_row_says_why(folder: Folder, bad: bytes, error: str) -> None:
    """It is told at the line it begins on, and the next row is good."""
    found = rows(folder, b"a,b\n" + bad + b"\n8,9\n")
    assert found[0] == (2, Bad(error))
    assert found[1:] == [(3 + bad.count(b"\n"), {"a": "8", "b": "9"})]


WORDS = {"expected after": QUOTE, "unexpected end of data": NEVER, "new-line character": CARRIAGE_RETURN}


@given(st.lists(st.sampled_from(['"', '""', ",", "\r", "a", "\n"]), max_size=9).map("".join))
def test_the_problem_is_the_one_that_the_library_words(text: str) -> None:
    """What is found out of a refused row is what CPython says of it."""
    with tempfile.TemporaryDirectory() as name:
        found = records(Path(name, "x.csv"), f"a,b\n{text}\n".encode())
    said = ""
    try:
        next(csv.reader(io.StringIO(f"{text}\n", newline="\n"), strict=True))
    except csv.Error as error:
        said = str(error)
    assert not said or found[0] == (2, next(Bad(sentence) for words, sentence in WORDS.items() if words in said))


def test_a_quote_that_never_closes_costs_its_row(folder: Folder) -> None:
    """Reading goes on with the next line, and no more than a bound is looked at for the quote's end."""
    content = b'a,b\n1,"open\n2,x\n3,y\n' + b"4,z\n" * 1000
    expected = [(3, {"a": "2", "b": "x"}), (4, {"a": "3", "b": "y"})]
    expected += [(at, {"a": "4", "b": "z"}) for at in range(5, 1005)]
    assert rows(folder, content) == [(2, Bad(NEVER)), *expected]
    found = records(folder.path / "x.csv", content + b"5,%s\n" % (b"z" * 97) * 12_500, max_row_bytes=1 << 20)
    assert found[:3] == [(2, Bad("the quote that opens here is not closed within 1 MiB")), *expected[:2]]
    assert len(found) == 13_503


def test_a_cell_of_5_mb(folder: Folder) -> None:
    """No cell is too long."""
    long = "x" * 2_500_000 + "\n" + "y" * 2_500_000
    assert rows(folder, f'a,b\n1,"{long}"\n2,b\n'.encode()) == [(2, {"a": "1", "b": long}), (4, {"a": "2", "b": "b"})]


def test_a_row_longer_than_all_that_is_read(folder: Folder) -> None:
    """A cell on one line that is over the bound is told, and the next row is good."""
    found = records(folder.path / "x.csv", b"a,b\n1," + b"x" * (2 << 20) + b"\n2,b\n", max_row_bytes=1 << 20)
    assert found == [(2, Bad("the row is longer than 1 MiB")), (3, {"a": "2", "b": "b"})]


def test_the_limit_of_the_process_is_left_as_it_was(folder: Folder) -> None:
    """While rows are read, after them and where reading stops early, long cells of other readers are still refused."""
    content = b"a,b\n1," + b"x" * 1_000_000 + b"\n2,b\n"
    file = the_file(folder.path / "x.csv", content)
    before = csv.field_size_limit()
    reading = read_csv(file, lambda _: None)
    for _ in reading:
        assert csv.field_size_limit() == before
    assert csv.field_size_limit() == before
    early = read_csv(file, lambda _: None)
    next(early)
    assert csv.field_size_limit() == before


def test_a_break_is_a_bad_row(folder: Folder) -> None:
    """Where a packed file breaks off, the rows before are used, and the break is the row that was being read."""
    packer = zstandard.ZstdCompressor().compressobj()
    begun = packer.compress(b'a,b\n1,x\n2,"y\nz') + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    found = records(folder.path / "x.csv.zst", begun)
    assert found == [(2, {"a": "1", "b": "x"}), (3, Bad("the file breaks off here: the zstd stream ends too early"))]
    assert records(folder.path / "x.csv.zst", begun[:6]) == [(1, found[1][1])]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"a,b,a\n", 'x.csv:1: two columns are called "a". Give each a name of its own.'),
        (
            b",b\n",
            "x.csv:1: column 1 has no name. The first row names the columns (pandas: write it with `index=False`).",
        ),
        (b"a, \n", "x.csv:1: column 2 has no name. The first row names the columns."),
        (b"\n\na;b\n1;2\n", "x.csv:3: the columns are separated by `;`. Save the file with commas."),
        (b"a\tb\n", "x.csv:1: the columns are separated by tabs. Save the file with commas."),
        (b'a,"b\n1,2\n', f"x.csv:1: the first row has to name the columns, but {NEVER}."),
        (b"a,\xff\n", "x.csv:1: the first row has to name the columns, but the row is not UTF-8: byte 3 is 0xff."),
    ],
)
def test_a_header_that_names_no_columns(folder: Folder, content: bytes, error: str) -> None:
    """It is refused before anything is read, with the line and the way out."""
    with pytest.raises(InputError) as caught:
        header_of(the_file(folder.path / "x.csv", content))
    assert str(caught.value) == error


def test_a_file_without_rows(folder: Folder) -> None:
    """A header alone, or nothing, has no rows and is no fault."""
    assert rows(folder, b"a,b\n") == []
    assert rows(folder, b"") == []
    assert header_of(the_file(folder.path / "x.csv", b"")) == []
    assert header_of(the_file(folder.path / "x.csv", b"\xef\xbb\xbfa,b")) == ["a", "b"]
