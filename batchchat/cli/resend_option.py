"""`--resend WHAT`: which finished rows are sent again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchchat.core.conversation import ErrorKind
from batchchat.errors import refuse_pipe
from batchchat.text.nearest import did_you_mean

if TYPE_CHECKING:
    from batchchat.execution.resend import Resend

__all__ = ["CHANGED", "FAILED", "check_resend", "resend_of", "resend_words"]

RESEND = "--resend"
FAILED, CHANGED, _CUT_OFF = "failed", "changed", "cut-off"
_KINDS = frozenset(kind.value for kind in ErrorKind)
_WORDS = (FAILED, _CUT_OFF, CHANGED, *(kind.value for kind in ErrorKind))


def check_resend(words: Iterable[str], *, keep_changed: bool) -> None:
    """Raise `click.UsageError` if one of `words` is nothing that can be sent again, or is to be kept all the same."""
    for word in words:
        if word == CHANGED and keep_changed:
            raise click.UsageError("--resend changed and --keep-changed contradict each other.")
        if word not in _WORDS and not word.startswith("@"):
            raise click.UsageError(
                f"{RESEND} {word}: nothing is called so.{did_you_mean(word, _WORDS)} It takes {', '.join(_WORDS)}, or"
                " @FILE with one id a line."
            )


def resend_words(words: Iterable[str]) -> list[str]:
    """The same as options of a command line; `failed` is an option of its own, `--retry-failed`."""
    return [part for word in words if word != FAILED for part in (RESEND, word)]


def resend_of(words: Iterable[str]) -> Resend:
    """What `words` ask for. Raises `click.UsageError` for a file of ids that can't be read or has none."""
    from batchchat.execution.resend import NO_RESEND, IdList, Resend

    named = set(words)
    files = sorted(word[1:] for word in named if word.startswith("@"))
    resend = Resend(
        failed=FAILED in named,
        kinds=frozenset(named & _KINDS),
        cut_off=_CUT_OFF in named,
        id_lists=tuple(IdList(path, _ids(path)) for path in files),
    )
    empty = next((ids for ids in resend.id_lists if not len(ids)), None)
    if empty is not None:
        raise click.UsageError(f"{RESEND} @{empty.as_given}: the file has no id. It takes one id a line.")
    return NO_RESEND if resend == NO_RESEND else resend


def _ids(path: str) -> Iterator[str]:
    try:
        refuse_pipe(Path(path))
        with Path(path).open(encoding="utf-8-sig") as lines:
            for line in lines:
                if id_ := line.rstrip("\r\n"):
                    yield id_
    except UnicodeDecodeError:
        raise click.UsageError(f"{RESEND} @{path}: the file is not UTF-8. It takes one id a line.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise click.UsageError(f"{RESEND} @{path}: the file can't be read: {reason}.") from None
