"""Figures, their goals, and how they are written: a table for people, JSON for later."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: a value for each round, and what they are made of, by name."""

    name: str
    values: Sequence[float]
    unit: str = "x"
    goal: float | None = None
    """At most; None where there is no goal at this size."""
    parts: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """What the goal is held against."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing where there is no goal."""
        if self.goal is None:
            return ""
        return "met" if self.median <= self.goal else "missed"

    def line(self) -> str:
        """A line of the table, min and max only where there are several rounds."""
        spread = f"{min(self.values):.2f} - {max(self.values):.2f}" if len(self.values) > 1 else ""
        goal = "" if self.goal is None else f"<= {self.goal:g}"
        parts = ", ".join(f"{name} {statistics.median(values):,.4g}" for name, values in self.parts.items())
        median = f"{self.median:,.2f} {self.unit}"
        return f"{self.name:46}{median:>12}  {spread:15}{goal:>8} {self.verdict:7} {parts}".rstrip()

    def json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "goal_at_most": self.goal,
            "verdict": self.verdict or None,
            "min": min(self.values),
            "median": self.median,
            "max": max(self.values),
            "values": list(self.values),
            "parts": {name: list(values) for name, values in self.parts.items()},
        }


def ratio(name: str, ours: Mapping[str, Sequence[float]], goal: float | None) -> Figure:
    """The second of two named series over the first, round by round."""
    below, above = ours.values()
    return Figure(name, [a / b for a, b in zip(above, below, strict=True)], "x", goal, ours)
