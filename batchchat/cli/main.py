"""`batchchat`: the group of commands."""

from __future__ import annotations

from pathlib import Path

import click

from batchchat.cli.estimate import estimate
from batchchat.cli.export import export
from batchchat.cli.import_ import import_
from batchchat.cli.init import init
from batchchat.cli.mock_server import mock_server
from batchchat.cli.output import prepare_streams
from batchchat.cli.preview import preview
from batchchat.cli.prices import prices
from batchchat.cli.report import report
from batchchat.cli.run import run
from batchchat.cli.schema import schema
from batchchat.cli.status import status
from batchchat.cli.validate import validate
from batchchat.version import __version__

__all__ = ["main"]


_EPILOG = """\
Example:

    batchchat run jobs/first.yaml --limit 5

\b
Commands, options, files and job keys complete with this line in ~/.bashrc:
    eval "$(_BATCHCHAT_COMPLETE=bash_source batchchat)"
zsh: zsh_source · fish: _BATCHCHAT_COMPLETE=fish_source batchchat | source
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EPILOG)
@click.version_option(__version__, message="batchchat %(version)s")
def main() -> None:
    """Send files of conversations to a chat completions endpoint; get replies, usage and cost as Parquet."""
    prepare_streams()
    try:
        Path.cwd()
    except FileNotFoundError:
        raise click.UsageError("the working directory was removed: `cd` to one that is there.") from None


main.add_command(validate)
main.add_command(preview)
main.add_command(estimate)
main.add_command(run)
main.add_command(status)
main.add_command(report)
main.add_command(export)
main.add_command(import_)
main.add_command(prices)
main.add_command(init)
main.add_command(schema)
main.add_command(mock_server)
