"""Many processes, one job: its limits are leased to each from one parent."""
