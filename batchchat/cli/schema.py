"""`batchchat schema`."""

from __future__ import annotations

import click

from batchchat.cli.errors import guarded
from batchchat.cli.output import put

__all__ = ["schema"]


@click.command(
    epilog="Example:\n\n    batchchat schema > job.schema.json",
)
def schema() -> None:
    """Print the JSON Schema of the job file, for editors to complete and check jobs by.

    A job next to it begins: # yaml-language-server: $schema=job.schema.json
    """
    with guarded():
        from batchchat.job.schema import schema_text

        put(schema_text())
