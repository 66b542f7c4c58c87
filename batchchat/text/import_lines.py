"""What became of the lines of a batch's output file, in sentences."""

from __future__ import annotations

from batchchat.core.import_counts import ImportCounts
from batchchat.text import numbers

__all__ = ["import_notes", "import_sentence"]


def import_sentence(counts: ImportCounts) -> str:
    """`results.jsonl: 98 of 100 lines taken in (97 answered, 1 failed); 1 row kept; 1 line not taken in`."""
    taken = counts.answered + counts.failed
    parts = [f"{numbers.count(taken)} of {numbers.quantity(counts.lines, 'line')} taken in"]
    if counts.failed:
        parts[0] += f" ({numbers.count(counts.answered)} answered, {numbers.count(counts.failed)} failed)"
    if counts.kept:
        parts.append(f"{numbers.rows(counts.kept)} kept as recorded before")
    if counts.left_out:
        parts.append(f"{numbers.quantity(counts.left_out, 'line')} not taken in")
    if counts.missing:
        parts.append(f"{numbers.rows(counts.missing)} of the job without a line there: `batchchat run` sends them")
    return f"{counts.file}: {'; '.join(parts)}"


def import_notes(counts: ImportCounts) -> tuple[str, ...]:
    """The same, and for each reason why lines were not taken in the count and the first of them."""
    groups = (
        (counts.malformed, "can't be read", counts.first_malformed),
        (counts.unknown, "not of a good row of the job", counts.first_unknown),
        (counts.repeated, "with a `custom_id` that stands before", counts.first_repeated),
        (counts.unfinished, "of a row that takes more than one request", counts.first_unfinished),
    )
    return (
        import_sentence(counts),
        *(
            f"{numbers.quantity(count, 'line')} {words}: {_listed(first, count)}"
            for count, words, first in groups
            if count
        ),
    )


def _listed(first: tuple[str, ...], count: int) -> str:
    more = f"; and {numbers.count(count - len(first))} more" if count > len(first) else ""
    return "; ".join(sentence.removesuffix(".") for sentence in first) + more
