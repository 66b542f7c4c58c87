"""`make reference`: the tables of README.md and docs/ that are read off declarations in the code, and its example.

Each table belongs between `<!-- NAME -->` and `<!-- /NAME -->` on one of the pages; `test_reference.py` fails where a
page has another table than the code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import click

from batchchat import errors
from batchchat.cli import main
from batchchat.core.attempt import Billed, Reply, Scope, Usage, Verdict
from batchchat.core.conversation import ErrorKind
from batchchat.endpoint import network_failures, reply_verdicts, verdicts, wordings
from batchchat.job.keys import KEYS, JobKey
from batchchat.store.columns import COLUMNS
from tests.python_reference import python_errors, python_names
from tests.readme import with_sessions

__all__ = ["PAGES", "PYTHON", "README", "REPOSITORY", "TABLES", "tables_on", "with_tables"]

REPOSITORY = Path(__file__).parent.parent
README = REPOSITORY / "README.md"
PYTHON = REPOSITORY / "docs" / "python.md"
PAGES = (README, *sorted((REPOSITORY / "docs").glob("*.md")))


_PLACE = re.compile(r"^(<!-- ([a-z-]+) -->\n).*?(^<!-- /\2 -->)$", re.MULTILINE | re.DOTALL)


def with_tables(text: str) -> str:
    """A page's `text` with each table that it has a place for as the code has it now."""
    return _PLACE.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", text)


def tables_on(text: str) -> list[str]:
    """The names of the tables that a page's `text` has a place for."""
    return [match[2] for match in _PLACE.finditer(text)]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _code(text: object) -> str:
    return f"`{text}`"


# Commands


def _commands() -> str:
    """What each command does."""
    return _table(
        ("command", "what it does"),
        ((_code(_usage(command)), command.get_short_help_str(200)) for command in main.commands.values()),
    )


def _options() -> str:
    """A section for each command: its description, options and example."""
    return "\n".join(map(_section, main.commands.values()))


def _section(command: click.Command) -> str:
    options = [param for param in command.params if isinstance(param, click.Option)]
    table = _table(("option", "what it does"), ((_code(_signature(option)), option.help or "") for option in options))
    _, _, example = (command.epilog or "").partition("Example:\n\n")
    return f"### {command.name}\n{_text(command)}\n\n{table if options else ''}\n```sh\n{_dedented(example)}\n```\n"


def _text(command: click.Command) -> str:
    return re.sub(r"[ \t]+\n|\n[ \t]+", "\n", (command.help or "").partition("\f")[0]).strip()


def _dedented(example: str) -> str:
    return "\n".join(line.strip() for line in example.strip().splitlines() if line.strip())


def _usage(command: click.Command) -> str:
    arguments = [
        param.human_readable_name.upper() if param.metavar is None else param.metavar
        for param in command.params
        if isinstance(param, click.Argument)
    ]
    return " ".join([f"batchchat {command.name}", *arguments])


def _signature(option: click.Option) -> str:
    name = max(option.opts, key=len)
    if option.is_flag:
        return name
    if option.metavar is None and isinstance(option.type, click.Choice):
        return f"{name} {'|'.join(option.type.choices)}"
    return f"{name} {option.metavar or option.type.name.upper()}"


# Keys of a job


def _keys() -> str:
    return _table(("key", "takes", "default", "what it is for"), map(_key, KEYS))


def _key(key: JobKey) -> tuple[str, ...]:
    if key.required:
        default = "must be set"
    elif key.default_words is not None:
        default = key.default_words
    else:
        default = "" if key.default is None else _code(_value(key.default))
    return _code(key.name), key.type.takes, default, key.help


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


# Columns of an output


def _columns() -> str:
    return _table(
        ("column", "type", "what it holds"),
        ((_code(column.name), f"{column.type}", column.meaning) for column in COLUMNS),
    )


def _error_kinds() -> str:
    return " ".join(_code(kind.value) for kind in ErrorKind) + "\n"


# Exit codes


def _exit_codes() -> str:
    classes = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
    rows = [
        (errors.EXIT_OK, "", "Every row that was to be sent is answered."),
        (errors.EXIT_DEFECT, "", "A defect of batchchat; the message says where its traceback is."),
        (errors.EXIT_ROWS_FAILED, "", "The run finished; some rows failed, are invalid or undecided."),
        *(
            (error.exit_code, _code(error.__name__), _first_sentence(error))
            for error in classes
            if error is not errors.BatchchatError
        ),
    ]
    signalled = ("129, 130, 143", "", "Stopped by SIGHUP, SIGINT (Ctrl-C) or SIGTERM.")
    return _table(
        ("exit code", "exception", "meaning"), [*((str(code), *cells) for code, *cells in sorted(rows)), signalled]
    )


def _first_sentence(error: type[errors.BatchchatError]) -> str:
    sentence, _, _ = (error.__doc__ or "").partition(". ")
    return f"{sentence.rstrip('.')}."


# Verdicts


_RULE_HEAD = ("status", "code, type or message", "other condition", "error_kind", "then", "billed")
_WORDINGS = {
    "too long": (wordings.TOO_LONG_CODES, wordings.TOO_LONG),
    "too large": (wordings.TOO_LARGE_CODES, wordings.TOO_LARGE),
    "filtered": (wordings.FILTER_CODES, wordings.FILTERED),
    "purse": (wordings.PURSE_CODES, wordings.PURSE),
    "account": (wordings.ACCOUNT_CODES, wordings.ACCOUNT),
    "key": (wordings.KEY_CODES, wordings.KEY),
    "rate": (wordings.RATE_CODES, wordings.RATE),
    "busy": (wordings.BUSY_CODES, None),
    "stream options": (frozenset(), wordings.STREAM_OPTIONS),
    "no such format": (wordings.FORMAT_CODES, wordings.FORMAT),
}


