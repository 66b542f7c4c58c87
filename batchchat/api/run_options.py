"""The options of a call of `run`, which are not part of the job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from batchchat.errors import UsageError
from batchchat.execution.resend_words import check_resend
from batchchat.execution.run_command import CHANGED
from batchchat.text.display import PROGRESS

__all__ = ["Resending", "RunCallOptions"]

Resending = str | Iterable[str]
"""`"failed"`, an error kind, `"cut-off"`, `"changed"` or `"@FILE"` of ids, or several of them."""


@dataclass(frozen=True, slots=True)
class RunCallOptions:
    """The options of a call of `run`."""

    limit: int | None
    resend: Resending
    keep_changed: bool
    fresh: bool
    strict: bool
    yes: bool
    progress: str

    def words(self) -> tuple[str, ...]:
        """The words of `resend`. Raises `UsageError` for an option that is none."""
        words = (self.resend,) if isinstance(self.resend, str) else tuple(self.resend or ())
        if not all(isinstance(word, str) for word in words):
            raise UsageError(f"resend is {self.resend!r}. It takes text, or a list of texts.")
        check_resend(words, "resend")
        if self.keep_changed and CHANGED in words:
            raise UsageError("resend='changed' and keep_changed=True contradict each other. Leave one out.")
        if self.limit is not None and (not isinstance(self.limit, int) or self.limit < 1):
            raise UsageError(f"limit is {self.limit!r}. It takes a whole number above 0, or None.")
        if self.progress not in PROGRESS:
            raise UsageError(f"progress is {self.progress!r}. It takes {', '.join(PROGRESS)}.")
        return words
