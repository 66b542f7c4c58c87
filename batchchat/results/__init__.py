"""After a run: its rows, figures and exports, whatever state it is in."""
