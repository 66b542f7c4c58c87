"""Files to rows: what comes in."""

from __future__ import annotations

from batchchat.sources.output_overlap import entry_that_takes
from batchchat.sources.source import Source, open_source

__all__ = ["Source", "entry_that_takes", "open_source"]
