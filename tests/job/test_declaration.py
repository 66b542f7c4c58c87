"""A key is declared once, on its field."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchchat.job.declaration import key, section
from batchchat.job.keys import JobKey, declared_keys
from batchchat.job.value_types import integer, line

COUNT = integer(1)
LINE = line()


@dataclass
class InnerSpec:
    """A section."""

    given_as: str = field(metadata=key(LINE, "where", name="path"))
    count: int = field(default=3, metadata=key(COUNT, "how many"))
    labels: dict[str, str] = field(default_factory=dict, metadata=key(LINE, "names"))
    worked_out: int = 0


@dataclass(kw_only=True)
class OuterSpec:
    """A job of one section."""

    name: str = field(metadata=key(LINE, "its name", default_words="the file's"))
    inner: InnerSpec = field(metadata=section(InnerSpec))
    last: int | None = field(default=None, metadata=key(COUNT, "the last one"))


def test_a_declaration_is_a_key() -> None:
    """The keys are those of the fields, in their order, with their names and defaults; other fields declare none."""
    assert list(declared_keys(OuterSpec)) == [
        JobKey("", "name", "name", LINE, "its name", default_words="the file's"),
        JobKey("inner", "given_as", "inner.path", LINE, "where", required=True),
        JobKey("inner", "count", "inner.count", COUNT, "how many", default=3),
        JobKey("inner", "labels", "inner.labels", LINE, "names", default={}),
        JobKey("", "last", "last", COUNT, "the last one"),
    ]
