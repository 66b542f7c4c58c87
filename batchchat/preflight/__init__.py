"""Before anything is sent: the check of a job's input, and the estimate of its tokens, cost and duration."""
