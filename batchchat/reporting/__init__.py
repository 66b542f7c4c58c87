"""Figures as text for a terminal, as CSV and as an HTML page."""
