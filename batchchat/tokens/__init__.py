"""Counts of tokens, and the context windows they must fit."""
