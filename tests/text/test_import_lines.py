"""The sentences about a batch's output file that was imported."""

from __future__ import annotations

from batchchat.core.import_counts import ImportCounts
from batchchat.text.import_lines import import_notes


def test_all_is_well() -> None:
    """One sentence, without what there is none of."""
    assert import_notes(ImportCounts("r.jsonl", lines=1, answered=1)) == ("r.jsonl: 1 of 1 line taken in",)


def test_what_is_left_out_is_named() -> None:
    """With the first few."""
    counts = ImportCounts(
        "r.jsonl",
        9,
        answered=2,
        kept=1,
        unknown=5,
        missing=3,
        first_unknown=("a", "b.", "c"),
        unfinished=1,
        first_unfinished=("t",),
    )
    assert import_notes(counts) == (
        "r.jsonl: 2 of 9 lines taken in; 1 row kept as recorded before; 6 lines not taken in; 3 rows of the job without"
        " a line there: `batchchat run` sends them",
        "5 lines not of a good row of the job: a; b; c; and 2 more",
        "1 line of a row that takes more than one request: t",
    )
