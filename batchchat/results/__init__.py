"""After or during a run: its rows, figures and exports, whatever its state."""
