"""`make reference`: the README's tables of commands, job keys and output columns, read off their declarations.

Each stands between `<!-- name -->` and `<!-- /name -->`; `test_reference.py` holds the README to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import click

from batchchat.cli import main
from batchchat.job.keys import KEYS, JobKey
from batchchat.store.columns import COLUMNS

__all__ = ["README", "with_tables"]

README = Path(__file__).parent.parent / "README.md"


def with_tables(text: str) -> str:
    """The README's `text` with its tables as they are now. Raises `KeyError` where it lacks a place for one."""
    for name, table in (("commands", _commands()), ("keys", _keys()), ("columns", _columns())):
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        found = place.search(text)
        if found is None:
            raise KeyError(name)
        text = f"{text[: found.end(1)]}{table}{text[found.start(2) :]}"
    return text


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _commands() -> str:
    return _table(("command", "what it does", "options"), map(_command, main.commands.values()))


def _command(command: click.Command) -> tuple[str, ...]:
    words = [
        (param.human_readable_name.upper() if param.metavar is None else param.metavar)
        for param in command.params
        if isinstance(param, click.Argument)
    ]
    options = [max(param.opts, key=len) for param in command.params if isinstance(param, click.Option)]
    usage = " ".join([f"batchchat {command.name}", *words])
    return f"`{usage}`", command.get_short_help_str(200), " ".join(f"`{option}`" for option in options)


def _keys() -> str:
    return _table(("key", "takes", "default", "what it is for"), map(_key, KEYS))


def _key(key: JobKey) -> tuple[str, ...]:
    if key.required:
        default = "must be set"
    elif key.default_words is not None:
        default = key.default_words
    else:
        default = "" if key.default is None else f"`{_value(key.default)}`"
    return f"`{key.name}`", key.type.takes, default, key.help


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def _columns() -> str:
    return _table(
        ("column", "type", "what it holds"), ((f"`{each.name}`", f"{each.type}", each.meaning) for each in COLUMNS)
    )


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
