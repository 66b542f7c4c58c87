"""Whether a path matches a pattern, part by part, as `glob` has it: `**` is any number of folders."""

from __future__ import annotations

from fnmatch import fnmatchcase

__all__ = ["matches_glob"]


def matches_glob(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """True if the `parts` of a path match those of `pattern`; hidden names only where it names the dot."""
    if not parts or not pattern:
        return not parts and not pattern
    first, *remaining = pattern
    hidden = parts[0].startswith(".") and not first.startswith(".")
    if first != "**":
        return not hidden and fnmatchcase(parts[0], first) and matches_glob(parts[1:], tuple(remaining))
    if not remaining:
        return not any(part.startswith(".") for part in parts)
    return matches_glob(parts, tuple(remaining)) or (not hidden and matches_glob(parts[1:], pattern))
