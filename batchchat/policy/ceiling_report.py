"""What is reported of the ceiling: moves worth a line, and each only once the ceiling has come to rest; pure."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CeilingMoved", "CeilingReport"]

_SHARE_DOWN, _SHARE_UP = 0.9, 1.25
_SETTLED_S, _MAX_UNREPORTED_S, _SIGNS_MEMORY_S = 1.0, 5.0, 60.0


class CeilingMoved(NamedTuple):
    """From `before` to `after` in flight; where it went down, by how many signs of a limit within how many seconds.

    The signs are `refusals`, and `cut_offs`: requests that a gateway, or our own timeout, ended while they waited.
    """

    before: int
    after: int
    refusals: int = 0
    span_s: float = 0.0
    cut_offs: int = 0


class CeilingReport:
    """Says when a move of the ceiling is worth a line; a ceiling of `ceiling` counts as reported."""

    def __init__(self, ceiling: int) -> None:
        self._reported = ceiling
        self._start_was_cut = False  # below the maximum, and that is not reported yet
        self._refusals = self._cut_offs = 0
        self._since: float | None = None

    def add_sign(self, now: float, *, is_refusal: bool) -> None:
        """A request was refused, or else cut off."""
        is_first = not (self._refusals or self._cut_offs)
        if is_first or self._since is None or now - self._since > _SIGNS_MEMORY_S:
            self._refusals, self._cut_offs, self._since = 0, 0, now
        self._refusals += is_refusal
        self._cut_offs += not is_refusal

    def end_start(self, ceiling: int) -> None:
        """A limit ended the start at `ceiling`: worth a line, however little is taken back."""
        self._start_was_cut, self._reported = True, max(self._reported, ceiling)

    def next(self, now: float, ceiling: int, *, is_starting: bool, is_max: bool, cut_at: float) -> CeilingMoved | None:
        """The move to `ceiling` where it is to be reported at `now`; it counts as reported from here on."""
        before, since = self._reported, self._since
        if ceiling > before:
            if is_starting or since is None:
                self._reported = ceiling  # the start is no news
            elif is_max or ceiling >= before * _SHARE_UP:
                self._reported = ceiling
                return CeilingMoved(before, ceiling)
        elif ceiling < before and since is not None:
            is_worth_it = self._start_was_cut or ceiling <= before * _SHARE_DOWN
            if is_worth_it and (now - cut_at >= _SETTLED_S or now - since >= _MAX_UNREPORTED_S):
                refusals, cut_offs = self._refusals, self._cut_offs
                self._refusals = self._cut_offs = 0
                self._reported, self._start_was_cut = ceiling, False
                return CeilingMoved(before, ceiling, refusals, now - since, cut_offs)
        return None
