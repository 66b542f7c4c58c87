"""Storage of a run: journal, index, lock and Parquet output."""
