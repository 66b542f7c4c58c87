"""The values that pass between parts; no I/O."""
