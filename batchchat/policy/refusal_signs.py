"""Whether refusals are more than chance; pure.

Some endpoints refuse one request in twenty, or in five, whatever the number in flight. That share is the background:
it is no limit, and no ceiling ends it. A limit refuses nearly all that is sent beyond it.

The two are told apart by a cumulative sum (Page's CUSUM) over the requests in the order in which they were sent: each
refusal adds the logarithm of how much likelier it is at a limit than by the background, each request that was not
refused takes its own away. Requests sent so recently that their refusal may still be on its way are taken back as soon
as they are refused, so that the first of a burst to settle, which are its refusals, are not taken for all of it.

The background is learned from the refusals that are no sign of a limit. With nothing known it is one in five; after
fifty requests without a refusal one in fifty, and two refusals next to each other are a sign. Where the ceiling was
lowered and a share is refused all the same (`learn_level`), it was no limit, and that share becomes the background.
"""

from __future__ import annotations

from collections import deque
from math import ceil, log

__all__ = ["RefusalSigns"]

_PRIOR_REFUSED, _PRIOR_SENT = 1.0, 5.0
_MIN_BACKGROUND, _MAX_BACKGROUND = 0.01, 0.4
_LIMIT_SHARE = 0.5
"""Of the requests that the background leaves, a limit refuses at least this share."""
_THRESHOLD, _THRESHOLD_AT_START = 7.0, 10.0
"""By the background alone, seven is reached about once in a thousand requests, ten once in twenty thousand."""
_MEMORY = 500.0
_ON_ITS_WAY = 1.5
"""A request sent within so many times a refusal's latency may be refused as well."""
_MAX_TIMES = 1024
_LEVEL_SENT = 60
_NEAR_S = 10.0
"""Refusals further apart are not the sign of one limit: the probes of an outage, once a minute, are none."""


class RefusalSigns:
    """Counts requests as they are sent and refused; `add_refusal` says whether they meet a limit."""

    def __init__(self) -> None:
        self._sent_at: deque[float] = deque(maxlen=_MAX_TIMES)
        self._sent = self._counted = 0
        self._level_sent = self._level_refused = 0
        self._score = 0.0
        self._refused_at = float("-inf")
        self._run = 0  # refusals since the score was last low
        self._background_refused, self._background_sent = _PRIOR_REFUSED, _PRIOR_SENT

    @property
    def background(self) -> float:
        """The share of requests that is refused whatever the number in flight."""
        share = self._background_refused / self._background_sent
        return min(max(share, _MIN_BACKGROUND), _MAX_BACKGROUND)

    @property
    def streak_beyond_chance(self) -> int:
        """So many refusals in succession come by the background about once in a thousand times."""
        return ceil(_THRESHOLD / -log(self.background))

    @property
    def is_suspicious(self) -> bool:
        """Whether the latest refusals may become the sign of a limit."""
        return self._score > 0

    @property
    def is_beyond_background(self) -> bool:
        """Whether more are refused at this level than any background may be."""
        sent = self._sent - self._level_sent
        return sent >= _LEVEL_SENT and self._level_refused > _MAX_BACKGROUND * sent

    def add_sent(self, now: float) -> None:
        """A request is sent."""
        self._sent += 1
        self._sent_at.append(now)

    def begin_level(self) -> None:
        """Another number may be in flight from now on."""
        self._level_sent, self._level_refused = self._sent, 0

    def learn_level(self) -> bool:
        """Whether as many are refused at this level as make it the background, which it then is."""
        sent = self._sent - self._level_sent
        share = self._level_refused / max(1, sent)
        if sent < _LEVEL_SENT or not self.background < share <= _MAX_BACKGROUND:
            return False
        self._background_refused, self._background_sent = share * _MEMORY / 2, _MEMORY / 2
        self._score = 0.0
        return True

    def add_refusal(self, now: float, latency_s: float, *, is_starting: bool) -> bool:
        """A request was refused after `latency_s`: whether this and those before it are the sign of a limit."""
        new = self._sent - self._counted
        self._counted = self._sent
        self._background_sent += new
        background = self.background
        limit = background + (1 - background) * _LIMIT_SHARE
        for_limit, against = log(limit / background), log((1 - background) / (1 - limit))
        threshold = _THRESHOLD_AT_START if is_starting else _THRESHOLD
        floor = -against * self._on_their_way(now - _ON_ITS_WAY * latency_s)
        is_near = now - self._refused_at <= _NEAR_S
        self._refused_at = now
        self._score = max(self._score - against * new, floor) if is_near else floor
        if self._score <= floor:
            self._run = 0
        # It was counted as not refused when it was sent.
        self._score = min(self._score + for_limit + against, threshold + 2 * for_limit)
        self._run += 1
        self._background_refused += 1
        self._level_refused += 1
        if self._background_sent > _MEMORY:
            self._background_sent /= 2
            self._background_refused /= 2
        is_limit = self._score >= threshold
        if is_limit:  # those are the limit's, and teach nothing of the background
            self._background_refused = max(0.0, self._background_refused - self._run)
            self._run = 0
        return is_limit

    def _on_their_way(self, since: float) -> int:
        """How many requests were sent after `since`."""
        count = 0
        for sent_at in reversed(self._sent_at):
            if sent_at <= since:
                break
            count += 1
        return count
