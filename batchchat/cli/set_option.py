"""`--set KEY=VALUE`: any key of a job, for this command only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from batchchat.job import KEYS, Override

__all__ = ["override", "set_option", "shown_again"]


def override(text: str) -> Override:
    """The override that the argument `text` of `--set` means. Raises `click.UsageError` if it is not KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"--set takes KEY=VALUE, for example --set retry.max_wait=5; {key!r} has no value.")
    return Override("--set", key.strip(), value)


def shown_again(text: str) -> str:
    """The argument `text` of `--set`, for a command that is shown; a value that may be secret becomes a variable."""
    parsed = override(text)
    return text if parsed.may_be_shown else parsed.again


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(f"{key.name}=", help=key.help) for key in KEYS if key.name.startswith(incomplete)]


def set_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--set` to `command`; the command's parameter is `sets`."""
    return click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set any job key: retry.max_wait=5.",
        shell_complete=_complete,
    )(command)
