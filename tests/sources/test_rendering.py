"""Rows whose conversation a template makes, and rows that a condition leaves out."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from batchchat.core.conversation import BadRow, Row
from batchchat.errors import InputError
from batchchat.job.spec import InputSpec
from batchchat.job.template import TemplateSpec
from batchchat.sources import Source, first_rows, open_source
from tests.sources.folder import Folder, told, user

REVIEWS = [{"id": "a", "review": "good", "stars": 5}, {"id": "b", "review": "bad", "stars": 1}]


def opened(
    folder: Folder, name: str, template: Any = None, systems: dict[str, str] | None = None, **given: Any
) -> Source:
    """The file `name` with a template."""
    spec = InputSpec((str(folder.path / name),), (name,), **given)
    return open_source(spec, None if template is None else TemplateSpec(template), systems)


def good(source: Source) -> list[Row]:
    rows = list(source.read())
    assert not [row for row in rows if isinstance(row, BadRow)]
    return [row for row in rows if isinstance(row, Row)]


@pytest.mark.parametrize("name", ["in.jsonl", "in.parquet", "in.csv"])
def test_a_text_is_the_user_message(folder: Folder, name: str) -> None:
    """All columns but the id pass through, whatever the file."""
    folder.write(name, b"id,review,stars\na,good,5\nb,bad,1\n" if name.endswith("csv") else REVIEWS)
    source = opened(folder, name, "Label: {{ review }}\n")
    first, second = good(source)
    assert first.messages == user("Label: good")
    assert (second.key.id, list(second.passthrough)) == ("b", ["review", "stars"])
    assert (source.format, source.id_column) == ("template", "id")


def test_a_list_of_messages(folder: Folder) -> None:
    """Contents are rendered, parts too; other keys stay."""
    folder.write("in.jsonl", REVIEWS)
    parts = [
        {"type": "text", "text": "{{ review }}"},
        {"type": "image_url", "image_url": {"url": "https://x/{{ id }}.jpg"}},
    ]
    template = (
        {"role": "system", "content": "Label."},
        {"role": "user", "content": parts, "name": "{{ x }}"},
        {"role": "user", "content": "{{ stars }} stars"},
    )
    row = good(opened(folder, "in.jsonl", template))[0]
    assert row.messages == [
        {"role": "system", "content": "Label."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "good"},
                {"type": "image_url", "image_url": {"url": "https://x/a.jpg"}},
            ],
            "name": "{{ x }}",
        },
        {"role": "user", "content": "5 stars"},
    ]


def test_system_messages(folder: Folder) -> None:
    """Those that are templates are rendered, by their variant; a blank one is none."""
    folder.write("in.jsonl", [{"prompt": "hi", "lang": "de"}, {"prompt": "ho", "lang": "en"}])
    systems = {"": "Plain.", "own": "{% if lang == 'de' %}Antworte deutsch.{% endif %} "}
    first, second = good(opened(folder, "in.jsonl", systems=systems))
    assert first.systems == {"own": "Antworte deutsch. "}
    assert second.systems == {"own": ""}
    assert good(opened(folder, "in.jsonl", systems={"": "Plain."}))[0].systems is None


def test_ids_are_of_the_columns(folder: Folder) -> None:
    """A template that changes makes no new rows, nor does what the job carries to the output."""
    rows = [{"review": "good", "n": 1}, {"review": "good", "n": 2}, {"review": "good", "n": 2}]
    for name in ("in.jsonl", "in.parquet"):
        folder.write(name, rows)
        ids = [row.key.id for row in good(opened(folder, name, "{{ review }}"))]
        assert len({*ids}) == 3
        assert ids[2] == f"{ids[1]}-2"
        assert [row.key.id for row in good(opened(folder, name, "Other: {{ review }}", columns=("n",)))] == ids


def test_rows_that_can_not_be_rendered(folder: Folder) -> None:
    """Each is invalid with the line of the template, and the others are good."""
    folder.write(
        "in.jsonl", [*REVIEWS, {"id": "c", "reviw": "x"}, {"id": "d", "review": None}, {"id": "e", "review": " "}]
    )
    rows = list(opened(folder, "in.jsonl", "{{ review }}").read())
    assert told(rows) == [
        ("a", ""),
        ("b", ""),
        ("c", "`template`, line 1: there is no column `review`. Did you mean `reviw`?"),
        ("d", "`template`, line 1: `review` is null. Write `{{ review or '' }}` to print nothing."),
        ("e", "`template` gives nothing but white space"),
    ]
    assert rows[3].passthrough == {"review": None}
    system = list(opened(folder, "in.jsonl", "x", {"": "{{ review }}"}).read())
    assert told(system)[2] == ("c", "`system`, line 1: there is no column `review`. Did you mean `reviw`?")


def test_missing_columns_are_refused_at_once(folder: Folder) -> None:
    """Where the file declares its columns."""
    folder.write("in.csv", b"id,review\na,good\n")
    with pytest.raises(InputError) as caught:
        opened(folder, "in.csv", "{{ revew }}")
    assert str(caught.value) == (
        "in.csv has no column `revew` (`template`): it has `id`, `review`. Did you mean `review`?"
    )
    with pytest.raises(InputError, match="has no column `lang`"):
        opened(folder, "in.csv", "{{ review }}", where="lang == 'de'")
    opened(folder, "in.csv", "{{ review }}{{ other|default('') }}{% if x is defined %}{{ x }}{% endif %}{{ row }}")


def test_trailing_answers(folder: Folder) -> None:
    """A template that ends with an answer is a prefill only where the job says so."""
    folder.write("in.jsonl", REVIEWS)
    template = ({"role": "user", "content": "{{ review }}"}, {"role": "assistant", "content": "It is"})
    assert "ends with an assistant message" in told(list(opened(folder, "in.jsonl", template).read()))[0][1]
    assert (
        good(opened(folder, "in.jsonl", template, trailing_assistant="prefill"))[0].messages[-1]["content"] == "It is"
    )


def test_where_leaves_rows_out(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in no count but one; `first` counts those that are taken, and so does the sample."""
    monkeypatch.setattr(first_rows, "_COUNT_WITHIN_S", 60.0)
    rows = [{"id": str(n), "prompt": f"q{n}", "score": n % 5} for n in range(100)]
    for name in ("in.jsonl", "in.parquet"):
        folder.write(name, rows)
        source = opened(folder, name, where="score > 3")
        taken = good(source)
        assert [row.passthrough["score"] for row in taken] == [4] * 20
        assert (source.left_out, source.rows_total, source.estimated_rows(20)) == (80, 20, 20)
        assert source.notes == ["80 rows left out by `input.where`."]
        assert [row.ordinal for row in taken] == list(range(20))
        assert [row.key.id for row in good(opened(folder, name, where="score > 3", first=3))] == ["4", "9", "14"]
        chosen = opened(folder, name, where="score > 3", random=5)
        assert (len(good(chosen)), chosen.rows_total) == (5, 5)


