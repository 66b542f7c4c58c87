"""A table in plain text: columns two spaces apart, each as wide as its widest cell."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from batchchat.text.escape import escaped

__all__ = ["table"]


def table(rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,), indent: int = 2) -> str:
    """`rows`, the head first, all of one length; the columns numbered in `left` are left-aligned, the others right."""
    rows = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(f"{'':{indent}}{line}".rstrip() for line in lines)
