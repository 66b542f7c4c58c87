"""What a job's parameters and input have that is probably not meant so: said before the first request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from batchchat.job import JobSpec
from batchchat.job.request_fields import misspelt_parameter
from batchchat.sources import Source
from batchchat.store.folder import folder_of
from batchchat.store.segments import end_of
from batchchat.text.numbers import shown_path

__all__ = ["input_notes"]


def input_notes(job: JobSpec, source: Source) -> Sequence[str]:
    """A sentence for each likely misspelt parameter, each outdated file, and what the rows read so far show."""
    of_matrix = [axis.name for axis in job.matrix or () if axis.key not in {"model", "system"}]
    names = [*job.params, *of_matrix]
    misspelt = [(name, meant) for name in names if (meant := misspelt_parameter(name)) is not None]
    of_job = [f"`params.{name}` is sent as it stands. Did you mean `{meant}`?" for name, meant in misspelt]
    return [*of_job, *_unfinished(source.files), *source.notes]


def _unfinished(files: Sequence[Path]) -> Iterator[str]:
    """A sentence for each output among `files` whose run went on after it was written."""
    parquet = (file for file in files if file.suffix == ".parquet")
    outputs = dict.fromkeys(file.parent if file.name.startswith("part-") else file for file in parquet)
    for output in (path for path in outputs if path.name):
        try:
            journal_end = end_of(folder_of(output))
            written_at = None if journal_end is None else _journal_end_in(output)
        except OSError:  # what is beside an input need not be readable
            continue
        if journal_end is not None and isinstance(written_at, int) and written_at < journal_end:
            yield (
                f"{shown_path(output)} does not have all that its run has by now, which goes on or was stopped. Run its"
                " job first for the rows that are missing."
            )


def _journal_end_in(output: Path) -> Any:
    """Where the journal stood when `output` was written."""
    from batchchat.store.parquet import metadata_of  # pyarrow: where an output is the input

    return (metadata_of(output) or {}).get("journal_end")
