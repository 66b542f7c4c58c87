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
    """What `--set` was given."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"--set takes KEY=VALUE, for example --set retry.max_wait=5; {key!r} has no value.")
    return Override("--set", key.strip(), value)


def shown_again(text: str) -> str:
    """What `--set` was given, for a command that is shown: where that may be secret, a variable stands for it.

    Pasted as it stands, such a command is refused with the name of the variable that it lacks.
    """
    given = override(text)
    if not given.is_secret or given.value in _NOTHING or _REFERENCE.fullmatch(given.value):
        return text
    name = re.sub("[^A-Za-z0-9]+", "_", given.key.rpartition(".")[2]).upper()
    return f"{given.key}=${{{name}}}"


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
