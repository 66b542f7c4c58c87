"""Where the result of a job goes: a file, a folder of part files, or either of them in an object store."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from batchchat.job.declaration import key
from batchchat.job.paths import output_location, output_path, store_url
from batchchat.job.value_types import boolean, integer, one_of

if TYPE_CHECKING:
    from pathlib import Path

    from batchchat.core.key_shard import KeyShard
    from batchchat.object_store.url import ObjectUrl

__all__ = ["OutputSpec", "StoreSpec"]


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """Where the result goes; a folder of part files where `path` has no suffix.

    `path` is absolute, `as_given` as the job or `--output` writes it. With a `url` the output is published at `path`,
    in the run folder, and goes to the object store from there.
    """

    path: Path
    as_given: str = field(
        metadata=key(
            output_path(),
            "the Parquet file to write, or a folder of part files; an s3://, gs:// or az:// URL, too",
            name="path",
        )
    )
    order: str = field(
        default="input",
        metadata=key(one_of(("input", "completion")), "rows as in the input, or as they finished"),
    )
    # At some KB a row a part is a few hundred MB, which readers take in parallel and `aws s3 cp` in one go.
    part_rows: int = field(
        default=100_000, metadata=key(integer(1), "rows of one part file, where the output is a folder")
    )
    raw: bool = field(
        default=False, metadata=key(boolean(), "keep each response's JSON as it came, in the column `raw`")
    )

    url: ObjectUrl | None = None

    @property
    def is_folder(self) -> bool:
        """Whether the output is a folder of part files."""
        return not self.path.suffix

    def of_shard(self, shard: KeyShard) -> OutputSpec:
        """Where `shard` writes: beside this output, under a name of its own."""
        if self.url is None:
            path = shard.output(self.path)
            as_given = f"{self.as_given.removesuffix(self.path.name)}{path.name}"
            return replace(self, path=path, as_given=as_given)
        url = self.url.at(str(shard.output(PurePosixPath(self.url.key))))
        path, _ = output_location(url.shown, self.path.parent.parent, self.path.parent.parent, {})
        return replace(self, path=path, as_given=url.shown, url=url)


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """Where else the journal of a run is kept: `ship_journal` is a URL in an object store."""

    ship_journal: str | None = field(
        default=None,
        metadata=key(
            store_url(),
            "copies the journal to an s3://, gs:// or az:// URL while the run goes on, for machines that may vanish",
        ),
    )
