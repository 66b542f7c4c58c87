"""The readers that people open an output with, each with no option."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq

__all__ = ["load_dataset", "load_splits", "read_by_all"]


def load_dataset(form: str, files: str, cache: Path) -> Any:
    """What Hugging Face `datasets` makes of `files`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of datasets' own libraries
        import datasets  # type: ignore[import-untyped]

        return datasets.load_dataset(form, data_files=files, split="train", cache_dir=str(cache))


def load_splits(form: str, files: dict[str, str], cache: Path) -> Any:
    """What Hugging Face `datasets` makes of the `files` of several splits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import datasets

        return datasets.load_dataset(form, data_files=files, cache_dir=str(cache))


def read_by_all(path: Path, cache: Path) -> None:
    """Every reader sees the same ids in the same order, and every column, of a file or a folder of parts."""
    files = f"{path}/*.parquet" if path.is_dir() else str(path)
    table = pq.read_table(path)
    ids, names = table.column("id").to_pylist(), table.column_names
    frame = pd.read_parquet(path)
    assert (frame["id"].tolist(), frame.columns.tolist()) == (ids, names)
    polar = pl.read_parquet(path)
    assert (polar["id"].to_list(), polar.columns) == (ids, names)
    duck: Any = duckdb.sql(f"select * from '{files}'")
    # As a table: DuckDB's fetchall() of any time with a zone wants pytz, which nothing else brings.
    assert (duck.to_arrow_table().column("id").to_pylist(), duck.columns) == (ids, names)
    found = load_dataset("parquet", files, cache)
    assert (list(found["id"]), found.column_names) == (ids, names)
