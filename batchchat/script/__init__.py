"""Decides what to ask next; pure."""
