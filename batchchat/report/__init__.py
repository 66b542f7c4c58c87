"""What is told when it is over."""
