"""Requests to JSON and back, and what responses mean."""
