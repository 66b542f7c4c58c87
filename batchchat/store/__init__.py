"""What is kept: journal, index, lock, Parquet."""
