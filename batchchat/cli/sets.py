"""`--set KEY=VALUE`: any key of a job, for this command only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from batchchat.job import KEYS, Override

__all__ = ["override", "set_option"]


def override(text: str) -> Override:
    """What `--set` was given."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"--set takes KEY=VALUE, for example --set retry.max_wait=5; {key!r} has no value.")
    return Override("--set", key.strip(), value)


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(f"{key.name}=", help=key.help) for key in KEYS if key.name.startswith(incomplete)]


def set_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option; its parameter is `sets`."""
    return click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set any job key: retry.max_wait=5.",
        shell_complete=_complete,
    )(command)
