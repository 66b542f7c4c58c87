"""Before sending: whether the input is good, and what the job will cost."""
