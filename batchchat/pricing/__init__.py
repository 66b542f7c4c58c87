"""What an answer cost, and the most a request may cost."""
