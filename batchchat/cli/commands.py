"""The commands by name, each with its line of help; a command's module is imported when the command is looked up.

So `batchchat --help` imports none of them, and a command only what it needs itself.
"""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["SHORT_HELP", "CommandGroup", "Commands"]

SHORT_HELP = {
    "validate": "Check a job and every row of its input.",
    "preview": "Show the first requests that a job would send.",
    "estimate": "Estimate tokens, cost and duration before spending.",
    "run": "Run or resume a job.",
    "status": "Show how far a run is.",
    "report": "Say what a run cost, how long it took, what failed.",
    "export": "Write the results so far to a file.",
    "merge": "Make one run of the runs of several shards.",
    "import": "Take in the answers of a provider's batch.",
    "prices": "Show the price table.",
    "init": "Write a first job with sample input.",
    "schema": "Print the JSON Schema of the job file.",
    "mock-server": "Serve a local DeepInfra-like endpoint.",
}
"""What each command does, in the words of `batchchat --help`. The command `NAME` is the function `NAME` of the module
`batchchat.cli.NAME`, with underscores; that of `import`, which is a word of Python's, is `import_`."""


class Commands(UserDict[str, click.Command]):
    """The commands of `SHORT_HELP`; to take one imports its module."""

    def __init__(self) -> None:
        super().__init__({name: click.Command(name) for name in SHORT_HELP})  # what stands in until one is taken

    def __getitem__(self, name: str) -> click.Command:
        if name not in SHORT_HELP:
            raise KeyError(name)
        from batchchat.execution.collector import rare_collections

        function = "import_" if name == "import" else name.replace("-", "_")
        with rare_collections():
            command: click.Command = getattr(import_module(f"batchchat.cli.{function}"), function)
        command.short_help = SHORT_HELP[name]
        return command


class CommandGroup(click.Group):
    """A group of `Commands`: its help and the completion of their names are printed without importing them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command's name and line of help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SHORT_HELP[name]) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What may stand in the place of `incomplete`: a command's name, or an option of the group."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [CompletionItem(name, help=SHORT_HELP[name]) for name in names]
        return items + click.Command.shell_complete(self, ctx, incomplete)
