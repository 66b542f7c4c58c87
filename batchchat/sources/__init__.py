"""Files to rows: what comes in."""

from __future__ import annotations

from batchchat.sources.output_overlap import overlapping_entry
from batchchat.sources.source import Source, open_source

__all__ = ["Source", "open_source", "overlapping_entry"]
