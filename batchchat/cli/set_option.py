"""`--set KEY=VALUE`: any key of a job, for this command only."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from batchchat.job import KEYS, Override

__all__ = ["override", "set_option", "shown_again"]

_NOTHING = {"", "null"}
_REFERENCE = re.compile(r"\$\{\w+\}")


def override(text: str) -> Override:
    """The override that the argument `text` of `--set` means. Raises `click.UsageError` if it is not KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"--set takes KEY=VALUE, for example --set retry.max_wait=5; {key!r} has no value.")
    return Override("--set", key.strip(), value)


def shown_again(text: str) -> str:
    """The argument `text` of `--set`, for a command that is shown; a value that may be secret becomes a variable.

    If such a command is pasted unchanged, it is refused with the name of the variable that is not set.
    """
    parsed = override(text)
    if not parsed.is_secret or parsed.value in _NOTHING or _REFERENCE.fullmatch(parsed.value):
        return text
    name = re.sub("[^A-Za-z0-9]+", "_", parsed.key.rpartition(".")[2]).upper()
    return f"{parsed.key}=${{{name}}}"


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