def test_where_that_can_not_be_decided(folder: Folder) -> None:
    """Such a row is invalid, and says why."""
    folder.write("in.jsonl", [{"id": "a", "prompt": "x", "score": 4}, {"id": "b", "prompt": "y"}, "no row"])
    source = opened(folder, "in.jsonl", where="score > 3")
    assert told(list(source.read())) == [
        ("a", ""),
        ("b", "`input.where`: there is no column `score`. There is `id`, `prompt`."),
        ("in.jsonl:3", 'the line is "no row", text. It takes an object.'),
    ]


def test_columns_that_are_not_carried(folder: Folder) -> None:
    """A template reads columns that `input.columns` leaves out."""
    folder.write("in.parquet", [{"id": "a", "review": "good", "lang": "de", "n": 1}])
    (row,) = good(opened(folder, "in.parquet", "{{ review }}", where="lang == 'de'", columns=("n",)))
    assert (row.messages, row.passthrough) == (user("good"), {"n": 1})
    (row,) = good(opened(folder, "in.parquet", "{{ row['review'] }}", columns=("n",)))
    assert row.messages == user("good")


def test_cells_as_a_person_writes_them(folder: Folder) -> None:
    """An instant is no integer in a prompt, though it is one in the journal; bytes that are text are text."""
    at = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC)
    table = pa.table(
        {
            "id": ["a"],
            "at": pa.array([at], pa.timestamp("us", "UTC")),
            "day": pa.array([at.date()], pa.date32()),
            "x": [float("nan")],
            "text": pa.array([b"h\xc3\xb6"], pa.binary()),
            "by": [{"at": at.date()}],
        }
    )
    folder.write("in.parquet", table)
    template = "{{ at }} {{ day }} {{ x }} {{ text }} {{ by.at }}"
    (row,) = good(opened(folder, "in.parquet", template, where="at > '2024'"))
    assert row.messages == user("2024-02-29T12:30:00Z 2024-02-29 nan hö 2024-02-29")
    assert row.passthrough["day"] == 19_782
    assert good(opened(folder, "in.parquet", "{{ row.day }}"))[0].messages == user("2024-02-29")


def test_notes_about_fields_that_are_not_sent(folder: Folder) -> None:
    """What a template reads is sent; what it doesn't is named."""
    folder.write("in.jsonl", [{"system_prompt": "a", "temperature": 0.5, "image": "x.jpg", "prompt": "b"}])
    assert opened(folder, "in.jsonl", "{{ prompt }}{{ image }}").notes == [
        "rows have `temperature`, not sent. To send them: `input.params: [temperature]`."
    ]
    assert opened(folder, "in.jsonl", "{{ row }}").notes == []
