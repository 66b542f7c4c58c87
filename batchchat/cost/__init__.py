"""What exchanges cost; pure."""
