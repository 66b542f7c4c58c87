"""How things are written for people."""
