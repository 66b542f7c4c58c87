"""`batchchat`: the group of commands."""

from __future__ import annotations

import os

import click

from batchchat.cli.commands import CommandGroup, Commands
from batchchat.cli.output import prepare_streams
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


@click.group(
    cls=CommandGroup,
    commands=Commands(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(__version__, message="batchchat %(version)s")
def main() -> None:
    """Send files of conversations to a chat completions endpoint; get replies, usage and cost as Parquet."""
    prepare_streams()
    # Before pyarrow is imported: its own allocator keeps 25 MiB more of what is given back to it, for the same CPU.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        os.getcwd()  # noqa: PTH109 (pathlib is a tenth of what `--help` takes)
    except FileNotFoundError:
        raise click.UsageError("the working directory was removed: `cd` to one that is there.") from None
