"""What may be sent again, in the words of the command line and of Python: `failed`, an error kind, `@FILE` of ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from batchchat.core.conversation import ErrorKind
from batchchat.errors import UsageError, refuse_pipe
from batchchat.execution.resend import NO_RESEND, IdList, Resend
from batchchat.execution.run_command import CHANGED, FAILED
from batchchat.text.nearest import did_you_mean

__all__ = ["check_resend", "resend_of"]

_CUT_OFF = "cut-off"
_KINDS = frozenset(kind.value for kind in ErrorKind)
_WORDS = (FAILED, _CUT_OFF, CHANGED, *(kind.value for kind in ErrorKind))


def check_resend(words: Iterable[str], option: str) -> None:
    """Raise `UsageError` if one of `words`, given as `option`, is nothing that can be sent again."""
    for word in words:
        if word not in _WORDS and not word.startswith("@"):
            raise UsageError(
                f"{option} {word}: nothing is called so.{did_you_mean(word, _WORDS)} It takes {', '.join(_WORDS)}, or"
                " @FILE with one id a line."
            )


def resend_of(words: Iterable[str], option: str) -> Resend:
    """What `words`, given as `option`, ask for. Raises `UsageError` for a file of ids that is empty or unreadable."""
    named = set(words)
    files = sorted(word[1:] for word in named if word.startswith("@"))
    resend = Resend(
        failed=FAILED in named,
        kinds=frozenset(named & _KINDS),
        cut_off=_CUT_OFF in named,
        id_lists=tuple(IdList(path, _ids(path, option)) for path in files),
    )
    empty = next((ids for ids in resend.id_lists if not len(ids)), None)
    if empty is not None:
        raise UsageError(f"{option} @{empty.as_given}: the file has no id. It takes one id a line.")
    return NO_RESEND if resend == NO_RESEND else resend


def _ids(path: str, option: str) -> Iterator[str]:
    try:
        refuse_pipe(Path(path))
        with Path(path).open(encoding="utf-8-sig") as lines:
            for line in lines:
                if id_ := line.rstrip("\r\n"):
                    yield id_
    except UnicodeDecodeError:
        raise UsageError(f"{option} @{path}: the file is not UTF-8. It takes one id a line.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise UsageError(f"{option} @{path}: the file can't be read: {reason}.") from None
