from __future__ import annotations

from batchchat.job.schema import schema_text
from tests.cli.called import call


def test_it_prints_the_schema() -> None:
    """The schema and nothing else goes to stdout."""
    called = call("schema")
    assert (called.code, called.out, called.err) == (0, schema_text() + "\n", "")
