"""The bounded loop and its gate."""