def _verdicts() -> str:
    """The rules for responses that are errors, in their order."""
    return _table(_RULE_HEAD, map(_rule, verdicts.RULES))


def _rule(rule: verdicts.Rule) -> tuple[str, ...]:
    signs = [f"*{name}* code" for name, (codes, _) in _WORDINGS.items() if codes is rule.codes]
    signs += [f"*{name}* message" for name, (_, message) in _WORDINGS.items() if message and message is rule.message]
    if rule.codes is not None and not signs:
        signs = [_code(code) for code in sorted(rule.codes)]
    conditions = []
    if rule.retry_after is not None:
        conditions.append("with `Retry-After`" if rule.retry_after else "without `Retry-After`")
    if rule.foreign is not None:
        conditions.append("the body is not JSON" if rule.foreign else "the body is JSON")
    if rule.over_limit:
        conditions.append("it says that this request alone exceeds a limit")
    if rule.names_tokens:
        conditions.append("it has a number of four digits or more")
    if rule.own:
        conditions.append("not a 429 or 5xx relayed from a provider behind a router")
    if rule.refused_field is not None:
        conditions.append(f"still refused without `{rule.refused_field}`")
    return (
        "any" if rule.statuses is None else ", ".join(_ranges([at for at in _STATUSES if at in rule.statuses])),
        ", ".join(signs),
        ", ".join(conditions),
        *_cells(rule.verdict),
    )


def _wordings() -> str:
    """What the rules look for."""
    return _table(
        ("name", "codes and types", "messages match"),
        (
            (
                f"*{name}*",
                " ".join(_code(code) for code in sorted(codes)),
                "" if message is None else _code(message.replace("`", "")),
            )
            for name, (codes, message) in _WORDINGS.items()
        ),
    )


def _ranges(statuses: list[int]) -> Iterator[str]:
    """Statuses as they are written in a table: 400, 402, 500-599."""
    start = 0
    for at in range(1, len(statuses) + 1):
        if at == len(statuses) or statuses[at] != statuses[at - 1] + 1:
            run = statuses[start:at]
            yield from map(str, run) if len(run) < _SHORTEST_RANGE else (f"{run[0]}-{run[-1]}",)
            start = at


_STATUSES = range(100, 600)
_SHORTEST_RANGE = 3


def _cells(verdict: Verdict) -> tuple[str, str, str]:
    """error_kind, what is done about it, whether it is billed."""
    then = verdict.action.value
    if verdict.scope is Scope.ENDPOINT:
        then += "; uses up no attempt of the row"
    if verdict.instant:
        then += "; the first time at once"
    return _code(verdict.kind.value) if verdict.kind else "", then, _BILLED[verdict.billed]


_BILLED = {Billed.NO: "no", Billed.MAYBE: "possibly", Billed.YES: "yes"}


def _replies() -> str:
    """What a 2xx means, judged here by the code itself."""
    html, object_, cut, judge = b"<!doctype html>", b'{"object": "list"}', b'{"choices": [', reply_verdicts.judge_reply
    unreadable, paid = partial(reply_verdicts.judge_unreadable, 200), Usage(10, 500)
    cases: tuple[tuple[str, Verdict], ...] = (
        ("text, tool calls, images, audio or a refusal, whatever the `finish_reason`", judge(Reply("Hello!"))[0]),
        ("nothing of these, `finish_reason` is `content_filter`, `SAFETY` or the like", judge(Reply("", "SAFETY"))[0]),
        ("nothing of these, `finish_reason` is `length`", judge(Reply("", "length"))[0]),
        (
            "nothing of these, `finish_reason` is `model_context_window_exceeded`",
            judge(Reply("", "model_context_window_exceeded"))[0],
        ),
        ("nothing of these, `finish_reason` is `error`, `abort` or `network_error`", judge(Reply("", "error"))[0]),
        (
            "nothing of these, `finish_reason` is `insufficient_system_resource`",
            judge(Reply("", "insufficient_system_resource"))[0],
        ),
        ("the same two, with tokens of a reply or a cost", judge(Reply("", "error"), paid)[0]),
        ("nothing of these otherwise", judge(Reply("", "stop"))[0]),
        ("a web page", unreadable(html, complete=True)[0]),
        ("JSON or text that is no chat completion, or nothing", unreadable(object_, complete=True)[0]),
        ("the same, with usage", unreadable(object_, complete=True, billed=True)[0]),
        ("a body that breaks off", unreadable(cut, complete=False)[0]),
    )
    return _table(
        ("a 2xx with", "error_kind", "then", "billed"), ((words, *_cells(verdict)) for words, verdict in cases)
    )


def _failures() -> str:
    """What an exchange that got no whole response means."""
    return _table(
        ("exception", "message", "error_kind", "then", "billed"),
        ((_code(_class_name(error)), words, *_cells(verdict)) for error, verdict, words in network_failures._FAILURES),
    )


def _class_name(error: type[BaseException]) -> str:
    package = error.__module__.partition(".")[0]
    return error.__name__ if package == "builtins" else f"{package}.{error.__name__}"


TABLES: dict[str, Callable[[], str]] = {
    "commands": _commands,
    "options": _options,
    "keys": _keys,
    "columns": _columns,
    "error-kinds": _error_kinds,
    "exit-codes": _exit_codes,
    "verdicts": _verdicts,
    "wordings": _wordings,
    "replies": _replies,
    "failures": _failures,
    "python-names": python_names,
    "python-errors": python_errors,
}


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(with_tables(page.read_text()))
    for page in (README, PYTHON):
        page.write_text(with_sessions(page.read_text()))
